"""What becomes of an accrual that was under review, once that is decided; pure but for the book.

Legitimate, it goes on as if it had never waited: what is owed is paid first, and the rest is active
or waits for the end of its return window. Fraudulent, it is taken back in whole with its bonuses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from points import errors, returns
from points.book import Book
from points.posting import Desk, move, next_due, post
from points.rule_accruals import RuleGrant
from points.values import (
    Account,
    AccrualRecord,
    Accrue,
    Grant,
    Kind,
    LotMove,
    LotState,
    Posted,
    Posting,
    Reverse,
    Standing,
    Verdict,
)
from rules import expiry

LINE = "review"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An accrual that waits for a verdict, and what is known of it."""

    record: AccrualRecord
    verdict: Verdict
    lost_points: int
    """Points of its bonuses that returns took back before, of whichever accruals."""
    first_lots: Mapping[UUID, UUID]
    """By lot that a merge has moved, the lot that the accrual had left."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled accrual: what was booked for it, and what of it counts from now on."""

    waiting: Waiting
    posted: tuple[Posted, ...]
    spend_minor: int
    points: int


def by_verdict(grant: Grant | RuleGrant, command: Accrue, book: Book) -> Grant | RuleGrant:
    """A grant under review, by what was decided meanwhile; any other stays as it is.

    Raises Denied.
    """
    verdict = book.verdicts.get(command.request_id) if grant.under_review else None
    if verdict is None or verdict.member_id != command.member_id:
        return grant
    if isinstance(grant, RuleGrant):
        if not verdict.is_legitimate:
            raise errors.Denied(assessment_id=grant.assessment_id)
        return replace(grant, under_review=False, lines=(_line(verdict),))
    if not verdict.is_legitimate:
        raise errors.Denied(assessment_id=grant.explanation.get("assessment", ""))
    explanation = {**grant.explanation, "review": False}
    explanation["lines"] = [*explanation["lines"], _line(verdict)]
    return Grant(grant.points, explanation, under_review=False)


def bonus_ids(record: AccrualRecord) -> list[UUID]:
    """The transactions of the bonuses that an accrual had completed for its member."""
    bonuses = record.explanation.get("bonuses", ())
    return [UUID(transaction_id) for *_, transaction_id in bonuses if transaction_id]


def lots_under_review(record: AccrualRecord, book: Book) -> list[LotState]:
    """What is left of an accrual and its bonuses and waits, in the order of age."""
    causes = [record.transaction_id, *bonus_ids(record)]
    lots = [lot for one in causes for lot in book.lots_of_accrual(record.member_id, one)]
    waiting = [lot for lot in lots if lot.remaining and lot.pending and lot.mature_time is None]
    return sorted(waiting, key=lambda lot: lot.lot_id)


def settle(waiting: Waiting, book: Book, desk: Desk) -> Settled:
    """Carries a verdict out."""
    record = waiting.record
    if not waiting.verdict.is_legitimate:
        return Settled(waiting, tuple(_take_back(waiting, book, desk)), 0, 0)
    return Settled(
        waiting,
        (_let_go(waiting, book, desk),),
        record.explanation["spend"] - record.returned_minor,
        max(0, _points_left(waiting) + _bonuses_left(waiting, book)),
    )


def _points_left(waiting: Waiting) -> int:
    """Points of the accrual itself that no return took back; of what expired none is."""
    record = waiting.record
    points: int = record.explanation["points"]
    return points - record.reversed_points + record.forgiven_points


def _bonuses_left(waiting: Waiting, book: Book) -> int:
    """Points of its bonuses that no return took back; they count from now on, too."""
    given = waiting.record.explanation.get("bonuses", ())
    points: int = sum(points for _, points, _, id_ in given if id_) - waiting.lost_points
    for id_ in bonus_ids(waiting.record):
        if bonus := book.counting.bonuses.get(id_):
            # What was taken back by a verdict that came together with this one.
            points -= bonus.lost_points
            bonus.under_review = False
    return points


