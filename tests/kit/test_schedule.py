"""Scheduled work: it may come together with any other, however small the pool is."""

import asyncio

from house import House
from kit.db import open_database
from kit.schedule import Schedule, run_schedule
from kit.telemetry import tracer

RUNS = 6


async def test_scheduled_work_never_waits_for_itself(house: House) -> None:
    """Each run holds a connection for its lock and takes another one: a pool of 2 has no third."""
    await house.start("tier")
    stopping, done = asyncio.Event(), asyncio.Semaphore(0)
    url = house.settings.database_url
    none = tracer("tier", None)
    async with open_database(url, "tier", pool_size=2, tracer=none, constraints={}) as database:

        async def work() -> None:
            async with database.transaction() as tx:
                await tx.connection.fetchval("SELECT pg_sleep(0.05)")
            done.release()

        runs = [
            asyncio.create_task(
                run_schedule(Schedule(f"s{number}", 0.01, work), "tier", database, stopping)
            )
            for number in range(RUNS)
        ]
        async with asyncio.timeout(20):
            for _ in range(3 * RUNS):
                await done.acquire()
        stopping.set()
        await asyncio.gather(*runs)
