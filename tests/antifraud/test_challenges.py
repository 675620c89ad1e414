"""Challenges: the code, its tries and its sends, and that it is good for one operation alone."""

import re
from asyncio import gather, sleep
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from challenge_desk import RULES, STEP_UP, ChallengeDesk
from fraud_desk import ACCRUAL, ALLOW, DENY, REDEMPTION, REVIEW, operation
from google.protobuf.json_format import MessageToJson
from grpc import StatusCode

from house import Ground, House, new_id, refused
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1 import cases_pb2, challenges_pb2
from step_ups import CHALLENGE, program, wrong

OPEN = challenges_pb2.CHALLENGE_STATE_OPEN
SOLVED = challenges_pb2.CHALLENGE_STATE_SOLVED
SPENT = challenges_pb2.CHALLENGE_STATE_SPENT
EXPIRED = challenges_pb2.CHALLENGE_STATE_EXPIRED


@pytest.fixture(scope="module")
async def guarded(ground: Ground) -> AsyncIterator[House]:
    """A house whose program challenges: by rule, and above 1,000 points."""
    async with ground.house() as house:
        await house.apply(program(RULES, STEP_UP))
        await house.start("antifraud", "notification")
        yield house


@pytest.fixture
async def desk(guarded: House) -> ChallengeDesk:
    """The anti-fraud service of that house, and the inboxes of its members."""
    await guarded.start("antifraud", "notification")
    return ChallengeDesk(guarded)


def redemption(member: str, points: int = 2000, **fields: object) -> pb.Operation:
    return operation(member, kind=REDEMPTION, points=points, **fields)  # type: ignore[arg-type]


async def test_af_03_the_right_code_lets_the_same_operation_through(
    desk: ChallengeDesk, member: str
) -> None:
    asked = redemption(member)
    [decision] = await desk.assess(asked)
    assert decision.action == CHALLENGE
    code = await desk.code(member)
    shown = await desk.get(decision.challenge_id)
    assert (shown.state, shown.member_id, shown.request_id) == (OPEN, member, asked.request_id)
    assert (shown.kind, shown.points, shown.tries_left) == (REDEMPTION, 2000, 3)
    assert await desk.assess(asked) == [decision]
    solved = await desk.verify(decision.challenge_id, f" {code} ")
    assert solved.state == SOLVED
    [after] = await desk.assess(asked)
    assert (after.action, after.challenge_id) == (ALLOW, "")
    assert after.assessment_id == decision.assessment_id
    # Solved twice is solved; whatever is tried then.
    assert await desk.verify(decision.challenge_id, code) == solved
    assert await desk.verify(decision.challenge_id, wrong(code)) == solved


async def test_nobody_is_challenged_about_what_took_effect_already(
    desk: ChallengeDesk, member: str
) -> None:
    """Who asks about the same operation as one that is about to take effect is challenged then."""
    asked = redemption(member)
    late = pb.BatchAssessRequest(operations=[asked, redemption(member)], took_effect=True)
    for _ in range(2):
        decisions = (await desk.stub.BatchAssess(late)).decisions
        assert [(one.action, one.challenge_id) for one in decisions] == [(CHALLENGE, "")] * 2
    [decision] = await desk.assess(asked)
    assert decision.assessment_id == decisions[0].assessment_id
    assert (await desk.get(decision.challenge_id)).state == OPEN
    assert len(await desk.codes(member, 1)) == 1


async def test_af_01_the_strictest_of_allow_review_challenge_deny_decides(
    desk: ChallengeDesk, member: str
) -> None:
    """A limit alone challenges redemptions above it, not accruals; a rule challenges either."""
    decisions = await desk.assess(
        redemption(member, 1000),
        redemption(member, 1001),
        operation(member, kind=ACCRUAL, points=5000),
        operation(member, kind=ACCRUAL, channel="odd"),
        redemption(member, 10, channel="odd"),
        redemption(member, 5000, channel="closed"),
    )
    actions = [decision.action for decision in decisions]
    assert actions == [ALLOW, CHALLENGE, ALLOW, CHALLENGE, CHALLENGE, DENY]
    assert [bool(one.challenge_id) for one in decisions] == [
        action == CHALLENGE for action in actions
    ]


