"""laurel.checkout.v1.CheckoutService: proto <-> domain, nothing else."""

# the contract names the methods

from uuid import UUID

from google.protobuf.message import Message

from checkout import saga
from checkout.claims import Claim
from checkout.driver import Driver
from checkout.pricing import Cart, Line, sum_lines
from checkout.quoting import Quoter
from checkout.render import render_checkout
from checkout.store import CheckoutStore
from checkout.values import Checkout
from kit.errors import InvalidArgument, Violation
from kit.interceptor import Context
from kit.money import to_minor
from kit.requests import content_hash
from laurel.checkout.v1 import checkout_service_pb2 as pb
from laurel.checkout.v1.checkout_service_pb2_grpc import CheckoutServiceServicer
from rules.compiled import CompiledProgram

CATEGORIES_MAX = 100


class CheckoutService(CheckoutServiceServicer):
    """Answers the calls of the contract."""

    def __init__(self, store: CheckoutStore, quoter: Quoter, driver: Driver) -> None:
        self._store = store
        self._quoter = quoter
        self.driver = driver

    async def QuoteCheckout(
        self, request: pb.QuoteCheckoutRequest, context: Context
    ) -> pb.QuoteCheckoutResponse:
        """Prices a cart."""
        answer = await self._quoter.quote(
            claim(request), lambda program: parse_cart(request, program), _quoted
        )
        return pb.QuoteCheckoutResponse.FromString(answer)

    async def AuthorizeCheckout(
        self, request: pb.AuthorizeCheckoutRequest, context: Context
    ) -> pb.AuthorizeCheckoutResponse:
        """Holds the points and reserves the coupons."""
        answer = await self.driver.run(
            claim(request), UUID(request.checkout_id),
            saga.begin_authorize, saga.check_authorized, _authorized,
        )  # fmt: skip
        return pb.AuthorizeCheckoutResponse.FromString(answer)

    async def CompleteCheckout(
        self, request: pb.CompleteCheckoutRequest, context: Context
    ) -> pb.CompleteCheckoutResponse:
        """Spends what was authorised."""
        answer = await self.driver.run(
            claim(request), UUID(request.checkout_id),
            saga.begin_complete, saga.check_completed, _completed,
        )  # fmt: skip
        return pb.CompleteCheckoutResponse.FromString(answer)

    async def CancelCheckout(
        self, request: pb.CancelCheckoutRequest, context: Context
    ) -> pb.CancelCheckoutResponse:
        """Gives back what was authorised."""
        answer = await self.driver.run(
            claim(request), UUID(request.checkout_id),
            saga.begin_cancel, saga.check_cancelled, _cancelled,
        )  # fmt: skip
        return pb.CancelCheckoutResponse.FromString(answer)

    async def RefundCheckout(
        self, request: pb.RefundCheckoutRequest, context: Context
    ) -> pb.RefundCheckoutResponse:
        """Refunds lines, or all that is left."""
        asked = parse_refund(request)
        answer = await self.driver.refund(
            claim(request), UUID(request.checkout_id), asked, _refunded
        )
        return pb.RefundCheckoutResponse.FromString(answer)

    async def GetCheckout(
        self, request: pb.GetCheckoutRequest, context: Context
    ) -> pb.GetCheckoutResponse:
        """Shows a checkout."""
        shown = await self._store.get(UUID(request.checkout_id))
        return pb.GetCheckoutResponse(checkout=render_checkout(shown))


Mutation = (
    pb.QuoteCheckoutRequest
    | pb.AuthorizeCheckoutRequest
    | pb.CompleteCheckoutRequest
    | pb.CancelCheckoutRequest
    | pb.RefundCheckoutRequest
)


def claim(request: Mutation) -> Claim:
    """What a request is known by."""
    message: Message = request
    return Claim(request.request_id, message.DESCRIPTOR.name, content_hash(message))


def parse_cart(request: pb.QuoteCheckoutRequest, program: CompiledProgram) -> Cart:
    """The cart of a request. Raises CurrencyMismatch, AmountInvalid or InvalidArgument."""
    _refuse_repeats([line.line_id for line in request.lines])
    lines = tuple(
        Line(
            line.line_id,
            line.category,
            line.quantity,
            to_minor(
                line.unit_price,
                program.currency,
                program.minor_digits,
                field=f"lines[{place}].unit_price",
            ),
        )
        for place, line in enumerate(request.lines)
    )
    cart = Cart(
        member_id=request.member_id,
        order_id=request.order_id,
        lines=lines,
        lines_minor=sum_lines(lines),
        points_wanted=request.points_wanted,
        entitlement_ids=tuple(request.entitlement_ids),
        channel=request.origin.channel,
        store=request.origin.store,
        origin=request.origin.SerializeToString(deterministic=True),
    )
    if len(cart.categories) > CATEGORIES_MAX:
        problem = f"{len(cart.categories)} categories are too many; use at most {CATEGORIES_MAX}"
        raise InvalidArgument(Violation("lines", problem))
    return cart


def parse_refund(request: pb.RefundCheckoutRequest) -> list[tuple[str, int]]:
    """The lines and quantities that go back. InvalidArgument for one that stands twice."""
    _refuse_repeats([line.line_id for line in request.lines])
    return [(line.line_id, line.quantity) for line in request.lines]


def _refuse_repeats(line_ids: list[str]) -> None:
    seen: set[str] = set()
    mistakes = []
    for place, line_id in enumerate(line_ids):
        if line_id in seen:
            text = f"{line_id} stands in the request before; give each line an id of its own"
            mistakes.append(Violation(f"lines[{place}].line_id", text))
        seen.add(line_id)
    if mistakes:
        raise InvalidArgument(*mistakes)


def _quoted(shown: Checkout) -> bytes:
    return pb.QuoteCheckoutResponse(checkout=render_checkout(shown)).SerializeToString()


def _authorized(shown: Checkout) -> bytes:
    return pb.AuthorizeCheckoutResponse(checkout=render_checkout(shown)).SerializeToString()


def _completed(shown: Checkout) -> bytes:
    return pb.CompleteCheckoutResponse(checkout=render_checkout(shown)).SerializeToString()


def _cancelled(shown: Checkout) -> bytes:
    return pb.CancelCheckoutResponse(checkout=render_checkout(shown)).SerializeToString()


def _refunded(shown: Checkout, number: int) -> bytes:
    checkout = render_checkout(shown, refunds_up_to=number)
    return pb.RefundCheckoutResponse(checkout=checkout).SerializeToString()
