"""Tiers rise by what members spend (TR-01, TR-03), exactly once whatever the broker does."""

import random
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from tier_desk import Desk, bought, returned, settled

from house import new_id, refused, usd
from kit.clock import from_timestamp
from laurel.event.v1.event_pb2 import Event
from laurel.tier.v1 import tier_service_pb2 as pb

NOON = datetime(2024, 1, 10, 17, tzinfo=UTC)
DAY = timedelta(days=1)


def times(*stamps: Timestamp) -> list[datetime]:
    return [from_timestamp(stamp) for stamp in stamps]


async def test_one_purchase_lifts_by_several_levels_and_says_why(desk: Desk, member: str):
    """TR-03, TR-13: several levels in one go, with every input of the decision."""
    purchase = bought(member, "300.50", NOON)
    await desk.tell(purchase)
    [made] = await desk.history(member)
    assert (made.from_tier_id, made.to_tier_id) == ("member", "gold")
    assert made.kind == pb.TIER_DECISION_KIND_UPGRADE
    assert (made.window_spend, made.threshold_spend) == (usd("300.50"), usd("260"))
    assert (made.cause_event_id, made.program_version) == (purchase.event_id, 1)
    first = datetime(2023, 1, 10, 17, 0, 0, 1, tzinfo=UTC)
    ends = datetime(2025, 1, 10, 17, tzinfo=UTC)
    assert times(made.window_start_time, made.occurred_time) == [first, NOON]
    assert times(made.valid_until_time) == [ends]
    [event] = await desk.changes(member)
    changed = event.tier_changed
    assert (changed.from_rank, changed.to_rank, changed.reason) == (0, 2, "UPGRADE")
    assert changed.decision_id == made.decision_id
    assert times(changed.valid_until_time, event.occurred_time) == [ends, NOON]


async def test_a_tier_is_reached_at_the_very_cent(desk: Desk, member: str):
    await desk.tell(bought(member, "99.99", NOON))
    assert await desk.tier(member) == "member"
    await desk.tell(bought(member, "0.01", NOON + DAY))
    assert await desk.tier(member) == "silver"


async def test_the_window_is_kept_in_the_time_of_the_program(desk: Desk, member: str):
    """TR-01: 12 months on the wall clock of New York; the same instant a year ago is out."""
    winter = datetime(2024, 3, 31, 12, tzinfo=UTC)
    await desk.tell(bought(member, "60", winter))
    await desk.tell(bought(member, "40", datetime(2025, 3, 31, 12, tzinfo=UTC)))
    assert await desk.tier(member) == "member"
    other = new_id()
    await desk.tell(bought(other, "60", winter))
    await desk.tell(bought(other, "40", datetime(2025, 3, 31, 11, 59, 59, 999999, tzinfo=UTC)))
    assert await desk.tier(other) == "silver"


async def test_the_same_event_counts_once(desk: Desk, member: str):
    """The broker may bring a message twice, and two messages may hold the same event."""
    purchase = bought(member, "60", NOON)
    await desk.tell(purchase, purchase)
    await desk.tell(purchase)
    assert (await desk.status(member, NOON)).window_spend == usd("60")
    assert await desk.tier(member) == "member"


async def test_spend_under_review_does_not_count(desk: Desk, member: str):
    purchase = bought(member, "1000", NOON, under_review=True)
    await desk.tell(purchase)
    assert (await desk.status(member, NOON)).window_spend == usd("0")
    await desk.tell(returned(purchase, "1000", NOON + DAY))
    await desk.tell(bought(member, "150", NOON + DAY))
    status = await desk.status(member, NOON + DAY)
    assert (status.tier_id, status.window_spend) == ("silver", usd("150"))


async def test_spend_counts_once_its_review_found_no_fraud(desk: Desk, member: str):
    """AF-01: in the period of the purchase, once, and no more when it is returned after that."""
    purchase = bought(member, "1000", NOON, under_review=True)
    await desk.tell(purchase)
    news = settled(purchase, "150", NOON + 3 * DAY)
    await desk.tell(settled(purchase, "0", NOON + 3 * DAY, legitimate=False))
    assert (await desk.status(member, NOON)).window_spend == usd("0")
    await desk.tell(news, news)
    await desk.tell(news)
    status = await desk.status(member, NOON)
    assert (status.tier_id, status.window_spend) == ("silver", usd("150"))
    purchase.points_accrued.under_review = False
    await desk.tell(returned(purchase, "150", NOON + 4 * DAY))
    assert (await desk.status(member, NOON)).window_spend == usd("0")


