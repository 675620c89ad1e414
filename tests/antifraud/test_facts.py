"""What rules may read of a request and of what was seen before it (AF-02)."""

import random
from asyncio import gather
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from fraud_desk import ACCRUAL, ALLOW, DENY, NOON, REVIEW, Desk, operation, program_with
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from antifraud.distinct import DISTINCT_MAX, RECORD_BYTES, RECORDS_MAX, DistinctTrack, hash_of
from antifraud.series import HOUR_US, SECOND_US
from antifraud.velocity import REORDER_US
from house import Ground, House, new_id
from kit.clock import to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub

RULES = """
    - {name: crowd, operations: [accrual], when: velocity.device_1d.members > 3, action: deny, score: 1}
    - {name: pair, operations: [accrual], when: velocity.member_device_1h.count > 2, action: review, score: 2}
    - {name: clerk, operations: [accrual], when: velocity.member_staff_1d.points > 50, action: review, score: 4}
    - {name: same_order, operations: [accrual], when: velocity.order_90d.count > 1, action: deny, score: 8}
    - {name: wanderer, operations: [accrual], when: velocity.member_1d.stores > 2, action: review, score: 16}
    - {name: own_pocket, operations: [accrual], when: request.staff == member.id, action: deny, score: 32}
    - {name: burst, operations: [accrual], when: request.type == 'check_in' && velocity.card_1m.count > 2, action: deny, score: 64}
    - {name: ring, operations: [redemption], when: request.type == 'gift' && request.counterparty == 'x', action: deny, score: 128}
    - {name: limited, operations: [redemption], when: velocity.device_1h.count > 100, action: deny, score: 256}
    - {name: brittle, operations: [redemption], when: 100 / request.points > 50, action: review, score: 512}
"""  # noqa: E501


@pytest.fixture(scope="module")
async def facts_house(ground: Ground) -> AsyncIterator[House]:
    async with ground.house() as house:
        early = to_timestamp(NOON - timedelta(days=400))
        await house.apply(program_with(RULES), effective_time=early)
        await house.start("antifraud")
        yield house


@pytest.fixture
def facts(facts_house: House) -> Desk:
    return Desk(facts_house)


async def scores(desk: Desk, *operations: pb.Operation) -> list[int]:
    """Which rules fired, as the sum of their powers of two."""
    return [decision.score for decision in await desk.assess(*operations)]


async def test_many_members_on_one_device_are_counted_once_each(facts: Desk) -> None:
    """AF-02: distinct counts, across batches, this operation included."""
    device, members = new_id(), [new_id() for _ in range(5)]
    first = [operation(member, device=device) for member in (*members[:3], *members[:3])]
    assert await scores(facts, *first) == [0] * 6
    assert await scores(facts, operation(members[3], device=device)) == [1]
    later = operation(members[4], device=device, after=24 * 3600)
    assert await scores(facts, later) == [0]


async def test_what_is_not_named_is_not_counted(facts: Desk, member: str) -> None:
    stores = [operation(member, store=store) for store in ("a", "b", "", "", "c", "a")]
    assert await scores(facts, *stores) == [0, 0, 0, 0, 16, 16]
    # Without a store there is nothing to count, whatever was seen before.
    assert await scores(facts, operation(member)) == [0]


async def test_a_pair_counts_where_both_are_named_and_for_no_other_pair(facts: Desk) -> None:
    # Put together without a mark between them these pairs would be one.
    one, other, device = "7 ab", "7 a", "d"
    calls = [
        operation(one, device=device), operation(one, device=device),
        operation(other, device="b d"), operation(other), operation(one, device="e"),
        operation(one, device=device),
    ]  # fmt: skip
    assert await scores(facts, *calls) == [0, 0, 0, 0, 0, 2]


