"""Operations that have a transaction of their own: by operators, and between members.

They keep the order of locks of the write path, accounts by member first and request ids after, so
that neither can wait for the other in a circle.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from kit.clock import Clock, NewId
from kit.db import Database, Transaction
from kit.errors import LaurelError, RequestIdReused
from kit.events import publish
from kit.requests import content_hash, is_repeat, once
from points import metrics
from points.book import Book
from points.counter_errors import AccountTooLarge, InHousehold
from points.events import render_events
from points.posting import Desk
from points.saving import save
from points.store import lock_accounts
from points.values import LotOrigin, LotState, Posted
from rules.feed import ProgramFeed

LOTS_MAX = 20_000

R = TypeVar("R", bound=Message)
A = TypeVar("A")

Render = Callable[[A], R]


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """A write as it was called: a repeat gets the answer of the first time."""

    request_id: str
    request: Message
    response_type: type[R]


@dataclass(slots=True)
class Session:
    """One operation: its transaction, what is locked, and what came of it."""

    tx: Transaction
    book: Book
    desk: Desk
    posted: list[Posted] = field(default_factory=list)
    origins: list[LotOrigin] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    """Events beside those that tell of a transaction alone."""

    async def load_all_lots(self, member_id: str) -> list[LotState]:
        """Every lot of a locked account that has points left, in the order they are spent.

        Raises AccountTooLarge.
        """
        rows = await self.tx.fetch("load_all_lots", member_id, LOTS_MAX + 1)
        if len(rows) > LOTS_MAX:
            raise AccountTooLarge(member_id=member_id, count_max=LOTS_MAX, things="lots")
        lots = [LotState(*row) for row in rows]
        self.book.add_loaded_lots(lots)
        return [self.book.lot(lot.lot_id) for lot in lots]

    async def check_in_no_household(self, member_id: str) -> None:
        """Raises InHousehold for the member of a locked account."""
        household_id = await self.tx.fetchval("find_household_of", member_id)
        if household_id is not None:
            raise InHousehold(member_id=member_id, household_id=household_id)

    async def load_spendable_lots(self, member_id: str, points: int) -> None:
        """Lots of a locked account that can be spent now and hold so many points, at least."""
        now = [self.desk.now]
        rows = await self.tx.fetch("load_open_lots", [member_id], [points], now, now)
        self.book.add_loaded_lots(LotState(*tuple(row)[:10]) for row in rows)

    async def get_spendable(self, member_id: str) -> int:
        """The active points of a locked account whose end has not come, as its balance tells."""
        row = await self.tx.fetchrow("get_balances", [member_id], self.desk.now)
        return row["active"] if row is not None else 0


class Office:
    """Carries operations out, each in one transaction and once for its request id."""

    def __init__(self, database: Database, feed: ProgramFeed, clock: Clock, new_id: NewId) -> None:
        self.database = database
        self.new_id = new_id
        self._feed = feed
        self._clock = clock

    async def desk(self) -> Desk:
        """What decisions of this moment may use. Raises NoProgram."""
        history = await self._feed.ensure()
        return Desk(self._clock(), self.new_id, history)

    async def is_done(self, call: Call[R]) -> bool:
        """Whether the request took effect before. Raises RequestIdReused where another one did."""
        async with self.database.statements() as tx:
            row = await tx.fetchrow("get_request", call.request_id)
        if row is None:
            return False
        if not is_repeat(row, call.request.DESCRIPTOR.name, content_hash(call.request)):
            raise RequestIdReused(request_id=call.request_id)
        return True

    async def carry_out(
        self,
        call: Call[R],
        members: Collection[str],
        act: Callable[[Session], Awaitable[R]],
        *,
        opened: Collection[str] = (),
    ) -> R:
        """The answer of `act`, which works with the accounts of `members` locked.

        Accounts of `opened` are made where there are none. When `act` raises, nothing is changed.
        """
        try:
            posted, response = await self._carry_out(call, members, act, opened)
        except LaurelError as refusal:
            metrics.count([refusal])
            raise
        metrics.count(posted)
        return response

    async def _carry_out(
        self,
        call: Call[R],
        members: Collection[str],
        act: Callable[[Session], Awaitable[R]],
        opened: Collection[str],
    ) -> tuple[list[Posted], R]:
        desk = await self.desk()
        async with self.database.transaction() as tx:
            session = Session(tx, Book(), desk)
            await lock_accounts(tx, session.book, sorted(set(members)), sorted(set(opened)))

            async def answer() -> R:
                response = await act(session)
                await self._finish(session)
                return response

            response = await once(tx, call.request_id, call.request, answer, call.response_type)
        return session.posted, response

    async def _finish(self, session: Session) -> None:
        tx, book = session.tx, session.book
        if session.posted or book.changed_lots:
            await save(tx, book, session.posted, session.desk.now)
        if session.origins:
            columns = [list(column) for column in zip(*session.origins, strict=True)]
            await tx.execute("insert_lot_origins", *columns)
        await publish(tx, self.new_id, [*render_events(session.posted), *session.events])
