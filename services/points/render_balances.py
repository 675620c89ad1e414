"""Balances and lots as messages of the contract."""

from google.type.date_pb2 import Date

from kit.clock import to_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from points.balances import BalanceView, DatedPoints, Outlook
from points.reading import LotView
from points.values import AccountState


def render_balance(view: BalanceView) -> pb.GetBalanceResponse:
    """A balance with the next points to expire."""
    response = pb.GetBalanceResponse(
        balance=_balance(view.account), next_expire_points=view.next_expire_points
    )
    if view.next_expire_time is not None:
        response.next_expire_time.CopyFrom(to_timestamp(view.next_expire_time))
    return response


def render_dates(
    view: BalanceView, expirations: Outlook, maturities: Outlook
) -> pb.GetBalanceResponse:
    """A balance with every day on which it will change by itself."""
    response = render_balance(view)
    response.expirations.extend(map(_dated, expirations.days))
    response.later_expire_points = expirations.later_points
    response.never_expire_points = expirations.undated_points
    response.maturities.extend(map(_dated, maturities.days))
    response.later_mature_points = maturities.later_points
    response.review_points = maturities.undated_points
    return response


def render_member_balance(view: BalanceView) -> pb.MemberBalance:
    """The balance of one of several members."""
    message = pb.MemberBalance(
        member_id=view.account.member_id,
        balance=_balance(view.account),
        next_expire_points=view.next_expire_points,
    )
    if view.next_expire_time is not None:
        message.next_expire_time.CopyFrom(to_timestamp(view.next_expire_time))
    return message


def render_lot(lot: LotView) -> pb.Lot:
    """A lot with its origin."""
    message = pb.Lot(
        lot_id=str(lot.lot_id),
        member_id=lot.member_id,
        state=lot.state,  # type: ignore[arg-type]  # numbered as in the contract
        points=lot.points,
        remaining_points=lot.remaining,
        expired_points=lot.expired,
        accrual_transaction_id=str(lot.accrual_transaction_id),
        origin_kind=lot.origin_kind or 0,  # type: ignore[arg-type]
        order_id=lot.order_id or "",
    )
    for name in ("mature_time", "expire_time", "origin_time"):
        if (instant := getattr(lot, name)) is not None:
            getattr(message, name).CopyFrom(to_timestamp(instant))
    return message


def _balance(account: AccountState) -> pb.Balance:
    return pb.Balance(
        active=account.active, pending=account.pending, held=account.held, debt=account.debt
    )


def _dated(one: DatedPoints) -> pb.DatedPoints:
    return pb.DatedPoints(
        date=Date(year=one.day.year, month=one.day.month, day=one.day.day),
        first_time=to_timestamp(one.first_time),
        points=one.points,
    )
