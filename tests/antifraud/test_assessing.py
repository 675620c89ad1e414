"""Every operation is assessed before it takes effect (AF-01), by rules over counters (AF-02)."""

import random
from asyncio import gather
from datetime import UTC, datetime

import pytest
from fraud_desk import (
    ACCRUAL,
    ALLOW,
    DENY,
    EARLY,
    NOON,
    REDEMPTION,
    REVIEW,
    Desk,
    operation,
)
from grpc import StatusCode
from prometheus_client import REGISTRY

from house import new_id, refused, usd
from laurel.antifraud.v1 import antifraud_service_pb2 as pb

HOUR = 3600


def metric(name: str, **labels: str) -> float:
    """What a counter shows."""
    return REGISTRY.get_sample_value(f"laurel_antifraud_{name}_total", labels) or 0


async def test_an_operation_that_no_rule_minds_is_allowed(desk: Desk, member: str) -> None:
    [decision] = await desk.assess(operation(member))
    assert (decision.action, decision.score, decision.program_version) == (ALLOW, 0, 2)


async def test_a_batch_is_decided_in_its_order(desk: Desk, member: str) -> None:
    """AF-02: the n-th operation sees those before it, in the same call as well."""
    actions = await desk.actions(*[operation(member) for _ in range(5)])
    assert actions == [ALLOW, ALLOW, ALLOW, REVIEW, REVIEW]


async def test_the_next_batch_sees_the_one_before(desk: Desk, member: str) -> None:
    assert await desk.actions(*[operation(member) for _ in range(3)]) == [ALLOW] * 3
    assert await desk.actions(operation(member)) == [REVIEW]
    assert await desk.count(member) == "4"


async def test_members_do_not_count_for_each_other(desk: Desk) -> None:
    assert await desk.actions(*[operation(new_id()) for _ in range(100)]) == [ALLOW] * 100


async def test_a_repeat_gets_the_stored_decision_and_counts_once(desk: Desk, member: str) -> None:
    """AF-01: repeats in one call, in the next call, and beside new ones."""
    once = operation(member)
    twice = await desk.assess(once, once)
    again = await desk.assess(once, operation(member), once)
    assert twice[0] == twice[1] == again[0] == again[2]
    assert await desk.actions(operation(member), operation(member)) == [ALLOW, REVIEW]
    assert len((await desk.list(member)).assessments) == 4


async def test_a_repeat_keeps_its_decision_when_times_have_changed(desk: Desk, member: str) -> None:
    first = operation(member)
    [decision] = await desk.assess(first)
    await desk.assess(*[operation(member) for _ in range(5)])
    assert await desk.assess(first) == [decision]


async def test_what_was_allowed_is_no_leave_for_more_under_the_same_request_id(
    desk: Desk, member: str
) -> None:
    """Else a spending that points refused could come again, larger, past all rules."""
    spent = operation(member, kind=REDEMPTION, points=100)
    earned = operation(member, points=10)
    await desk.assess(spent, earned)
    allowed = {
        "fewer points": (spent, {"points": 99}),
        "points that follow": (earned, {"points": 11}),
    }
    denied = {
        "more points": (spent, {"points": 101}),
        "another kind": (spent, {"kind": ACCRUAL}),
        "a receiver": (spent, {"counterparty_member_id": "x"}),
        "more spend": (earned, {"amount": usd("10.01")}),
    }
    for cases, action in ((allowed, ALLOW), (denied, DENY)):
        for name, (asked, change) in cases.items():
            other = pb.Operation()
            other.CopyFrom(asked)
            other.MergeFrom(pb.Operation(**change))
            assert await desk.actions(other) == [action], name
    assert await desk.actions(spent, earned) == [ALLOW, ALLOW]


async def test_racing_repeats_are_decided_and_counted_once(desk: Desk, member: str) -> None:
    batch = [operation(member, device=member) for _ in range(3)]
    answers = await gather(*[desk.assess(*batch) for _ in range(20)])
    assert all(answer == answers[0] for answer in answers)
    assert await desk.actions(operation(member)) == [REVIEW]
    assert await desk.count(member) == "4"


async def test_racing_repeats_that_count_nothing_are_decided_once(desk: Desk, member: str) -> None:
    """The request id alone holds them together where no key does."""
    early = [operation(member, at=EARLY, points=n) for n in (1, 9)]
    answers = await gather(*[desk.assess(*early) for _ in range(20)])
    assert all(answer == answers[0] for answer in answers)
    assert len((await desk.list(member)).assessments) == 2


