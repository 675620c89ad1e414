"""A house of processes under load: clients that buy, do things, pay with points and return, repeat
what had no answer, and note all that they were told.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar
from zoneinfo import ZoneInfo

import grpc
from google.rpc.status_pb2 import Status
from google.type.money_pb2 import Money
from grpc import StatusCode

from cli.connect import Client
from house import new_id
from kit.clock import from_timestamp
from kit.errors import reason_of
from laurel.points.v1 import activities_pb2 as activities
from laurel.points.v1 import points_service_pb2 as pb
from points_streaming import stream_rows

PATIENCE_SECONDS = 60
AGAIN = (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED)
ZONE = ZoneInfo("America/New_York")

R = TypeVar("R")


@dataclass(slots=True)
class Booked:
    """What the clients were told."""

    transaction_ids: dict[str, str] = field(default_factory=dict)
    """By request id."""
    spend_cents: Counter[str] = field(default_factory=Counter)
    """By member: of purchases that wait for no review, which are those that count for a tier."""
    points: Counter[str] = field(default_factory=Counter)
    """By member: earned, with bonuses, less captured."""
    purchase_points: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By member and month: earned by purchases, less what returns took back of it."""
    check_ins: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By member and day: earned by check-ins."""
    bonuses: Counter[str] = field(default_factory=Counter)
    """By member: bonuses less those that returns took back."""
    retries: Counter[str] = field(default_factory=Counter)
    """By reason."""

    def note(self, transaction: pb.Transaction) -> None:
        """Notes an acknowledged posting."""
        assert transaction.request_id not in self.transaction_ids
        self.transaction_ids[transaction.request_id] = transaction.transaction_id
        if transaction.kind == pb.TRANSACTION_KIND_ACCRUAL:
            given = sum(bonus.points for bonus in transaction.explanation.bonuses)
            self.points[transaction.member_id] += transaction.points + given
            self.bonuses[transaction.member_id] += given
            if not transaction.explanation.under_review:
                spend = transaction.explanation.spend
                self.spend_cents[transaction.member_id] += spend.units * 100 + spend.nanos // 10**7

    def note_purchase(self, bought: pb.Transaction) -> None:
        """Notes an acknowledged purchase."""
        self.note(bought)
        self.purchase_points[bought.member_id, when(bought, "%Y-%m")] += bought.points

    def note_return(self, bought: pb.Transaction, returned: pb.Transaction) -> None:
        """Notes a purchase that was returned whole; a bonus may have gone with it."""
        self.note(returned)
        lost = -returned.points - bought.points
        self.points[bought.member_id] += returned.points
        self.bonuses[bought.member_id] -= lost
        self.purchase_points[bought.member_id, when(bought, "%Y-%m")] -= bought.points
        spend = bought.explanation.spend
        self.spend_cents[bought.member_id] -= spend.units * 100 + spend.nanos // 10**7


def when(transaction: pb.Transaction, period: str) -> str:
    """The day or month in which it happened, by the program's clock."""
    return f"{from_timestamp(transaction.occurred_time).astimezone(ZONE):{period}}"


