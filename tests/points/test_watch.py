"""WatchBalance: the balance, then each change to it, whoever made it; bounded, and drained."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from house import Ground, Refused
from laurel.points.v1 import points_service_pb2 as pb
from points.balances import BalanceView
from points.errors import TooManyWatchers
from points.values import AccountState
from points.watching import BalanceHub
from points_ledger import Ledger, calm_program

Call = Any


def watch(ledger: Ledger, member: str, seconds: float = 20) -> Call:
    """An open stream."""
    return ledger.stub.WatchBalance(pb.WatchBalanceRequest(member_id=member), timeout=seconds)


async def next_active(call: Call) -> int:
    """The active points of the next message."""
    response = await call.read()
    assert isinstance(response, pb.WatchBalanceResponse)
    return response.balance.balance.active


async def test_a_watcher_is_told_the_balance_and_then_each_change(
    ledger: Ledger, member: str
) -> None:
    await ledger.accrue(member, "10")
    call = watch(ledger, member)
    first = (await call.read()).balance
    assert (first.member_id, first.balance.active) == (member, 10)
    assert first.balance == await ledger.balance(member)
    for total in (30, 50, 70):
        await ledger.accrue(member, "20")
        assert await next_active(call) == total
    hold = await ledger.hold(member, 30)
    assert (await call.read()).balance.balance == pb.Balance(active=40, held=30)
    await ledger.capture(hold)
    assert (await call.read()).balance.balance == pb.Balance(active=40)
    call.cancel()


async def test_a_stranger_can_be_watched_from_the_start(ledger: Ledger, member: str) -> None:
    call = watch(ledger, member)
    assert await next_active(call) == 0
    await ledger.accrue(member, "3")
    assert await next_active(call) == 3
    call.cancel()


async def test_what_bulk_calls_scheduled_work_and_others_do_is_told_too(
    ledger: Ledger, member: str
) -> None:
    """Nothing but the queue tells the hub; the rest it finds by itself within half a second."""
    now = datetime.now(UTC)
    call = watch(ledger, member)
    assert await next_active(call) == 0
    rows = [ledger.accrual(member, "10"), ledger.accrual(member, "5", now - timedelta(days=200))]
    await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    assert await next_active(call) == 15
    await ledger.run_expiry(now + timedelta(days=180))
    assert await next_active(call) == 10
    await ledger.house.fetch("UPDATE points.account SET held = 1 WHERE member_id = $1", member)
    assert (await call.read()).balance.balance.held == 1
    await ledger.house.fetch("UPDATE points.account SET held = 0 WHERE member_id = $1", member)
    assert (await call.read()).balance.balance.held == 0
    call.cancel()


async def test_every_watcher_ends_up_with_the_last_balance(ledger: Ledger, member: str) -> None:
    """Of changes that follow closely some may be left out, never the last one."""
    calls = [watch(ledger, member) for _ in range(10)]
    for call in calls:
        assert await next_active(call) == 0
    await asyncio.gather(*(ledger.accrue(member, "1") for _ in range(100)))
    for call in calls:
        seen = [0]
        while seen[-1] < 100:
            seen.append(await next_active(call))
        assert seen == sorted(set(seen))
        call.cancel()


async def test_a_watch_ends_at_the_deadline(ledger: Ledger, member: str) -> None:
    began = time.monotonic()
    call = watch(ledger, member, seconds=1)
    assert await next_active(call) == 0
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()
    assert raised.value.code() == StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 3


async def test_no_watcher_is_left_behind(ledger: Ledger, member: str) -> None:
    calls = [watch(ledger, f"{member}-{number}") for number in range(20)]
    await asyncio.gather(*(call.read() for call in calls))
    for call in calls:
        call.cancel()
    await ledger.accrue(member, "1")
    again = watch(ledger, member)
    assert await next_active(again) == 1
    again.cancel()


async def test_a_member_must_be_named(ledger: Ledger) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await watch(ledger, "").read()
    assert raised.value.code() == StatusCode.INVALID_ARGUMENT


async def test_a_server_that_leaves_ends_the_watches(ground: Ground) -> None:
    """They do not hold up its going, and the callers are told to open others."""
    async with ground.house() as house:
        await house.apply(calm_program())
        await house.start("antifraud", "points")
        calls = [watch(Ledger(house), f"m{number}") for number in range(5)]
        for call in calls:
            assert await next_active(call) == 0
        began = time.monotonic()
        await house.stop("points")
        assert time.monotonic() - began < 2
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call.read()
            refusal = Refused(raised.value)
            assert (refusal.code, refusal.reason) == (StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


# The hub by itself: how it reads, and what it keeps.


class Source:
    """Balances that a test sets, and the reads that it was asked for."""

    def __init__(self) -> None:
        self.active: dict[str, int] = {}
        self.reads: list[list[str]] = []

    async def __call__(self, members: Sequence[str]) -> list[BalanceView]:
        self.reads.append(list(members))
        return [BalanceView(AccountState(one, self.active.get(one, 0))) for one in members]


@asynccontextmanager
async def running(hub: BalanceHub) -> AsyncIterator[None]:
    """The hub's loop."""
    stopping = asyncio.Event()
    task = asyncio.create_task(hub.run(stopping))
    yield
    stopping.set()
    await task


async def test_a_slow_reader_is_given_the_newest_balance_and_no_queue() -> None:
    source = Source()
    hub = BalanceHub(source, poll_seconds=30)
    async with running(hub):
        views = hub.watch("ada")
        assert (await anext(views)).account.active == 0
        for total in range(1, 6):
            source.active["ada"] = total
            hub.touch(["ada"])
            await asyncio.sleep(0.05)
        assert (await anext(views)).account.active == 5
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(views), 0.1)
        assert hub.watcher_count == 0


async def test_many_watchers_cost_one_read_and_are_bounded() -> None:
    source = Source()
    hub = BalanceHub(source, watchers_max=1200, poll_seconds=0.2)
    async with running(hub):
        watches = [hub.watch(f"m{number % 600}") for number in range(1200)]
        await asyncio.gather(*(anext(one) for one in watches))
        with pytest.raises(TooManyWatchers):
            await anext(hub.watch("one more"))
        source.reads.clear()
        await asyncio.sleep(0.5)
        assert 1 <= len(source.reads) <= 3
        assert {len(members) for members in source.reads} == {600}
        for one in watches:
            await one.aclose()  # type: ignore[attr-defined]
        assert hub.watcher_count == 0
        hub.touch(["m1"])


async def test_whoever_is_touched_all_the_time_does_not_keep_the_others_waiting() -> None:
    source = Source()
    hub = BalanceHub(source, poll_seconds=0.2)
    async with running(hub):
        busy, quiet = hub.watch("busy"), hub.watch("quiet")
        await anext(busy), await anext(quiet)
        source.active["quiet"] = 7

        async def touch_on() -> None:
            while True:
                hub.touch(["busy"])
                await asyncio.sleep(0.005)

        touching = asyncio.create_task(touch_on())
        assert (await asyncio.wait_for(anext(quiet), 2)).account.active == 7
        touching.cancel()
