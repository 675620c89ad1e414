"""CK-04, AF-06, SC-05, OP-03: a part is killed under load, and nothing is lost, nothing is doubled.

Processes as `laurel up` runs them. Clients do what the contract asks of them: they repeat an
UNAVAILABLE call with the same request id until it is answered.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from cli.check import run_checks
from cli.connect import Client
from cli.quiet import Settler
from cli.supervisor import Supervisor
from house import new_id
from kit.settings import SERVICES
from laurel.points.v1 import activities_pb2 as activities
from laurel.points.v1 import points_service_pb2 as pb
from laurel.program.v1.program_service_pb2 import ApplyProgramRequest
from points_earning import calm_rules, with_ladder
from points_ledger import calm_program
from shoppers import PATIENCE_SECONDS, Booked, Shopper

CLIENTS = 16
ACKNOWLEDGED_STEP = 150
BIG_MONTH, BIG_MONTH_BONUS, CHECK_INS_OF_A_DAY = 300, 500, 10
RATES = calm_program()
# With a bonus that a few purchases reach and a return loses again.
RULES = calm_rules(with_ladder().replace("target: 3000", f"target: {BIG_MONTH}"))


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Supervisor]:
    """A house of processes without scheduled work."""
    data = tmp_path_factory.mktemp("faults")
    async with Supervisor(data, extra_env={"LAUREL_SCHEDULER": "false"}) as house:
        yield house


async def follow(house: Supervisor, source_yaml: str) -> None:
    """Applies a program that lets points be spent at once, and waits until points goes by it."""
    async with Client(house.env) as client:
        request = ApplyProgramRequest(request_id=new_id(), source_yaml=source_yaml)
        version = (await client.program.ApplyProgram(request)).program_version.version
        decided = 0
        while decided != version:
            await asyncio.sleep(0.1)
            activity = activities.Activity(event_type="check_in")
            asked = pb.AccrueActivityRequest(
                request_id=new_id(), member_id=f"m-{new_id()}", activity=activity
            )
            answer = await client.points.AccrueActivity(asked, wait_for_ready=True)
            decided = answer.transaction.program_version


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
    await follow(house, RATES)
    await kill_under_load(house, killed)


@pytest.mark.parametrize("killed", ["points", "postgres", "antifraud"])
async def test_pt_02_pt_04_rules_bonuses_and_their_counters_outlive_a_kill(
    house: Supervisor, killed: str
) -> None:
    """Accruals by all the rules, and returns that undo what they had counted."""
    await follow(house, RULES)
    booked = await kill_under_load(house, killed)
    months = {month for _, month in booked.purchase_points}
    assert set(booked.check_ins.values()) == {CHECK_INS_OF_A_DAY}
    async with Client(house.env) as client:
        for member in booked.points:
            reached = [booked.purchase_points[member, month] >= BIG_MONTH for month in months]
            assert booked.bonuses[member] == BIG_MONTH_BONUS * sum(reached)
            request = activities.ListChallengesRequest(member_id=member)
            challenges = (await client.points.ListChallenges(request)).challenges
            (big_month,) = [one for one in challenges if one.name == "big_month"]
            assert big_month.progress == booked.purchase_points[member, max(months)]
    assert any(booked.bonuses.values())


async def kill_under_load(house: Supervisor, killed: str) -> Booked:
    """Kills a part twice while clients are at work; what they were told."""
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
    return running.booked


@pytest.mark.parametrize("away", ["nats", "tier"])
async def test_points_move_while_a_part_is_away_which_catches_up_later(
    house: Supervisor, away: str
) -> None:
    await follow(house, RATES)
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
        "SELECT request_id, transaction_id::text FROM points.transaction "
        "WHERE member_id = ANY($1) AND request_id IS NOT NULL",
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
