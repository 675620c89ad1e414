"""Reads what back-tests and rule reports look at; works a back-test off beside the decisions."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from antifraud.back_tests import BackTest, past_of
from antifraud.drafts import Draft
from antifraud.errors import BackTestRunning, TimeRangeInvalid, TooManyAssessments
from kit.clock import FUTURE_MAX, Clock
from kit.db import Database

ASSESSMENTS_MAX = 1_000_000
DEFAULT_RANGE = timedelta(days=30)
PAGE = 500
# A millisecond or two: as long as a decision may wait for a back-test, but for a page that comes.
CHUNK = 25
PROGRESS_SECONDS = 0.5
RETRY_AFTER_MS = 5_000
_FIRST_SPAN = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)
_LOWEST_ID = UUID(int=0)


class TimeRange(NamedTuple):
    """From a time on and before another."""

    start: datetime
    end: datetime


@dataclass(slots=True)
class Progress:
    """How far a back-test is."""

    read_count: int = 0
    assessment_count: int = 0


class BackTestStore:
    """Assessments of time ranges; one back-test at a time."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._is_running = False

    def time_range(self, start: datetime | None, end: datetime | None) -> TimeRange:
        """The range from what a caller left out of it; never beyond now. Raises
        TimeRangeInvalid.
        """
        now = self._clock()
        end = min(end or now, now)
        start = start or end - DEFAULT_RANGE
        if start >= end:
            raise TimeRangeInvalid(from_time=start.isoformat(), to_time=end.isoformat())
        return TimeRange(start, end)

    @contextmanager
    def sole(self) -> Iterator[None]:
        """Around a back-test. Raises BackTestRunning while another one runs."""
        if self._is_running:
            raise BackTestRunning(retry_after_ms=RETRY_AFTER_MS)
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False

    async def run(self, draft: Draft, span: TimeRange) -> AsyncGenerator[Progress | BackTest, None]:
        """Progress twice a second, and the back-test once it is done; close it when done with it.

        Raises TooManyAssessments, TooManyKeys.
        """
        progress = Progress()
        work = asyncio.create_task(self._work(draft, span, progress))
        try:
            while not work.done():
                yield progress
                await asyncio.wait({work}, timeout=PROGRESS_SECONDS)
            yield progress
            yield work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _work(self, draft: Draft, span: TimeRange, progress: Progress) -> BackTest:
        warm_up = timedelta()
        if draft.window_seconds_max:
            # What happened in the longest window before the range was assessed in it, or after.
            warm_up = timedelta(seconds=draft.window_seconds_max) + FUTURE_MAX
        whole = TimeRange(span.start - warm_up, span.end)
        progress.assessment_count = await self.count(whole)
        back_test = BackTest(draft, span.start)
        async for page in self._pages(whole):
            for start in range(0, len(page), CHUNK):
                began = time.perf_counter()
                chunk = page[start : start + CHUNK]
                back_test.take([past_of(row) for row in chunk])
                progress.read_count += len(chunk)
                # Half of the time is left to the decisions, however few of them there are.
                await asyncio.sleep(time.perf_counter() - began)
        return back_test

    async def count(self, span: TimeRange) -> int:
        """How many assessments a range holds. Raises TooManyAssessments."""
        async with self._database.statements() as db:
            found: int = await db.fetchval("count_assessments", *span, ASSESSMENTS_MAX + 1)
        if found > ASSESSMENTS_MAX:
            raise TooManyAssessments(
                from_time=span.start.isoformat(), to_time=span.end.isoformat(),
                most=ASSESSMENTS_MAX,
            )  # fmt: skip
        return found

    async def _pages(self, whole: TimeRange) -> AsyncIterator[list[Any]]:
        """The rows in the order of deciding, in statements of their own.

        The index by time finds blocks, not rows in order: each statement reads and sorts a part of
        the range, as long as a page or two.
        """
        low, span = whole.start, _FIRST_SPAN
        behind: tuple[datetime, UUID] = (low, _LOWEST_ID)
        while low < whole.end:
            high = min(low + span, whole.end)
            async with self._database.statements() as db:
                rows = await db.fetch("page_assessments", low, high, *behind, PAGE)
            if len(rows) == PAGE:
                last = rows[-1]
                behind = (last["create_time"], last["assessment_id"])
                low, span = behind[0], max(span // 2, _MICROSECOND)
            else:
                low, behind = high, (high, _LOWEST_ID)
                if len(rows) < PAGE // 4:
                    span = min(span * 4, whole.end - whole.start)
            if rows:
                yield rows

    async def report(self, span: TimeRange) -> tuple[list[Any], list[Any]]:
        """What was decided by each version, and what each rule has picked out under it.

        Raises TooManyAssessments.
        """
        await self.count(span)
        async with self._database.transaction(readonly=True) as tx:
            decisions = await tx.fetch("sum_decisions", *span)
            hits = await tx.fetch("sum_rule_hits", *span)
        return decisions, hits
