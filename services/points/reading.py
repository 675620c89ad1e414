"""Reads the ledger: balances, transactions, totals."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from kit.db import Database, Transaction
from points.errors import TransactionNotFound
from points.values import Account, AccountState, Kind, LotMove, Posted, Posting

Origins = Mapping[UUID, tuple[UUID, datetime | None]]


@dataclass(frozen=True, slots=True)
class BalanceView:
    """A member's balances and the next points to expire."""

    account: AccountState
    next_expire_time: datetime | None
    next_expire_points: int


@dataclass(frozen=True, slots=True)
class Totals:
    """All accounts, summed from the entries."""

    points: tuple[tuple[Account, int], ...]
    transaction_count: int
    member_count: int


def posted_from_row(row: Any, origins: Origins) -> Posted:
    """A transaction as it was booked."""
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
        explanation=row["explanation"],
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

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_balance(self, member_id: str) -> BalanceView:
        """The balance; all zeros for a member without an account."""
        async with self._database.transaction(readonly=True) as tx:
            row = await tx.fetchrow("get_balance", member_id)
        if row is None:
            return BalanceView(AccountState(member_id), None, 0)
        account = AccountState(member_id, row["active"], row["pending"], row["held"], row["debt"])
        return BalanceView(account, row["expire_time"], row["points"] or 0)

    async def list_transactions(
        self, member_id: str, before: UUID | None, count: int
    ) -> list[Posted]:
        """Up to `count` transactions older than `before`, newest first."""
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch("list_transactions", member_id, before, count)
            origins = await load_origins(tx, rows)
        return [posted_from_row(row, origins) for row in rows]

    async def get_transaction(self, member_id: str, transaction_id: UUID) -> Posted:
        """One transaction. Raises TransactionNotFound."""
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch("get_transactions", [member_id], [transaction_id])
            if not rows:
                raise TransactionNotFound(member_id=member_id, transaction_id=transaction_id)
            return posted_from_row(rows[0], await load_origins(tx, rows))

    async def get_totals(self) -> Totals:
        """Every account over all members, as one snapshot."""
        async with self._database.transaction(readonly=True) as tx:
            await tx.execute("take_snapshot")
            rows = await tx.fetch("sum_accounts")
            counts = await tx.fetchrow("count_ledger")
        points = tuple((Account(row["account"]), row["points"]) for row in rows)
        return Totals(points, counts["transaction_count"], counts["member_count"])
