"""Operations in columns mean what messages mean, and are decided as these are (AF-01)."""

from asyncio import gather
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from fraud_desk import ALLOW, REVIEW, Desk, operation, plain, program_with
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from antifraud.parse import parse_operations
from antifraud.parse_plain import operation_at, parse_plain
from antifraud.store import HALVES_FROM, halves
from house import SAMPLE, new_id, refused
from kit.errors import LaurelError
from kit.money import MINOR_MAX
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from rules.compiled import ProgramHistory, compile_program
from rules.document import load

TEXTS = st.one_of(
    st.sampled_from(["", "a", "m-1", "ü", "\0", "\n"]),
    st.builds(
        str.__mul__, st.sampled_from(["a", "ß"]), st.sampled_from([32, 33, 64, 65, 128, 129])
    ),
)


@pytest.fixture(scope="module")
def history() -> ProgramHistory:
    program = load(SAMPLE.read_text()).program
    versions = [datetime(1990, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)]
    return ProgramHistory(
        compile_program(number, program, since) for number, since in enumerate(versions, 1)
    )


async def ask(
    desk: Desk, columns: pb.PlainOperations, *others: pb.Operation
) -> list[tuple[str, int]]:
    """(assessment id, action) of each."""
    request = pb.BatchAssessRequest(operations=others, plain=columns)
    answer = await desk.stub.BatchAssess(request)
    found = [(decision.assessment_id, int(decision.action)) for decision in answer.decisions]
    return found + [(one, int(ALLOW)) for one in answer.allowed_ids]


GOOD: dict[str, st.SearchStrategy[Any]] = {
    "request_ids": st.sampled_from(["a", "m-1", "r" * 128]),
    "member_ids": st.sampled_from(["a", "m-1", "ü"]),
    "points": st.sampled_from([0, 5, 2**63 - 1]),
    "amounts_minor": st.sampled_from([0, 1, 1234, MINOR_MAX]),
    "occurred_micros": st.sampled_from([0, -1, 10**15, 1_600_000_000_000_001]),
    "tier_ids": st.sampled_from(["", "gold", "t" * 64]),
    "order_ids": st.sampled_from(["", "o-1", "o" * 128]),
}
BAD: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("request_ids", "member_ids", "tier_ids", "order_ids"), TEXTS),
    "points": st.just(-1),
    "amounts_minor": st.sampled_from([-1, MINOR_MAX + 1]),
    "occurred_micros": st.just(-(2**62)),
}
# How many a column may have beside as many as there are operations.
OTHER_LENGTHS = {"amounts_minor": [0], "occurred_micros": [1], "tier_ids": [0, 1], "order_ids": [0]}


@given(data=st.data(), count=st.integers(2, 5))
def test_columns_mean_what_messages_mean(
    history: ProgramHistory, data: st.DataObject, count: int
) -> None:
    """Nearly all of these are valid; in some one column is not."""
    broken = data.draw(st.sampled_from([*[""] * 20, *BAD]))

    def column(name: str) -> list[Any]:
        length = data.draw(st.sampled_from([count, count, *OTHER_LENGTHS.get(name, [])]))
        found = data.draw(st.lists(GOOD[name], min_size=length, max_size=length))
        if name == broken and found:
            found[data.draw(st.integers(0, length - 1))] = data.draw(BAD[name])
        return found

    columns = pb.PlainOperations(
        kind=data.draw(st.sampled_from([1, 2])), type=data.draw(st.sampled_from(["", "purchase"])),
        currency_code="USD", **{name: column(name) for name in GOOD},
    )  # fmt: skip
    try:
        meant = parse_operations([operation_at(columns, i) for i in range(count)], history)
    except LaurelError:
        assert broken
        with pytest.raises(LaurelError):
            parse_plain(columns, history)
    else:
        assert parse_plain(columns, history) == meant


async def test_they_are_decided_counted_and_kept_as_messages_are(desk: Desk) -> None:
    one, other = new_id(), new_id()
    mixed = [operation(one) for _ in range(2)]
    decided = await ask(desk, plain(one, one, other, order_ids=["a", "b", "c"]), *mixed)
    assert [action for _, action in decided] == [ALLOW, ALLOW, ALLOW, REVIEW, ALLOW]
    page = await desk.list(one)
    assert [shown.assessment_id for shown in page.assessments] == [
        assessment_id for assessment_id, _ in reversed(decided[:4])
    ]
    newest = page.assessments[0]
    assert (newest.order_id, newest.type, newest.amount.units) == ("b", "purchase", 10)
    assert newest.fired_rules[0].facts["velocity.member_1h.count"] == "4"
    assert not newest.HasField("origin")