async def test_an_order_told_again_under_another_id_is_known(facts: Desk, member: str) -> None:
    told = [operation(m, after=n * 86400) for n, m in enumerate((member, new_id(), new_id()))]
    for one, order in zip(told, (member, "", member), strict=True):
        one.order_id = order
    assert await scores(facts, *told) == [0, 0, 8]


async def test_staff_is_a_key_and_a_fact(facts: Desk, member: str) -> None:
    clerk = new_id()
    served = [operation(member, points=30, staff_member_id=clerk) for _ in range(2)]
    assert await scores(facts, *served) == [0, 4]
    assert await scores(facts, operation(member, points=30, staff_member_id=new_id())) == [0]
    assert await scores(facts, operation(clerk, staff_member_id=clerk)) == [32]


async def test_type_and_counterparty_are_facts(facts: Desk, member: str) -> None:
    burst = [operation(member, card=member) for _ in range(4)]
    burst[3].type = "check_in"
    assert await scores(facts, *burst) == [0, 0, 0, 64]
    gifts = [operation(member, kind=2) for _ in range(2)]
    for gift, receiver in zip(gifts, ("x", "y"), strict=True):
        gift.type, gift.counterparty_member_id = "gift", receiver
    assert await scores(facts, *gifts) == [128, 0]


async def test_256_callers_at_two_processes_never_pass_a_limit(facts: Desk) -> None:
    """AF-02: one device, two processes of the service; exact in total."""
    device = new_id()
    async with facts.house.twin("antifraud") as channel:
        stubs = [facts.stub, AntifraudServiceStub(channel)]
        await gather(*[stub.BatchAssess(batch(operation(new_id()))) for stub in stubs])
        answers = await gather(
            *[
                stubs[n % 2].BatchAssess(batch(operation(new_id(), kind=2, device=device)))
                for n in range(256)
            ]
        )
    actions = [answer.decisions[0].action for answer in answers]
    assert sorted(actions) == [ALLOW] * 100 + [DENY] * 156


async def test_different_values_are_counted_exactly_by_callers_at_once(facts: Desk) -> None:
    """AF-02: 64 members on one device at two processes: three pass, in whatever order."""
    device = new_id()
    async with facts.house.twin("antifraud") as channel:
        stubs = [facts.stub, AntifraudServiceStub(channel)]
        answers = await gather(
            *[
                stubs[n % 2].BatchAssess(batch(operation(f"{device}{n % 64}", device=device)))
                for n in range(128)
            ]
        )
    allowed = [answer.decisions[0].action for answer in answers].count(ALLOW)
    # A member counts with its own operations alone until the fourth member comes.
    assert 3 <= allowed <= 6
    assert await scores(facts, operation(new_id(), device=device)) == [1]
    page = await facts.list(f"{device}0", action=DENY, page_size=1)
    shown = {f.facts["velocity.device_1d.members"] for a in page.assessments for f in a.fired_rules}
    assert all(int(value) <= 64 for value in shown)


def batch(*operations: pb.Operation) -> pb.BatchAssessRequest:
    return pb.BatchAssessRequest(operations=operations)


async def test_a_busy_device_keeps_a_row_that_is_bounded(facts: Desk) -> None:
    device = new_id()
    for _ in range(4):
        await facts.assess(*[operation(new_id(), device=device) for _ in range(500)])
    rows = await facts.house.fetch(
        "SELECT dimension, length(entries) AS size FROM antifraud.velocity WHERE key = $1", device
    )
    sizes = {row["dimension"]: row["size"] for row in rows}
    assert sizes[2201] <= RECORDS_MAX * RECORD_BYTES
    page = await facts.list((await crowded(facts, device)), page_size=1)
    assert page.assessments[0].fired_rules[0].facts["velocity.device_1d.members"] == "512"


async def crowded(desk: Desk, device: str) -> str:
    """Assesses one more member on a device."""
    member = new_id()
    assert await desk.actions(operation(member, kind=ACCRUAL, device=device)) == [DENY]
    return member