async def test_tr_03_a_return_that_overtakes_its_purchase_on_the_way_prevents_the_upgrade(
    desk: Desk, member: str
):
    purchase = bought(member, "300", NOON)
    await desk.tell(returned(purchase, "300", NOON + DAY))
    await desk.tell(purchase)
    assert await desk.tier(member) == "member"
    assert not await desk.history(member)


async def test_keeping_on_buying_moves_neither_tier_nor_validity(desk: Desk, member: str):
    """Only an upgrade and a review set a validity."""
    await desk.tell(bought(member, "120", NOON))
    await desk.tell(bought(member, "100", NOON + 30 * DAY))
    status = await desk.status(member, NOON + 30 * DAY)
    assert times(status.valid_until_time) == [datetime(2025, 1, 10, 17, tzinfo=UTC)]
    assert len(await desk.history(member)) == 1


def story(member: str) -> list[Event]:
    """Purchases that lead through all tiers, and a review in between."""
    days_and_amounts = [
        (0, "60"), (20, "50"), (20, "30"), (90, "150"), (200, "10"), (300, "20"),
        (420, "90"), (500, "5"), (700, "200"), (720, "400"),
    ]  # fmt: skip
    return [bought(member, amount, NOON + days * DAY) for days, amount in days_and_amounts]


async def outcome(desk: Desk, member: str) -> list[tuple[object, ...]]:
    return [
        (
            d.kind, d.from_tier_id, d.to_tier_id, d.window_spend.units, d.threshold_spend.units,
            *times(d.window_start_time, d.occurred_time, d.valid_until_time),
        )
        for d in await desk.history(member)
    ]  # fmt: skip


async def test_the_batches_do_not_matter(desk: Desk):
    """The same purchases in one message, in ones and in threes: the same decisions."""
    told = []
    for size in (100, 1, 3):
        member = new_id()
        events = story(member)
        for start in range(0, len(events), size):
            await desk.publish(*events[start : start + size])
        await desk.house.settle()
        told.append(await outcome(desk, member))
    assert told[0] == told[1] == told[2]
    kinds = [kind for kind, *_ in told[0]]
    assert pb.TIER_DECISION_KIND_DEMOTION in kinds
    assert kinds[0] == pb.TIER_DECISION_KIND_UPGRADE


async def test_purchases_that_arrive_out_of_order_lead_to_the_same_tier(desk: Desk):
    chance = random.Random(7)
    for _ in range(6):
        member = new_id()
        events = story(member)[:6]
        chance.shuffle(events)
        cut = chance.randrange(1, 6)
        await desk.tell(*events[:cut])
        await desk.tell(*events[cut:])
        assert await desk.tier(member) == "gold"
        status = await desk.status(member)
        # Gold was reached on day 90; late news never makes a validity shorter.
        assert from_timestamp(status.valid_until_time) >= datetime(2025, 4, 9, 16, tzinfo=UTC)


async def test_a_late_purchase_lifts_at_the_time_when_the_threshold_was_reached(
    desk: Desk, member: str
):
    await desk.tell(bought(member, "80", NOON + 10 * DAY))
    late = bought(member, "30", NOON)
    await desk.tell(late)
    [made] = await desk.history(member)
    assert times(made.occurred_time) == [NOON + 10 * DAY]
    assert (made.cause_event_id, made.window_spend) == (late.event_id, usd("110"))


async def test_a_late_purchase_never_shortens_a_validity(desk: Desk, member: str):
    await desk.tell(bought(member, "150", NOON + 100 * DAY))
    before = await desk.status(member)
    await desk.tell(bought(member, "300", NOON))
    after = await desk.status(member)
    assert (after.tier_id, after.valid_until_time) == ("gold", before.valid_until_time)


async def test_a_late_purchase_undoes_a_demotion(desk: Desk, member: str):
    """A till that was offline over the review: the member stands where they would have stood."""
    await desk.tell(bought(member, "110", NOON))
    await desk.review(datetime(2025, 2, 1, tzinfo=UTC))
    assert await desk.tier(member) == "member"
    late = bought(member, "80", NOON + 200 * DAY)
    await desk.tell(late)
    restored, demoted, _ = await desk.history(member)
    assert demoted.kind == pb.TIER_DECISION_KIND_DEMOTION
    assert (restored.kind, restored.to_tier_id) == (pb.TIER_DECISION_KIND_UPGRADE, "silver")
    assert (restored.window_spend, restored.threshold_spend) == (usd("80"), usd("75"))
    assert restored.cause_event_id == late.event_id


async def test_a_member_known_from_purchases_alone_has_a_tier(desk: Desk, member: str):
    refusal = await refused(desk.status(member))
    assert refusal.reason == "MEMBER_NOT_FOUND"
    assert refusal.metadata == {"member_id": member}
    await desk.tell(bought(member, "10", NOON))
    assert await desk.tier(member) == "member"