async def test_a_repeat_gets_its_decision_in_either_form(desk: Desk, member: str) -> None:
    columns = plain(member, member)
    decided = await ask(desk, columns)
    assert await ask(desk, columns) == decided
    messages = [operation_at(columns, index) for index in range(2)]
    again = await desk.assess(*messages)
    assert [one.assessment_id for one in again] == [assessment_id for assessment_id, _ in decided]
    assert len((await desk.list(member)).assessments) == 2


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"request_ids": []}, "request", "INVALID_ARGUMENT"),
        ({"request_ids": ["a"] * 1001, "member_ids": ["a"] * 1001}, "request", "INVALID_ARGUMENT"),
        ({"request_ids": ["a", ""]}, "plain[1].request_id", "INVALID_ARGUMENT"),
        ({"member_ids": ["a"]}, "plain.member_ids", "INVALID_ARGUMENT"),
        ({"member_ids": ["a", "b\0"]}, "plain[1].member_id", "INVALID_ARGUMENT"),
        ({"points": [1, 2, 3]}, "plain.points", "INVALID_ARGUMENT"),
        ({"points": [1, -2]}, "plain[1].points", "INVALID_ARGUMENT"),
        ({"amounts_minor": [1]}, "plain.amounts_minor", "INVALID_ARGUMENT"),
        ({"amounts_minor": [1, -1]}, "plain[1].amount", "AMOUNT_INVALID"),
        ({"amounts_minor": [MINOR_MAX + 1, 1]}, "plain[0].amount", "AMOUNT_INVALID"),
        ({"currency_code": "EUR"}, "plain.currency_code", "CURRENCY_MISMATCH"),
        ({"occurred_micros": []}, "plain.occurred_micros", "INVALID_ARGUMENT"),
        ({"occurred_micros": [0, 2**62]}, "plain[1].occurred_time", "TIME_INVALID"),
        ({"tier_ids": ["a"] * 3}, "plain.tier_ids", "INVALID_ARGUMENT"),
        ({"order_ids": ["a"]}, "plain.order_ids", "INVALID_ARGUMENT"),
        ({"kind": 0}, "plain[0].kind", "INVALID_ARGUMENT"),
        ({"type": "t" * 65}, "plain[0].type", "INVALID_ARGUMENT"),
    ],
)
async def test_bad_input_is_refused_by_its_field(
    desk: Desk, member: str, change: dict[str, Any], field: str, reason: str
) -> None:
    refusal = await refused(ask(desk, plain(member, member, **change)))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert field in str(refusal.status)
    assert not (await desk.list(member)).assessments


def test_a_large_batch_is_cut_by_members(history: ProgramHistory) -> None:
    members = [f"m{number % 150}" for number in range(HALVES_FROM)]
    cut = halves(parse_plain(plain(*members), history))
    assert len(cut) == 2
    together = [{one.facts.member for one in half} for half in cut]
    assert not together[0] & together[1]
    for half in cut:
        assert len(half) == sum(members.count(member) for member in {o.facts.member for o in half})
    whole = parse_plain(plain(*members[1:]), history)
    assert halves(whole) == [whole]
    device = operation("m1", device="d")
    tied = [*parse_operations([device], history), *parse_plain(plain(*members), history)]
    assert halves(tied) == [tied]


async def test_af_02_large_batches_race_and_repeat_to_the_exact_count(desk: Desk) -> None:
    """Each in two transactions; the rule lets three purchases of a member pass in an hour."""
    members = [new_id() for _ in range(HALVES_FROM)]
    batches = [plain(*members) for _ in range(5)]
    decided = await gather(*(ask(desk, batch) for batch in [*batches, batches[0]]))
    assert decided[0] == decided[5]
    allowed = Counter(
        member for batch in decided[:5] for member, (_, action) in zip(members, batch, strict=True)
        if action == ALLOW
    )  # fmt: skip
    assert allowed == dict.fromkeys(members, 3)
    assert await ask(desk, batches[4]) == decided[4]


def test_a_large_batch_is_not_cut_where_one_may_list_what_another_is_looked_up_by(
    history: ProgramHistory,
) -> None:
    """AF-04: what a rule lists in a batch counts from the next one on."""
    rules = """
    - {name: gone, operations: [accrual], when: lists.denied, action: deny, score: 1}
"""
    listing = compile_program(
        1, load(program_with(rules)).program, datetime(1990, 1, 1, tzinfo=UTC)
    )
    known = ProgramHistory([listing])
    members = [f"m{number}" for number in range(HALVES_FROM)]
    assert len(halves(parse_plain(plain(*members), known))) == 2
    device = parse_operations([operation("m1", device="d")], known)
    assert len(halves([*device, *parse_plain(plain(*members), known)])) == 1
