"""What every decision about the ledger needs: the desk it is made at, and the posting it ends in.

Decisions are pure but for the book that they are handed: nothing of it changes when a command is
refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from points import promotions
from points.book import Book
from points.values import AccountState, HoldRecord, Kind, LotMove, LotState, Posted, Posting
from rules.compiled import CompiledProgram, ProgramHistory


@dataclass(frozen=True, slots=True)
class Desk:
    """What every decision may use: the instant it is booked at, new ids, and all versions of the
    program.
    """

    now: datetime
    new_id: Callable[[], UUID]
    programs: ProgramHistory

    @property
    def program(self) -> CompiledProgram:
        """The program in force now."""
        return self.programs.in_force(self.now)


def next_due(
    pending: bool, mature: datetime | None, expire: datetime | None, program: CompiledProgram
) -> datetime | None:
    """When the scheduled work must look at a lot: to mature it, unless it ends before that; else
    for its first warning or its expiry.
    """
    if pending and mature is not None:
        return mature if expire is None else min(mature, expire)
    if expire is None:
        return None
    days = program.expiry.warning_days
    return expire - timedelta(days=days[0]) if days else expire


def move(book: Book, lot: LotState, points: int) -> LotMove:
    """Puts points into a lot, or draws them from it where negative."""
    lot.remaining += points
    if points > 0 and lot.due_time is None:
        # Back in a lot that the scheduled work was done with: it must look again.
        lot.due_time = lot.expire_time
    book.change_lot(lot)
    return LotMove(lot.lot_id, points, lot.expire_time, lot.transaction_id)


def post_hold(
    book: Book,
    desk: Desk,
    account: AccountState,
    kind: Kind,
    postings: list[Posting],
    moves: list[LotMove],
    record: HoldRecord,
    request_id: str | None,
    occurred_time: datetime | None = None,
) -> Posted:
    """The transaction of a change to a hold, with the hold as it then stands."""
    return post(
        book, desk, account, kind, postings, moves, program_version=record.program_version,
        request_id=request_id, order_id=record.order_id, hold=record,
        occurred_time=occurred_time,
    )  # fmt: skip


def post(
    book: Book,
    desk: Desk,
    account: AccountState,
    kind: Kind,
    postings: list[Posting],
    moves: list[LotMove],
    *,
    transaction_id: UUID | None = None,
    program_version: int = 0,
    request_id: str | None = None,
    order_id: str | None = None,
    hold: HoldRecord | None = None,
    reversed_transaction_id: UUID | None = None,
    occurred_time: datetime | None = None,
    explanation: dict[str, Any] | None = None,
) -> Posted:
    """The transaction of a change to an account, with the balance as it then stands."""
    book.changed_accounts.add(account.member_id)
    if hold is not None:
        book.changed_holds[hold.hold_id] = hold
        promotions.count(hold, book)
        worth = promotions.told(hold, kind, postings, desk.programs.version(hold.program_version))
        explanation = {**(explanation or {}), "hold": {**_snapshot(hold), **worth}}
    return Posted(
        account.member_id, transaction_id or desk.new_id(), kind, tuple(postings), tuple(moves),
        account.active, account.pending, account.held, account.debt,
        program_version, request_id, order_id, hold.hold_id if hold else None,
        reversed_transaction_id, occurred_time or desk.now, desk.now, explanation,
    )  # fmt: skip


def _snapshot(record: HoldRecord) -> dict[str, object]:
    """The hold right after a transaction, so that a repeated request gets the answer of the first
    time.
    """
    return {
        "points": record.points,
        "captured": record.captured,
        "released": record.released,
        "refunded": record.refunded,
        "state": int(record.state),
        "expire": record.expire_time.isoformat(),
        "create": record.create_time.isoformat(),
    }
