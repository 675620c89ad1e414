"""The call of PointsService that says how an order may be paid."""

from typing import Any

import grpc

from kit.clock import Clock
from kit.money import from_minor, to_minor
from laurel.points.v1 import redemptions_pb2 as pb
from points.reads import Reads
from rules.feed import ProgramFeed
from rules.redemption import limits, quote

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
        program = (await self._feed.ensure()).in_force(self._clock())
        currency, digits = program.currency, program.minor_digits
        order_minor = to_minor(request.order_amount, currency, digits, "order_amount")
        view = await self._reads.balance_queue.submit(request.member_id)
        balance = view.account.active
        # All that there is stands for as many as possible: the limits do the rest.
        split = quote(order_minor, request.points_wanted or balance, balance, program)
        return pb.QuoteRedemptionResponse(
            points=split.points,
            points_value=from_minor(split.points_minor, currency, digits),
            cash=from_minor(split.cash_minor, currency, digits),
            points_max=split.points_max,
            reason=split.reason,
            limits=[
                pb.RedemptionLimit(kind=int(one.kind), points=one.points, reason=one.reason)  # type: ignore[arg-type]
                for one in limits(order_minor, balance, program)
            ],
            program_version=program.version,
        )
