"""The calls of PointsService about adjustments."""

from typing import Any
from uuid import UUID

import grpc

from kit.auth import identity_of
from kit.clock import to_timestamp
from kit.paging import decode_id, encode_token, page_size
from laurel.points.v1 import adjustments_pb2 as pb
from points.adjusting import Adjustment
from points.counter import Counter
from points.office import Call
from points.values import Operator

Context = grpc.aio.ServicerContext[Any, Any]


class AdjustmentCalls:
    """Asked for, approved, rejected, listed."""

    _counter: Counter

    async def AdjustPoints(
        self, request: pb.AdjustPointsRequest, context: Context
    ) -> pb.AdjustPointsResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.AdjustPointsResponse)
        return await self._counter.adjustments.adjust(
            request.member_id,
            request.points,
            Operator(request.operator, identity_of(context) or "", request.reason),
            call,
            lambda made: pb.AdjustPointsResponse(adjustment=render_adjustment(made)),
        )

    async def ApproveAdjustment(
        self, request: pb.ApproveAdjustmentRequest, context: Context
    ) -> pb.ApproveAdjustmentResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.ApproveAdjustmentResponse)
        return await self._counter.adjustments.approve(
            UUID(request.adjustment_id),
            Operator(request.operator, identity_of(context) or "", request.reason),
            call,
            lambda made: pb.ApproveAdjustmentResponse(adjustment=render_adjustment(made)),
        )

    async def RejectAdjustment(
        self, request: pb.RejectAdjustmentRequest, context: Context
    ) -> pb.RejectAdjustmentResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.RejectAdjustmentResponse)
        return await self._counter.adjustments.reject(
            UUID(request.adjustment_id),
            Operator(request.operator, identity_of(context) or "", request.reason),
            call,
            lambda made: pb.RejectAdjustmentResponse(adjustment=render_adjustment(made)),
        )

    async def ListAdjustments(
        self, request: pb.ListAdjustmentsRequest, context: Context
    ) -> pb.ListAdjustmentsResponse:
        """See the contract."""
        size = page_size(request.page_size)
        before = decode_id(request.page_token)
        found = await self._counter.adjustments.list(
            request.state, request.member_id, before, size + 1
        )
        page = found[:size]
        more = len(found) > size
        return pb.ListAdjustmentsResponse(
            adjustments=[render_adjustment(one) for one in page],
            next_page_token=encode_token(str(page[-1].adjustment_id)) if more else "",
        )


def render_adjustment(adjustment: Adjustment) -> pb.Adjustment:
    """An adjustment."""
    message = pb.Adjustment(
        adjustment_id=str(adjustment.adjustment_id),
        member_id=adjustment.member_id,
        points=adjustment.points,
        state=int(adjustment.state),  # type: ignore[arg-type]
        operator=adjustment.operator,
        identity=adjustment.identity,
        reason=adjustment.reason,
        create_time=to_timestamp(adjustment.create_time),
        decider=adjustment.decider or "",
        decider_identity=adjustment.decider_identity or "",
        decision_reason=adjustment.decision_reason or "",
        transaction_id=str(adjustment.transaction_id or ""),
    )
    if adjustment.decide_time is not None:
        message.decide_time.CopyFrom(to_timestamp(adjustment.decide_time))
    return message
