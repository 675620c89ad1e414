"""PT-06, PT-08: the service itself matures points, ends holds and lots; nobody has to call."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from house import Ground
from kit.clock import from_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger, calm_program

SECONDS_MAX = 40


class Hands:
    """A clock that a test can put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@asynccontextmanager
async def running(
    ground: Ground, hands: Hands, schedule_seconds: float, pending_days: int = 0
) -> AsyncIterator[Ledger]:
    """A ledger whose scheduled work runs by itself."""
    async with ground.house(scheduler=True, schedule_seconds=schedule_seconds) as house:
        house.clock = hands
        await house.apply(calm_program(pending_days, multiplied=False))
        await house.start("antifraud", "tier", "points")
        yield Ledger(house)


async def comes(ledger: Ledger, member: str, is_so: Callable[[pb.Balance], bool]) -> pb.Balance:
    """The balance once it is so; fails when it does not come by itself."""
    watching = ledger.stub.WatchBalance(
        pb.WatchBalanceRequest(member_id=member), timeout=SECONDS_MAX
    )
    async for told in watching:
        if is_so(told.balance.balance):
            watching.cancel()
            return told.balance.balance
    raise AssertionError("the stream has ended")


@pytest.fixture
def hands() -> Hands:
    return Hands()


async def test_pt_06_points_mature_and_end_by_themselves(
    ground: Ground, hands: Hands, member: str
) -> None:
    async with running(ground, hands, 1, pending_days=14) as ledger:
        await ledger.accrue(member, "100")
        assert await ledger.balance(member) == pb.Balance(pending=100)
        hands.ahead = timedelta(days=15)
        assert await comes(ledger, member, lambda b: not b.pending) == pb.Balance(active=100)
        hands.ahead = timedelta(days=400)
        await comes(ledger, member, lambda b: not b.active)
        # Past their end points do not count, booked or not: it is the booking that proves it.
        ended = pb.TRANSACTION_KIND_EXPIRY
        while ended not in {one.kind for one in await ledger.transactions(member)}:
            await ledger.house.settle()


async def test_pt_08_a_hold_times_out_by_itself(ground: Ground, hands: Hands, member: str) -> None:
    """What was captured stays so, the rest comes back, once."""
    async with running(ground, hands, 1) as ledger:
        await ledger.accrue(member, "100")
        hold = await ledger.hold(member, 60)
        await ledger.capture(hold, 20)
        hands.ahead = from_timestamp(hold.expire_time) - from_timestamp(hold.create_time)
        assert await comes(ledger, member, lambda b: not b.held) == pb.Balance(active=80)
        last = (await ledger.transactions(member))[-1]
        assert (last.kind, last.points) == (pb.TRANSACTION_KIND_RELEASE, 40)
        assert last.occurred_time == hold.expire_time


async def test_pt_08_a_hold_does_not_wait_for_the_hourly_work(
    ground: Ground, hands: Hands, member: str
) -> None:
    """Points that mature and end wait for `schedule_seconds`, what an order holds does not."""
    async with running(ground, hands, 3600) as ledger:
        await ledger.accrue(member, "100")
        await ledger.hold(member, 60)
        hands.ahead = timedelta(hours=1)
        assert await comes(ledger, member, lambda b: not b.held) == pb.Balance(active=100)
