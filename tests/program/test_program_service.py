"""The program service: versions, their audit, and what it refuses."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc import StatusCode
from nats.js.api import ConsumerConfig, DeliverPolicy

from house import SAMPLE, Ground, House, Refused, new_id, refused
from kit.clock import from_timestamp, to_timestamp
from laurel.event.v1.event_pb2 import Event, EventBatch
from laurel.program.v1 import program_service_pb2 as pb
from laurel.program.v1.program_service_pb2_grpc import ProgramServiceStub

FIRST = SAMPLE.read_text()
SECOND = FIRST.replace("pending_days: 14", "pending_days: 7")


class Programs:
    """A program service of a test's own, and short ways to call it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.stub: ProgramServiceStub = house.stub(ProgramServiceStub, "program")

    async def apply(self, source: str, **fields: object) -> pb.ApplyProgramResponse:
        return await self.stub.ApplyProgram(request(source, **fields))

    async def versions(self) -> list[int]:
        answer = await self.stub.ListProgramVersions(pb.ListProgramVersionsRequest())
        return [version.version for version in answer.program_versions]


def request(source: str, **fields: object) -> pb.ApplyProgramRequest:
    given = {"request_id": new_id(), "reason": "for a test", "file": "test.yaml", **fields}
    return pb.ApplyProgramRequest(source_yaml=source, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
async def empty_house(ground: Ground) -> AsyncIterator[House]:
    async with ground.house() as house:
        await house.start("program")
        yield house


@pytest.fixture
async def programs(empty_house: House) -> Programs:
    await empty_house.fetch("DELETE FROM program.program_version")
    await empty_house.fetch("DELETE FROM program.outbox")
    return Programs(empty_house)


def violations(refusal: Refused) -> list[tuple[str, str]]:
    bad = BadRequest()
    assert refusal.status is not None
    assert any(detail.Unpack(bad) for detail in refusal.status.details)
    return [(v.field, v.description) for v in bad.field_violations]


async def test_pg_02_a_version_tells_who_when_why_and_what_changed(programs: Programs) -> None:
    first = await programs.apply(FIRST)
    operator = programs.house.stub(ProgramServiceStub, "program", "operator")
    second = await operator.ApplyProgram(request(SECOND, reason="customers wait too long"))
    stored = second.program_version
    assert (first.program_version.version, stored.version) == (1, 2)
    assert (stored.author, stored.reason) == ("operator", "customers wait too long")
    assert stored.source_yaml == SECOND
    assert abs(from_timestamp(stored.create_time) - datetime.now(UTC)) < timedelta(minutes=1)
    assert stored.effective_time == stored.create_time
    changed = [(d.path, d.before, d.after) for d in second.differences]
    assert changed == [("earning.pending_days", "14", "7")]


async def test_the_first_version_differs_from_nothing(programs: Programs) -> None:
    answer = await programs.apply(FIRST)
    assert {d.before for d in answer.differences} == {""}
    assert ("currency", "USD") in [(d.path, d.after) for d in answer.differences]


async def test_a_repeated_application_makes_one_version(programs: Programs) -> None:
    asked = request(FIRST)
    answers = await asyncio.gather(*[programs.stub.ApplyProgram(asked) for _ in range(20)])
    assert await programs.versions() == [1]
    assert all(answer == answers[0] for answer in answers)


async def test_a_repeat_gets_the_stored_answer_when_others_came_since(programs: Programs) -> None:
    asked = request(FIRST)
    first = await programs.stub.ApplyProgram(asked)
    await programs.apply(SECOND)
    assert await programs.stub.ApplyProgram(asked) == first
    assert await programs.versions() == [2, 1]


async def test_a_request_id_with_other_content_is_refused(programs: Programs) -> None:
    asked = request(FIRST)
    await programs.stub.ApplyProgram(asked)
    other = request(SECOND, request_id=asked.request_id)
    refusal = await refused(programs.stub.ApplyProgram(other))
    assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert await programs.versions() == [1]


async def test_an_unchanged_document_makes_no_new_version(programs: Programs) -> None:
    await programs.apply(FIRST)
    again = await programs.apply(FIRST, reason="once more")
    assert again.program_version.version == 1
    assert not again.differences
    assert await programs.versions() == [1]


async def test_an_unchanged_document_with_a_time_of_its_own_is_a_new_version(
    programs: Programs,
) -> None:
    await programs.apply(FIRST)
    past = datetime(1997, 1, 1, tzinfo=UTC)
    again = await programs.apply(FIRST, effective_time=to_timestamp(past))
    assert again.program_version.version == 2
    assert from_timestamp(again.program_version.effective_time) == past


async def test_pg_02_a_roll_back_is_a_new_version(programs: Programs) -> None:
    for source in (FIRST, SECOND, FIRST):
        await programs.apply(source)
    assert await programs.versions() == [3, 2, 1]
    newest = await programs.stub.GetProgram(pb.GetProgramRequest())
    assert newest.program_version.program.earning.pending_days == 14


async def test_racing_applications_get_versions_of_their_own(programs: Programs) -> None:
    sources = [FIRST.replace("pending_days: 14", f"pending_days: {n}") for n in range(10)]
    answers = await asyncio.gather(*[programs.apply(source) for source in sources])
    assert sorted(a.program_version.version for a in answers) == list(range(1, 11))
    assert await programs.versions() == list(range(10, 0, -1))


async def test_of_racing_authors_who_saw_one_version_a_single_one_wins(programs: Programs) -> None:
    await programs.apply(FIRST)
    sources = [FIRST.replace("pending_days: 14", f"pending_days: {n}") for n in range(5)]
    outcomes = await asyncio.gather(
        *[programs.apply(source, expected_version=1) for source in sources],
        return_exceptions=True,
    )
    refusals = [Refused(o) for o in outcomes if isinstance(o, Exception)]  # type: ignore[arg-type]
    assert len(refusals) == 4
    assert {(r.code, r.reason) for r in refusals} == {
        (StatusCode.ABORTED, "PROGRAM_VERSION_CHANGED")
    }
    assert refusals[0].metadata == {"expected": "1", "newest": "2"}
    assert await programs.versions() == [2, 1]


async def test_pg_02_what_is_applied_later_decides_whatever_the_clock_of_its_process_says(
    ground: Ground,
) -> None:
    async with ground.house() as house:
        programs = Programs(await house.start("program"))
        first = (await programs.apply(FIRST)).program_version
        house.clock = lambda: from_timestamp(first.create_time) - timedelta(seconds=5)
        async with house.twin("program") as channel:
            behind = ProgramServiceStub(channel)
            second = (await behind.ApplyProgram(request(SECOND))).program_version
        assert second.version == 2
        assert from_timestamp(second.effective_time) >= from_timestamp(first.effective_time)
        assert from_timestamp(second.create_time) >= from_timestamp(first.create_time)


async def test_pg_01_a_refused_document_names_every_mistake_and_stores_nothing(
    programs: Programs,
) -> None:
    wrong = FIRST.replace("currency: USD", "currency: USX").replace(
        "qualify_spend: 260", "qualify_spend: 60"
    )
    asked = request(wrong)
    refusal = await refused(programs.stub.ApplyProgram(asked))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "PROGRAM_INVALID")
    told = dict(violations(refusal))
    assert list(told) == [
        "currency",
        "tiers.ladder[2].qualify_spend",
        "tiers.ladder[2].retain_spend",
    ]
    line = wrong.splitlines().index("currency: USX") + 1
    assert told["currency"].startswith(f"test.yaml:{line}:1: is USX")
    assert await programs.versions() == []
    # A refused request leaves its id free for the mended document.
    mended = request(FIRST, request_id=asked.request_id)
    assert (await programs.stub.ApplyProgram(mended)).program_version.version == 1


