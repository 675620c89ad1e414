"""A checkout -> laurel.checkout.v1.Checkout."""

from google.type.money_pb2 import Money

from checkout.values import Checkout, Refund
from kit.clock import to_timestamp
from kit.money import from_minor
from laurel.checkout.v1 import checkout_service_pb2 as pb


def render_checkout(shown: Checkout, refunds_up_to: int | None = None) -> pb.Checkout:
    """A checkout, with the refunds up to a number where one is given."""
    refunds = [
        refund
        for refund in shown.refunds
        if refunds_up_to is None or refund.number <= refunds_up_to
    ]
    return pb.Checkout(
        checkout_id=str(shown.checkout_id),
        member_id=shown.member_id,
        order_id=shown.order_id,
        state=pb.CheckoutState.ValueType(shown.state.value),
        lines=[
            pb.Line(
                line_id=line.line_id,
                category=line.category,
                quantity=line.quantity,
                unit_price=_money(shown, line.unit_price_minor),
            )
            for line in shown.lines
        ],
        price=_price(shown),
        expire_time=to_timestamp(shown.expire_time),
        hold_id=shown.hold_id,
        reservation_id=shown.reservation_id,
        accrual_transaction_id=shown.accrual_id,
        refunds=[_refund(shown, refund) for refund in refunds],
        failure_reason=shown.failure_reason,
        create_time=to_timestamp(shown.create_time),
        update_time=to_timestamp(shown.update_time),
    )


def _price(shown: Checkout) -> pb.Price:
    return pb.Price(
        lines_amount=_money(shown, shown.lines_minor),
        discounts=[
            pb.Discount(
                entitlement_id=effect.entitlement_id,
                name=effect.name,
                applies=effect.applies,
                amount=_money(shown, effect.discount_minor),
                reason=effect.reason,
            )
            for effect in shown.discounts
        ],
        points_max=shown.points_max,
        points=shown.points,
        points_amount=_money(shown, shown.points_minor),
        cash_amount=_money(shown, shown.cash_minor),
        points_to_earn=shown.points_to_earn,
        program_version=shown.program_version,
        boosted_points=shown.boosted_points,
        promotion_window=shown.promotion_window,
    )


def _refund(shown: Checkout, refund: Refund) -> pb.Refund:
    return pb.Refund(
        refund_id=str(refund.refund_id),
        lines=[
            pb.RefundLine(line_id=shown.lines[place].line_id, quantity=quantity)
            for place, quantity in refund.quantities
        ],
        cash_amount=_money(shown, refund.cash_minor),
        points=refund.points,
        reversed_points=refund.reversed_points,
        create_time=to_timestamp(refund.create_time),
        complete=refund.complete,
    )


def _money(shown: Checkout, minor: int) -> Money:
    return from_minor(minor, shown.currency, shown.currency_digits)
