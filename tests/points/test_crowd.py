"""A thousand callers at once on twenty members, with every kind of write that there is.

PT-07 to PT-12, PT-15: every acknowledged write is in the ledger once, and all invariants hold.
"""

import asyncio
from collections import Counter as Counts
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from random import Random
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from cli.check import run_checks
from house import Ground, House, Refused, new_id, usd
from laurel.points.v1 import accounts_pb2 as accounts
from laurel.points.v1 import adjustments_pb2 as adjustments
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1 import transfers_pb2 as transfers
from points_ledger import calm_program
from points_moving import Counter

SEED = 20_261_124
CALLERS = 1000
WRITES = 3
MEMBERS = 20
FORESEEN = {StatusCode.FAILED_PRECONDITION, StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND}


@pytest.fixture(scope="module")
async def square(ground: Ground) -> AsyncIterator[House]:
    """A house of its own, with two processes' worth of patience for a queue of callers."""
    async with ground.house(queue_size=20_000) as house:
        await house.apply(calm_program(multiplied=False, deadline_ms=5000))
        await house.start("antifraud", "tier", "points")
        yield house


def booked_in(message: Message) -> Iterator[str]:
    """The ids of all transactions that an answer tells of."""
    if isinstance(message, pb.Transaction | pb.AccruedPoints):
        yield message.transaction_id
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from booked_in(one)


class Crowd:
    """Callers who know of each other's members, accruals and holds."""

    def __init__(self, house: House) -> None:
        self.counter = Counter(house)
        self.stub = self.counter.stub
        self.members = [f"m-{new_id()}" for _ in range(MEMBERS)]
        self.accruals: list[pb.Transaction] = []
        self.holds: list[pb.Hold] = []
        self.acknowledged: set[str] = set()
        self.refusals: Counts[str] = Counts()
        self.done: Counts[str] = Counts()

    async def call(self, random: Random) -> None:
        """A few writes, each perhaps twice at once."""
        for _ in range(WRITES):
            write = random.choice(self.writes())
            try:
                await write(random)
            except grpc.aio.AioRpcError as error:
                refusal = Refused(error)
                assert refusal.code in FORESEEN, (write, refusal)
                self.refusals[refusal.reason] += 1
            else:
                self.done[write.__name__] += 1

    def writes(self) -> list[Callable[[Random], Awaitable[None]]]:
        """What a caller may do."""
        first = [self.accrue, self.bulk, self.stream, self.give, self.donate, self.adjust]
        later = [self.hold, self.capture, self.release, self.refund, self.take_back, self.freeze]
        return [*first, *later] if self.holds and self.accruals else [self.accrue, self.hold]

    async def send(self, call: Callable[..., Awaitable[Any]], request: Any, random: Random) -> Any:
        """The answer to a request, which one in five sends twice at once."""
        times = 2 if random.random() < 0.2 else 1
        answers = await asyncio.gather(*(insist(call, request) for _ in range(times)))
        assert all(answer == answers[0] for answer in answers)
        self.acknowledged.update(booked_in(answers[0]))
        return answers[0]

    def accrual(self, random: Random) -> pb.AccruePointsRequest:
        return self.counter.accrual(random.choice(self.members), str(random.randint(1, 100)))

    async def accrue(self, random: Random) -> None:
        answer = await self.send(self.stub.AccruePoints, self.accrual(random), random)
        self.accruals.append(answer.transaction)

    async def bulk(self, random: Random) -> None:
        rows = [self.accrual(random) for _ in range(5)]
        request = pb.BatchAccruePointsRequest(requests=rows)
        await self.send(self.stub.BatchAccruePoints, request, random)

    async def stream(self, random: Random) -> None:
        call = self.stub.StreamAccruePoints(timeout=100)
        try:
            for sequence in (1, 2):
                rows = [self.accrual(random) for _ in range(2)]
                await call.write(pb.StreamAccruePointsRequest(sequence=sequence, requests=rows))
                self.acknowledged.update(booked_in(await call.read()))
            await call.done_writing()
        except (asyncio.InvalidStateError, AttributeError):
            # Told before its first message that there are enough streams.
            assert await call.code() is StatusCode.RESOURCE_EXHAUSTED
        except grpc.aio.AioRpcError as error:
            assert error.code() is StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017

    async def hold(self, random: Random) -> None:
        request = self.counter.holding(random.choice(self.members), random.randint(1, 60))
        self.holds.append((await self.send(self.stub.HoldPoints, request, random)).hold)

    async def capture(self, random: Random) -> None:
        request = pb.CapturePointsRequest(
            request_id=new_id(), hold_id=random.choice(self.holds).hold_id,
            points=random.randint(0, 30), release_rest=random.random() < 0.2,
        )  # fmt: skip
        await self.send(self.stub.CapturePoints, request, random)

    async def release(self, random: Random) -> None:
        hold_id = random.choice(self.holds).hold_id
        request = pb.ReleaseHoldRequest(request_id=new_id(), hold_id=hold_id)
        await self.send(self.stub.ReleaseHold, request, random)

    async def refund(self, random: Random) -> None:
        request = pb.RefundPointsRequest(
            request_id=new_id(), hold_id=random.choice(self.holds).hold_id,
            points=random.randint(0, 30),
        )  # fmt: skip
        await self.send(self.stub.RefundPoints, request, random)

    async def take_back(self, random: Random) -> None:
        accrual = random.choice(self.accruals)
        request = pb.ReverseAccrualRequest(
            request_id=new_id(), member_id=accrual.member_id,
            transaction_id=accrual.transaction_id,
            returned_amount=usd(str(random.randint(1, 40))) if random.random() < 0.6 else None,
        )  # fmt: skip
        await self.send(self.stub.ReverseAccrual, request, random)

    async def give(self, random: Random) -> None:
        giver, receiver = random.sample(self.members, 2)
        request = self.counter.giving(giver, receiver, random.randint(1, 30))
        await self.send(self.stub.TransferPoints, request, random)

    async def donate(self, random: Random) -> None:
        request = transfers.DonatePointsRequest(
            request_id=new_id(),
            member_id=random.choice(self.members),
            points=1000,
            cause="red_cross",
        )
        await self.send(self.stub.DonatePoints, request, random)

    async def adjust(self, random: Random) -> None:
        request = adjustments.AdjustPointsRequest(
            request_id=new_id(), member_id=random.choice(self.members),
            points=random.choice([-20, 10, 30]), operator="olga", reason="for a test",
        )  # fmt: skip
        await self.send(self.stub.AdjustPoints, request, random)

    async def freeze(self, random: Random) -> None:
        signed = {
            "member_id": random.choice(self.members), "operator": "olga", "reason": "for a test"
        }  # fmt: skip
        freeze = accounts.FreezeAccountRequest(request_id=new_id(), **signed)
        await self.send(self.stub.FreezeAccount, freeze, random)
        unfreeze = accounts.UnfreezeAccountRequest(request_id=new_id(), **signed)
        await self.send(self.stub.UnfreezeAccount, unfreeze, random)


