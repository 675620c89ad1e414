"""The calls of PointsService that merge members and take them apart again."""

from typing import Any
from uuid import UUID

import grpc

from kit.auth import identity_of
from kit.clock import to_timestamp
from kit.paging import decode_id, encode_token, page_size
from laurel.points.v1 import merges_pb2 as pb
from points.counter import Counter
from points.merges import Merge, Undoing
from points.office import Call
from points.values import Operator

Context = grpc.aio.ServicerContext[Any, Any]


class MergeCalls:
    """Merged, undone, listed."""

    _counter: Counter

    async def MergeMembers(
        self, request: pb.MergeMembersRequest, context: Context
    ) -> pb.MergeMembersResponse:
        """See the contract."""
        return await self._counter.merges.merge(
            request.survivor_member_id,
            request.merged_member_id,
            Operator(request.operator, identity_of(context) or "", request.reason),
            Call(request.request_id, request, pb.MergeMembersResponse),
            lambda made: pb.MergeMembersResponse(merge=render_merge(made)),
        )

    async def UndoMerge(
        self, request: pb.UndoMergeRequest, context: Context
    ) -> pb.UndoMergeResponse:
        """See the contract."""
        return await self._counter.merges.undo(
            UUID(request.merge_id),
            Operator(request.operator, identity_of(context) or "", request.reason),
            Call(request.request_id, request, pb.UndoMergeResponse),
            lambda made: pb.UndoMergeResponse(merge=render_merge(made)),
        )

    async def ListMerges(
        self, request: pb.ListMergesRequest, context: Context
    ) -> pb.ListMergesResponse:
        """See the contract."""
        size = page_size(request.page_size)
        before = decode_id(request.page_token)
        found = await self._counter.merges.list(request.member_id, before, size + 1)
        page = found[:size]
        more = len(found) > size
        return pb.ListMergesResponse(
            merges=[render_merge(merge) for merge in page],
            next_page_token=encode_token(str(page[-1].merge_id)) if more else "",
        )


def render_merge(merge: Merge) -> pb.Merge:
    """A merge, with how it was undone."""
    return pb.Merge(
        merge_id=str(merge.merge_id),
        survivor_member_id=merge.survivor_id,
        merged_member_id=merge.merged_id,
        active_points=merge.amounts.active,
        pending_points=merge.amounts.pending,
        held_points=merge.amounts.held,
        debt_points=merge.amounts.debt,
        hold_count=merge.hold_count,
        transaction_id=str(merge.transaction_id),
        merged_transaction_id=str(merge.merged_transaction_id),
        operator=merge.operator.name,
        identity=merge.operator.identity,
        reason=merge.operator.reason,
        create_time=to_timestamp(merge.create_time),
        undoing=_render_undoing(merge.undoing) if merge.undoing else None,
    )


def _render_undoing(undoing: Undoing) -> pb.MergeUndoing:
    return pb.MergeUndoing(
        active_points=undoing.amounts.active,
        pending_points=undoing.amounts.pending,
        held_points=undoing.amounts.held,
        debt_points=undoing.amounts.debt,
        transaction_id=str(undoing.transaction_id),
        merged_transaction_id=str(undoing.merged_transaction_id),
        operator=undoing.operator.name,
        identity=undoing.operator.identity,
        reason=undoing.operator.reason,
        create_time=to_timestamp(undoing.time),
    )
