"""Calls of PointsService in a few words, and a program that does not get in their way."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import asyncpg
import grpc
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext

from house import SAMPLE, House, Refused, new_id, usd
from kit.clock import from_timestamp, to_timestamp
from kit.events import STREAM
from laurel.event.v1.event_pb2 import Event, EventBatch
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub

A = TypeVar("A")
READS_MAX = 3


def calm_program(pending_days: int = 0, *, multiplied: bool = True, deadline_ms: int = 500) -> str:
    """The sample program with little of a return window, no minimum and no rules of anti-fraud.

    Not `multiplied`, points do not depend on when news of a tier arrives.
    """
    text = re.sub(
        "tier_multiplier: true", f"tier_multiplier: {str(multiplied).lower()}", SAMPLE.read_text()
    )
    return calm(text, pending_days, deadline_ms)


def calm(text: str, pending_days: int = 0, deadline_ms: int = 500) -> str:
    """The same of any program that is written like the sample."""
    text = re.sub(r"(?m)^  pending_days: \d+", f"  pending_days: {pending_days}", text)
    text = re.sub(r"points_min: \d+", "points_min: 1", text)
    text = re.sub(r"deadline_ms: \d+", f"deadline_ms: {deadline_ms}", text)
    head, _, tail = text.partition("\nantifraud:\n")
    return f"{head}\nantifraud:\n{tail.partition('  rules:')[0]}  rules: []\n"


def free_address() -> str:
    """An address that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def settled(calls: Iterable[Awaitable[A]]) -> tuple[list[A], list[Refused]]:
    """What calls made at once were answered, and how the others were refused."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refusals = [Refused(one) for one in outcomes if isinstance(one, grpc.aio.AioRpcError)]
    answers = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(answers) + len(refusals) == len(outcomes), outcomes
    return answers, refusals


def days_left(move: pb.LotMovement, since: datetime) -> float:
    """How many days after an instant a lot expires."""
    return (from_timestamp(move.expire_time) - since).total_seconds() / 86400


async def events_of(house: House, kind: str, member: str, service: str = "points") -> list[Event]:
    """What a service has told about a member, as it lies in the broker's stream."""
    await house.settle()
    broker = house.running[service].broker
    assert broker is not None
    js = await broker.jetstream()
    for attempt in range(READS_MAX):
        try:
            told = await _read_all(js, f"laurel.{service}.{kind}")
            break
        except NatsTimeoutError:
            # The broker stood still for a moment: from the beginning once more.
            if attempt == READS_MAX - 1:
                raise
    return [event for event in told.values() if event.member_id == member]


async def _read_all(js: JetStreamContext, subject: str) -> dict[str, Event]:
    """All events of a subject by their ids, through a consumer of its own."""
    subscription = await js.pull_subscribe(subject, stream=STREAM)
    told: dict[str, Event] = {}
    try:
        while (await subscription.consumer_info()).num_pending:
            for message in await subscription.fetch(100, timeout=5):
                for event in EventBatch.FromString(message.data).events:
                    told[event.event_id] = event
                # Of what is not acknowledged the broker hands out a thousand, and no more.
                await message.ack()
    finally:
        await subscription.unsubscribe()
    return told