async def test_very_many_mistakes_still_fit_into_a_refusal(programs: Programs) -> None:
    wrong = FIRST + "".join(f"wrong_{n}: 1\n" for n in range(500))
    refusal = await refused(programs.apply(wrong))
    assert refusal.reason == "PROGRAM_INVALID"
    assert refusal.metadata["mistake_count"] == "500"
    assert len(violations(refusal)) == int(refusal.metadata["told_count"]) > 10
    answer = await programs.stub.ValidateProgram(pb.ValidateProgramRequest(source_yaml=wrong))
    assert len(answer.mistakes) == 500


@pytest.mark.parametrize(
    "wrong",
    [
        f"? {'a' * 100_000}\n: 1\n" + FIRST,
        FIRST.replace("when: gifts.cycle", f"when: \"true '{'😀' * 1990}'\""),
    ],
)
async def test_pg_01_a_mistake_as_long_as_the_document_still_fits_into_a_refusal(
    programs: Programs, wrong: str
) -> None:
    refusal = await refused(programs.apply(wrong))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "PROGRAM_INVALID")
    assert len(violations(refusal)) == 1


async def test_validation_stores_nothing(programs: Programs) -> None:
    validate = programs.stub.ValidateProgram
    assert not (await validate(pb.ValidateProgramRequest(source_yaml=FIRST))).mistakes
    answer = await validate(pb.ValidateProgramRequest(source_yaml="name: [", file="a.yaml"))
    assert [m.file for m in answer.mistakes] == ["a.yaml"]
    assert await programs.versions() == []


async def test_versions_are_found_by_number_and_the_newest_without(programs: Programs) -> None:
    await programs.apply(FIRST)
    await programs.apply(SECOND)
    for asked, found in ((0, 2), (1, 1), (2, 2)):
        answer = await programs.stub.GetProgram(pb.GetProgramRequest(version=asked))
        assert answer.program_version.version == found