def _let_go(waiting: Waiting, book: Book, desk: Desk) -> Posted:
    record = waiting.record
    account = book.account(record.member_id)
    active = repaid = 0
    moves: list[LotMove] = []
    latest: datetime | None = None
    for lot in lots_under_review(record, book):
        paid = min(account.debt, lot.remaining)
        if paid:
            account.debt -= paid
            account.pending -= paid
            repaid += paid
            moves.append(move(book, lot, -paid))
        mature = _release(lot, waiting, book, desk)
        if lot.pending and mature is not None:
            latest = max(mature, latest or mature)
        else:
            active += lot.remaining
    account.pending -= active
    account.active += active
    postings = [
        Posting(Account.PENDING, target, points)
        for target, points in ((Account.DEBT, repaid), (Account.ACTIVE, active))
        if points
    ]
    explanation = _explain(waiting)
    if repaid:
        line = ["debt_repaid", True, "", str(-repaid), "what the member owed is paid first"]
        explanation["lines"].append(line)
    if latest is not None:
        explanation["mature"] = latest.isoformat()
    return post(
        book, desk, account, Kind.MATURATION, postings, moves,
        program_version=record.program_version, order_id=record.order_id, explanation=explanation,
    )  # fmt: skip


def _release(lot: LotState, waiting: Waiting, book: Book, desk: Desk) -> datetime | None:
    """Makes a lot what it had been without a review; when it matures."""
    record = waiting.record
    program = desk.programs.version(record.program_version)
    first = waiting.first_lots.get(lot.lot_id, lot.lot_id)
    days = record.explanation.get("waits", {}).get(str(first))
    mature = expiry.mature_time(record.occurred_time, program, days)
    lot.mature_time = mature
    lot.pending = mature is not None and mature > desk.now
    lot.due_time = next_due(lot.pending, mature, lot.expire_time, program)
    book.change_lot(lot)
    return mature


def _take_back(waiting: Waiting, book: Book, desk: Desk) -> list[Posted]:
    record = waiting.record
    account = book.account(record.member_id)
    posted = []
    # What a closed account had is forfeited already: nothing of it is owed.
    if not _is_all_back(record) and account.state != Standing.CLOSED:
        command = Reverse("", b"", record.member_id, record.transaction_id, None)
        reversal = returns.reverse(command, book, desk)
        reversal.request_id = None
        assert reversal.explanation is not None
        reversal.explanation["lines"].append(_line(waiting.verdict))
        posted.append(reversal)
    # Bonuses that returns leave alone, such as those for days in a row. What goes now cannot be
    # lost by a later return once more.
    gone = set(bonus_ids(record))
    for slot, bonus_id in list(book.counting.bonus_ids.items()):
        if bonus_id in gone:
            del book.counting.bonus_ids[slot]
            book.counting.set(slot, book.counting.counter(slot))
    rest = lots_under_review(record, book)
    points = sum(lot.remaining for lot in rest)
    if points:
        moves = [move(book, lot, -lot.remaining) for lot in rest]
        account.pending -= points
        line = [LINE, True, "", str(-points), waiting.verdict.cause]
        explanation = {**_explain(waiting), "lines": [line], "spend": 0, "under_review": True}
        posted.append(
            post(
                book, desk, account, Kind.REVERSAL,
                [Posting(Account.PENDING, Account.REVERSED, points)], moves,
                program_version=record.program_version, order_id=record.order_id,
                reversed_transaction_id=record.transaction_id, explanation=explanation,
            )
        )  # fmt: skip
    return posted


def _is_all_back(record: AccrualRecord) -> bool:
    spend = record.explanation["spend"]
    return bool(record.returned_minor >= spend and (spend or record.returned))


def _explain(waiting: Waiting) -> dict[str, Any]:
    record = waiting.record
    kept = {key: record.explanation[key] for key in ("currency", "digits")}
    if "region" in record.explanation:
        kept["region"] = record.explanation["region"]
    if record.booked_member_id != record.member_id:
        kept["booked_member"] = record.booked_member_id
    return {
        **kept,
        "lines": [_line(waiting.verdict)],
        "spend": record.explanation["spend"] - record.returned_minor,
        "accrual_occurred": record.occurred_time.isoformat(),
        "cause": str(record.transaction_id),
    }


def _line(verdict: Verdict) -> list[object]:
    return [LINE, True, "", "0", verdict.cause]