async def test_concurrent_batches_on_one_device_are_counted_exactly(desk: Desk) -> None:
    """AF-02: 20 calls of 3, and exactly 30 of 60 pass a limit of 30."""
    device = new_id()
    calls = [
        desk.actions(*[operation(new_id(), device=device, after=i / 10) for _ in range(3)])
        for i in range(20)
    ]
    actions = [action for answer in await gather(*calls) for action in answer]
    assert sorted(actions) == [ALLOW] * 30 + [DENY] * 30


async def test_batches_that_share_keys_crosswise_do_not_deadlock(desk: Desk) -> None:
    members = [new_id() for _ in range(40)]
    devices = [new_id() for _ in range(5)]
    shared = [operation(m, request_id=f"{m}-1", device=random.choice(devices)) for m in members]
    calls = []
    for _ in range(20):
        fresh = [operation(m, device=random.choice(devices)) for m in random.sample(members, 10)]
        mixed = [*random.sample(shared, 20), *fresh]
        random.shuffle(mixed)
        calls.append(desk.assess(*mixed))
    for answer in await gather(*calls):
        assert len(answer) == 30


async def test_the_window_slides(desk: Desk, member: str) -> None:
    """AF-02: what lies an hour behind is forgotten to the second, the rest is not."""
    await desk.assess(*[operation(member, after=i) for i in (0, 1, 2)])
    assert await desk.actions(operation(member, after=HOUR - 1)) == [REVIEW]
    assert await desk.actions(operation(member, after=HOUR + 1)) == [ALLOW]
    assert await desk.actions(operation(member, after=HOUR + 2)) == [ALLOW]
    assert await desk.actions(operation(member, after=HOUR + 3)) == [REVIEW]


async def test_old_orders_find_the_window_of_their_own_time(desk: Desk, member: str) -> None:
    """AF-02: windows end when an operation occurred, not when it is assessed."""
    await desk.assess(*[operation(member) for _ in range(5)])
    before = [operation(member, after=-20 * HOUR + i) for i in range(4)]
    assert await desk.actions(*before) == [ALLOW, ALLOW, ALLOW, REVIEW]
    assert await desk.actions(operation(member, after=1)) == [REVIEW]
    assert await desk.count(member) == "6"


async def test_accruals_do_not_count_for_redemptions(desk: Desk, member: str) -> None:
    earn = [operation(member, points=900) for _ in range(3)]
    spend = [operation(member, kind=REDEMPTION, points=500) for _ in range(3)]
    assert await desk.actions(*earn, *spend) == [ALLOW] * 5 + [DENY]


async def test_a_denied_operation_counts_as_well(desk: Desk, member: str) -> None:
    assert await desk.actions(operation(member, amount="10000.01")) == [DENY]
    assert await desk.actions(*[operation(member) for _ in range(3)]) == [ALLOW, ALLOW, REVIEW]


async def test_the_strictest_rule_decides_and_scores_add_up(desk: Desk, member: str) -> None:
    """AF-01: a score of at most 1000, and the reasons in the order of the program."""
    await desk.assess(*[operation(member) for _ in range(3)])
    [decision] = await desk.assess(operation(member, amount="20000.00"))
    assert (decision.action, decision.score) == (DENY, 1000)
    fired = (await desk.list(member, page_size=1)).assessments[0].fired_rules
    assert [rule.rule for rule in fired] == ["many_purchases", "absurd_purchase"]


async def test_sums_of_amounts_and_other_keys_are_counted(desk: Desk) -> None:
    """AF-02: velocity by card, address and store."""
    card, ip = new_id(), new_id()
    by_card = [
        operation(new_id(), kind=REDEMPTION, amount=a, card=card) for a in ("400", "100", "0.01")
    ]
    assert await desk.actions(*by_card) == [ALLOW, ALLOW, REVIEW]
    by_ip = [operation(new_id(), kind=REDEMPTION, ip=ip) for _ in range(3)]
    assert await desk.actions(*by_ip) == [ALLOW, ALLOW, REVIEW]
    nothing = [operation(new_id(), kind=REDEMPTION) for _ in range(9)]
    assert await desk.actions(*nothing) == [ALLOW] * 9


async def test_a_busy_key_is_counted_on_after_it_was_merged(desk: Desk) -> None:
    """A row stays small however much is counted under it, and loses nothing in its window."""
    store = new_id()
    for start in range(0, 300, 100):
        await desk.assess(
            *[
                operation(new_id(), kind=REDEMPTION, store=store, after=start + i)
                for i in range(100)
            ]
        )
    [row] = await desk.house.fetch(
        "SELECT length(entries) / 28 AS entry_count FROM antifraud.velocity WHERE key = $1", store
    )
    assert row["entry_count"] <= 64
    spy = new_id()
    await desk.assess(operation(spy, kind=REDEMPTION, store=store, after=301))
    [seen] = (await desk.list(spy)).assessments
    assert seen.fired_rules[0].facts["velocity.store_2d.count"] == "301"


