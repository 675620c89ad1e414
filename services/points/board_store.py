"""Leaderboards, fed by the ledger's own events and read by index.

A message of events takes effect once, by the inbox, in two statements. So no write of points waits
for a leaderboard, and a program without leaderboards pays nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from kit.clock import Clock
from kit.db import Database, Transaction
from points.boards import BoardKey, Entry, Standing, boards_of, ranked, standing, start_of
from points.errors import LeaderboardNotKept
from rules.compiled import UnknownVersion
from rules.feed import ProgramFeed
from rules.values import Period

# How long a leaderboard is kept after its period began; of years and of all time, for ever.
DAYS_KEPT = timedelta(days=100)
WEEKS_KEPT = timedelta(days=60 * 7)
MONTHS_KEPT = timedelta(days=37 * 31)
PRUNE_ROWS = 10_000
POINTS_MAX = 2**63 - 1


class Earned(NamedTuple):
    """Points that a member earned, or that were taken back where negative."""

    member_id: str
    occurred_time: datetime
    region: str
    points: int
    program_version: int


class Page(NamedTuple):
    """A page of a leaderboard, and whether there is more."""

    key: BoardKey
    entries: Sequence[Entry]
    more: bool


class BoardStore:
    """Adds up what was earned; tells ranks."""

    def __init__(self, database: Database, feed: ProgramFeed, clock: Clock) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock

    def keeps_none(self, versions: set[int]) -> bool:
        """Whether versions of the program are known to list no leaderboard."""
        history = self._feed.known
        if history is None:
            return False
        try:
            return not any(
                history.version(number).leaderboards.periods for number in versions if number
            )
        except UnknownVersion:
            return False

    async def add(self, tx: Transaction, earned: Sequence[Earned]) -> None:
        """Counts points on the leaderboards of the version that decided them, so that what is taken
        back leaves those that it came to.
        """
        history = await self._feed.ensure()
        if max(one.program_version for one in earned) > history.newest.version:
            await self._feed.refresh()
            history = await self._feed.ensure()
        sums: defaultdict[tuple[BoardKey, str], int] = defaultdict(int)
        for one in earned:
            program = (
                history.version(one.program_version)
                if one.program_version
                else history.in_force(one.occurred_time)
            )
            for key in boards_of(one.occurred_time, one.region, program):
                sums[key, one.member_id] += one.points
        rows = [(*key, member_id, points) for (key, member_id), points in sums.items() if points]
        if rows:
            columns = [list(column) for column in zip(*rows, strict=True)]
            await tx.execute("open_boards", *columns[:3])
            await tx.execute("add_scores", *columns)

    async def list_entries(
        self,
        period: Period,
        at: datetime | None,
        region: str,
        after: tuple[int, str] | None,
        count: int,
    ) -> Page:
        """A page of a leaderboard, after a member with so many points.

        Raises LeaderboardNotKept.
        """
        key = await self._key(period, at, region)
        points, member_id = after or (POINTS_MAX, "")
        async with self._database.transaction(readonly=True) as tx:
            await tx.execute("take_snapshot")
            board_id = await self._board(tx, key)
            if board_id is None:
                return Page(key, (), more=False)
            rows = await tx.fetch("list_scores", board_id, points, member_id, count + 1)
            scores = [(row["member_id"], row["points"]) for row in rows[:count]]
            before = higher = 0
            if scores and after is not None:
                first_id, first_points = scores[0]
                before = await tx.fetchval("count_before", board_id, first_points, first_id)
                higher = await tx.fetchval("count_higher", board_id, first_points)
        return Page(key, list(ranked(scores, before, higher)), more=len(rows) > count)

    async def get_standing(
        self, member_id: str, period: Period, at: datetime | None, region: str, target_rank: int
    ) -> tuple[BoardKey, Standing]:
        """Where a member stands, as one statement saw it. Raises LeaderboardNotKept."""
        key = await self._key(period, at, region)
        async with self._database.transaction(readonly=True) as tx:
            board_id = await self._board(tx, key)
            if board_id is None:
                return key, standing(0, 0, None, None, target_rank)
            row = await tx.fetchrow("get_rank", board_id, member_id, max(target_rank, 1))
        above = None
        if row["above_points"] is not None:
            above = (row["above_points"], row["above_higher_count"])
        return key, standing(
            row["points"], row["higher_count"], above, row["target_points"], target_rank
        )

    async def _key(self, period: Period, at: datetime | None, region: str) -> BoardKey:
        now = self._clock()
        program = (await self._feed.ensure()).in_force(now)
        return BoardKey(period, start_of(period, at or now, program.zone), region)

    async def _board(self, tx: Transaction, key: BoardKey) -> int | None:
        """The leaderboard; None for one that is kept and that nobody has points on yet."""
        board_id: int | None = await tx.fetchval("find_board", *key)
        if board_id is None:
            kept = (await self._feed.ensure()).in_force(self._clock()).leaderboards
            if key.period not in kept.periods or (key.region and not kept.by_region):
                where = " by region" if key.period in kept.periods else ""
                raise LeaderboardNotKept(period=key.period.name.lower(), where=where)
        return board_id

    async def prune(self) -> None:
        """Forgets leaderboards whose time is over, in bounded steps."""
        while await self._prune_some():
            pass

    async def _prune_some(self) -> bool:
        today = self._clock().date()
        limits: list[date] = [today - kept for kept in (DAYS_KEPT, WEEKS_KEPT, MONTHS_KEPT)]
        async with self._database.statements() as tx:
            old = await tx.fetch("find_old_boards", *limits)
            for row in old:
                while (await tx.execute("prune_scores", row["board_id"], PRUNE_ROWS)) != "DELETE 0":
                    pass
                await tx.execute("drop_board", row["board_id"])
        return bool(old)
