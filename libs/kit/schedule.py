"""Scheduled work: one process of a service at a time, by an advisory lock; a failed run is logged
and comes again.
"""

import asyncio
import random
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kit.db import Database
from kit.errors import LaurelError
from kit.telemetry import SCHEDULE_FAILED, log

JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Schedule:
    """Work that a service does by itself every so many seconds."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[object]]


async def run_schedule(
    schedule: Schedule, service: str, database: Database, stopping: asyncio.Event
) -> None:
    """Runs until `stopping`."""
    key = zlib.crc32(f"{service}.{schedule.name}".encode())
    while not stopping.is_set():
        pause = schedule.seconds * random.uniform(1 - JITTER, 1 + JITTER)  # spreads load, no secret  # noqa: S311
        try:
            await asyncio.wait_for(stopping.wait(), pause)
            return
        except TimeoutError:
            pass
        try:
            await _run_alone(schedule, key, database)
        except Exception as error:  # the next run is the retry  # noqa: BLE001
            SCHEDULE_FAILED.labels(service, schedule.name).inc()
            level = "warning" if isinstance(error, LaurelError) else "error"
            getattr(log(service), level)("schedule.failed", name=schedule.name, error=repr(error))


async def _run_alone(schedule: Schedule, key: int, database: Database) -> None:
    async with database.errands, database.pool.acquire() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", key):
            return
        try:
            await schedule.run()
        finally:
            await connection.fetchval("SELECT pg_advisory_unlock($1)", key)