async def test_a_rule_that_breaks_is_left_out_and_counted(desk: Desk, member: str) -> None:
    """AF-02: the others decide."""
    before = metric("rule_breaks", rule="brittle")
    assert await desk.actions(operation(member, points=0)) == [ALLOW]
    assert await desk.actions(operation(member, points=0, amount="10001")) == [DENY]
    assert await desk.actions(operation(member, points=1)) == [REVIEW]
    assert metric("rule_breaks", rule="brittle") == before + 2


async def test_decisions_and_hits_show_in_metrics_once(desk: Desk, member: str) -> None:
    hits = metric("rule_hits", rule="absurd_purchase")
    denied = metric("decisions", operation="accrual", action="deny")
    absurd = operation(member, amount="10001")
    await gather(*[desk.assess(absurd) for _ in range(5)])
    assert metric("rule_hits", rule="absurd_purchase") == hits + 1
    assert metric("decisions", operation="accrual", action="deny") == denied + 1


async def test_the_version_in_force_at_its_time_decides(desk: Desk, member: str) -> None:
    """AF-01: with the version of the rules."""
    old, new = await desk.assess(operation(member, at=EARLY), operation(member, at=NOON))
    assert (old.action, old.program_version) == (DENY, 1)
    assert (new.action, new.program_version) == (ALLOW, 2)


async def test_numbers_at_their_limits_are_decided(desk: Desk, member: str) -> None:
    most = operation(member, kind=REDEMPTION, points=2**63 - 1, amount=None)
    same = operation(member, kind=REDEMPTION, points=2**63 - 1, amount=None)
    assert await desk.actions(most, same) == [DENY, DENY]
    fresh = [operation(member, kind=REDEMPTION, points=2**63 - 1) for _ in range(100)]
    assert await desk.actions(*fresh) == [DENY] * 100


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_has_1_to_1000_operations(desk: Desk, member: str, count: int) -> None:
    refusal = await refused(desk.assess(*[operation(member) for _ in range(count)]))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")


async def test_a_batch_of_1000_is_taken(desk: Desk) -> None:
    assert await desk.actions(*[operation(new_id()) for _ in range(1000)]) == [ALLOW] * 1000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": 0}, "INVALID_ARGUMENT"),
        ({"kind": 77}, "INVALID_ARGUMENT"),
        ({"points": -1}, "INVALID_ARGUMENT"),
        ({"member_id": ""}, "INVALID_ARGUMENT"),
        ({"member_id": "a\x00b"}, "INVALID_ARGUMENT"),
        ({"request_id": "r" * 129}, "INVALID_ARGUMENT"),
        ({"amount": {"currency_code": "EUR", "units": 1}}, "CURRENCY_MISMATCH"),
        ({"amount": {"currency_code": "USD", "units": -1}}, "AMOUNT_INVALID"),
        ({"amount": {"currency_code": "USD", "nanos": 1}}, "AMOUNT_INVALID"),
        ({"occurred_time": {"seconds": 2**60}}, "TIME_INVALID"),
    ],
)
async def test_bad_input_is_refused_by_its_field(
    desk: Desk, member: str, change: dict[str, object], reason: str
) -> None:
    good, bad = operation(member), operation(member)
    for field in change:
        bad.ClearField(field)  # type: ignore[arg-type]
    bad.MergeFrom(pb.Operation(**change))  # type: ignore[arg-type]
    refusal = await refused(desk.assess(good, bad))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert "operations[1]" in str(refusal.status)
    assert not (await desk.list(member)).assessments


async def test_an_operation_without_its_time_is_refused(desk: Desk, member: str) -> None:
    """Also behind one of the very instant that a time without fields means."""
    timeless = operation(member)
    timeless.ClearField("occurred_time")
    first = operation(member, at=datetime(1970, 1, 1, tzinfo=UTC))
    for index, batch in enumerate(([timeless], [first, timeless])):
        refusal = await refused(desk.assess(*batch))
        assert refusal.code is StatusCode.INVALID_ARGUMENT
        assert f"operations[{index}].occurred_time" in str(refusal.message)


async def test_only_points_may_ask(desk: Desk, member: str) -> None:
    """SC-01"""
    stub = desk.house.stub(type(desk.stub), "antifraud", "dashboard")
    request = pb.BatchAssessRequest(operations=[operation(member, kind=ACCRUAL)])
    assert (await refused(stub.BatchAssess(request))).code is StatusCode.PERMISSION_DENIED
