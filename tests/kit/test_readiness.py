"""OP-03: a service says so while it cannot serve yet, and when it leaves; it finishes first."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from house import Ground, House, refused
from kit.admin import AdminServer
from points_ledger import Ledger, calm_program

DRAIN_SECONDS = 20
PATIENCE_SECONDS = 20


@pytest.fixture
async def house(ground: Ground) -> AsyncIterator[House]:
    """A house of its own, whose services leave calls some time."""
    async with ground.house(drain_seconds=DRAIN_SECONDS) as house:
        await house.apply(calm_program())
        yield await house.start("antifraud", "points")


async def test_a_service_does_not_say_that_it_serves_before_it_knows(ground: Ground) -> None:
    """While the database lets it wait, as in a migration."""
    async with ground.house() as house:
        owner = await asyncpg.connect(house.settings.database_url)
        async with owner.transaction():
            await owner.execute("LOCK TABLE laurel.migration IN ACCESS EXCLUSIVE MODE")
            await house.start("tier")
            answer = await house.stub(HealthStub, "tier").Check(HealthCheckRequest())
            assert answer.status == HealthCheckResponse.NOT_SERVING
        await owner.close()


async def test_what_the_last_calls_told_is_published_before_a_service_is_gone(
    house: House, member: str
) -> None:
    """Their events would otherwise wait for the next start, however far away that is."""
    ledger = Ledger(house)
    await ledger.accrue(member, "10.00")
    owner = await asyncpg.connect(house.settings.database_url)
    lock = owner.transaction()
    await lock.start()
    await owner.execute("SELECT 1 FROM points.account WHERE member_id = $1 FOR UPDATE", member)
    last = asyncio.create_task(ledger.accrue(member, "20.00"))
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = $1"
    while not await house.fetch(waits, house.settings.database_url.rpartition("/")[2]):
        await asyncio.sleep(0.05)
    relay = house.running["points"]._tasks[0]
    leaving = asyncio.create_task(house.stop("points"))
    await asyncio.wait({relay})
    await lock.rollback()
    await owner.close()
    assert (await last).points == 20
    await leaving
    assert await house.fetch("SELECT type FROM points.outbox") == []


async def test_an_answer_of_the_database_does_not_make_ready_who_is_leaving(house: House) -> None:
    """A balancer would send new calls to it again."""
    running = house.running["points"]
    asked, may_answer = asyncio.Event(), asyncio.Event()
    ping = running.service.database.ping

    async def slow_ping() -> bool:
        asked.set()
        await may_answer.wait()
        return await ping()

    running.service.database.ping = slow_ping  # type: ignore[method-assign]
    await asked.wait()
    running._stopping.set()
    await running._set_ready(False)
    may_answer.set()
    await asyncio.wait({running._tasks[1]})
    assert running._admin is not None
    assert not running._admin.ready
    asked_for = HealthCheckRequest(service="laurel.points.v1.PointsService")
    answer = await house.stub(HealthStub, "points").Check(asked_for)
    assert answer.status == HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def standing_still(ground: Ground, house: House, service: str) -> AsyncIterator[None]:
    """While inside, the database answers no connection of the service, and takes no new one."""
    sql = "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND datname = $2"
    name = house.settings.database_url.rpartition("/")[2]
    assert ground.postgres is not None
    assert ground.postgres.pid is not None
    stopped = [ground.postgres.pid]
    observer = await asyncpg.connect(house.settings.database_url)
    try:
        # First who opens connections: none comes after those that are listed.
        os.kill(stopped[0], signal.SIGSTOP)
        for row in await observer.fetch(sql, f"laurel-{service}", name):
            stopped.append(row["pid"])
            os.kill(row["pid"], signal.SIGSTOP)
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        await observer.close()


async def test_a_service_is_not_ready_while_its_database_stands_still(
    ground: Ground, house: House
) -> None:
    """As behind a network that swallows what is sent: no connection is refused or reset."""
    running = house.running["points"]
    assert running._admin is not None
    await until_ready(running._admin, True)
    async with standing_still(ground, house, "points"):
        await until_ready(running._admin, False)
    await until_ready(running._admin, True)


async def until_ready(admin: AdminServer, ready: bool) -> None:
    """Waits until /readyz says so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while admin.ready is not ready:
            await asyncio.sleep(0.05)


async def test_a_database_that_stands_still_keeps_nobody_from_leaving(
    ground: Ground, member: str
) -> None:
    async with ground.house(drain_seconds=1) as house:
        await house.apply(calm_program())
        await house.start("antifraud", "points")
        ledger = Ledger(house)
        await ledger.accrue(member, "10.00")
        # Some connections are idle then, as they are of any service that has work.
        pool = house.running["points"].service.database.pool
        await asyncio.gather(*(pool.execute("SELECT pg_sleep(0.3)") for _ in range(6)))
        async with standing_still(ground, house, "points"):
            call = asyncio.create_task(refused(ledger.accrue(member, "20.00")))
            await asyncio.sleep(1)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await house.stop("points")
            assert (await call).code is not grpc.StatusCode.OK


async def test_who_watches_the_health_of_a_service_does_not_keep_it(house: House) -> None:
    watch = house.stub(HealthStub, "points").Watch(HealthCheckRequest())
    while (await watch.read()).status != HealthCheckResponse.SERVING:
        continue
    async with asyncio.timeout(DRAIN_SECONDS / 2):
        await house.stop("points")
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await read_on(watch)
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


async def read_on(watch: Any) -> None:
    """Reads to the end."""
    while await watch.read() is not grpc.aio.EOF:
        continue