async def test_rows_of_every_form_leave_when_nobody_uses_them(facts: Desk) -> None:
    """Keys, pairs and different values alike, in steps."""
    idle, busy = new_id(), new_id()
    for one in (idle, busy):
        await facts.assess(operation(one, device=one, store=one, staff_member_id=f"{one}s"))
    count = "SELECT count(*) AS n FROM antifraud.velocity WHERE key LIKE '%' || $1 || '%'"
    before = (await facts.house.fetch(count, idle))[0]["n"]
    assert before >= 4
    await facts.house.fetch(
        "UPDATE antifraud.velocity SET write_time = now() - interval '92 days' "
        "WHERE key LIKE '%' || $1 || '%'", idle,
    )  # fmt: skip
    await facts.run("prune_velocity")
    assert (await facts.house.fetch(count, idle))[0]["n"] == 0
    assert (await facts.house.fetch(count, busy))[0]["n"] == before


async def test_a_rule_that_breaks_leaves_the_others_to_decide(facts: Desk, member: str) -> None:
    """AF-02: a broken rule is left out; here it divides by the points of a free redemption."""
    labels = {"rule": "brittle"}
    before = REGISTRY.get_sample_value("laurel_antifraud_rule_breaks_total", labels) or 0
    gift = operation(member, kind=2, points=0)
    gift.type, gift.counterparty_member_id = "gift", "x"
    with capture_logs() as logs:
        assert await facts.actions(gift) == [DENY]
        again = [operation(member, kind=2, points=0) for _ in range(3)]
        assert await facts.actions(*again) == [ALLOW] * 3
    assert REGISTRY.get_sample_value("laurel_antifraud_rule_breaks_total", labels) == before + 4
    # Told once a minute, with the first operation to look at.
    [told] = [line for line in logs if line["event"] == "rule.broken"]
    assert (told["rule"], told["log_level"], told["member_id"]) == ("brittle", "warning", member)
    assert await facts.actions(operation(member, kind=2, points=1)) == [REVIEW]


Times = st.lists(
    st.tuples(st.integers(0, 6 * HOUR_US), st.integers(0, 20)), min_size=1, max_size=300
)


def track_with(steps: list[tuple[int, int]]) -> tuple[DistinctTrack, list[int]]:
    """A track after steps, and what its window of an hour showed at each."""
    track, shown = DistinctTrack((0, 0, 0), (HOUR_US, 24 * HOUR_US)), []
    for time_us, value in steps:
        entry = (time_us, time_us, hash_of(str(value)))
        shown.append(track.counts_with(entry, HOUR_US).count)
        track.add(entry)
    return track, shown


@given(Times)
def test_different_values_in_the_order_of_time_are_counted_exactly(
    steps: list[tuple[int, int]],
) -> None:
    steps = sorted(steps)
    track, shown = track_with(steps)
    for index, (time_us, _) in enumerate(steps):
        exact = {v for t, v in steps[: index + 1] if t > time_us - HOUR_US}
        assert shown[index] == len(exact)
    assert len(track.tidied()) <= RECORDS_MAX * RECORD_BYTES


@given(Times)
def test_different_values_in_any_order_are_never_counted_too_few(
    steps: list[tuple[int, int]],
) -> None:
    _, shown = track_with(steps)
    for index, (time_us, value) in enumerate(steps):
        low, high = time_us - HOUR_US, time_us + REORDER_US
        exact = {v for t, v in steps[:index] if low < t <= high} | {value}
        assert shown[index] >= len(exact)


def test_more_values_than_are_kept_end_at_their_number() -> None:
    steps = [(n * SECOND_US, n) for n in range(3 * DISTINCT_MAX)]
    random.shuffle(steps)
    track, shown = track_with(sorted(steps))
    assert shown[DISTINCT_MAX - 2 :] == [DISTINCT_MAX - 1] + [DISTINCT_MAX] * (len(steps) - 511)
    assert track.is_untidy
