"""What checkout asks of the other services: points, benefits, tier."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TypeVar

import grpc
from google.type.money_pb2 import Money
from grpc import StatusCode

from checkout.errors import ChallengeRequired, StepUnfinished
from checkout.pricing import Effect, Standing, paid_by_line
from checkout.refunding import RefundSaga
from checkout.saga import Saga
from checkout.steps import Mark, Outcome, Step, step_request_id
from kit.clock import from_timestamp, to_timestamp
from kit.errors import info_of, relay, status_of
from kit.money import from_minor, to_minor
from kit.telemetry import log
from laurel.antifraud.v1.antifraud_service_pb2 import Origin
from laurel.benefits.v1 import benefits_service_pb2 as benefits
from laurel.benefits.v1.benefits_service_pb2_grpc import BenefitsServiceStub
from laurel.points.v1 import points_service_pb2 as points
from laurel.points.v1.activities_pb2 import PurchaseLine
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from laurel.points.v1.redemptions_pb2 import (
    REDEMPTION_LIMIT_KIND_BALANCE,
    QuoteRedemptionRequest,
    QuoteRedemptionResponse,
)
from laurel.tier.v1.tier_service_pb2 import BatchGetTiersRequest
from laurel.tier.v1.tier_service_pb2_grpc import TierServiceStub
from rules.money import scaled
from rules.redemption import NO_BOOST, Boost

TIER_DEADLINE_SECONDS = 1.0
ACCOUNT_MERGED = "ACCOUNT_MERGED"
# The service has said no, and would again. Every other error leaves open what happened.
_REFUSALS = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.ALREADY_EXISTS,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.OUT_OF_RANGE,
    }
)
_EXPECTED = frozenset(
    {StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED}
)

R = TypeVar("R")


class Remote:
    """The services that a checkout is made of."""

    def __init__(
        self,
        points_channel: grpc.aio.Channel,
        benefits_channel: grpc.aio.Channel,
        tier_channel: grpc.aio.Channel,
    ) -> None:
        self._points = PointsServiceStub(points_channel)
        self._benefits = BenefitsServiceStub(benefits_channel)
        self._tiers = TierServiceStub(tier_channel)
        self._log = log("checkout")

    async def standing(
        self,
        member_id: str,
        amount_minor: int,
        coupon_ids: Sequence[str],
        currency: str,
        digits: int,
    ) -> Standing:
        """What bears on the price of an order. Raises StepUnfinished or Relayed."""
        evaluate = benefits.EvaluateBenefitsRequest(
            member_id=member_id,
            order_amount=from_minor(amount_minor, currency, digits),
            entitlement_ids=coupon_ids,
        )
        # For the balance and for what points are worth today; how many pay is decided by the price.
        redemption = QuoteRedemptionRequest(
            member_id=member_id, order_amount=from_minor(amount_minor, currency, digits)
        )
        evaluated, got, tier_id = await asyncio.gather(
            self._read("benefits", self._benefits.EvaluateBenefits(evaluate)),
            self._read("points", self._points.QuoteRedemption(redemption)),
            self._tier(member_id),
        )
        effects = tuple(_effect(effect, currency, digits) for effect in evaluated.effects)
        active = next(one.points for one in got.limits if one.kind == REDEMPTION_LIMIT_KIND_BALANCE)
        return Standing(effects, active, tier_id, _boost(got))

    async def _tier(self, member_id: str) -> str:
        """The member's tier, empty when it cannot be had: a quote only foretells what is earned."""
        try:
            response = await self._tiers.BatchGetTiers(
                BatchGetTiersRequest(member_ids=[member_id]), timeout=TIER_DEADLINE_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            self._log.warning("tier.unknown", code=error.code().name, error=error.details())
            return ""
        return str(response.member_tiers[0].tier_id)

    async def _read(self, service: str, call: Awaitable[R]) -> R:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            if error.code() in _REFUSALS:
                relay(error)
            raise self._unfinished(service, error) from error

    async def perform(self, saga: Saga | RefundSaga, step: Step) -> Outcome:
        """Does a step, or learns what became of it at an earlier try. Raises StepUnfinished."""
        number = saga.number if isinstance(saga, RefundSaga) else 0
        request_id = step_request_id(saga.checkout_id, number, step)
        service = "benefits" if step in _BENEFITS_STEPS else "points"
        try:
            if isinstance(saga, RefundSaga):
                return await self._refund_step(saga, step, request_id)
            return await self._step(saga, step, request_id)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _REFUSALS:
                raise self._unfinished(service, error) from error
            return replace(_refused(step, error), account_id=saga.account_of(step))

    async def _step(self, saga: Saga, step: Step, request_id: str) -> Outcome:
        match step:
            case Step.HOLD:
                return await self._hold(saga, request_id)
            case Step.RESERVE:
                return await self._reserve(saga, request_id)
            case Step.ACCRUE:
                return await self._accrue(saga, request_id)
            case Step.CAPTURE:
                capture = points.CapturePointsRequest(
                    request_id=request_id, hold_id=saga.hold_id, points=saga.points
                )
                await self._points.CapturePoints(capture)
            case Step.UNDO_CAPTURE:
                refund = points.RefundPointsRequest(
                    request_id=request_id, hold_id=saga.hold_id, points=saga.points
                )
                await self._points.RefundPoints(refund)
            case Step.RELEASE_HOLD:
                release = points.ReleaseHoldRequest(request_id=request_id, hold_id=saga.hold_id)
                await self._points.ReleaseHold(release)
            case Step.REDEEM:
                redeem = benefits.RedeemReservationRequest(
                    request_id=request_id, reservation_id=saga.reservation_id
                )
                await self._benefits.RedeemReservation(redeem)
            case Step.RELEASE_RESERVATION:
                give_back = benefits.ReleaseReservationRequest(
                    request_id=request_id, reservation_id=saga.reservation_id
                )
                await self._benefits.ReleaseReservation(give_back)
            case _:
                raise ValueError(f"{step} is no step of a checkout")
        return Outcome(step, Mark.DONE)

    async def _hold(self, saga: Saga, request_id: str) -> Outcome:
        request = points.HoldPointsRequest(
            request_id=request_id,
            member_id=saga.member_id,
            points=saga.points,
            order_id=saga.order_id,
            order_amount=_money(saga, saga.due_minor),
            origin=_origin(saga),
        )
        if saga.expected_minor is not None:
            request.expected_value.CopyFrom(_money(saga, saga.expected_minor))
        hold = (await self._points.HoldPoints(request)).hold
        until = from_timestamp(hold.expire_time)
        return Outcome(Step.HOLD, Mark.DONE, made_id=hold.hold_id, expire_time=until)

    async def _reserve(self, saga: Saga, request_id: str) -> Outcome:
        request = benefits.ReserveBenefitsRequest(
            request_id=request_id,
            member_id=saga.member_id,
            order_id=saga.order_id,
            entitlement_ids=saga.coupon_ids,
            order_amount=_money(saga, saga.lines_minor),
        )
        reservation = (await self._benefits.ReserveBenefits(request)).reservation
        until = from_timestamp(reservation.expire_time)
        made_id = reservation.reservation_id
        return Outcome(Step.RESERVE, Mark.DONE, made_id=made_id, expire_time=until)

    async def _accrue(self, saga: Saga, request_id: str) -> Outcome:
        request = points.AccruePointsRequest(
            request_id=request_id,
            member_id=saga.account_of(Step.ACCRUE),
            purchase=points.Purchase(
                order_id=saga.order_id,
                amount=_money(saga, saga.cash_minor),
                categories=saga.categories,
                lines=_lines(saga),
            ),
            # When it was paid, at every try: a late try must be the same request.
            occurred_time=to_timestamp(saga.complete_time) if saga.complete_time else None,
            origin=_origin(saga),
        )
        booked = (await self._points.AccruePoints(request)).transaction
        return Outcome(Step.ACCRUE, Mark.DONE, made_id=booked.transaction_id, points=booked.points)

    async def _refund_step(self, saga: RefundSaga, step: Step, request_id: str) -> Outcome:
        if step is Step.REFUND_POINTS:
            refund = points.RefundPointsRequest(
                request_id=request_id, hold_id=saga.hold_id, points=saga.points
            )
            booked = (await self._points.RefundPoints(refund)).transaction
        else:
            reverse = points.ReverseAccrualRequest(
                request_id=request_id,
                member_id=saga.account_of(step),
                transaction_id=saga.accrual_id,
            )
            if saga.by_line is None:
                reverse.returned_amount.CopyFrom(_money(saga, saga.cash_minor))
            for place, minor in saga.by_line or ():
                reverse.returned_lines.add(line_id=str(place), amount=_money(saga, minor))
            booked = (await self._points.ReverseAccrual(reverse)).transaction
        made_id = booked.transaction_id
        return Outcome(step, Mark.DONE, made_id=made_id, points=abs(booked.points))

    def _unfinished(self, service: str, error: grpc.aio.AioRpcError) -> StepUnfinished:
        code = error.code()
        if code not in _EXPECTED:
            self._log.error("remote.failed", called=service, code=code.name, error=error.details())
        status = status_of(error)
        reason = info_of(status).reason if status and code is StatusCode.UNAVAILABLE else ""
        return StepUnfinished(reason, service, code.name)


_BENEFITS_STEPS = frozenset({Step.RESERVE, Step.REDEEM, Step.RELEASE_RESERVATION})
# Of an order that is paid: it goes on with whoever the member was merged into. Those of points that
# are held name the hold, which a merge takes along.
_FOLLOWING_STEPS = frozenset({Step.ACCRUE, Step.REVERSE_ACCRUAL})


def _refused(step: Step, error: grpc.aio.AioRpcError) -> Outcome:
    status = status_of(error)
    info = info_of(status) if status else None
    reason = info.reason if info else ""
    if info and reason == ACCOUNT_MERGED and step in _FOLLOWING_STEPS:
        return Outcome(step, Mark.STARTED, survivor_id=info.metadata["survivor_member_id"])
    challenge_id = ""
    if info and reason == ChallengeRequired.reason:
        challenge_id = info.metadata["challenge_id"]
    return Outcome(
        step, Mark.REFUSED, reason=reason or error.code().name, text=error.details() or "",
        challenge_id=challenge_id,
    )  # fmt: skip


def _effect(effect: benefits.BenefitEffect, currency: str, digits: int) -> Effect:
    discount = to_minor(effect.discount, currency, digits) if effect.applies else 0
    return Effect(
        effect.entitlement_id,
        effect.benefit_id,
        effect.name,
        effect.applies,
        discount,
        effect.reason,
        effect.reusable,
    )


def _boost(quoted: QuoteRedemptionResponse) -> Boost:
    if not quoted.HasField("window"):
        return NO_BOOST
    window = quoted.window
    return Boost(window.points_left, scaled(window.factor, 4), window.name)


def _money(saga: Saga | RefundSaga, minor: int) -> Money:
    return from_minor(minor, saga.currency, saga.digits)


def _lines(saga: Saga) -> list[PurchaseLine]:
    """The lines as the ledger knows them: by their place, with what was paid for each in cash."""
    paid = paid_by_line(saga.lines, saga.cash_minor)
    return [
        PurchaseLine(
            line_id=str(place),
            category=line.category,
            quantity=line.quantity,
            amount=_money(saga, minor),
            unit_price=_money(saga, line.unit_price_minor),
        )
        for place, (line, minor) in enumerate(zip(saga.lines, paid, strict=True))
    ]


def _origin(saga: Saga) -> Origin | None:
    return Origin.FromString(saga.origin) if saga.origin else None
