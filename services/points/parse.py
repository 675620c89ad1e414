"""Messages of the contract as commands; what is wrong with one is said here."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeVar
from uuid import UUID

from kit.clock import parse_occurred
from kit.money import to_minor
from kit.requests import content_hash
from kit.validate import check, is_plain_text
from laurel.antifraud.v1.antifraud_service_pb2 import Origin as OriginMessage
from laurel.points.v1 import households_pb2 as households
from laurel.points.v1 import points_service_pb2 as pb
from points.errors import ActivityIsPurchase, HoldNotFound, ReferenceToOneself
from points.parse_lines import amount_of, by_rules, parse_lines, parse_returned_lines
from points.values import (
    NOWHERE,
    Accrue,
    Capture,
    Hold,
    Origin,
    Redeem,
    Refund,
    Release,
    Reverse,
)
from rules import accrual_values
from rules.accrual_values import Activity
from rules.compiled import CompiledProgram, ProgramHistory

if TYPE_CHECKING:
    from google.type.money_pb2 import Money

    from laurel.points.v1 import transfers_pb2 as transfers

    HasOrigin = (
        transfers.TransferPointsRequest
        | transfers.DonatePointsRequest
        | households.HoldPoolPointsRequest
    )
    Spending = pb.HoldPointsRequest | pb.RedeemPointsRequest | households.HoldPoolPointsRequest

S = TypeVar("S", bound=Hold)

_ROW, _PURCHASE = pb.AccruePointsRequest.DESCRIPTOR, pb.Purchase.DESCRIPTOR
PURCHASE, OCCURRED_TIME = (_ROW.fields_by_name[name] for name in ("purchase", "occurred_time"))
AMOUNT = _PURCHASE.fields_by_name["amount"]


def parse_row(row: pb.AccruePointsRequest, now: datetime, programs: ProgramHistory) -> Accrue:
    """An accrual that nobody has checked against the contract yet: raises InvalidArgument, too."""
    command = _parse_plain_row(row, now, programs)
    if command is None:
        check(row)
        command = parse_accrual(row, now, programs)
    return command


def _parse_plain_row(
    row: pb.AccruePointsRequest, now: datetime, programs: ProgramHistory
) -> Accrue | None:
    """A row so plain that it breaks no rule of the contract, None for any other.

    Most rows are: ids of printable ASCII, an amount, perhaps a time, and no other field, so that
    the rules of no other can be broken. The full check costs more than all else that is done to a
    row.
    """
    fields = list(row.ListFields())
    if len(fields) == 4 and fields[3][0] is OCCURRED_TIME:
        occurred = parse_occurred(fields.pop()[1], now)
    else:
        occurred = now
    if len(fields) != 3 or fields[2][0] is not PURCHASE:
        return None
    purchase = fields[2][1]
    bought = purchase.ListFields()
    if len(bought) != 2 or bought[1][0] is not AMOUNT:
        return None
    # Fields come in the order of their numbers, and these two are the first of each message.
    request_id, member_id, order_id = fields[0][1], fields[1][1], bought[0][1]
    if not (is_plain_text(request_id) and is_plain_text(member_id) and is_plain_text(order_id)):
        return None
    program = programs.in_force(occurred)
    amount_minor = _minor(bought[1][1], program, "purchase.amount")
    command = Accrue(
        request_id, content_hash(row), member_id, order_id, amount_minor, (), NOWHERE, occurred,
        program,
    )  # fmt: skip
    return command if program.accrual.plain_purchases else by_rules(command, ())


def parse_accrual(
    request: pb.AccruePointsRequest, now: datetime, programs: ProgramHistory
) -> Accrue:
    """Raises TimeInFuture, CurrencyMismatch, AmountInvalid or LinesInvalid."""
    occurred = _occurred(request, now)
    program = programs.in_force(occurred)
    purchase = request.purchase
    amount = _minor(purchase.amount, program, "purchase.amount")
    lines = parse_lines(purchase.lines, amount, program) if purchase.lines else ()
    command = Accrue(
        request_id=request.request_id,
        digest=content_hash(request),
        member_id=request.member_id,
        order_id=purchase.order_id,
        amount_minor=amount,
        categories=tuple(purchase.categories),
        origin=_origin(request.origin) if request.HasField("origin") else NOWHERE,
        occurred_time=occurred,
        program=program,
    )
    if program.accrual.plain_purchases and not lines:
        return command
    return by_rules(command, lines)


def parse_hold(request: pb.HoldPointsRequest, now: datetime, programs: ProgramHistory) -> Hold:
    """Raises TimeInFuture, CurrencyMismatch or AmountInvalid."""
    return _spending(Hold, request, now, programs)


def parse_redemption(
    request: pb.RedeemPointsRequest, now: datetime, programs: ProgramHistory
) -> Redeem:
    """Raises TimeInFuture, CurrencyMismatch or AmountInvalid."""
    return _spending(Redeem, request, now, programs)


def _spending(
    kind: type[S],
    request: pb.HoldPointsRequest | pb.RedeemPointsRequest,
    now: datetime,
    programs: ProgramHistory,
) -> S:
    occurred = _occurred(request, now)
    program = programs.in_force(occurred)
    return kind(
        request_id=request.request_id,
        digest=content_hash(request),
        member_id=request.member_id,
        points=request.points,
        order_id=request.order_id,
        order_minor=_minor_if_given(request, "order_amount", program),
        origin=_origin(request.origin) if request.HasField("origin") else NOWHERE,
        occurred_time=occurred,
        program=program,
        expected_minor=_minor_if_given(request, "expected_value", program),
    )


def _minor_if_given(
    request: "Spending", field: Literal["order_amount", "expected_value"], program: CompiledProgram
) -> int | None:
    return _minor(getattr(request, field), program, field) if request.HasField(field) else None


def parse_pool_hold(
    request: households.HoldPoolPointsRequest, now: datetime, programs: ProgramHistory
) -> Hold:
    """A hold as its spender asks for it. Raises CurrencyMismatch or AmountInvalid."""
    program = programs.in_force(now)
    return Hold(
        request_id=request.request_id,
        digest=content_hash(request),
        member_id=request.member_id,
        points=request.points,
        order_id=request.order_id,
        order_minor=_minor_if_given(request, "order_amount", program),
        origin=parse_origin(request),
        occurred_time=now,
        program=program,
        expected_minor=_minor_if_given(request, "expected_value", program),
    )


def parse_capture(request: pb.CapturePointsRequest) -> Capture:
    """Raises HoldNotFound for an id that HoldPoints never gave out."""
    hold_id = _hold_id(request.hold_id)
    digest = content_hash(request)
    return Capture(request.request_id, digest, hold_id, request.points, request.release_rest)


def parse_release(request: pb.ReleaseHoldRequest) -> Release:
    """Raises HoldNotFound for an id that HoldPoints never gave out."""
    return Release(request.request_id, content_hash(request), _hold_id(request.hold_id))


def parse_refund(request: pb.RefundPointsRequest) -> Refund:
    """Raises HoldNotFound for an id that HoldPoints never gave out."""
    hold_id = _hold_id(request.hold_id)
    return Refund(request.request_id, content_hash(request), hold_id, request.points)


def parse_reversal(request: pb.ReverseAccrualRequest) -> Reverse:
    """Amounts are read once it is known in which currency the purchase was made.

    Raises LinesInvalid.
    """
    lines = parse_returned_lines(request)
    has_amount = request.HasField("returned_amount")
    returned = amount_of(request.returned_amount) if has_amount else None
    return Reverse(
        request.request_id,
        content_hash(request),
        request.member_id,
        UUID(request.transaction_id),
        returned,
        lines,
    )


def parse_origin(request: "HasOrigin") -> Origin:
    """Where a request comes from."""
    return _origin(request.origin) if request.HasField("origin") else NOWHERE


def parse_activity(
    request: pb.AccrueActivityRequest, now: datetime, programs: ProgramHistory
) -> Accrue:
    """Raises TimeInFuture, ActivityIsPurchase or ReferenceToOneself."""
    occurred = _occurred(request, now)
    activity = request.activity
    if activity.event_type == accrual_values.PURCHASE:
        raise ActivityIsPurchase
    if activity.reference_member_id == request.member_id:
        raise ReferenceToOneself(member_id=request.member_id)
    origin = _origin(request.origin) if request.HasField("origin") else NOWHERE
    return Accrue(
        request_id=request.request_id,
        digest=content_hash(request),
        member_id=request.member_id,
        order_id="",
        amount_minor=0,
        categories=(),
        origin=origin,
        occurred_time=occurred,
        program=programs.in_force(occurred),
        activity=Activity(
            event=activity.event_type,
            at=occurred,
            channel=origin.channel,
            store=origin.store,
            attributes=tuple(sorted(activity.attributes.items())),
            reference=activity.reference_member_id,
        ),
    )


def _occurred(
    request: (
        pb.AccruePointsRequest
        | pb.AccrueActivityRequest
        | pb.HoldPointsRequest
        | pb.RedeemPointsRequest
    ),
    now: datetime,
) -> datetime:
    return parse_occurred(request.occurred_time if request.HasField("occurred_time") else None, now)


def _minor(money: "Money", program: CompiledProgram, field: str) -> int:
    return to_minor(money, program.currency, program.minor_digits, field)


def _origin(message: OriginMessage) -> Origin:
    return Origin(
        message.channel, message.store, message.device, message.ip, message.card, message.region,
        message.staff_member_id,
        (message.location.latitude_degrees, message.location.longitude_degrees)
        if message.HasField("location")
        else None,
    )  # fmt: skip


def _hold_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise HoldNotFound(hold_id=text) from None
