"""Fills counters from stored assessments, in steps that any process may take (AF-02)."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from antifraud import metrics
from antifraud.filling import (
    MICROSECOND,
    ROWS_MAX,
    SLICE_US_MAX,
    Fill,
    Gathered,
    gather,
    next_slice_us,
    plan,
)
from antifraud.series import name_of
from antifraud.velocity import addition_columns, key_columns
from kit.clock import Clock
from kit.db import Database, Transaction
from kit.telemetry import log
from rules.compiled import ProgramHistory, UnknownVersion
from rules.feed import ProgramFeed

# A run of the schedule takes so many steps and goes on in the next; live batches come in between.
STEPS_MAX = 1000
PAUSE_SECONDS = 0.01
# What was created so long before now is in a transaction that can be seen: a batch notes its time
# and writes at once.
UNDER_WAY = timedelta(seconds=5)


class FillStore:
    """The fills and how far they are."""

    def __init__(self, database: Database, feed: ProgramFeed, *, clock: Clock) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock
        self._settled_version = 0
        """The newest version when there was nothing left to fill."""
        self._log = log("antifraud")

    async def run(self) -> None:
        """Plans fills for new versions, and takes steps for as long as there is something to do."""
        history = self._feed.known
        if history is None or history.newest.version == self._settled_version:
            return
        await self._plan(history)
        after = 0
        for _ in range(STEPS_MAX):
            try:
                version, went_on = await self._step(history, after)
            except UnknownVersion:
                # Another process knows more than this one yet.
                break
            if not version:
                break
            after = 0 if went_on else version
            await asyncio.sleep(PAUSE_SECONDS)
        await self._show(history)

    async def _plan(self, history: ProgramHistory) -> None:
        now = self._clock()
        async with self._database.transaction() as tx:
            known = {fill.version: fill for fill in map(_fill, await tx.fetch("list_fills"))}
            for fill in plan(history, known, now):
                cursor = min([fill.until_time, *fill.starts.values()])
                series = [
                    {"kind": kind, "dimension": number, "start": start.isoformat()}
                    for (kind, number), start in fill.starts.items()
                ]
                await tx.execute(
                    "add_fill", fill.version, series, fill.until_time, cursor, SLICE_US_MAX,
                    now - UNDER_WAY,
                )  # fmt: skip
                if fill.starts:
                    names = sorted({name_of(number) for _, number in fill.starts})
                    self._log.info("velocity.fill", program_version=fill.version, series=names)

    async def _step(self, history: ProgramHistory, after: int) -> tuple[int, bool]:
        """One step of the first fill behind a version: which it was, or 0, and whether it moved."""
        async with self._database.transaction() as tx:
            row = await tx.fetchrow("take_fill", after)
            if row is None:
                return 0, False
            fill = _fill(row)
            safe = row["safe_time"]
            if row["is_fence_passed"]:
                safe = row["fence_time"]
                await tx.execute("move_fence", fill.version, safe, self._clock() - UNDER_WAY)
            begin, slice_us = row["cursor_time"], row["slice_us"]
            end = min(begin + slice_us * MICROSECOND, safe, fill.until_time)
            if end <= begin:
                return fill.version, False
            kinds = sorted({kind for kind, _ in fill.starts})
            # At a single microsecond there is nothing left to halve.
            limit = ROWS_MAX + 1 if end - begin > MICROSECOND else None
            await tx.execute("read_by_time")
            rows = await tx.fetch("find_assessments_between", begin, end, kinds, limit)
            if len(rows) > ROWS_MAX and limit is not None:
                half_us = max(1, (end - begin) // MICROSECOND // 2)
                await tx.execute("move_fill", fill.version, begin, half_us)
                return fill.version, True
            await self._add(tx, gather(rows, fill, history))
            await tx.execute("move_fill", fill.version, end, next_slice_us(slice_us, len(rows)))
        if end == fill.until_time:
            self._log.info("velocity.filled", program_version=fill.version)
        return fill.version, True

    async def _add(self, tx: Transaction, gathered: Gathered) -> None:
        tracks = gathered.tracks
        additions = tracks.additions()
        if not additions:
            return
        stored = await tx.fetch("add_velocity", *addition_columns(additions), self._clock())
        tracks.load(stored)
        for track, _, entry in gathered.tracked:
            track.add(entry)
        untidy = tracks.untidy()
        if untidy:
            await tx.execute("rewrite_velocity", *key_columns(untidy))
        metrics.FILLED.inc(gathered.operation_count)

    async def _show(self, history: ProgramHistory) -> None:
        async with self._database.statements() as tx:
            row = await tx.fetchrow("count_fills")
        metrics.FILLS.set(row["fills"])
        behind = self._clock() - row["filled_time"] if row["fills"] else timedelta()
        metrics.FILL_BEHIND.set(behind.total_seconds())
        if not row["fills"]:
            self._settled_version = history.newest.version


def _fill(row: Any) -> Fill:
    starts = {
        (one["kind"], one["dimension"]): datetime.fromisoformat(one["start"])
        for one in row["series"]
    }
    return Fill(row["version"], starts, row["until_time"])
