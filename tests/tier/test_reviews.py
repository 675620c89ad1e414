"""Tiers are kept or lost at the end of their validity (TR-04), by one level at a time."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
from tier_desk import Desk, bought, returned

from house import new_id, refused, usd
from kit.clock import from_timestamp
from laurel.tier.v1 import tier_service_pb2 as pb

NOON = datetime(2022, 1, 10, 17, tzinfo=UTC)
END = datetime(2023, 1, 10, 17, tzinfo=UTC)
DAY = timedelta(days=1)
KEPT, DEMOTED = pb.TIER_DECISION_KIND_RETENTION, pb.TIER_DECISION_KIND_DEMOTION


async def test_who_spent_enough_keeps_the_tier_from_the_end_of_the_old_validity(
    desk: Desk, member: str
):
    await desk.tell(bought(member, "260", NOON), bought(member, "195", NOON + DAY))
    await desk.review(END + 40 * DAY)
    made = (await desk.history(member))[0]
    assert (made.kind, made.from_tier_id, made.to_tier_id) == (KEPT, "gold", "gold")
    assert (made.window_spend, made.threshold_spend) == (usd("195"), usd("195"))
    assert (made.cause_event_id, from_timestamp(made.occurred_time)) == ("", END)
    assert from_timestamp(made.valid_until_time) == datetime(2024, 1, 10, 17, tzinfo=UTC)
    assert [event.tier_changed.to_tier_id for event in await desk.changes(member)] == ["gold"]


async def test_who_did_not_goes_down_by_one_level_only(desk: Desk, member: str):
    """TR-04: never straight to the bottom."""
    await desk.tell(bought(member, "600", NOON))
    await desk.review(END)
    made = (await desk.history(member))[0]
    assert (made.kind, made.from_tier_id, made.to_tier_id) == (DEMOTED, "diamond", "gold")
    assert (made.window_spend, made.threshold_spend) == (usd("0"), usd("420"))
    await desk.house.settle()
    last = (await desk.changes(member))[-1].tier_changed
    assert (last.from_rank, last.to_rank, last.reason) == (3, 2, "DEMOTION")


async def test_nobody_is_reviewed_before_the_validity_has_ended(desk: Desk, member: str):
    await desk.tell(bought(member, "120", NOON))
    await desk.review(END - timedelta(microseconds=1))
    assert await desk.tier(member) == "silver"
    await desk.review(END)
    status = await desk.status(member)
    assert (status.tier_id, status.rank) == ("member", 0)
    assert not status.HasField("valid_until_time")


async def test_each_validity_in_a_long_gap_is_reviewed_for_itself(desk: Desk, member: str):
    await desk.review(END + 400 * DAY)
    await desk.tell(bought(member, "600", NOON))
    ran = await desk.review(END + 400 * DAY)
    assert (ran.reviewed_count, ran.kept_count, ran.demoted_count) == (2, 0, 2)
    steps = [(d.from_tier_id, d.to_tier_id) for d in await desk.history(member)]
    assert steps == [("gold", "silver"), ("diamond", "gold"), ("member", "diamond")]
    await desk.review(END + 1000 * DAY)
    assert await desk.tier(member) == "member"


async def test_a_late_review_decides_as_one_in_time(desk: Desk):
    """What is spent after the end of a validity changes nothing about its review."""
    timely, late = new_id(), new_id()
    for member in (timely, late):
        await desk.tell(bought(member, "300", NOON))
    await desk.review(END)
    later = [(timely, "280"), (late, "280")]
    await desk.tell(*(bought(member, amount, END + 5 * DAY) for member, amount in later))
    await desk.review(END + 30 * DAY)
    told = [
        [(d.kind, d.to_tier_id, d.occurred_time) for d in await desk.history(member)]
        for member in (timely, late)
    ]
    assert told[0] == told[1]
    assert [tier for _, tier, _ in told[0]] == ["gold", "silver", "gold"]


async def test_a_purchase_after_the_end_reviews_first(desk: Desk, member: str):
    """The same, when no review ran in between at all."""
    await desk.tell(bought(member, "300", NOON))
    await desk.tell(bought(member, "270", END))
    kinds = [(d.from_tier_id, d.to_tier_id) for d in await desk.history(member)]
    assert kinds == [("silver", "gold"), ("gold", "silver"), ("member", "gold")]
    await desk.house.settle()
    reasons = [event.tier_changed.reason for event in await desk.changes(member)]
    assert reasons == ["UPGRADE", "DEMOTION", "UPGRADE"]


async def test_reviews_that_run_at_once_review_everybody_once(desk: Desk):
    members = [new_id() for _ in range(40)]
    await desk.review(END)
    await desk.tell(*(bought(member, "120", NOON) for member in members))
    await desk.review(NOON)
    runs = await asyncio.gather(*[desk.review(END) for _ in range(20)])
    assert sum(run.reviewed_count for run in runs) == 40
    for member in members:
        assert len(await desk.history(member)) == 2
    again = await desk.review(END)
    assert again.reviewed_count == 0


async def test_a_review_waits_for_members_whom_others_hold(desk: Desk, member: str):
    """Nobody who is due is left over, also when an event about them is just being handled."""
    await desk.tell(bought(member, "120", NOON))
    connection = await asyncpg.connect(desk.house.settings.database_url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT FROM tier.member WHERE member_id = $1 FOR UPDATE", member)
    running = asyncio.create_task(desk.review(END))
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while not await connection.fetch(waiting):
            await asyncio.sleep(0.02)
    assert not running.done()
    await transaction.rollback()
    await connection.close()
    assert (await running).demoted_count >= 1
    assert await desk.tier(member) == "member"


async def test_more_members_than_fit_into_one_step_are_all_reviewed(desk: Desk):
    members = [new_id() for _ in range(2100)]
    await desk.review(END)
    for start in range(0, len(members), 256):
        part = members[start : start + 256]
        await desk.publish(*(bought(member, "120", NOON) for member in part))
    await desk.house.settle()
    assert (await desk.review(END)).demoted_count == 2100


async def test_a_return_takes_no_tier_away_at_once_but_at_the_review(desk: Desk, member: str):
    """A returned purchase leaves the period that it had counted in."""
    kept = bought(member, "200", NOON + 50 * DAY)
    await desk.tell(bought(member, "300", NOON), kept)
    await desk.tell(returned(kept, "150", NOON + 60 * DAY))
    assert await desk.tier(member) == "gold"
    status = await desk.status(member, NOON + 70 * DAY)
    assert (status.window_spend, status.spend_to_keep) == (usd("350"), usd("0"))
    await desk.review(END)
    made = (await desk.history(member))[0]
    assert (made.kind, made.to_tier_id, made.window_spend) == (DEMOTED, "silver", usd("50"))


async def test_tr_04_a_leap_day_keeps_no_tier_either(desk: Desk, member: str):
    """A validity from 29 February ends on the 28th: its purchase is over then, as on other days."""
    leap_day = datetime(2024, 2, 29, 17, tzinfo=UTC)
    await desk.tell(bought(member, "120", leap_day))
    await desk.review(datetime(2025, 2, 28, 17, tzinfo=UTC))
    made = (await desk.history(member))[0]
    assert (made.kind, made.window_spend, made.threshold_spend) == (DEMOTED, usd("0"), usd("75"))
    window_start = from_timestamp(made.window_start_time)
    assert window_start == leap_day + timedelta(microseconds=1)


async def test_a_review_many_years_ahead_is_refused(desk: Desk):
    refusal = await refused(desk.review(datetime(2999, 1, 1, tzinfo=UTC)))
    assert refusal.reason == "TIME_IN_FUTURE"
    assert refusal.metadata["field"] == "as_of_time"
