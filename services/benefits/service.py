"""laurel.benefits.v1.BenefitsService: proto <-> domain, nothing else."""

# the contract names the methods

from datetime import UTC, datetime
from uuid import UUID

from google.type.money_pb2 import Money

from benefits.entitlements import Entitlement, state_at
from benefits.reservations import Order, Reservation, parse_uuid
from benefits.store import BenefitsStore, Call
from kit.clock import Clock, to_timestamp
from kit.interceptor import Context
from kit.money import from_minor, to_minor
from kit.paging import PageTokenInvalid, decode_token, encode_token, page_size
from laurel.benefits.v1 import benefits_service_pb2 as pb
from laurel.benefits.v1.benefits_service_pb2_grpc import BenefitsServiceServicer
from rules.benefits import PercentOff, Priced
from rules.compiled import CompiledProgram
from rules.feed import ProgramFeed


class BenefitsService(BenefitsServiceServicer):
    """What members are given, and its use, exactly once."""

    def __init__(self, store: BenefitsStore, feed: ProgramFeed, clock: Clock) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock

    async def ListEntitlements(
        self, request: pb.ListEntitlementsRequest, context: Context
    ) -> pb.ListEntitlementsResponse:
        """Lists the entitlements of a member, newest first."""
        size = page_size(request.page_size)
        held = await self._store.list_entitlements(
            request.member_id, _parse_token(request.page_token), size + 1
        )
        now = self._clock()
        return pb.ListEntitlementsResponse(
            entitlements=[_render_entitlement(one, now) for one in held[:size]],
            next_page_token=_token(held[size - 1]) if len(held) > size else "",
        )

    async def EvaluateBenefits(
        self, request: pb.EvaluateBenefitsRequest, context: Context
    ) -> pb.EvaluateBenefitsResponse:
        """Prices an order with the member's benefits and says of each why it applies or not."""
        order = _parse_order(request, "", await self._program())
        return _render_priced(await self._store.evaluate(order), order.program)

    async def ReserveBenefits(
        self, request: pb.ReserveBenefitsRequest, context: Context
    ) -> pb.ReserveBenefitsResponse:
        """Sets entitlements aside for an order, all of them or none."""
        order = _parse_order(request, request.order_id, await self._program())

        def render(made: Reservation) -> pb.ReserveBenefitsResponse:
            return pb.ReserveBenefitsResponse(reservation=_render_reservation(made))

        call = Call(request.request_id, request, pb.ReserveBenefitsResponse, render)
        return await self._store.reserve(order, call)

    async def RedeemReservation(
        self, request: pb.RedeemReservationRequest, context: Context
    ) -> pb.RedeemReservationResponse:
        """Uses what a reservation set aside."""

        def render(ended: Reservation) -> pb.RedeemReservationResponse:
            return pb.RedeemReservationResponse(reservation=_render_reservation(ended))

        call = Call(request.request_id, request, pb.RedeemReservationResponse, render)
        return await self._store.redeem(request.reservation_id, call)

    async def ReleaseReservation(
        self, request: pb.ReleaseReservationRequest, context: Context
    ) -> pb.ReleaseReservationResponse:
        """Gives back what a reservation set aside."""

        def render(ended: Reservation) -> pb.ReleaseReservationResponse:
            return pb.ReleaseReservationResponse(reservation=_render_reservation(ended))

        call = Call(request.request_id, request, pb.ReleaseReservationResponse, render)
        return await self._store.release(request.reservation_id, call)

    async def _program(self) -> CompiledProgram:
        return (await self._feed.ensure()).in_force(self._clock())


def _parse_order(
    request: pb.EvaluateBenefitsRequest | pb.ReserveBenefitsRequest,
    order_id: str,
    program: CompiledProgram,
) -> Order:
    amount = to_minor(request.order_amount, program.currency, program.minor_digits, "order_amount")
    # One id, one spelling; what is no id of ours is answered as unknown.
    wanted = dict.fromkeys(str(parse_uuid(text) or text) for text in request.entitlement_ids)
    return Order(request.member_id, order_id, amount, tuple(wanted), program)


def _parse_token(token: str) -> tuple[datetime, UUID] | None:
    key = decode_token(token, str, str)
    if key is None:
        return None
    try:
        create_time, entitlement_id = datetime.fromisoformat(str(key[0])), UUID(str(key[1]))
        if create_time.tzinfo is None:
            raise PageTokenInvalid
        # Other offsets than that of UTC may lead out of what a datetime knows.
        return create_time.astimezone(UTC), entitlement_id
    except (ValueError, OverflowError):
        raise PageTokenInvalid from None


def _token(last: Entitlement) -> str:
    return encode_token(last.create_time.isoformat(), str(last.entitlement_id))


def _render_entitlement(held: Entitlement, now: datetime) -> pb.Entitlement:
    terms = held.terms()
    rendered = pb.Entitlement(
        entitlement_id=str(held.entitlement_id),
        member_id=held.member_id,
        benefit_id=held.benefit_id,
        name=held.name,
        state=pb.EntitlementState.Value(f"ENTITLEMENT_STATE_{state_at(held, now).value}"),
        create_time=to_timestamp(held.create_time),
        cause_event_id=str(held.cause_event_id),
        program_version=held.program_version,
        order_id=held.order_id,
    )
    if held.expire_time is not None:
        rendered.expire_time.CopyFrom(to_timestamp(held.expire_time))
    if isinstance(terms, PercentOff):
        rendered.percent_off = terms.percent
        return rendered
    rendered.amount_off.CopyFrom(_money(terms.amount_minor, held))
    if terms.order_min_minor:
        rendered.order_amount_min.CopyFrom(_money(terms.order_min_minor, held))
    return rendered


def _money(minor: int, held: Entitlement) -> Money:
    return from_minor(minor, held.currency, held.currency_digits)


def _render_priced(priced: Priced, program: CompiledProgram) -> pb.EvaluateBenefitsResponse:
    currency, digits = program.currency, program.minor_digits
    effects = [
        pb.BenefitEffect(
            entitlement_id=effect.entitlement_id,
            benefit_id=effect.benefit_id,
            name=effect.name,
            applies=effect.applies,
            discount=from_minor(effect.discount_minor, currency, digits),
            reason=effect.reason,
            reusable=effect.reusable,
        )
        for effect in priced.effects
    ]
    return pb.EvaluateBenefitsResponse(
        effects=effects, amount_due=from_minor(priced.due_minor, currency, digits)
    )


def _render_reservation(reservation: Reservation) -> pb.Reservation:
    return pb.Reservation(
        reservation_id=str(reservation.reservation_id),
        member_id=reservation.member_id,
        order_id=reservation.order_id,
        entitlement_ids=[str(item.entitlement_id) for item in reservation.items],
        state=pb.ReservationState.Value(f"RESERVATION_STATE_{reservation.state.value}"),
        expire_time=to_timestamp(reservation.expire_time),
    )
