"""Bonuses of team challenges: booked for each member afterwards, so that no activity has to lock
the accounts of a whole team.

Can stop anywhere, run again, and run twice at once: what is due is looked at again under the lock.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from kit.clock import Clock, NewId
from kit.db import Database, Transaction
from kit.events import publish
from points import metrics
from points.book import Book
from points.counting import Badge
from points.events import render_badges, render_events
from points.posting import Desk
from points.rule_accruals import book_team_bonus
from points.saving import save
from points.store import lock_accounts
from points.values import Standing
from rules.feed import ProgramFeed

STEP_ROWS_MAX = 200


@dataclass(slots=True)
class BonusesDone:
    """What a run did."""

    count: int = 0
    points: int = 0


class TeamBonusWork:
    """RunBonuses, and the same by the clock."""

    def __init__(self, database: Database, feed: ProgramFeed, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock
        self._new_id = new_id

    async def run(self) -> BonusesDone:
        """Books all that is due."""
        done = BonusesDone()
        while await self._step(done):
            pass
        return done

    async def _step(self, done: BonusesDone) -> bool:
        async with self._database.statements() as tx:
            keys = await tx.fetch("find_due_bonuses", STEP_ROWS_MAX)
        if not keys:
            return False
        desk = Desk(self._clock(), self._new_id, await self._feed.ensure())
        book = Book()
        async with self._database.transaction() as tx:
            members = sorted({row["member_id"] for row in keys})
            await lock_accounts(tx, book, members, members)
            columns = [list(column) for column in zip(*map(tuple, keys), strict=True)]
            # Looked at again under the lock: another run may have been faster.
            rows = await tx.fetch("load_due_bonuses", *columns)
            booked = [(row, _book(row, book, desk)) for row in rows]
            await self._save(tx, book, desk, booked)
        metrics.count(book.bonuses)
        done.count += sum(1 for _, transaction_id in booked if transaction_id)
        done.points += sum(row["points"] for row, transaction_id in booked if transaction_id)
        return True

    async def _save(
        self, tx: Transaction, book: Book, desk: Desk, booked: list[tuple[Any, UUID | None]]
    ) -> None:
        await save(tx, book, book.bonuses, desk.now)
        await tx.execute(
            "settle_bonuses",
            [row["member_id"] for row, _ in booked],
            [row["name"] for row, _ in booked],
            [row["period"] for row, _ in booked],
            desk.now,
            [transaction_id for _, transaction_id in booked],
        )
        events = render_events(book.bonuses) + render_badges(book.counting.badges, desk)
        await publish(tx, self._new_id, events)


def _book(row: Any, book: Book, desk: Desk) -> UUID | None:
    """Books one; an account that takes no part any more is passed over."""
    account = book.account(row["member_id"])
    if account.state > Standing.FROZEN:
        return None
    if row["badge"]:
        book.counting.badges.append(
            Badge(
                account.member_id, row["badge"], row["name"], row["period"], row["occurred_time"],
                row["program_version"],
            )
        )  # fmt: skip
    if not row["points"]:
        return None
    return book_team_bonus(
        account, row["name"], row["points"], row["reason"], row["occurred_time"],
        desk.programs.version(row["program_version"]), row["cause_transaction_id"], book, desk,
    )  # fmt: skip