class Ledger:
    """Calls of PointsService in a few words."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.stub = house.stub(PointsServiceStub, "points")

    def accrual(
        self, member: str, amount: str, at: datetime | None = None, **fields: Any
    ) -> pb.AccruePointsRequest:
        """A request to accrue, with ids of its own unless given."""
        fields = {
            "request_id": new_id(),
            "purchase": pb.Purchase(order_id=new_id(), amount=usd(amount)),
            **fields,
        }
        if at is not None:
            fields["occurred_time"] = to_timestamp(at)
        return pb.AccruePointsRequest(member_id=member, **fields)

    async def accrue(
        self, member: str, amount: str, at: datetime | None = None, **fields: Any
    ) -> pb.Transaction:
        """Accrues, and returns the transaction."""
        response = await self.stub.AccruePoints(self.accrual(member, amount, at, **fields))
        return response.transaction

    async def hold(self, member: str, points: int, **fields: Any) -> pb.Hold:
        """Holds points, and returns the hold."""
        request = self.holding(member, points, **fields)
        return (await self.stub.HoldPoints(request)).hold

    def holding(self, member: str, points: int, **fields: Any) -> pb.HoldPointsRequest:
        """A request to hold."""
        fields = {"request_id": new_id(), "order_id": new_id(), **fields}
        return pb.HoldPointsRequest(member_id=member, points=points, **fields)

    async def capture(
        self, hold: pb.Hold, points: int = 0, **fields: Any
    ) -> pb.CapturePointsResponse:
        """Captures a hold."""
        fields = {"request_id": new_id(), **fields}
        return await self.stub.CapturePoints(
            pb.CapturePointsRequest(hold_id=hold.hold_id, points=points, **fields)
        )

    async def release(self, hold: pb.Hold, **fields: Any) -> pb.ReleaseHoldResponse:
        """Releases a hold."""
        fields = {"request_id": new_id(), **fields}
        return await self.stub.ReleaseHold(pb.ReleaseHoldRequest(hold_id=hold.hold_id, **fields))

    async def refund(
        self, hold: pb.Hold, points: int = 0, **fields: Any
    ) -> pb.RefundPointsResponse:
        """Refunds what was captured of a hold."""
        fields = {"request_id": new_id(), **fields}
        return await self.stub.RefundPoints(
            pb.RefundPointsRequest(hold_id=hold.hold_id, points=points, **fields)
        )

    async def reverse(
        self, accrual: pb.Transaction, amount: str | None = None, **fields: Any
    ) -> pb.ReverseAccrualResponse:
        """Takes back an accrual, for a returned amount or for all of it."""
        fields = {"request_id": new_id(), **fields}
        if amount is not None:
            fields["returned_amount"] = usd(amount)
        return await self.stub.ReverseAccrual(
            pb.ReverseAccrualRequest(
                member_id=accrual.member_id, transaction_id=accrual.transaction_id, **fields
            )
        )

    async def balance(self, member: str) -> pb.Balance:
        """The balance."""
        return (await self.stub.GetBalance(pb.GetBalanceRequest(member_id=member))).balance

    async def transactions(self, member: str) -> list[pb.Transaction]:
        """All transactions, oldest first."""
        request = pb.ListTransactionsRequest(member_id=member, page_size=1000)
        return list(reversed((await self.stub.ListTransactions(request)).transactions))

    async def run_expiry(self, at: datetime) -> pb.RunExpiryResponse:
        """Runs expiry as of an instant."""
        return await self.stub.RunExpiry(pb.RunExpiryRequest(as_of_time=to_timestamp(at)))

    async def run_maturation(self, at: datetime) -> pb.RunMaturationResponse:
        """Runs maturation as of an instant."""
        return await self.stub.RunMaturation(pb.RunMaturationRequest(as_of_time=to_timestamp(at)))


@asynccontextmanager
async def stalled(
    ledger: Ledger, busy: str, begin: Callable[[], Awaitable[A]]
) -> AsyncIterator["asyncio.Future[A]"]:
    """A call that books for a member, and stands still at their account as long as the block runs;
    after it the call has ended.
    """
    await ledger.accrue(busy, "1")
    owner = await asyncpg.connect(ledger.house.settings.database_url)
    try:
        async with owner.transaction():
            await owner.execute(
                "SELECT 1 FROM points.account WHERE member_id = $1 FOR UPDATE", busy
            )
            call = asyncio.ensure_future(begin())
            while not await owner.fetch("SELECT 1 FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
            yield call
        await call
    finally:
        await owner.close()


async def in_one_batch(ledger: Ledger, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """Makes calls one after the other that are worked off as one batch; their answers."""
    busy = f"m-{new_id()}"
    tasks: list[asyncio.Task[Any]] = []
    # Its batch stands still: the others wait behind it.
    async with stalled(ledger, busy, lambda: ledger.accrue(busy, "1")):
        for call in calls:
            tasks.append(asyncio.create_task(call))
            # An answer to a later call: so this one has been taken into the queue.
            for _ in range(3):
                await ledger.balance(busy)
    return await asyncio.gather(*tasks)