async def test_a_version_that_was_never_applied_is_not_found(programs: Programs) -> None:
    refusal = await refused(programs.stub.GetProgram(pb.GetProgramRequest()))
    assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "PROGRAM_NOT_FOUND")
    refusal = await refused(programs.stub.GetProgram(pb.GetProgramRequest(version=7)))
    assert refusal.metadata == {"version": "7"}
    diff = pb.DiffProgramsRequest(base_version=7, version=8)
    assert (await refused(programs.stub.DiffPrograms(diff))).reason == "PROGRAM_NOT_FOUND"


async def test_pages_of_versions_follow_each_other(programs: Programs) -> None:
    for n in range(5):
        await programs.apply(FIRST.replace("pending_days: 14", f"pending_days: {n}"))
    seen, token = [], ""
    while True:
        asked = pb.ListProgramVersionsRequest(page_size=2, page_token=token)
        page = await programs.stub.ListProgramVersions(asked)
        seen.append([v.version for v in page.program_versions])
        token = page.next_page_token
        if not token:
            break
    assert seen == [[5, 4], [3, 2], [1]]


async def test_a_page_of_large_documents_fits_into_an_answer(programs: Programs) -> None:
    filler = "# " + "x" * 1_000_000 + "\n"
    for n in range(8):
        await programs.apply(FIRST.replace("pending_days: 14", f"pending_days: {n}") + filler)
    page = await programs.stub.ListProgramVersions(pb.ListProgramVersionsRequest())
    assert [v.version for v in page.program_versions] == [8, 7, 6, 5, 4, 3]
    rest = pb.ListProgramVersionsRequest(page_token=page.next_page_token)
    page = await programs.stub.ListProgramVersions(rest)
    assert [v.version for v in page.program_versions] == [2, 1]
    assert not page.next_page_token


async def test_a_made_up_page_token_is_refused(programs: Programs) -> None:
    asked = pb.ListProgramVersionsRequest(page_token="made up")
    refusal = await refused(programs.stub.ListProgramVersions(asked))
    assert refusal.reason == "PAGE_TOKEN_INVALID"


async def test_versions_and_drafts_are_compared_field_by_field(programs: Programs) -> None:
    await programs.apply(FIRST)
    await programs.apply(SECOND)
    by_version = pb.DiffProgramsRequest(base_version=2, version=1)
    answer = await programs.stub.DiffPrograms(by_version)
    assert [(d.path, d.before, d.after) for d in answer.differences] == [
        ("earning.pending_days", "7", "14")
    ]
    draft = FIRST.replace("qualify_spend: 260", "qualify_spend: 250")
    answer = await programs.stub.DiffPrograms(pb.DiffProgramsRequest(source_yaml=draft))
    assert [d.path for d in answer.differences] == [
        "earning.pending_days",
        "tiers.ladder[gold].qualify_spend",
    ]


async def test_a_draft_with_mistakes_is_refused(programs: Programs) -> None:
    await programs.apply(FIRST)
    refusal = await refused(
        programs.stub.DiffPrograms(pb.DiffProgramsRequest(source_yaml="name: x"))
    )
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "PROGRAM_INVALID")


async def test_who_may_only_read_cannot_apply(programs: Programs) -> None:
    reader = programs.house.stub(ProgramServiceStub, "program", "dashboard")
    refusal = await refused(reader.ApplyProgram(request(FIRST)))
    assert refusal.code == StatusCode.PERMISSION_DENIED


async def test_an_event_tells_of_every_new_version_and_of_nothing_else(programs: Programs) -> None:
    broker = programs.house.running["program"].broker
    assert broker is not None
    await programs.house.settle()
    js = await broker.jetstream()
    subject = "laurel.program.program_applied"
    new_only = ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
    subscription = await js.subscribe(subject, config=new_only)
    first = await programs.apply(FIRST)
    await programs.apply(FIRST)
    await refused(programs.apply("name: x"))
    second = await programs.apply(SECOND)
    events: list[Event] = []
    while not events or events[-1].program_version != 2:
        message = await subscription.next_msg(timeout=10)
        events += EventBatch.FromString(message.data).events
    await subscription.unsubscribe()
    assert [(e.program_applied.version, e.program_applied.effective_time) for e in events] == [
        (answer.program_version.version, answer.program_version.effective_time)
        for answer in (first, second)
    ]


async def test_the_service_cannot_rewrite_history(programs: Programs) -> None:
    """SC-02: its role may add versions and read them."""
    await programs.apply(FIRST)
    for privilege in ("UPDATE", "DELETE", "TRUNCATE"):
        sql = "SELECT has_table_privilege('laurel_program', 'program.program_version', $1) AS may"
        rows = await programs.house.fetch(sql, privilege)
        assert rows[0]["may"] is False
