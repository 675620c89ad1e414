"""PT-06: points end, are warned of before and booked after; each once, whatever runs when."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import asyncpg
import pytest
from grpc import StatusCode

from house import SAMPLE, Ground, House, new_id, refused
from kit.clock import from_timestamp, to_timestamp
from kit.db import load_queries
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger, calm_program, events_of, settled

YEARS = timedelta(days=2000)


@pytest.fixture(scope="module")
async def lasting(ground: Ground) -> AsyncIterator[House]:
    """A house whose holds last for three days."""
    async with ground.house() as house:
        program = calm_program(multiplied=False)
        await house.apply(re.sub(r"hold_minutes: \d+", "hold_minutes: 4320", program))
        await house.start("antifraud", "tier", "points")
        yield house


@pytest.fixture
async def ledger(lasting: House, now: datetime) -> Ledger:
    """A ledger for which nothing is due: what the test before has left is booked."""
    ledger = Ledger(lasting)
    await ledger.run_expiry(now + YEARS)
    return ledger


def ends(accrual: pb.Transaction) -> datetime:
    """When the lot of an accrual expires."""
    return from_timestamp(accrual.lot_movements[0].expire_time)


async def expiries(ledger: Ledger, member: str) -> list[pb.Transaction]:
    """The bookings of expired points, oldest first."""
    kind = pb.TRANSACTION_KIND_EXPIRY
    return [entry for entry in await ledger.transactions(member) if entry.kind == kind]


async def test_exactly_what_is_left_of_each_lot_is_booked_as_expired_at_its_end(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-06: booked, not deleted; nothing before the end, nothing of what was spent."""
    first = await ledger.accrue(member, "100", at=now - timedelta(days=300))
    second = await ledger.accrue(member, "50", at=now - timedelta(days=200))
    await ledger.capture(await ledger.hold(member, 30))
    early = await ledger.run_expiry(ends(first) - timedelta(seconds=1))
    assert (early.expired_lot_count, early.expired_points) == (0, 0)
    done = await ledger.run_expiry(ends(first))
    assert (done.expired_lot_count, done.expired_points) == (1, 70)
    assert (await ledger.balance(member)).active == 50
    done = await ledger.run_expiry(ends(second) + timedelta(days=100))
    assert (done.expired_lot_count, done.expired_points) == (1, 50)
    assert await ledger.balance(member) == pb.Balance()
    for booked, accrual, points in zip(
        await expiries(ledger, member), (first, second), (70, 50), strict=True
    ):
        assert booked.points == -points
        assert [(entry.account, entry.points) for entry in booked.entries] == [
            (pb.ACCOUNT_ACTIVE, -points),
            (pb.ACCOUNT_EXPIRED, points),
        ]
        [move] = booked.lot_movements
        assert (move.accrual_transaction_id, move.points) == (accrual.transaction_id, -points)
        assert from_timestamp(booked.occurred_time) == ends(accrual)
        assert "expiry" in {line.rule for line in booked.explanation.lines}
    told = await events_of(ledger.house, "points_expired", member)
    assert sorted(event.points_expired.points for event in told) == [50, 70]


async def test_expiry_twice_and_five_times_at_once_books_once(
    ledger: Ledger, member: str, now: datetime
) -> None:
    accruals = [
        await ledger.accrue(member, "10", at=now - timedelta(days=day)) for day in range(300, 320)
    ]
    end = max(map(ends, accruals))
    runs = await asyncio.gather(*(ledger.run_expiry(end) for _ in range(5)))
    assert sum(run.expired_points for run in runs) == 200
    assert sum(run.expired_lot_count for run in runs) == 20
    assert (await ledger.run_expiry(end)).expired_lot_count == 0
    assert len(await expiries(ledger, member)) == 20


