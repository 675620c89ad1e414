"""Reads what the liability report is made of: one snapshot, in steps of members."""

import asyncio
from datetime import datetime

from kit.clock import Clock
from kit.db import Database
from points.errors import ReportBusy, ReportTooLong, TimesReversed
from points.liability import (
    ENDS,
    EXPIRY_DAYS,
    FORFEITS,
    USES,
    LotFlow,
    Move,
    Report,
    Span,
    Sums,
    make_report,
    month_of,
    months_between,
    start_of,
)
from rules.feed import ProgramFeed

STEP_MEMBERS = 2_000
MONTHS_MAX = 36


class LiabilityReader:
    """One report at a time: it reads the whole ledger."""

    def __init__(self, database: Database, feed: ProgramFeed, clock: Clock) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock
        self._busy = asyncio.Lock()

    async def get_report(self, as_of: datetime | None, from_time: datetime | None) -> Report:
        """The report as of an instant, now when None.

        Raises TimesReversed, ReportTooLong, ReportBusy or LedgerDoesNotTie.
        """
        instant = as_of or self._clock()
        program = (await self._feed.ensure()).in_force(instant)
        month = month_of(instant, program.zone)
        begin = from_time or start_of(month, program.zone)
        if begin > instant:
            raise TimesReversed(
                "from_time", from_time=begin.isoformat(), to_time=instant.isoformat()
            )
        months = months_between(month_of(begin, program.zone), month) + 1
        if months > MONTHS_MAX:
            raise ReportTooLong(months=months, months_max=MONTHS_MAX)
        if self._busy.locked():
            raise ReportBusy(retry_after_ms=ReportBusy.RETRY_AFTER_MS)
        async with self._busy:
            span = Span(begin, instant, program)
            return make_report(await self._read(span), span)

    async def _read(self, span: Span) -> Sums:
        sums, zone = Sums(), span.zone.key
        after = ""
        async with self._database.transaction(readonly=True) as tx:
            await tx.execute("take_snapshot")
            while (last := await tx.fetchval("next_members", after, STEP_MEMBERS)) is not None:
                moves = await tx.fetch(
                    "sum_postings", after, last, span.from_time, span.as_of, zone
                )
                flows = await tx.fetch(
                    "sum_lots", after, last, span.as_of, zone, EXPIRY_DAYS, USES, ENDS, FORFEITS
                )
                sums.add((Move(*row) for row in moves), (LotFlow(*row) for row in flows))
                after = last
        return sums
