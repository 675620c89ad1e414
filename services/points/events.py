"""What the ledger tells the others."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any
from uuid import UUID

from google.type.money_pb2 import Money

from kit.clock import to_timestamp
from kit.events import EVENTS_PER_MESSAGE_MAX
from kit.money import from_minor, set_minor
from kit.telemetry import trace_parent
from laurel.event.v1 import event_pb2 as pb
from points.counting import Badge
from points.plain import Draft, Terms
from points.posting import Desk
from points.reviews import Settled
from points.values import Account, Kind, Posted
from rules.accrual_values import PURCHASE

TOLD = frozenset(
    {
        Kind.ACCRUAL, Kind.MATURATION, Kind.CAPTURE, Kind.REDEMPTION, Kind.REFUND,
        Kind.REVERSAL, Kind.EXPIRY, Kind.BONUS,
    }
)  # fmt: skip


def render_accrued_batches(drafts: Sequence[Draft], now: datetime) -> list[pb.EventBatch]:
    """The events of plain accruals. What those of one instant share is copied, which takes two
    thirds of the time of setting it field by field.
    """
    forms: dict[int, pb.Event] = {}
    batches = []
    for start in range(0, len(drafts), EVENTS_PER_MESSAGE_MAX):
        page = drafts[start : start + EVENTS_PER_MESSAGE_MAX]
        for draft in page:
            if id(draft.terms) not in forms:
                forms[id(draft.terms)] = _accrued_form(draft.terms, now)
        batch = pb.EventBatch(events=[forms[id(draft.terms)] for draft in page])
        batches.append(batch)
        for event, (allowed, terms, transaction_id) in zip(batch.events, page, strict=True):
            command, _, points = allowed.offer
            program = terms.program
            event.event_id = text_id = str(transaction_id)
            event.member_id = command.member_id
            accrued = event.points_accrued
            accrued.transaction_id = text_id
            accrued.order_id = command.order_id
            accrued.points = points
            if command.origin.region:
                accrued.region = command.origin.region
            set_minor(accrued.spend, command.amount_minor, program.currency, program.minor_digits)
    return batches


def _accrued_form(terms: Terms, now: datetime) -> pb.Event:
    """What the events of all plain accruals of the same terms have in common."""
    return pb.Event(
        occurred_time=to_timestamp(terms.occurred_time),
        record_time=to_timestamp(now),
        program_version=terms.program.version,
        trace_parent=trace_parent(),
    )


def render_events(posted: Iterable[Posted]) -> list[pb.Event]:
    """One event for each transaction that others care for, under the transaction's own id.

    Any other kind, such as a hold, is nobody else's business.
    """
    trace = trace_parent()
    return [
        pb.Event(
            event_id=str(entry.transaction_id),
            member_id=entry.member_id,
            occurred_time=to_timestamp(entry.occurred_time),
            record_time=to_timestamp(entry.record_time),
            program_version=entry.program_version,
            trace_parent=trace,
            **_payload(entry),  # type: ignore[arg-type]  # the field that the kind asks for
        )
        for entry in posted
        if entry.kind in TOLD and not _changes_nothing(entry)
    ]


def _changes_nothing(entry: Posted) -> bool:
    # A review that is settled while the points still wait for returns.
    return entry.kind is Kind.MATURATION and not _matured(entry)


def _matured(entry: Posted) -> int:
    return sum(one.points for one in entry.postings if one.target is Account.ACTIVE)


def _payload(entry: Posted) -> dict[str, object]:
    transaction_id = str(entry.transaction_id)
    if entry.kind is Kind.ACCRUAL:
        return {"points_accrued": _accrued(entry, transaction_id)}
    points = sum(posting.points for posting in entry.postings)
    ids = {"transaction_id": transaction_id}
    match entry.kind:
        case Kind.MATURATION:
            return {"points_matured": pb.PointsMatured(**ids, points=_matured(entry))}
        case Kind.CAPTURE | Kind.REDEMPTION:
            redeemed = pb.PointsRedeemed(
                **ids, hold_id=str(entry.hold_id), order_id=entry.order_id or "",
                points=entry.postings[0].points,
            )  # fmt: skip
            return {"points_redeemed": redeemed}
        case Kind.REFUND:
            hold_id = str(entry.hold_id)
            return {"points_refunded": pb.PointsRefunded(**ids, hold_id=hold_id, points=points)}
        case Kind.REVERSAL:
            return {"accrual_reversed": _reversed(entry, transaction_id, points)}
        case Kind.EXPIRY:
            return {"points_expired": pb.PointsExpired(**ids, points=points)}
        case Kind.BONUS:
            return {"bonus_accrued": _bonus(entry, transaction_id)}
        case _:
            raise ValueError(f"{entry.kind.name} makes no event")


def _accrued(entry: Posted, transaction_id: str) -> pb.PointsAccrued:
    assert entry.explanation is not None
    return pb.PointsAccrued(
        transaction_id=transaction_id,
        order_id=entry.order_id or "",
        points=entry.explanation["points"],
        spend=spend_of(entry),
        under_review=entry.explanation["review"],
        region=entry.explanation.get("region", ""),
        event_type=_activity_of(entry.explanation),
    )


def _activity_of(explanation: dict[str, Any]) -> str:
    event: str = explanation.get("basis", {}).get("event", PURCHASE)
    return "" if event == PURCHASE else event


def _bonus(entry: Posted, transaction_id: str) -> pb.BonusAccrued:
    assert entry.explanation is not None
    return pb.BonusAccrued(
        transaction_id=transaction_id,
        name=entry.explanation["name"],
        points=entry.explanation["points"],
        under_review=entry.explanation["review"],
        region=entry.explanation.get("region", ""),
    )


def render_badges(badges: Iterable[Badge], desk: Desk) -> list[pb.Event]:
    """One event for each badge that was earned."""
    trace = trace_parent()
    return [
        pb.Event(
            event_id=str(desk.new_id()),
            member_id=badge.member_id,
            occurred_time=to_timestamp(badge.occurred_time),
            record_time=to_timestamp(desk.now),
            program_version=badge.program_version,
            trace_parent=trace,
            badge_earned=pb.BadgeEarned(badge=badge.badge, name=badge.name, period=badge.period),
        )
        for badge in badges
    ]


def _reversed(entry: Posted, transaction_id: str, points: int) -> pb.AccrualReversed:
    assert entry.explanation is not None
    accrued = datetime.fromisoformat(entry.explanation["accrual_occurred"])
    return pb.AccrualReversed(
        transaction_id=transaction_id,
        accrual_transaction_id=str(entry.reversed_transaction_id),
        points=points,
        spend=spend_of(entry),
        accrual_occurred_time=to_timestamp(accrued),
        under_review=entry.explanation["under_review"],
        region=entry.explanation.get("region", ""),
        booked_member_id=entry.explanation.get("booked_member", entry.member_id),
        lost_bonuses=[_lost(bonus) for bonus in entry.explanation.get("lost_bonuses", ())],
        cash_points=entry.explanation.get("cash_points", 0),
    )


def _lost(bonus: dict[str, Any]) -> pb.LostBonus:
    return pb.LostBonus(
        transaction_id=bonus["id"],
        points=bonus["points"],
        occurred_time=to_timestamp(datetime.fromisoformat(bonus["occurred"])),
        program_version=bonus["version"],
        under_review=bonus["review"],
        region=bonus["region"],
    )


def spend_of(entry: Posted) -> Money | None:
    """The spend that a transaction is for, None where there is none."""
    explanation = entry.explanation or {}
    if "spend" not in explanation:
        return None
    return from_minor(explanation["spend"], explanation["currency"], explanation["digits"])


def review_settled_event(settled: Settled, desk: Desk) -> pb.Event:
    """What was decided about an accrual that had been under review, and what of it counts now."""
    record = settled.waiting.record
    explanation = record.explanation
    spend = from_minor(settled.spend_minor, explanation["currency"], explanation["digits"])
    return pb.Event(
        event_id=str(desk.new_id()),
        member_id=record.member_id,
        occurred_time=to_timestamp(desk.now),
        record_time=to_timestamp(desk.now),
        program_version=record.program_version,
        trace_parent=trace_parent(),
        review_settled=pb.ReviewSettled(
            transaction_id=str(settled.posted[0].transaction_id) if settled.posted else "",
            accrual_transaction_id=str(record.transaction_id),
            spend=spend,
            points=settled.points,
            accrual_occurred_time=to_timestamp(record.occurred_time),
            legitimate=settled.waiting.verdict.is_legitimate,
            region=explanation.get("region", ""),
            booked_member_id=record.booked_member_id,
        ),
    )


def account_event(
    member_id: str, action: IntEnum, survivor_id: str, now: datetime, event_id: UUID
) -> pb.Event:
    """What was decided about an account."""
    return pb.Event(
        event_id=str(event_id),
        member_id=member_id,
        occurred_time=to_timestamp(now),
        record_time=to_timestamp(now),
        trace_parent=trace_parent(),
        account_changed=pb.AccountChanged(action=action.name, survivor_member_id=survivor_id),
    )


def expiring_event(
    member_id: str, points: int, expire_time: datetime, days: int, now: datetime, event_id: UUID
) -> pb.Event:
    """The warning that points of a member will expire."""
    return pb.Event(
        event_id=str(event_id),
        member_id=member_id,
        occurred_time=to_timestamp(now),
        record_time=to_timestamp(now),
        points_expiring=pb.PointsExpiring(
            points=points, expire_time=to_timestamp(expire_time), warning_days=days
        ),
    )