async def test_held_points_do_not_expire_under_the_hold(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """Invariant 7: they can still be spent; what is released after its end expires then."""
    accrual = await ledger.accrue(member, "100", at=now - timedelta(days=364))
    end = ends(accrual)
    hold = await ledger.hold(member, 60)
    assert end < from_timestamp(hold.expire_time)
    done = await ledger.run_expiry(end)
    assert (done.expired_points, done.expired_hold_count) == (40, 0)
    assert await ledger.balance(member) == pb.Balance(held=60)
    await ledger.capture(hold, 25)
    await ledger.release(hold)
    assert (await ledger.run_expiry(end)).expired_points == 35
    assert await ledger.balance(member) == pb.Balance()


async def test_a_hold_that_times_out_after_the_end_of_its_points_lets_them_expire(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """One run does both: it ends the hold, then the lot."""
    accrual = await ledger.accrue(member, "100", at=now - timedelta(days=364))
    hold = await ledger.hold(member, 100)
    await ledger.run_expiry(ends(accrual))
    assert (await ledger.balance(member)).held == 100
    done = await ledger.run_expiry(from_timestamp(hold.expire_time))
    assert (done.expired_hold_count, done.expired_points) == (1, 100)
    assert await ledger.balance(member) == pb.Balance()


async def test_points_past_their_end_cannot_be_spent_even_before_they_are_booked(
    ledger: Ledger, member: str, now: datetime
) -> None:
    await ledger.accrue(member, "100", at=now - timedelta(days=400))
    await ledger.accrue(member, "30", at=now - timedelta(days=100))
    refusal = await refused(ledger.hold(member, 31))
    assert (refusal.reason, refusal.metadata["available"]) == ("INSUFFICIENT_POINTS", "30")
    await ledger.hold(member, 30)
    assert (await ledger.run_expiry(now)).expired_points == 100
    assert await ledger.balance(member) == pb.Balance(held=30)


async def test_points_that_are_still_pending_at_their_end_expire_too(
    ground: Ground, member: str, now: datetime
) -> None:
    """What waits for a review that never comes ends with its lot."""
    async with ground.house() as house:
        await house.apply(calm_program(pending_days=30))
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        accrual = await ledger.accrue(member, "40")
        assert (await ledger.run_expiry(ends(accrual))).expired_points == 40
        [booked] = await expiries(ledger, member)
        assert booked.entries[0].account == pb.ACCOUNT_PENDING
        assert (await ledger.run_maturation(now + YEARS)).matured_lot_count == 0
        assert await ledger.balance(member) == pb.Balance()


async def test_points_under_review_are_looked_at_again_only_when_they_end(
    ground: Ground, member: str
) -> None:
    """They are not warned of, and no run between the first warning and the end looks at them."""
    async with ground.house() as house:
        await house.apply(SAMPLE.read_text())
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        accrual = await ledger.accrue(member, "1500")
        assert accrual.explanation.under_review
        run = await ledger.run_expiry(ends(accrual) - timedelta(days=10))
        assert run.warned_member_count == 0
        [lot] = await house.fetch("SELECT due_time FROM points.lot WHERE member_id = $1", member)
        assert lot["due_time"] == ends(accrual)
        assert (await ledger.run_expiry(ends(accrual))).expired_points == 1500


async def test_a_member_is_warned_thirty_seven_and_one_days_ahead_once_each(
    ledger: Ledger, member: str
) -> None:
    """PT-06: of all points that end then, with the day of the first."""
    accrual = await ledger.accrue(member, "100")
    end, day = ends(accrual), timedelta(days=1)
    warned = []
    for ahead in (31, 30, 29, 8, 7, 6.5, 1, 0.5):
        runs = await asyncio.gather(*(ledger.run_expiry(end - ahead * day) for _ in range(3)))
        warned.append(sum(run.warned_member_count for run in runs))
    assert warned == [0, 1, 0, 0, 1, 0, 1, 0]
    told = [event.points_expiring for event in await events_of_expiring(ledger, member)]
    assert sorted((w.warning_days, w.points) for w in told) == [(1, 100), (7, 100), (30, 100)]
    assert {from_timestamp(warning.expire_time) for warning in told} == {end}


async def test_a_warning_that_was_missed_is_not_sent_late(ledger: Ledger, member: str) -> None:
    """Two days ahead the nearest term that has begun is told, not each that has passed."""
    accrual = await ledger.accrue(member, "100")
    run = await ledger.run_expiry(ends(accrual) - timedelta(days=2))
    assert run.warned_member_count == 1
    told = await events_of_expiring(ledger, member)
    assert [event.points_expiring.warning_days for event in told] == [7]


async def test_what_ends_on_one_day_is_one_warning_with_the_sum(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-06: purchases of different hours, looked at in several steps and runs, are told once."""
    noon = datetime.combine(now.date(), time(17), UTC) - timedelta(days=50)
    hours = [noon + timedelta(hours=h) for h in (-4, 0, 4)]
    accruals = [await ledger.accrue(member, "10", at=hour) for hour in hours]
    rows = [ledger.accrual(member, "1", at=noon) for _ in range(600)]
    await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    other = await ledger.accrue(member, "5", at=noon + timedelta(days=1))
    first = ends(accruals[0])
    for days in (30, 7, 1):
        at = first - timedelta(days=days)
        runs = await asyncio.gather(*(ledger.run_expiry(at) for _ in range(2)))
        assert sum(run.warned_member_count for run in runs) == 1
        for later in (1, 5, 8):
            run = await ledger.run_expiry(at + timedelta(hours=later))
            assert run.warned_member_count == 0
    told = [event.points_expiring for event in await events_of_expiring(ledger, member)]
    told = [warning for warning in told if from_timestamp(warning.expire_time) < ends(other)]
    assert sorted((w.warning_days, w.points) for w in told) == [(1, 630), (7, 630), (30, 630)]
    assert {from_timestamp(warning.expire_time) for warning in told} == {first}
    run = await ledger.run_expiry(ends(other) - timedelta(days=1))
    assert (run.expired_points, run.warned_member_count) == (620, 1)


async def test_days_that_were_missed_are_one_warning_for_each_horizon(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-06: after a pause one message has the sum of the days, and nothing is told twice."""
    accruals = [await ledger.accrue(member, "10", at=now - timedelta(days=d)) for d in range(5)]
    oldest = ends(accruals[-1])
    run = await ledger.run_expiry(oldest - timedelta(days=20))
    assert run.warned_member_count == 1
    told = [event.points_expiring for event in await events_of_expiring(ledger, member)]
    assert [(w.warning_days, w.points) for w in told] == [(30, 50)]
    assert from_timestamp(told[0].expire_time) == oldest
    again = await ledger.run_expiry(oldest - timedelta(days=19))
    assert again.warned_member_count == 0


async def test_points_that_are_spent_are_not_warned_of(ledger: Ledger, member: str) -> None:
    accrual = await ledger.accrue(member, "100")
    await ledger.capture(await ledger.hold(member, 100))
    run = await ledger.run_expiry(ends(accrual) - timedelta(days=7))
    assert run.warned_member_count == 0
    assert not await events_of_expiring(ledger, member)


async def events_of_expiring(ledger: Ledger, member: str) -> list[Any]:
    """The warnings that a member was sent."""
    return await events_of(ledger.house, "points_expiring", member)


async def test_a_run_that_is_cut_short_is_finished_by_the_next(
    ledger: Ledger, now: datetime
) -> None:
    """Each step commits on its own: totals are right wherever the run was cut."""
    members = [f"m-{new_id()}" for _ in range(10)]
    rows = [
        ledger.accrual(member, "1", at=now - timedelta(days=400))
        for member in members
        for _ in range(300)
    ]
    for start in range(0, len(rows), 1000):
        bulk = pb.BatchAccruePointsRequest(requests=rows[start : start + 1000])
        await ledger.stub.BatchAccruePoints(bulk)
    request = pb.RunExpiryRequest(as_of_time=to_timestamp(now))
    cut = 0
    for attempt in range(200):
        done, refusals = await settled(
            [ledger.stub.RunExpiry(request, timeout=0.02 + attempt / 50)]
        )
        if done:
            break
        assert refusals[0].code is StatusCode.DEADLINE_EXCEEDED
        cut += 1
    assert cut
    await ledger.run_expiry(now)
    booked = await ledger.house.fetch(
        "SELECT member_id, count(*) AS lots, sum(points[1]) AS points FROM points.transaction"
        " WHERE kind = 8 AND member_id = ANY($1) GROUP BY member_id",
        members,
    )
    assert {(row["lots"], row["points"]) for row in booked} == {(300, 300)}
    assert len(booked) == 10
    for member in members:
        assert await ledger.balance(member) == pb.Balance()


async def test_points_of_a_program_without_expiry_live_for_ever_and_the_cost_is_what_is_due(
    ground: Ground, member: str, now: datetime
) -> None:
    """PT-06: `rolling_months: 0`; of 20,000 lots a run looks at the 100 that are due."""
    async with ground.house() as house:
        program = re.sub(r"rolling_months: \d+", "rolling_months: 0", calm_program())
        await house.apply(program)
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        accrual = await ledger.accrue(member, "100", at=now - YEARS)
        assert not accrual.lot_movements[0].HasField("expire_time")
        done = await ledger.run_expiry(now + YEARS)
        assert (done.expired_lot_count, done.warned_member_count) == (0, 0)
        hold = await ledger.hold(member, 40)
        await ledger.capture(hold)
        refunded = await ledger.refund(hold)
        assert [move.lot_id for move in refunded.transaction.lot_movements] == [
            accrual.lot_movements[0].lot_id
        ]
        assert (await ledger.balance(member)).active == 100

        await make_lots(house, now, count=20_000, due=100)
        plan = await explain_due_lots(house, now)
        scans = [node for node in nodes_of(plan) if "Scan" in node["Node Type"]]
        assert [node.get("Index Name") for node in scans] == ["lot_due_order"], plan
        rows = scans[0]["Actual Rows"] + scans[0].get("Rows Removed by Filter", 0)
        assert rows == 100


async def make_lots(house: House, now: datetime, count: int, due: int) -> None:
    """Lots of many members, a few of them due now, the others some day."""
    await house.fetch(
        "INSERT INTO points.lot (member_id, lot_id, transaction_id, pending, points, remaining,"
        " expire_time, due_time)"
        " SELECT 'g' || i % 1000, gen_random_uuid(), gen_random_uuid(), false, 10, 10, due, due"
        " FROM (SELECT i, $1::timestamptz + make_interval(hours => CASE WHEN i <= $3 THEN -i"
        " ELSE i END) AS due FROM generate_series(1, $2::int) AS i)",
        now,
        count,
        due,
    )
    await house.fetch("ANALYZE points.lot")


async def explain_due_lots(house: House, now: datetime) -> Any:
    """The plan of find_ending_lots as the service has it: prepared, for any parameters."""
    sql = load_queries("points")["find_ending_lots"]
    connection = await asyncpg.connect(
        house.settings.database_url,
        server_settings={
            "role": "laurel_points",
            "search_path": "points",
            "plan_cache_mode": "force_generic_plan",
        },
    )
    try:
        await connection.execute(f"PREPARE due (timestamptz, timestamptz, uuid, int) AS {sql}")
        plan = await connection.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE due ('{now.isoformat()}',"
            " '0001-01-01T00:00:00Z', '00000000-0000-0000-0000-000000000000', 500)"
        )
    finally:
        await connection.close()
    return json.loads(plan)[0]["Plan"]


def nodes_of(plan: Any) -> list[Any]:
    """A plan and all that lies below it."""
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes_of(child))]