async def insist(call: Callable[..., Awaitable[Any]], request: Any) -> Any:
    """The answer to a request, which is sent again where the service says so."""
    while True:
        try:
            return await call(request, timeout=100)
        except grpc.aio.AioRpcError as error:
            if error.code() is not StatusCode.UNAVAILABLE:
                raise
        await asyncio.sleep(0.2)


async def test_a_thousand_callers_on_twenty_members(square: House) -> None:
    crowd = Crowd(square)
    calendar = asyncio.create_task(run_the_calendar(crowd))
    await asyncio.gather(*(crowd.call(Random(SEED + number)) for number in range(CALLERS)))
    await calendar
    assert {write.__name__ for write in crowd.writes()} - set(crowd.done) <= {"donate"}, crowd.done
    histories = {member: await crowd.counter.transactions(member) for member in crowd.members}
    ids = [t.transaction_id for history in histories.values() for t in history]
    assert len(ids) == len(set(ids))
    assert crowd.acknowledged <= set(ids)
    for member, history in histories.items():
        requests = Counts(t.request_id for t in history if t.request_id)
        assert set(requests.values()) <= {1}
        sums = Counts[int]()
        for transaction in history:
            sums.update({entry.account: entry.points for entry in transaction.entries})
        assert await crowd.counter.balance(member) == pb.Balance(
            active=sums[pb.ACCOUNT_ACTIVE], pending=sums[pb.ACCOUNT_PENDING],
            held=sums[pb.ACCOUNT_HELD], debt=-sums[pb.ACCOUNT_DEBT],
        )  # fmt: skip
    await square.settle()
    assert not [o for o in await run_checks(square.settings.database_url) if o.violations]


async def run_the_calendar(crowd: Crowd) -> None:
    """Expiry and maturation at the same time, some of it ahead of time."""
    now = crowd.counter.house.running["points"].runtime.clock()
    for minutes in (0, 20, 40):
        await crowd.counter.run_maturation(now)
        await crowd.counter.run_expiry(now + timedelta(minutes=minutes))
        await asyncio.sleep(0.3)