async def test_af_01_what_other_rules_asked_for_holds_after_the_challenge(
    desk: ChallengeDesk, member: str
) -> None:
    asked = redemption(member, channel="watched")
    [decision] = await desk.assess(asked)
    assert decision.action == CHALLENGE
    await desk.verify(decision.challenge_id, await desk.code(member))
    afterwards = await gather(*(desk.assess(asked) for _ in range(5)))
    assert {(after.action, after.score) for [after] in afterwards} == {(REVIEW, 50)}
    # AF-05: somebody has to look at it, in one case.
    request = cases_pb2.ListCasesRequest(member_id=member)
    [case] = (await desk.stub.ListCases(request)).cases
    assert case.assessment_count == 1
    decide = cases_pb2.DecideCaseRequest(
        request_id=new_id(), case_id=case.case_id, outcome=cases_pb2.CASE_OUTCOME_LEGITIMATE,
        operator="olga", reason="known to us",
    )  # fmt: skip
    await desk.stub.DecideCase(decide)
    assert [one.action for one in await desk.assess(asked)] == [ALLOW]


async def test_af_03_a_solved_challenge_is_of_no_use_to_any_other_operation(
    desk: ChallengeDesk, member: str
) -> None:
    asked = redemption(member)
    [decision] = await desk.assess(asked)
    await desk.verify(decision.challenge_id, await desk.code(member))
    others = []
    for change in (
        {"points": 2001},
        {"amount": "10.01"},
        {"kind": ACCRUAL},
    ):
        other = operation(member, **{"kind": REDEMPTION, "points": 2000} | change)
        other.request_id = asked.request_id
        [refusal] = await desk.assess(other)
        others.append((refusal.action, refusal.challenge_id))
    assert others == [(CHALLENGE, decision.challenge_id)] * 3
    [another_request] = await desk.assess(redemption(member))
    assert another_request.action == CHALLENGE
    assert another_request.challenge_id != decision.challenge_id
    [another_member] = await desk.assess(redemption(new_id(), request_id=asked.request_id))
    assert another_member.action == CHALLENGE
    assert another_member.challenge_id != decision.challenge_id
    [same] = await desk.assess(asked)
    assert same.action == ALLOW


async def test_af_03_a_solved_challenge_of_a_gift_is_of_no_use_to_another_receiver(
    desk: ChallengeDesk, member: str
) -> None:
    asked = redemption(member)
    asked.counterparty_member_id = new_id()
    [decision] = await desk.assess(asked)
    await desk.verify(decision.challenge_id, await desk.code(member))
    other = redemption(member, request_id=asked.request_id)
    other.counterparty_member_id = new_id()
    to_nobody = redemption(member, request_id=asked.request_id)
    refusals = [(await desk.assess(one))[0] for one in (other, to_nobody)]
    assert {(one.action, one.challenge_id) for one in refusals} == {
        (CHALLENGE, decision.challenge_id)
    }
    [same] = await desk.assess(asked)
    assert same.action == ALLOW


async def test_af_03_of_50_guesses_at_once_3_are_checked(desk: ChallengeDesk, member: str) -> None:
    asked = redemption(member)
    [decision] = await desk.assess(asked)
    code = await desk.code(member)
    guess = wrong(code)
    refusals = await gather(
        *[refused(desk.verify(decision.challenge_id, guess)) for _ in range(50)]
    )
    assert {one.code for one in refusals} == {StatusCode.FAILED_PRECONDITION}
    checked = [one for one in refusals if one.reason == "CODE_WRONG"]
    assert sorted(one.metadata["tries_left"] for one in checked) == ["0", "1", "2"]
    assert sum(one.reason == "CHALLENGE_SPENT" for one in refusals) == 47
    late = await refused(desk.verify(decision.challenge_id, code))
    assert late.reason == "CHALLENGE_SPENT"
    assert (await desk.get(decision.challenge_id)).state == SPENT


