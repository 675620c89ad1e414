"""Events that checkout tells: what checkout knows -> laurel.event.v1.Event."""

from datetime import datetime

from checkout.refunding import RefundSaga
from checkout.saga import Saga
from kit.clock import NewId, to_timestamp
from kit.money import from_minor
from kit.telemetry import trace_parent
from laurel.event.v1.event_pb2 import CheckoutCompleted, CheckoutRefunded, Event


def render_completed(saga: Saga, now: datetime, new_id: NewId) -> Event:
    """A checkout was paid; it happened when its completion was asked for."""
    completed = CheckoutCompleted(
        checkout_id=str(saga.checkout_id),
        order_id=saga.order_id,
        points=saga.points,
        cash=from_minor(saga.cash_minor, saga.currency, saga.digits),
    )
    event = _envelope(saga, saga.complete_time or now, now, new_id)
    event.checkout_completed.CopyFrom(completed)
    return event


def render_refunded(saga: RefundSaga, now: datetime, new_id: NewId) -> Event:
    """A refund has come to its end."""
    refunded = CheckoutRefunded(
        checkout_id=str(saga.checkout_id),
        order_id=saga.order_id,
        points=saga.points,
        cash=from_minor(saga.cash_minor, saga.currency, saga.digits),
    )
    event = _envelope(saga, now, now, new_id)
    event.checkout_refunded.CopyFrom(refunded)
    return event


def _envelope(saga: Saga | RefundSaga, occurred: datetime, now: datetime, new_id: NewId) -> Event:
    return Event(
        event_id=str(new_id()),
        member_id=saga.member_id,
        occurred_time=to_timestamp(occurred),
        record_time=to_timestamp(now),
        program_version=saga.program_version,
        trace_parent=trace_parent(),
    )
