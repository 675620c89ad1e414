"""What the ledger tells the others."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from google.type.money_pb2 import Money
from kit.clock import NewId, to_timestamp
from kit.money import from_minor
from kit.telemetry import trace_parent
from laurel.event.v1 import event_pb2 as pb

from points.values import Kind, Posted


def render_events(posted: Iterable[Posted], new_id: NewId) -> list[pb.Event]:
    """One event for each transaction that others care for; a hold and its release are nobody else's business."""
    trace = trace_parent()
    events = []
    for entry in posted:
        event = _payload(entry)
        if event is not None:
            event.event_id = str(new_id())
            event.member_id = entry.member_id
            event.occurred_time.CopyFrom(to_timestamp(entry.occurred_time))
            event.record_time.CopyFrom(to_timestamp(entry.record_time))
            event.program_version = entry.program_version
            event.trace_parent = trace
            events.append(event)
    return events


def _payload(entry: Posted) -> pb.Event | None:
    transaction_id = str(entry.transaction_id)
    points = sum(abs(posting.points) for posting in entry.postings)
    match entry.kind:
        case Kind.ACCRUAL:
            return pb.Event(points_accrued=_accrued(entry, transaction_id))
        case Kind.MATURATION:
            return pb.Event(
                points_matured=pb.PointsMatured(transaction_id=transaction_id, points=points)
            )
        case Kind.CAPTURE:
            redeemed = pb.PointsRedeemed(
                transaction_id=transaction_id, hold_id=str(entry.hold_id),
                order_id=entry.order_id or "", points=entry.postings[0].points,
            )  # fmt: skip
            return pb.Event(points_redeemed=redeemed)
        case Kind.REFUND:
            refunded = pb.PointsRefunded(
                transaction_id=transaction_id, hold_id=str(entry.hold_id), points=points
            )
            return pb.Event(points_refunded=refunded)
        case Kind.REVERSAL:
            return pb.Event(accrual_reversed=_reversed(entry, transaction_id, points))
        case Kind.EXPIRY:
            return pb.Event(
                points_expired=pb.PointsExpired(transaction_id=transaction_id, points=points)
            )
        case Kind.HOLD | Kind.RELEASE:
            return None


def _accrued(entry: Posted, transaction_id: str) -> pb.PointsAccrued:
    assert entry.explanation is not None
    return pb.PointsAccrued(
        transaction_id=transaction_id,
        order_id=entry.order_id or "",
        points=entry.explanation["points"],
        spend=spend_of(entry),
        under_review=entry.explanation["review"],
    )


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
    )


def spend_of(entry: Posted) -> Money | None:
    """The spend that a transaction is for, None where there is none."""
    explanation = entry.explanation or {}
    if "spend" not in explanation:
        return None
    return from_minor(explanation["spend"], explanation["currency"], explanation["digits"])


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
