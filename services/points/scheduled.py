"""Work by the calendar: points mature, expire and are warned of; holds time out.

Each step takes what is due in the order it is due, locks the accounts, looks again and books: it
can stop anywhere, run again, and run twice at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from kit.clock import Clock, NewId
from kit.db import Database, Transaction
from kit.events import publish
from points import debts, expiring, holds, lots, metrics
from points.book import Book
from points.debt_rows import find_owners, load_open_debts
from points.events import expiring_event, render_events
from points.expiring import Notice
from points.posting import Desk
from points.promotions import days_of
from points.saving import save
from points.store import load_holds, load_lots, load_uses, lock_accounts
from points.values import HoldState, LotState, Posted, Release
from rules.feed import ProgramFeed

STEP_ROWS_MAX = 500
NO_ID = UUID(int=0)
BEGINNING = datetime.fromisoformat("0001-01-01T00:00:00+00:00")


@dataclass(slots=True)
class Done:
    """What a run did."""

    matured_lot_count: int = 0
    matured_points: int = 0
    expired_lot_count: int = 0
    expired_points: int = 0
    expired_hold_count: int = 0
    written_off_points: int = 0
    warned: set[str] = field(default_factory=set)

    @property
    def warned_member_count(self) -> int:
        """Members who were warned."""
        return len(self.warned)


@dataclass(slots=True)
class _Step:
    """One step of a run: the book it works on and what came of it."""

    book: Book
    desk: Desk
    as_of: datetime
    done: Done
    posted: list[Posted] = field(default_factory=list)
    ahead: dict[str, list[LotState]] = field(default_factory=dict)
    notices: list[tuple[str, Notice]] = field(default_factory=list)
    sources: dict[UUID, UUID] = field(default_factory=dict)
    """By lot of a pool, the lot of the member who brought its points."""


Act = Callable[[LotState, _Step], None]


class ScheduledWork:
    """RunExpiry and RunMaturation, and the sweep of holds."""

    def __init__(self, database: Database, feed: ProgramFeed, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock
        self._new_id = new_id

    async def run_maturation(self, as_of: datetime | None = None) -> Done:
        """Turns active what is due as of an instant."""
        return await self._run_lots(as_of or self._clock(), "find_maturing_lots", _mature)

    async def run_expiry(self, as_of: datetime | None = None) -> Done:
        """Ends holds and lots that are due as of an instant, and warns of those that will be."""
        instant = as_of or self._clock()
        ended = await self.run_holds(instant)
        done = await self._run_lots(instant, "find_ending_lots", _expire_or_warn)
        done.expired_hold_count = ended
        done.written_off_points = await self._run_debts(instant)
        return done

    async def run_holds(self, as_of: datetime | None = None) -> int:
        """Ends the holds that are due as of an instant; how many."""
        instant = as_of or self._clock()
        count = 0
        while True:
            desk = Desk(self._clock(), self._new_id, await self._feed.ensure())
            async with self._database.transaction() as tx:
                rows = await tx.fetch("find_due_holds", instant, STEP_ROWS_MAX)
                if not rows:
                    return count
                keys = [(row["member_id"], row["hold_id"]) for row in rows]
                step = _Step(Book(), desk, instant, Done())
                await lock_accounts(tx, step.book, sorted({member_id for member_id, _ in keys}))
                await load_holds(tx, step.book, keys)
                await load_uses(tx, step.book, days_of((), step.book.holds.values()))
                for _, hold_id in keys:
                    # One that a merge has moved meanwhile is found again in the next step.
                    record = step.book.holds.get(hold_id)
                    if record is not None and record.state is HoldState.OPEN:
                        command = Release("", b"", hold_id, timed_out=True)
                        step.posted.append(holds.release(command, step.book, desk))
                await self._finish(tx, step)
                count += len(step.posted)

    async def ensure_partitions(self) -> None:
        """Makes the partitions of history for this month and the next two."""
        async with self._database.transaction() as tx:
            # The real time, whatever the service's clock says: ids are made from it.
            await tx.execute("ensure_partitions", None)

    async def _run_lots(self, as_of: datetime, find: str, act: Act) -> Done:
        done = Done()
        due_time, lot_id = BEGINNING, NO_ID
        while True:
            desk = Desk(self._clock(), self._new_id, await self._feed.ensure())
            async with self._database.transaction() as tx:
                rows = await tx.fetch(find, as_of, due_time, lot_id, STEP_ROWS_MAX)
                if not rows:
                    return done
                await self._step(tx, rows, _Step(Book(), desk, as_of, done), act)
            due_time, lot_id = rows[-1]["due_time"], rows[-1]["lot_id"]

    async def _step(self, tx: Transaction, rows: Sequence[Any], step: _Step, act: Act) -> None:
        keys = [(row["member_id"], row["lot_id"]) for row in rows]
        brought = await tx.fetch("find_pool_sources", *_columns(keys))
        step.sources = {row["lot_id"]: row["source_lot_id"] for row in brought}
        sources = {(row["source_member_id"], row["source_lot_id"]) for row in brought}
        touched = {*keys, *sources}
        await lock_accounts(tx, step.book, sorted({member_id for member_id, _ in touched}))
        await load_lots(tx, step.book, touched)
        rows = await tx.fetch("load_extensions", *_columns(keys))
        for row in rows:
            step.book.extensions[row["lot_id"]] = row["moved"]
        for _, lot_id in keys:
            # Looked at again under the lock: another run, or a spender, may have been faster.
            lot = step.book.lot(lot_id)
            if lot.remaining and lot.due_time is not None and lot.due_time <= step.as_of:
                act(lot, step)
        if step.ahead:
            await _look_ahead(tx, step)
        await self._finish(tx, step)

    async def _finish(self, tx: Transaction, step: _Step) -> None:
        if step.posted or step.book.changed_lots:
            await save(tx, step.book, step.posted, step.desk.now)
        events = render_events(step.posted)
        for member_id, notice in step.notices:
            event_id = self._new_id()
            events.append(
                expiring_event(
                    member_id, notice.points, notice.expire_time, notice.days, step.as_of, event_id
                )
            )
            step.done.warned.add(member_id)
        await publish(tx, self._new_id, events)
        metrics.count(step.posted)

    async def _run_debts(self, as_of: datetime) -> int:
        points = 0
        while True:
            desk = Desk(self._clock(), self._new_id, await self._feed.ensure())
            async with self._database.transaction() as tx:
                rows = await tx.fetch("find_due_debts", as_of, STEP_ROWS_MAX)
                if not rows:
                    return points
                step = _Step(Book(), desk, as_of, Done())
                owners = await find_owners(tx, [row["member_id"] for row in rows])
                points += await _write_off(tx, step, sorted(owners))
                await self._finish(tx, step)


def _columns(keys: Sequence[tuple[str, UUID]]) -> list[list[Any]]:
    return [list(column) for column in zip(*keys, strict=True)]


async def _write_off(tx: Transaction, step: _Step, members: list[str]) -> int:
    """Closes the debts of members that are due, each after those that are due before it."""
    await lock_accounts(tx, step.book, members)
    closed: list[tuple[str, UUID, int]] = []
    # Who was merged meanwhile owes nothing: the survivor is found in the next step.
    owners = [member for member in members if step.book.account(member).merged_into is None]
    for standing in (await load_open_debts(tx, owners)).values():
        due = [(one.due_time, one) for one in standing if one.due_time is not None]
        for end, one in sorted(due, key=lambda entry: entry[0]):
            if end > step.as_of:
                break
            later = [other.debt for other in standing[standing.index(one) + 1 :]]
            posted = debts.write_off(one.debt, later, step.book, step.desk)
            standing.remove(one)
            if posted is not None:
                step.posted.append(posted)
            written_off = posted.postings[0].points if posted else 0
            closed.append((one.booked_member_id, one.debt.transaction_id, written_off))
    if closed:
        await tx.execute("close_debts", *(list(column) for column in zip(*closed, strict=True)))
    return sum(points for _, _, points in closed)


def _mature(lot: LotState, step: _Step) -> None:
    if not lot.pending or lot.mature_time is None or lot.mature_time > step.as_of:
        return
    step.done.matured_lot_count += 1
    step.done.matured_points += lot.remaining
    step.posted.append(lots.mature_lot(lot, step.book, step.desk))


def _expire_or_warn(lot: LotState, step: _Step) -> None:
    if lot.expire_time is None:
        return
    if step.book.account(lot.member_id).keeps(lot.expire_time):
        # Looked at again when the account is not frozen any more, and to mature before that.
        lot.due_time = lot.mature_time if lot.pending else None
        step.book.change_lot(lot)
        return
    if lot.expire_time <= step.as_of:
        step.done.expired_lot_count += 1
        step.done.expired_points += lot.remaining
        if source_id := step.sources.get(lot.lot_id):
            lots.expire_elsewhere(lot.remaining, step.book.lot(source_id), step.book)
        step.posted.append(lots.expire_lot(lot, step.book, step.desk))
    elif not lot.pending:
        step.ahead.setdefault(lot.member_id, []).append(lot)
    elif lot.mature_time is None:
        # Under review: nothing to do before its end.
        lot.due_time = lot.expire_time
        step.book.change_lot(lot)


async def _look_ahead(tx: Transaction, step: _Step) -> None:
    """Warns of what is due, together with all else that ends on the same days."""
    program = step.desk.program
    until = [expiring.horizon(due, step.as_of, program) for due in step.ahead.values()]
    rows = await tx.fetch("load_lots_ending", list(step.ahead), step.as_of, until)
    step.book.add_loaded_lots(LotState(*row) for row in rows)
    for (member_id, due), end in zip(step.ahead.items(), until, strict=True):
        lots = [
            lot
            for lot in step.book.spendable_lots(member_id, step.as_of)
            if lot.expire_time is not None and lot.expire_time < end
        ]
        notices, changed = expiring.look_ahead(due, lots, step.as_of, program)
        step.notices += [(member_id, notice) for notice in notices]
        for lot in changed:
            step.book.change_lot(lot)
