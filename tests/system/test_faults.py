"""CK-04, AF-06, SC-05, OP-03: a part is killed under load, and nothing is lost, nothing is doubled.

Processes as `laurel up` runs them. Clients do what the contract asks of them: they repeat an
UNAVAILABLE call with the same request id until it is answered.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import asyncpg
import grpc
import pytest
from google.rpc.status_pb2 import Status
from google.type.money_pb2 import Money
from grpc import StatusCode

from cli.check import run_checks
from cli.connect import Client
from cli.quiet import Settler
from cli.supervisor import Supervisor
from house import new_id
from kit.errors import reason_of
from kit.settings import SERVICES
from laurel.points.v1 import points_service_pb2 as pb
from laurel.program.v1.program_service_pb2 import ApplyProgramRequest
from points_ledger import calm_program

CLIENTS = 16
ACKNOWLEDGED_STEP = 150
PATIENCE_SECONDS = 60
AGAIN = (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED)

R = TypeVar("R")


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Supervisor]:
    """A house of processes without scheduled work, whose program lets points be spent at once."""
    data = tmp_path_factory.mktemp("faults")
    async with Supervisor(data, extra_env={"LAUREL_SCHEDULER": "false"}) as house:
        async with Client(house.env) as client:
            request = ApplyProgramRequest(request_id=new_id(), source_yaml=calm_program())
            await client.program.ApplyProgram(request)
        yield house


@dataclass(slots=True)
class Booked:
    """What the clients were told."""

    transaction_ids: dict[str, str] = field(default_factory=dict)
    """By request id."""
    spend_cents: Counter[str] = field(default_factory=Counter)
    """By member: of purchases that wait for no review, which are those that count for a tier."""
    points: Counter[str] = field(default_factory=Counter)
    """By member: earned less captured."""
    retries: Counter[str] = field(default_factory=Counter)
    """By reason."""

    def note(self, transaction: pb.Transaction) -> None:
        """Notes an acknowledged posting."""
        assert transaction.request_id not in self.transaction_ids
        self.transaction_ids[transaction.request_id] = transaction.transaction_id
        if transaction.kind == pb.TRANSACTION_KIND_ACCRUAL:
            self.points[transaction.member_id] += transaction.points
            if not transaction.explanation.under_review:
                spend = transaction.explanation.spend
                self.spend_cents[transaction.member_id] += spend.units * 100 + spend.nanos // 10**7


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
            if number % 5 == 4:
                await self._buy_many(member, streamed=number % 2 == 0)
            if number % 7 == 6 and not bought.explanation.under_review:
                await self._return(bought)

    def _purchase(self, member: str) -> pb.AccruePointsRequest:
        amount = Money(currency_code="USD", units=self._random.randint(5, 60), nanos=990_000_000)
        purchase = pb.Purchase(order_id=new_id(), amount=amount)
        return pb.AccruePointsRequest(request_id=new_id(), member_id=member, purchase=purchase)

    async def _buy(self, member: str) -> pb.Transaction:
        request = self._purchase(member)
        response = await self._until_answered(lambda: self._points.AccruePoints(request, timeout=5))
        self._booked.note(response.transaction)
        return response.transaction

    async def _buy_many(self, member: str, *, streamed: bool) -> None:
        """Two purchases in one call; a row that could not be tried is sent again with the other."""
        rows = [self._purchase(member) for _ in range(2)]

        async def call() -> list[pb.Transaction]:
            results = await (self._stream(rows) if streamed else self._bulk(rows))
            for result in results:
                if result.HasField("error"):
                    raise NotAnswered(result.error)
            ids = [result.accrued.transaction_id for result in results]
            asked = [pb.GetTransactionRequest(member_id=member, transaction_id=i) for i in ids]
            return [
                (await self._points.GetTransaction(one, timeout=5)).transaction for one in asked
            ]

        for transaction in await self._until_answered(call):
            self._booked.note(transaction)

    async def _bulk(self, rows: list[pb.AccruePointsRequest]) -> list[pb.AccrueResult]:
        request = pb.BatchAccruePointsRequest(requests=rows)
        return list((await self._points.BatchAccruePoints(request, timeout=5)).results)

    async def _stream(self, rows: list[pb.AccruePointsRequest]) -> list[pb.AccrueResult]:
        messages = [
            pb.StreamAccruePointsRequest(sequence=number, requests=[row])
            for number, row in enumerate(rows, start=1)
        ]
        call = self._points.StreamAccruePoints(iter(messages), timeout=5)
        return [result async for answer in call for result in answer.results]

    async def _return(self, bought: pb.Transaction) -> None:
        request = pb.ReverseAccrualRequest(
            request_id=new_id(), member_id=bought.member_id, transaction_id=bought.transaction_id
        )
        done = await self._until_answered(lambda: self._points.ReverseAccrual(request, timeout=5))
        self._booked.note(done.transaction)
        self._booked.points[bought.member_id] -= bought.points
        spend = bought.explanation.spend
        self._booked.spend_cents[bought.member_id] -= spend.units * 100 + spend.nanos // 10**7

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


@asynccontextmanager
async def load(house: Supervisor) -> AsyncIterator["Load"]:
    """Shoppers at work; at the end they finish, and all that they were told is compared."""
    booked, stopping = Booked(), asyncio.Event()
    async with Client(house.env) as client:
        async with asyncio.TaskGroup() as group:
            shoppers = [Shopper(client, booked, number) for number in range(CLIENTS)]
            tasks = [group.create_task(shopper.shop(stopping)) for shopper in shoppers]
            yield Load(booked, tasks)
            stopping.set()
        await all_took_effect_once(house, client, booked)


@dataclass(frozen=True, slots=True)
class Load:
    """What goes on while parts are killed."""

    booked: Booked
    shoppers: list["asyncio.Task[None]"]

    async def goes_on(self) -> None:
        """Waits for so many acknowledgements more."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        enough = len(self.booked.transaction_ids) + ACKNOWLEDGED_STEP
        while len(self.booked.transaction_ids) < enough:
            for shopper in self.shoppers:
                if shopper.done():
                    await shopper
            assert asyncio.get_running_loop().time() < deadline, self.booked.retries
            await asyncio.sleep(0.01)