async def test_af_03_a_right_code_among_wrong_ones_solves_once(
    desk: ChallengeDesk, member: str
) -> None:
    [decision] = await desk.assess(redemption(member))
    code = await desk.code(member)
    solved = await gather(*[desk.verify(decision.challenge_id, code) for _ in range(20)])
    assert {one.state for one in solved} == {SOLVED}
    assert len({one.solve_time.ToNanoseconds() for one in solved}) == 1


async def test_af_03_another_challenge_follows_one_that_was_spent_or_ran_out_up_to_a_limit(
    desk: ChallengeDesk, member: str
) -> None:
    asked = redemption(member)
    ids = []
    for number in range(3):
        [decision] = await desk.assess(asked)
        ids.append(decision.challenge_id)
        code = await desk.code(member, number + 1)
        if number == 1:
            await desk.expire(decision.challenge_id)
            late = await refused(desk.verify(decision.challenge_id, code))
            assert (late.code, late.reason) == (
                StatusCode.FAILED_PRECONDITION,
                "CHALLENGE_EXPIRED",
            )
            assert (await desk.get(decision.challenge_id)).state == EXPIRED
        else:
            for _ in range(3):
                await refused(desk.verify(decision.challenge_id, wrong(code)))
    assert len(set(ids)) == 3
    answers = [one for _ in range(5) for one in await desk.assess(asked)]
    assert {(one.action, one.challenge_id) for one in answers} == {(CHALLENGE, "")}
    assert len(await desk.inbox(member)) == 3


async def test_af_03_repeats_that_race_share_the_next_challenge(
    desk: ChallengeDesk, member: str
) -> None:
    asked = redemption(member)
    [first] = await desk.assess(asked)
    await desk.expire(first.challenge_id)
    answers = await gather(*[desk.assess(asked) for _ in range(10)])
    [challenge_id] = {one.challenge_id for [one] in answers}
    assert challenge_id not in ("", first.challenge_id)


async def test_af_03_first_assessments_that_race_share_one_challenge(
    desk: ChallengeDesk, member: str
) -> None:
    asked = redemption(member)
    answers = await gather(*[desk.assess(asked) for _ in range(10)])
    assert len({one.challenge_id for [one] in answers}) == 1
    assert len(await desk.inbox_of(member, 1)) == 1


async def test_af_03_a_new_code_ends_the_one_before(desk: ChallengeDesk, member: str) -> None:
    [decision] = await desk.assess(redemption(member))
    challenge_id = decision.challenge_id
    old = await desk.code(member)
    soon = await refused(desk.resend(challenge_id))
    assert (soon.code, soon.reason) == (StatusCode.RESOURCE_EXHAUSTED, "RESEND_TOO_SOON")
    assert 1 <= int(soon.metadata["wait"]) <= 30
    await desk.let_resend(challenge_id)
    request_id = new_id()
    shown = await desk.resend(challenge_id, request_id)
    assert (shown.sends_left, shown.tries_left, shown.state) == (0, 3, OPEN)
    assert await desk.resend(challenge_id, request_id) == shown
    new = await desk.code(member, 2)
    if old != new:
        stale = await refused(desk.verify(challenge_id, old))
        assert (stale.reason, stale.metadata["tries_left"]) == ("CODE_WRONG", "2")
    await desk.let_resend(challenge_id)
    over = await refused(desk.resend(challenge_id))
    assert (over.code, over.reason) == (StatusCode.FAILED_PRECONDITION, "SENDS_SPENT")
    assert (await desk.verify(challenge_id, new)).state == SOLVED
    done = await refused(desk.resend(challenge_id))
    assert done.reason == "CHALLENGE_SOLVED"


