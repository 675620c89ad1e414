"""Reads the ledger: transactions, lots, totals."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from kit.clock import Clock
from kit.db import Database, Transaction
from points.errors import TransactionNotFound
from points.plain import explain_again, is_short
from points.values import Account, Kind, LotMove, Posted, Posting, WindowDay
from rules.compiled import ProgramHistory
from rules.feed import ProgramFeed

Origins = Mapping[UUID, tuple[UUID, datetime | None]]

# Above every id: where a list begins.
LAST_ID = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class TransactionFilter:
    """What a list of transactions is narrowed to; None lets everything pass."""

    kinds: Sequence[Kind] | None = None
    from_time: datetime | None = None
    to_time: datetime | None = None
    order_id: str | None = None
    hold_id: UUID | None = None
    lot_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class LotView:
    """A lot, where it stands, and the transaction that earned its points, where that is the
    member's own.
    """

    lot_id: UUID
    member_id: str
    state: int
    points: int
    remaining: int
    expired: int
    mature_time: datetime | None
    expire_time: datetime | None
    accrual_transaction_id: UUID
    origin_kind: int | None
    origin_time: datetime | None
    order_id: str | None


@dataclass(frozen=True, slots=True)
class Totals:
    """All accounts, summed from the entries."""

    points: tuple[tuple[Account, int], ...]
    transaction_count: int
    member_count: int


class SpentLot(NamedTuple):
    """Points of a lot that a capture spent."""

    lot_id: UUID
    points: int
    accrual_transaction_id: UUID


@dataclass(frozen=True, slots=True)
class Told:
    """A transaction with the lots that it spent where it is a capture."""

    posted: Posted
    spent_lots: tuple[SpentLot, ...] = ()


def posted_from_row(row: Any, origins: Origins, programs: ProgramHistory | None) -> Posted:
    """A transaction as it was booked; `programs` where one may have a short explanation."""
    explanation = row["explanation"]
    if is_short(explanation):
        assert programs is not None
        program = programs.version(row["program_version"])
        explanation = explain_again(explanation, program, row["occurred_time"], row["record_time"])
    postings = zip(row["sources"], row["targets"], row["points"], strict=True)
    moves = zip(row["lot_ids"], row["lot_points"], strict=True)
    return Posted(
        member_id=row["member_id"],
        transaction_id=row["transaction_id"],
        kind=Kind(row["kind"]),
        postings=tuple(Posting(Account(s), Account(t), points) for s, t, points in postings),
        moves=tuple(
            LotMove(lot_id, points, origins[lot_id][1], origins[lot_id][0])
            for lot_id, points in moves
        ),
        active_after=row["active_after"],
        pending_after=row["pending_after"],
        held_after=row["held_after"],
        debt_after=row["debt_after"],
        program_version=row["program_version"],
        request_id=row["request_id"],
        order_id=row["order_id"],
        hold_id=row["hold_id"],
        reversed_transaction_id=row["reversed_transaction_id"],
        occurred_time=row["occurred_time"],
        record_time=row["record_time"],
        explanation=explanation,
    )


async def load_origins(tx: Transaction, rows: list[Any]) -> Origins:
    """By lot, the accrual it stems from and its expiry, for all lots that transactions name."""
    keys = {(row["member_id"], lot_id) for row in rows for lot_id in row["lot_ids"]}
    if not keys:
        return {}
    columns = [list(column) for column in zip(*keys, strict=True)]
    found = await tx.fetch("get_lot_origins", *columns)
    return {row["lot_id"]: (row["transaction_id"], row["expire_time"]) for row in found}


class LedgerReader:
    """Answers questions; changes nothing."""

    def __init__(self, database: Database, feed: ProgramFeed, clock: Clock) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock

    async def list_transactions(
        self, member_id: str, wanted: TransactionFilter, before: UUID | None, count: int
    ) -> list[Told]:
        """Up to `count` transactions older than `before`, newest first."""
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch(
                "list_transactions", member_id, before or LAST_ID, count,
                wanted.kinds, wanted.from_time, wanted.to_time,
                wanted.order_id, wanted.hold_id, wanted.lot_id,
            )  # fmt: skip
            found = await _load_told(tx, rows)
        return _tell(found, await self._programs_of(rows))

    async def list_lots(
        self, member_id: str, state: int, before: UUID | None, count: int
    ) -> list[LotView]:
        """Up to `count` lots older than `before`, newest first; in one state, or in any for 0."""
        async with self._database.statements() as tx:
            rows = await tx.fetch(
                "list_lots", member_id, before or LAST_ID, count, self._clock(), state
            )
        return [LotView(*row) for row in rows]

    async def get_transaction(self, member_id: str, transaction_id: UUID) -> Told:
        """One transaction. Raises TransactionNotFound."""
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch("get_transactions", [member_id], [transaction_id])
            found = await _load_told(tx, rows)
        if not rows:
            raise TransactionNotFound(member_id=member_id, transaction_id=transaction_id)
        return _tell(found, await self._programs_of(rows))[0]

    async def _programs_of(self, rows: Sequence[Any]) -> ProgramHistory | None:
        """The versions that decided transactions: one may be newer than this process knows."""
        if not any(is_short(row["explanation"]) for row in rows):
            return None
        programs = await self._feed.ensure()
        if any(row["program_version"] > programs.newest.version for row in rows):
            await self._feed.refresh()
            programs = await self._feed.ensure()
        return programs

    async def get_window_used(self, day: WindowDay) -> int:
        """Points that a member uses of a day of a promotion window."""
        async with self._database.statements() as tx:
            return await tx.fetchval("get_promotion_use", *day) or 0

    async def get_totals(self, at: datetime | None = None) -> Totals:
        """Every account over all members, as one snapshot; as it was recorded at an instant."""
        async with self._database.transaction(readonly=True) as tx:
            await tx.execute("take_snapshot")
            rows = await tx.fetch("sum_accounts", at)
            counts = await tx.fetchrow("count_ledger", at)
        points = tuple((Account(row["account"]), row["points"]) for row in rows)
        return Totals(points, counts["transaction_count"], counts["member_count"])


class _Found(NamedTuple):
    """Transactions with what belongs to them in other tables."""

    rows: Sequence[Any]
    origins: Origins
    drawn: Mapping[UUID, list[SpentLot]]


async def _load_told(tx: Transaction, rows: Sequence[Any]) -> _Found:
    holds = {(row["member_id"], row["hold_id"]) for row in rows if row["kind"] == Kind.CAPTURE}
    drawn: defaultdict[UUID, list[SpentLot]] = defaultdict(list)
    if holds:
        columns = [list(column) for column in zip(*holds, strict=True)]
        for row in await tx.fetch("get_drawn_lots", *columns):
            drawn[row["hold_id"]].append(SpentLot(*tuple(row)[1:]))
    return _Found(rows, await load_origins(tx, list(rows)), drawn)


def _tell(found: _Found, programs: ProgramHistory | None) -> list[Told]:
    booked = [posted_from_row(row, found.origins, programs) for row in found.rows]
    return [Told(posted, _spent_lots(posted, found.drawn)) for posted in booked]


def _spent_lots(posted: Posted, drawn: Mapping[UUID, list[SpentLot]]) -> tuple[SpentLot, ...]:
    """What a capture took of the lots under its hold: they are spent in the order they were drawn,
    so that it is the stretch between what was captured before it and after it.
    """
    if posted.kind is not Kind.CAPTURE or posted.hold_id is None or posted.explanation is None:
        return ()
    end = posted.explanation["hold"]["captured"]
    begin = end - sum(move.points for move in posted.postings if move.target is Account.REDEEMED)
    spent, passed = [], 0
    for lot in drawn[posted.hold_id]:
        points = min(end, passed + lot.points) - max(begin, passed)
        if points > 0:
            spent.append(lot._replace(points=points))
        passed += lot.points
    return tuple(spent)