def pids_but(house: Supervisor, name: str) -> dict[str, int | None]:
    """The processes of all services but one."""
    return {service: house.pid_of(service) for service in SERVICES if service != name}


@pytest.mark.parametrize("killed", ["points", "antifraud", "nats", "postgres", "tier"])
async def test_what_was_acknowledged_took_effect_once_whatever_is_killed(
    house: Supervisor, killed: str
) -> None:
    others = pids_but(house, killed)
    async with load(house) as running:
        for _ in range(2):
            await running.goes_on()
            await house.kill(killed)
            await house.wait_ready()
        await running.goes_on()
    if killed in {"points", "postgres"}:
        assert running.booked.retries, "the kill hit nothing"
    assert pids_but(house, killed) == others, "a neighbour died, too"


@pytest.mark.parametrize("away", ["nats", "tier"])
async def test_points_move_while_a_part_is_away_which_catches_up_later(
    house: Supervisor, away: str
) -> None:
    others = pids_but(house, away)
    async with load(house) as running:
        await running.goes_on()
        await house.stop_service(away)
        await running.goes_on()
        await house.start_service(away)
        await house.wait_ready()
    assert pids_but(house, away) == others, "a neighbour died, too"


async def all_took_effect_once(house: Supervisor, client: Client, booked: Booked) -> None:
    """Compares what the clients were told with the ledger, the tiers and the invariants."""
    settler = await Settler.open(house.env)
    try:
        await settler.settle(60)
    finally:
        await settler.close()
    url = house.env["LAUREL_DATABASE_URL"]
    members = list(booked.points)
    in_ledger = await fetch(
        url,
        "SELECT request_id, transaction_id::text FROM points.transaction WHERE member_id = ANY($1)",
        members,
    )
    assert len(in_ledger) == len(booked.transaction_ids)
    assert dict(in_ledger) == booked.transaction_ids

    grown = await fetch(
        url,
        "SELECT member_id, sum(spend_minor)::bigint FROM tier.growth "
        "WHERE member_id = ANY($1) GROUP BY member_id",
        members,
    )
    assert dict(grown) == {m: cents for m, cents in booked.spend_cents.items() if cents}

    for member in members:
        balance = (await client.points.GetBalance(pb.GetBalanceRequest(member_id=member))).balance
        held = balance.active + balance.pending - balance.debt
        assert (held, balance.held) == (booked.points[member], 0)

    broken = [outcome for outcome in await run_checks(url) if outcome.violations]
    assert broken == []


async def fetch(url: str, sql: str, members: list[str]) -> list[tuple[str, Any]]:
    """Rows of two columns about members."""
    connection = await asyncpg.connect(url)
    try:
        return [(row[0], row[1]) for row in await connection.fetch(sql, members)]
    finally:
        await connection.close()