async def test_af_03_resends_that_race_send_one_code(desk: ChallengeDesk, member: str) -> None:
    [decision] = await desk.assess(redemption(member))
    await desk.code(member)
    await desk.let_resend(decision.challenge_id)

    async def outcome() -> str:
        try:
            await desk.resend(decision.challenge_id)
        except Exception as error:  # noqa: BLE001
            return type(error).__name__
        return "sent"

    outcomes = await gather(*[outcome() for _ in range(10)])
    assert outcomes.count("sent") == 1
    assert len(await desk.inbox_of(member, 2)) == 2


async def test_af_03_nobody_is_sent_more_than_the_codes_of_a_day(
    desk: ChallengeDesk, member: str
) -> None:
    """6 a day; the batch and the calls that race share them."""
    batches = [[redemption(member) for _ in range(4)] for _ in range(4)]
    answers = await gather(*[desk.assess(*batch) for batch in batches])
    decisions = [one for answer in answers for one in answer]
    assert {one.action for one in decisions} == {CHALLENGE}
    ids = {one.challenge_id for one in decisions} - {""}
    assert len(ids) == 6
    assert len(await desk.inbox_of(member, 6)) == 6
    challenge_id = next(iter(ids))
    await desk.let_resend(challenge_id)
    full = await refused(desk.resend(challenge_id))
    assert (full.code, full.reason) == (StatusCode.RESOURCE_EXHAUSTED, "DAY_SENDS_SPENT")
    await desk.house.fetch(
        "UPDATE antifraud.challenge_day SET day = day - 1 WHERE member_id = $1", member
    )
    withheld = [
        operation
        for batch, answer in zip(batches, answers, strict=True)
        for operation, one in zip(batch, answer, strict=True)
        if not one.challenge_id
    ]
    [again] = await desk.assess(withheld[0])
    assert (again.action, again.challenge_id != "") == (CHALLENGE, True)


async def test_af_03_the_code_is_in_the_message_and_nowhere_else(
    desk: ChallengeDesk, member: str, capfd: pytest.CaptureFixture[str]
) -> None:
    [decision] = await desk.assess(redemption(member))
    code = await desk.code(member)
    [message] = await desk.inbox(member)
    assert message.subject == "A code for 2000 points"
    assert message.body == f"{member}: {code}, 5 minutes"
    tables = await desk.house.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'antifraud'"
    )
    code_as_word = re.compile(rf"(?<!\d){code}(?!\d)")
    for table in tables:
        rows = await desk.house.fetch(
            f"SELECT to_jsonb(t)::text AS row FROM antifraud.{table['table_name']} AS t"
        )
        texts = [row["row"] for row in rows if decision.challenge_id in row["row"]]
        assert not [text for text in texts if code_as_word.search(text)]
    shown = await desk.get(decision.challenge_id)
    assert not code_as_word.search(MessageToJson(shown))
    await desk.verify(decision.challenge_id, code)
    [row] = await desk.house.fetch(
        "SELECT salt FROM antifraud.challenge WHERE challenge_id = $1", decision.challenge_id
    )
    assert row["salt"] == b""
    assert not code_as_word.search("".join(capfd.readouterr()))


async def test_af_03_a_code_is_sent_once_however_often_it_is_tried(
    desk: ChallengeDesk, member: str
) -> None:
    """As after a crash between notification's answer and the note of it."""
    [decision] = await desk.assess(redemption(member))
    code = await desk.code(member)
    for _ in range(3):
        await desk.house.fetch(
            "UPDATE antifraud.challenge SET send_due_time = now(), sent_time = NULL "
            "WHERE challenge_id = $1",
            decision.challenge_id,
        )
        await desk.until_sent(decision.challenge_id)
    assert len(await desk.inbox(member)) == 1
    assert (await desk.verify(decision.challenge_id, code)).state == SOLVED


async def test_af_03_codes_wait_while_notification_is_away(
    desk: ChallengeDesk, member: str
) -> None:
    await desk.house.stop("notification")
    [decision] = await desk.assess(redemption(member))
    assert not (await desk.get(decision.challenge_id)).sent
    late = new_id()
    [expired] = await desk.assess(redemption(late))
    await desk.expire(expired.challenge_id)
    await desk.house.start("notification")
    code = await desk.code(member)
    assert (await desk.verify(decision.challenge_id, code)).state == SOLVED
    assert await desk.inbox(late) == []


