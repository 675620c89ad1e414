"""AF-06: anti-fraud is killed under a load of mixed writes. What follows is what the program
states, nothing else; and once it is back, all that was pending is assessed.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import asyncpg
import grpc
import pytest

from cli.check import run_checks
from cli.connect import Client
from cli.quiet import Settler
from cli.supervisor import Supervisor
from house import new_id, usd
from kit.errors import reason_of
from laurel.points.v1 import points_service_pb2 as pb
from laurel.program.v1.program_service_pb2 import ApplyProgramRequest
from points_ledger import calm_program

CLIENTS = 8
STEPS_WITHOUT = 60
POINTS_FIRST = 500
SMALL, LIMIT, LARGE = 7, 500, 501


@pytest.fixture
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Supervisor]:
    """A house of processes that do their scheduled work."""
    data = tmp_path_factory.mktemp("closed")
    async with Supervisor(data) as house:
        yield house


@dataclass(slots=True)
class Told:
    """What the clients were told."""

    booked: dict[str, pb.Transaction] = field(default_factory=dict)
    """By request id."""
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By what was asked, and why."""
    steps: int = 0


class Hand:
    """A client that buys little, buys much and spends, each once, and never asks again."""

    def __init__(self, client: Client, told: Told) -> None:
        self._points = client.points
        self._told = told
        self.member = f"m-{new_id()}"

    async def work(self, stopping: asyncio.Event) -> None:
        """Goes on until `stopping`."""
        while not stopping.is_set():
            await self.accrue("small", SMALL)
            await self.accrue("limit", LIMIT)
            await self.accrue("large", LARGE)
            await self._spend()
            self._told.steps += 1

    async def accrue(self, what: str, points: int) -> None:
        purchase = pb.Purchase(order_id=new_id(), amount=usd(str(points)))
        request = pb.AccruePointsRequest(
            request_id=new_id(), member_id=self.member, purchase=purchase
        )
        try:
            response = await self._points.AccruePoints(request, timeout=20)
        except grpc.aio.AioRpcError as error:
            self._refused(what, error)
        else:
            self._told.booked[request.request_id] = response.transaction
            if response.transaction.explanation.under_review:
                assert what in {"small", "limit"}, "more than the program lets wait was booked"

    async def _spend(self) -> None:
        request = pb.RedeemPointsRequest(
            request_id=new_id(), member_id=self.member, points=1, order_id=new_id()
        )
        try:
            response = await self._points.RedeemPoints(request, timeout=20)
        except grpc.aio.AioRpcError as error:
            self._refused("spend", error)
        else:
            self._told.booked[request.request_id] = response.transaction

    def _refused(self, what: str, error: grpc.aio.AioRpcError) -> None:
        self._told.refused[what, reason_of(error) or str(error)] += 1


async def test_only_what_the_program_states_happens_and_all_is_assessed_afterwards(
    house: Supervisor,
) -> None:
    async with Client(house.env) as client:
        text = calm_program(multiplied=False)
        await client.program.ApplyProgram(
            ApplyProgramRequest(request_id=new_id(), source_yaml=text)
        )
        told, stopping = Told(), asyncio.Event()
        hands = [Hand(client, told) for _ in range(CLIENTS)]
        for hand in hands:
            await hand.accrue("first", POINTS_FIRST)
        assert not told.refused
        async with asyncio.TaskGroup() as group:
            for hand in hands:
                group.create_task(hand.work(stopping))
            await steps(told, 2 * CLIENTS)
            await house.kill("antifraud")
            await house.stop_service("antifraud")
            await steps(told, STEPS_WITHOUT)
            waiting = await unassessed(house)
            await house.start_service("antifraud")
            await house.wait_ready()
            await steps(told, 2 * CLIENTS)
            stopping.set()
        assert waiting > 0
        # Little is booked and waits, much and spending is refused; nothing else is ever refused.
        assert set(told.refused) == {
            ("large", "ANTIFRAUD_UNAVAILABLE"), ("spend", "ANTIFRAUD_UNAVAILABLE"),
        }  # fmt: skip
        assert any(one.explanation.under_review for one in told.booked.values())
        await all_is_assessed(house)
        for hand in hands:
            own = [one for one in told.booked.values() if one.member_id == hand.member]
            request = pb.GetBalanceRequest(member_id=hand.member)
            balance = (await client.points.GetBalance(request)).balance
            assert balance == pb.Balance(active=sum(one.points for one in own))
    await nothing_is_lost(house, told)


async def steps(told: Told, count: int) -> None:
    """Waits for so many rounds more."""
    enough = told.steps + count
    async with asyncio.timeout(90):
        while told.steps < enough:
            await asyncio.sleep(0.02)


async def unassessed(house: Supervisor) -> int:
    """Accruals that anti-fraud has yet to be asked about."""
    connection = await asyncpg.connect(house.env["LAUREL_DATABASE_URL"])
    try:
        return int(await connection.fetchval("SELECT count(*) FROM points.unassessed"))
    finally:
        await connection.close()


async def all_is_assessed(house: Supervisor) -> None:
    """Waits until points has asked about everything, by itself."""
    async with asyncio.timeout(60):
        while await unassessed(house):
            await asyncio.sleep(0.2)


async def nothing_is_lost(house: Supervisor, told: Told) -> None:
    """The ledger has what was told, each accrual an assessment, and the invariants hold."""
    settler = await Settler.open(house.env)
    try:
        await settler.settle(60)
    finally:
        await settler.close()
    url = house.env["LAUREL_DATABASE_URL"]
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT t.request_id, t.transaction_id::text, a.action FROM points.transaction AS t "
            "LEFT JOIN antifraud.assessment AS a USING (member_id, request_id) "
            "WHERE t.request_id IS NOT NULL"
        )
    finally:
        await connection.close()
    assert {row[0]: row[1] for row in rows} == {
        request_id: one.transaction_id for request_id, one in told.booked.items()
    }
    assert {row["action"] for row in rows} == {1}
    broken = [outcome for outcome in await run_checks(url) if outcome.violations]
    assert broken == []
