"""What the ledger tells the others about points that moved between members and to causes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from kit.clock import to_timestamp
from kit.money import from_minor
from kit.telemetry import trace_parent
from laurel.event.v1 import event_pb2 as pb
from points.adjusting import Adjustment
from points.gifts import Certificate, Gift
from points.households import Change, Role
from points.values import Posted


def gift_events(gift: Gift) -> list[pb.Event]:
    """One event for each of the two members."""
    sent, received = gift.sent, gift.received
    return [
        _event(
            sent,
            gift_sent=pb.GiftSent(
                transaction_id=str(sent.transaction_id),
                receiver_member_id=received.member_id,
                points=gift.points,
                fee_points=gift.fee,
            ),
        ),
        _event(
            received,
            gift_received=pb.GiftReceived(
                transaction_id=str(received.transaction_id),
                giver_member_id=sent.member_id,
                points=gift.points - gift.fee,
            ),
        ),
    ]


def donation_event(posted: Posted, certificate: Certificate) -> pb.Event:
    """What was donated."""
    return _event(
        posted,
        points_donated=pb.PointsDonated(
            transaction_id=str(posted.transaction_id),
            certificate_id=str(certificate.certificate_id),
            points=certificate.points,
            amount=from_minor(certificate.amount_minor, certificate.currency, certificate.digits),
            cause=certificate.cause,
        ),
    )


def adjustment_event(posted: Posted, adjustment: Adjustment) -> pb.Event:
    """What an operator gave or took."""
    return _event(
        posted,
        points_adjusted=pb.PointsAdjusted(
            transaction_id=str(posted.transaction_id),
            adjustment_id=str(adjustment.adjustment_id),
            points=adjustment.points,
            reason=adjustment.reason,
        ),
    )


def household_event(
    member_id: str, household_id: str, change: Change, role: Role, now: datetime, event_id: UUID
) -> pb.Event:
    """What has changed for a member of a household."""
    return pb.Event(
        event_id=str(event_id),
        member_id=member_id,
        occurred_time=to_timestamp(now),
        record_time=to_timestamp(now),
        trace_parent=trace_parent(),
        household_changed=pb.HouseholdChanged(
            household_id=household_id, change=change.name, role=role.name
        ),
    )


def _event(posted: Posted, **payload: Any) -> pb.Event:
    return pb.Event(
        event_id=str(posted.transaction_id),
        member_id=posted.member_id,
        occurred_time=to_timestamp(posted.occurred_time),
        record_time=to_timestamp(posted.record_time),
        program_version=posted.program_version,
        trace_parent=trace_parent(),
        **payload,
    )