async def test_af_03_every_process_knows_the_codes_of_the_others(
    desk: ChallengeDesk, member: str
) -> None:
    [decision] = await desk.assess(redemption(member))
    code = await desk.code(member)
    async with desk.house.twin("antifraud") as channel:
        twin = ChallengeDesk(desk.house, channel)
        assert (await twin.verify(decision.challenge_id, code)).state == SOLVED


async def test_af_03_without_a_key_no_code_is_made_and_nothing_goes_through(
    ground: Ground, member: str
) -> None:
    async with ground.house(code_key=None) as house:
        await house.apply(program(RULES, STEP_UP))
        await house.start("antifraud", "notification")
        desk = ChallengeDesk(house)
        asked = redemption(member)
        for _ in range(2):
            [decision] = await desk.assess(asked)
            assert (decision.action, decision.challenge_id) == (CHALLENGE, "")
        assert await desk.inbox(member) == []


async def test_an_unknown_challenge_and_a_bad_id_are_refused_by_name(desk: ChallengeDesk) -> None:
    unknown = "0190a5b0-0000-7000-8000-000000000000"
    for call in (desk.verify(unknown, "123456"), desk.resend(unknown), desk.get(unknown)):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "CHALLENGE_NOT_FOUND")
    for call in (desk.verify("x", "1"), desk.verify(unknown, ""), desk.get("x")):
        refusal = await refused(call)
        assert refusal.code == StatusCode.INVALID_ARGUMENT


async def test_old_challenges_are_forgotten_but_for_solved_ones(
    desk: ChallengeDesk, member: str
) -> None:
    decisions = await desk.assess(redemption(member), redemption(member), redemption(member))
    old, solved, young = [one.challenge_id for one in decisions]
    await desk.inbox_of(member, 3)
    await desk.solve(solved)
    await desk.house.fetch(
        "UPDATE antifraud.challenge SET expire_time = now() - interval '31 days' "
        "WHERE challenge_id = ANY($1)",
        [old, solved],
    )
    await desk.house.fetch(
        "INSERT INTO antifraud.challenge_day VALUES ($1, current_date - 3, 1)", member
    )
    await desk.run("prune_challenges")
    rows = await desk.house.fetch(
        "SELECT challenge_id::text FROM antifraud.challenge WHERE member_id = $1", member
    )
    assert {row["challenge_id"] for row in rows} == {solved, young}
    days = await desk.house.fetch(
        "SELECT day FROM antifraud.challenge_day WHERE member_id = $1", member
    )
    assert [row["day"] for row in days] == [datetime.now(UTC).date()]


async def test_af_03_repeated_and_new_operations_of_a_member_never_wait_for_each_other(
    desk: ChallengeDesk, member: str
) -> None:
    """Some need another challenge, others their first: both lock the member's windows and day."""
    old = [redemption(member) for _ in range(12)]
    for one in old:
        await desk.assess(one)
    await desk.house.fetch(
        "UPDATE antifraud.challenge SET expire_time = now() - interval '1 second' "
        "WHERE member_id = $1",
        member,
    )
    before = await deadlocks(desk.house)
    # Once, so that the others look first for what was decided before.
    await desk.assess(old[0])
    mixed = [desk.assess(one, redemption(member)) for one in old]
    fresh = [desk.assess(redemption(member)) for _ in old]
    answers = await gather(*(call for pair in zip(mixed, fresh, strict=True) for call in pair))
    assert {one.action for answer in answers for one in answer} == {CHALLENGE}
    assert await deadlocks(desk.house) == before


async def deadlocks(house: House) -> int:
    """How many deadlocks Postgres has undone in this database."""
    # Its counters are told a second after the fact.
    await sleep(1.5)
    [row] = await house.fetch(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    return int(row["deadlocks"])