class NotAnswered(Exception):
    """A row of a bulk call could not be tried, or was refused."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self._code = next(code for code in StatusCode if code.value[0] == status.code)

    def code(self) -> StatusCode:
        """As a call of its own would have ended."""
        return self._code


class Shopper:
    """A client with members of its own: it buys, pays with points, repeats what had no answer."""

    def __init__(self, client: Client, booked: Booked, number: int) -> None:
        self._points = client.points
        self._booked = booked
        self._random = random.Random(number)
        self._members = [f"m-{new_id()}" for _ in range(3)]

    async def shop(self, stopping: asyncio.Event) -> None:
        """Buys until `stopping`, and finishes what it has begun."""
        for number in count():
            if stopping.is_set():
                return
            member = self._members[number % len(self._members)]
            bought = await self._buy(member)
            if number % 3 == 2:
                await self._pay(member)
            if number % 4 == 3:
                await self._check_in(member)
            if number % 5 == 4:
                await self._buy_many(member, streamed=number % 2 == 0)
            if number % 7 == 6 and not bought.explanation.under_review:
                await self._return(bought)

    def _purchase(self, member: str) -> pb.AccruePointsRequest:
        amount = Money(currency_code="USD", units=self._random.randint(5, 60), nanos=990_000_000)
        category = self._random.choice(["baby", "music"])
        purchase = pb.Purchase(order_id=new_id(), amount=amount, categories=[category])
        return pb.AccruePointsRequest(request_id=new_id(), member_id=member, purchase=purchase)

    async def _buy(self, member: str) -> pb.Transaction:
        request = self._purchase(member)
        response = await self._until_answered(lambda: self._points.AccruePoints(request, timeout=5))
        self._booked.note_purchase(response.transaction)
        return response.transaction

    async def _check_in(self, member: str) -> None:
        request = pb.AccrueActivityRequest(
            request_id=new_id(), member_id=member,
            activity=activities.Activity(event_type="check_in"),
        )  # fmt: skip
        done = await self._until_answered(lambda: self._points.AccrueActivity(request, timeout=5))
        self._booked.note(done.transaction)
        day = when(done.transaction, "%Y-%m-%d")
        self._booked.check_ins[member, day] += done.transaction.points

    async def _buy_many(self, member: str, *, streamed: bool) -> None:
        """Two purchases in one call; a row that could not be tried is sent again with the other."""
        rows = [self._purchase(member) for _ in range(2)]

        async def call() -> list[pb.Transaction]:
            if streamed:
                results = await stream_rows(self._points, rows, timeout=5)
            else:
                results = await self._bulk(rows)
            for result in results:
                if result.HasField("error"):
                    raise NotAnswered(result.error)
            ids = [result.accrued.transaction_id for result in results]
            asked = [pb.GetTransactionRequest(member_id=member, transaction_id=i) for i in ids]
            return [
                (await self._points.GetTransaction(one, timeout=5)).transaction for one in asked
            ]

        for transaction in await self._until_answered(call):
            self._booked.note_purchase(transaction)

    async def _bulk(self, rows: list[pb.AccruePointsRequest]) -> list[pb.AccrueResult]:
        request = pb.BatchAccruePointsRequest(requests=rows)
        return list((await self._points.BatchAccruePoints(request, timeout=5)).results)

    async def _return(self, bought: pb.Transaction) -> None:
        request = pb.ReverseAccrualRequest(
            request_id=new_id(), member_id=bought.member_id, transaction_id=bought.transaction_id
        )
        done = await self._until_answered(lambda: self._points.ReverseAccrual(request, timeout=5))
        self._booked.note_return(bought, done.transaction)

    async def _pay(self, member: str) -> None:
        holding = pb.HoldPointsRequest(
            request_id=new_id(), member_id=member, points=3, order_id=new_id()
        )
        try:
            held = await self._until_answered(lambda: self._points.HoldPoints(holding, timeout=5))
        except grpc.aio.AioRpcError as error:
            # Points that were earned while no assessment could be had are pending.
            if reason_of(error) == "INSUFFICIENT_POINTS":
                return
            raise
        self._booked.note(held.transaction)
        capture = pb.CapturePointsRequest(
            request_id=new_id(), hold_id=held.hold.hold_id, points=2, release_rest=True
        )
        done = await self._until_answered(lambda: self._points.CapturePoints(capture, timeout=5))
        self._booked.note(done.transaction)
        refund = pb.RefundPointsRequest(request_id=new_id(), hold_id=held.hold.hold_id, points=1)
        back = await self._until_answered(lambda: self._points.RefundPoints(refund, timeout=5))
        self._booked.note(back.transaction)
        self._booked.points[member] -= 1

    def _reason(self, error: "NotAnswered | grpc.aio.AioRpcError") -> str:
        if isinstance(error, NotAnswered):
            return error.code().name
        return reason_of(error) or error.code().name

    async def _until_answered(self, call: Callable[[], Awaitable[R]]) -> R:
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                return await call()
            except (NotAnswered, grpc.aio.AioRpcError) as error:
                if error.code() not in AGAIN:
                    raise
                if asyncio.get_running_loop().time() > deadline:
                    raise
                self._booked.retries[self._reason(error)] += 1
            await asyncio.sleep(self._random.uniform(0.05, 0.2))
