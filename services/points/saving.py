"""Writes what changed in a book: new rows and changed rows, one statement for each table."""

from collections.abc import Sequence
from datetime import datetime

from kit.db import Transaction
from points.book import Book
from points.values import Command, HoldRecord, LotState, Posted

Booked = tuple[Command, Posted]


async def save_commands(
    tx: Transaction, book: Book, booked: Sequence[Booked], now: datetime
) -> None:
    """Writes what commands have done, and their request ids."""
    await _save_requests(tx, booked)
    await save(tx, book, [*(posted for _, posted in booked), *book.bonuses], now)


async def _save_requests(tx: Transaction, booked: Sequence[Booked]) -> None:
    await tx.execute(
        "insert_requests",
        [command.request_id for command, _ in booked],
        [type(command).__name__ for command, _ in booked],
        [command.digest for command, _ in booked],
        [posted.transaction_id.bytes + posted.member_id.encode() for _, posted in booked],
    )


async def save(tx: Transaction, book: Book, posted: Sequence[Posted], now: datetime) -> None:
    """Writes transactions, lots, holds, returns and balances; nothing where nothing changed."""
    if posted:
        await _insert_transactions(tx, posted, now)
    await _write_lots(tx, book)
    if book.replacements:
        columns = [list(column) for column in zip(*book.replacements, strict=True)]
        await tx.execute("insert_lot_replacements", *columns)
    if book.changed_holds:
        await _write_holds(tx, list(book.changed_holds.values()))
    if book.changed_uses:
        await _write_uses(tx, book)
    if book.changed_accruals:
        await _write_returns(tx, book)
    if book.new_debts:
        await _write_debts(tx, book)
    if book.changed_accounts:
        await _update_accounts(tx, book)


async def _insert_transactions(tx: Transaction, posted: Sequence[Posted], now: datetime) -> None:
    await tx.execute(
        "insert_transactions",
        [p.member_id for p in posted],
        [p.transaction_id for p in posted],
        [p.kind for p in posted],
        [_array([posting.source for posting in p.postings]) for p in posted],
        [_array([posting.target for posting in p.postings]) for p in posted],
        [_array([posting.points for posting in p.postings]) for p in posted],
        [_array([move.lot_id for move in p.moves]) for p in posted],
        [_array([move.points for move in p.moves]) for p in posted],
        [p.active_after for p in posted],
        [p.pending_after for p in posted],
        [p.held_after for p in posted],
        [p.debt_after for p in posted],
        [p.program_version for p in posted],
        [p.request_id for p in posted],
        [p.order_id for p in posted],
        [p.hold_id for p in posted],
        [p.reversed_transaction_id for p in posted],
        [p.occurred_time for p in posted],
        now,
        [p.explanation for p in posted],
    )


def _array(values: Sequence[object]) -> str:
    """An array literal: an array of arrays of different lengths is nothing that Postgres knows."""
    return "{" + ",".join(map(str, map(_plain, values))) + "}"


def _plain(value: object) -> object:
    return int(value) if isinstance(value, int) else value


async def _write_lots(tx: Transaction, book: Book) -> None:
    if book.new_lots:
        await tx.execute("insert_lots", *_new_lot_columns(book.new_lots))
    if changed := book.lots_to_update():
        await tx.execute(
            "update_lots",
            [lot.member_id for lot in changed],
            [lot.lot_id for lot in changed],
            [lot.pending for lot in changed],
            [lot.remaining for lot in changed],
            [lot.expired for lot in changed],
            [lot.due_time for lot in changed],
            [lot.mature_time for lot in changed],
        )


def _new_lot_columns(lots: Sequence[LotState]) -> list[list[object]]:
    return [
        [lot.member_id for lot in lots],
        [lot.lot_id for lot in lots],
        [lot.transaction_id for lot in lots],
        [lot.pending for lot in lots],
        [lot.points for lot in lots],
        [lot.remaining for lot in lots],
        [lot.expired for lot in lots],
        [lot.mature_time for lot in lots],
        [lot.expire_time for lot in lots],
        [lot.due_time for lot in lots],
    ]


async def _write_holds(tx: Transaction, holds: Sequence[HoldRecord]) -> None:
    parts = [(hold, part) for hold in holds for part in hold.lots]
    await tx.execute(
        "upsert_holds",
        [hold.member_id for hold in holds],
        [hold.hold_id for hold in holds],
        [hold.points for hold in holds],
        [hold.captured for hold in holds],
        [hold.released for hold in holds],
        [hold.refunded for hold in holds],
        [hold.state for hold in holds],
        [hold.order_id for hold in holds],
        [hold.program_version for hold in holds],
        [hold.expire_time for hold in holds],
        [hold.create_time for hold in holds],
        [hold.window_day.member_id if hold.window_day else None for hold in holds],
        [hold.window_day.window if hold.window_day else None for hold in holds],
        [hold.window_day.day if hold.window_day else None for hold in holds],
        [hold.window_points or None for hold in holds],
        [hold.member_id for hold, _ in parts],
        [hold.hold_id for hold, _ in parts],
        [part.ordinal for _, part in parts],
        [part.lot_id for _, part in parts],
        [part.points for _, part in parts],
        [part.captured for _, part in parts],
        [part.released for _, part in parts],
        [part.refunded for _, part in parts],
    )


async def _write_uses(tx: Transaction, book: Book) -> None:
    days = sorted(book.changed_uses)
    uses = [book.use(day) for day in days]
    await tx.execute(
        "upsert_promotion_uses",
        *(list(column) for column in zip(*days, strict=True)),
        [use.points for use in uses],
        [use.points_max for use in uses],
    )


async def _write_returns(tx: Transaction, book: Book) -> None:
    records = list(book.changed_accruals.values())
    await tx.execute(
        "upsert_accrual_returns",
        [record.booked_member_id for record in records],
        [record.transaction_id for record in records],
        [record.returned_minor for record in records],
        [record.reversed_points for record in records],
        [record.forgiven_points for record in records],
        [record.kept_lines for record in records],
        [record.cash_points for record in records],
    )


async def _write_debts(tx: Transaction, book: Book) -> None:
    await tx.execute(
        "insert_debts",
        [debt.member_id for debt in book.new_debts],
        [debt.transaction_id for debt in book.new_debts],
        [debt.points for debt in book.new_debts],
        [debt.expire_time for debt in book.new_debts],
    )


async def _update_accounts(tx: Transaction, book: Book) -> None:
    accounts = [book.accounts[member_id] for member_id in sorted(book.changed_accounts)]
    await tx.execute(
        "update_accounts",
        [account.member_id for account in accounts],
        [account.active for account in accounts],
        [account.pending for account in accounts],
        [account.held for account in accounts],
        [account.debt for account in accounts],
    )
