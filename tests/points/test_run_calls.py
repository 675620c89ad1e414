"""PT-06: RunMaturation and RunExpiry in two processes at once, and beside other work due."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg

from cli.check import run_checks
from house import Ground, House, new_id
from kit.clock import from_timestamp, to_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from points_ledger import Ledger, calm_program, events_of

MEMBERS = 12
LOTS_OF_EACH = 60  # together more than one step takes


async def accrue_many(ledger: Ledger, members: list[str]) -> datetime:
    """Points of this moment for each member, one at a time; when they end."""
    now = datetime.now(UTC)
    rows = [ledger.accrual(one, "1", at=now) for one in members for _ in range(LOTS_OF_EACH)]
    await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    [first, *_] = await ledger.transactions(members[0])
    return from_timestamp(first.lot_movements[0].expire_time)


async def kinds(house: House, kind: int, members: list[str]) -> set[tuple[int, int]]:
    """How many transactions of a kind members have, and of how many points."""
    rows = await house.fetch(
        "SELECT count(*) AS count, sum(points[1]) AS points FROM points.transaction"
        " WHERE kind = $1 AND member_id = ANY($2) GROUP BY member_id",
        kind,
        members,
    )
    assert len(rows) == len(members)
    return {(row["count"], row["points"]) for row in rows}


async def test_pt_06_two_processes_mature_warn_and_expire_at_once_without_harm(
    ground: Ground,
) -> None:
    """Six runs share what is due: each lot is booked once, each member is warned once."""
    all_lots = MEMBERS * LOTS_OF_EACH
    async with ground.house() as house:
        await house.apply(calm_program(14, multiplied=False, deadline_ms=5000))
        await house.start("antifraud", "tier", "points")
        ledger, members = Ledger(house), [f"m-{new_id()}" for _ in range(MEMBERS)]
        end = await accrue_many(ledger, members)
        async with house.twin("points") as channel:
            stubs = [ledger.stub, PointsServiceStub(channel)] * 3

            maturing = pb.RunMaturationRequest(as_of_time=to_timestamp(end - timedelta(days=40)))
            matured = await asyncio.gather(*(stub.RunMaturation(maturing) for stub in stubs))
            assert sum(run.matured_lot_count for run in matured) == all_lots
            assert sum(run.matured_points for run in matured) == all_lots
            assert await kinds(house, pb.TRANSACTION_KIND_MATURATION, members) == {
                (LOTS_OF_EACH, LOTS_OF_EACH)
            }

            warning = pb.RunExpiryRequest(as_of_time=to_timestamp(end - timedelta(days=30)))
            runs = await asyncio.gather(*(stub.RunExpiry(warning) for stub in stubs))
            assert sum(run.warned_member_count for run in runs) == MEMBERS
            for member in members:
                [told] = await events_of(house, "points_expiring", member)
                assert told.points_expiring.points == LOTS_OF_EACH

            ending = pb.RunExpiryRequest(as_of_time=to_timestamp(end))
            calls = [stub.RunExpiry(ending) for stub in stubs]
            maturations = [stub.RunMaturation(maturing) for stub in stubs]
            runs, again = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*maturations))
            assert sum(run.expired_points for run in runs) == all_lots
            assert not any(run.matured_lot_count for run in again)
            assert await kinds(house, pb.TRANSACTION_KIND_EXPIRY, members) == {
                (LOTS_OF_EACH, LOTS_OF_EACH)
            }
        assert not [o for o in await run_checks(house.settings.database_url) if o.violations]


async def test_pt_06_a_run_touches_nobody_for_whom_only_other_work_is_due(
    ground: Ground, now: datetime
) -> None:
    """Maturation does not wait for the account of one whose points have ended, nor expiry for that
    of one whose points mature.
    """
    async with ground.house() as house:
        await house.apply(calm_program(14, multiplied=False, deadline_ms=5000))
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        ended, fresh = f"m-{new_id()}", f"m-{new_id()}"
        await ledger.accrue(ended, "70", at=now - timedelta(days=400))
        await ledger.accrue(fresh, "30", at=now)
        soon = now + timedelta(days=15)
        owner = await asyncpg.connect(house.settings.database_url)
        lock = "SELECT 1 FROM points.account WHERE member_id = $1 FOR UPDATE"
        request = to_timestamp(soon)
        async with owner.transaction():
            await owner.execute(lock, fresh)
            expiry = await ledger.stub.RunExpiry(
                pb.RunExpiryRequest(as_of_time=request), timeout=20
            )
        assert (expiry.expired_points, expiry.warned_member_count) == (70, 0)
        await ledger.accrue(ended, "5", at=now - timedelta(days=400))
        async with owner.transaction():
            await owner.execute(lock, ended)
            maturation = await ledger.stub.RunMaturation(
                pb.RunMaturationRequest(as_of_time=request), timeout=20
            )
        assert (maturation.matured_lot_count, maturation.matured_points) == (1, 30)
        await owner.close()
