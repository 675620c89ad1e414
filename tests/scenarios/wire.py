"""What happens, in the words of the contract."""

from datetime import datetime

from google.type.money_pb2 import Money

from kit.clock import new_id, to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.event.v1.event_pb2 import AccrualReversed, Event, MemberEnrolled, PointsAccrued
from laurel.program.v1 import program_pb2
from scenarios.stream import LOG_IN, PURCHASE, Deed, Enrolment, Place, Report, Return


def operation(deed: Deed, request_id: str) -> pb.Operation:
    """A deed as points asks about it."""
    kind = (
        program_pb2.FRAUD_OPERATION_REDEMPTION
        if deed.is_redemption
        else program_pb2.FRAUD_OPERATION_ACCRUAL
    )
    return pb.Operation(
        request_id=request_id,
        kind=kind,
        member_id=deed.member,
        points=deed.points,
        amount=None if deed.cents is None else _money(deed.cents),
        occurred_time=to_timestamp(deed.time),
        origin=_origin(deed.place),
        tier_id="member",
        order_id=deed.order,
        type=deed.type,
        counterparty_member_id=deed.receiver,
    )


def activity(report: Report) -> pb.Activity:
    """A log-in or a change of the profile, as the shop's front end reports it."""
    kind = pb.ACTIVITY_KIND_LOGIN if report.activity == LOG_IN else pb.ACTIVITY_KIND_PROFILE_CHANGE
    return pb.Activity(
        member_id=report.member,
        kind=kind,
        occurred_time=to_timestamp(report.time),
        origin=_origin(report.place),
    )


def enrolled(enrolment: Enrolment) -> Event:
    """As tier tells of it."""
    return _event(enrolment.member, enrolment.time, member_enrolled=MemberEnrolled(channel="web"))


def accrued(deed: Deed, *, under_review: bool) -> Event:
    """As points tells of a purchase that it has booked."""
    assert deed.type == PURCHASE
    assert deed.cents is not None
    payload = PointsAccrued(
        transaction_id=str(new_id()),
        order_id=deed.order,
        points=deed.points,
        spend=_money(deed.cents),
        under_review=under_review,
    )
    return _event(deed.member, deed.time, points_accrued=payload)


def reversed_(back: Return) -> Event:
    """As points tells of an order that came back."""
    payload = AccrualReversed(
        transaction_id=str(new_id()),
        accrual_transaction_id=str(new_id()),
        points=back.points,
        spend=_money(back.cents),
        accrual_occurred_time=to_timestamp(back.bought_time),
    )
    return _event(back.member, back.time, accrual_reversed=payload)


def _event(
    member: str, when: datetime, **payload: MemberEnrolled | PointsAccrued | AccrualReversed
) -> Event:
    stamp = to_timestamp(when)
    return Event(
        event_id=str(new_id()),
        member_id=member,
        occurred_time=stamp,
        record_time=stamp,
        program_version=1,
        **payload,  # type: ignore[arg-type]
    )


def _money(cents: int) -> Money:
    return Money(currency_code="USD", units=cents // 100, nanos=cents % 100 * 10**7)


def _origin(place: Place) -> pb.Origin:
    origin = pb.Origin(
        channel=place.channel,
        store=place.store,
        device=place.device,
        ip=place.ip,
        card=place.card,
        staff_member_id=place.staff,
    )
    if place.location is not None:
        origin.location.latitude_degrees, origin.location.longitude_degrees = place.location
    return origin
