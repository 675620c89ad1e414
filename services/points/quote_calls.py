"""The call of PointsService that says how an order may be paid."""

from datetime import datetime
from typing import Any

import grpc

from kit.clock import Clock, to_timestamp
from kit.money import from_minor, to_minor
from laurel.points.v1 import redemptions_pb2 as pb
from points.reads import Reads
from points.values import WindowDay
from rules.calendar import day_of
from rules.compiled import CompiledProgram
from rules.feed import ProgramFeed
from rules.redemption import Boost, Limit, boost_of, limits, quote
from rules.values import PromotionWindow

POINTS_TOLD_MAX = 2**63 - 1
Context = grpc.aio.ServicerContext[Any, Any]


class QuoteCalls:
    """Points plus cash (PT-10)."""

    _reads: Reads
    _feed: ProgramFeed
    _clock: Clock

    async def QuoteRedemption(
        self, request: pb.QuoteRedemptionRequest, context: Context
    ) -> pb.QuoteRedemptionResponse:
        """See the contract."""
        now = self._clock()
        program = (await self._feed.ensure()).in_force(now)
        currency, digits = program.currency, program.minor_digits
        order_minor = to_minor(request.order_amount, currency, digits, "order_amount")
        view = await self._reads.balance_queue.submit(request.member_id)
        balance = view.account.active
        window = program.redemption.window_at(now)
        boost = await self._boost(request.member_id, window, program, now)
        # All that there is stands for as many as possible: the limits do the rest.
        split = quote(order_minor, request.points_wanted or balance, balance, program, boost)
        return pb.QuoteRedemptionResponse(
            points=split.points,
            points_value=from_minor(split.points_minor, currency, digits),
            cash=from_minor(split.cash_minor, currency, digits),
            points_max=split.points_max,
            reason=split.reason,
            limits=[_render_limit(one) for one in limits(order_minor, balance, program, boost)],
            program_version=program.version,
            boosted_points=split.boosted,
            window=_render_window(window, boost) if window else None,
        )

    async def _boost(
        self,
        member_id: str,
        window: PromotionWindow | None,
        program: CompiledProgram,
        now: datetime,
    ) -> Boost:
        used = 0
        if window is not None:
            day = WindowDay(member_id, window.name, day_of(now, program.zone))
            used = await self._reads.ledger.get_window_used(day)
        return boost_of(window, used)


def _render_limit(limit: Limit) -> pb.RedemptionLimit:
    # An order may take more points than there can ever be.
    points = min(limit.points, POINTS_TOLD_MAX)
    return pb.RedemptionLimit(kind=int(limit.kind), points=points, reason=limit.reason)  # type: ignore[arg-type]


def _render_window(window: PromotionWindow, boost: Boost) -> pb.RedemptionWindow:
    return pb.RedemptionWindow(
        name=window.name,
        factor=window.factor,
        member_day_points_max=window.member_day_points_max,
        points_left=boost.points,
        end_time=to_timestamp(window.end),
    )
