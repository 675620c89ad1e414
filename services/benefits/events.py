"""Events that benefits hears and tells: laurel.event.v1.Event <-> what benefits knows."""

from datetime import datetime
from uuid import UUID

from benefits.entitlements import Entitlement
from benefits.granting import TierFact
from benefits.reservations import Reservation
from kit.clock import NewId, from_timestamp, to_timestamp
from kit.money import from_minor
from kit.telemetry import trace_parent
from laurel.event.v1.event_pb2 import BenefitGranted, BenefitRedeemed, Event

__all__ = ["Event", "kind_of", "parse_fact", "render_granted", "render_redeemed"]


def kind_of(event: Event) -> str:
    """Name of what happened, such as `tier_changed`."""
    return event.WhichOneof("payload") or ""


def parse_fact(event: Event) -> TierFact:
    """What an event says about a member's tier; an enrolment names none."""
    change = event.tier_changed
    return TierFact(
        event_id=UUID(event.event_id),
        member_id=event.member_id,
        tier_id=change.to_tier_id,
        # Who gets a tier back has had its gift.
        is_upgrade=change.to_rank > change.from_rank and change.reason != "RESTORED",
        occurred_time=from_timestamp(event.occurred_time),
        record_time=from_timestamp(event.record_time),
        program_version=event.program_version,
        trace_parent=event.trace_parent,
    )


def render_granted(held: Entitlement, cause: TierFact, now: datetime, new_id: NewId) -> Event:
    """A member was given a benefit."""
    granted = BenefitGranted(entitlement_id=str(held.entitlement_id), benefit_id=held.benefit_id)
    if held.expire_time is not None:
        granted.expire_time.CopyFrom(to_timestamp(held.expire_time))
    return Event(
        event_id=str(new_id()),
        member_id=held.member_id,
        occurred_time=to_timestamp(held.create_time),
        record_time=to_timestamp(now),
        program_version=held.program_version,
        trace_parent=cause.trace_parent,
        benefit_granted=granted,
    )


def render_redeemed(reservation: Reservation, now: datetime, new_id: NewId) -> list[Event]:
    """The benefits of a reservation were used, each with what it took off the order."""
    return [
        Event(
            event_id=str(new_id()),
            member_id=reservation.member_id,
            occurred_time=to_timestamp(now),
            record_time=to_timestamp(now),
            program_version=reservation.program_version,
            trace_parent=trace_parent(),
            benefit_redeemed=BenefitRedeemed(
                entitlement_id=str(item.entitlement_id),
                benefit_id=item.benefit_id,
                order_id=reservation.order_id,
                discount=from_minor(
                    item.discount_minor, reservation.currency, reservation.currency_digits
                ),
            ),
        )
        for item in reservation.items
    ]
