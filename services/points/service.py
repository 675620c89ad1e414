"""The calls of PointsService."""

from datetime import datetime
from functools import partial
from typing import Any

import grpc

from kit.batch import Batcher
from kit.clock import Clock, parse_time
from kit.interceptor import checks_itself
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceServicer
from points import parse
from points.activity_calls import ActivityCalls
from points.activity_desk import ActivityDesk
from points.board_calls import BoardCalls
from points.bulk import work_rows
from points.counter import Counter
from points.counter_calls import CounterCalls
from points.plain import PlainAccrual, to_posted
from points.plain_render import TransactionForms
from points.quote_calls import QuoteCalls
from points.reading_calls import ReadingCalls
from points.reads import Reads
from points.render import render_hold, render_reversal, render_transaction
from points.scheduled import ScheduledWork
from points.singles import Reading
from points.stream_calls import StreamCalls, open_stream_desk
from points.values import Command, Posted
from points.writing import WritePath
from rules.feed import ProgramFeed

Context = grpc.aio.ServicerContext[Any, Any]
Queue = Batcher[Reading, Posted | PlainAccrual]


class PointsService(
    ActivityCalls,
    BoardCalls,
    CounterCalls,
    QuoteCalls,
    ReadingCalls,
    StreamCalls,
    PointsServiceServicer,
):
    """Proto to domain and back; single calls share batches through the queue, bulk calls enter
    below it.
    """

    def __init__(
        self,
        queue: Queue,
        path: WritePath,
        scheduled: ScheduledWork,
        feed: ProgramFeed,
        clock: Clock,
        *,
        activities: ActivityDesk,
        counter: Counter,
        reads: Reads,
    ) -> None:
        self._activities = activities
        self._queue = queue
        self._path = path
        self._scheduled = scheduled
        self._feed = feed
        self._clock = clock
        self._desk = open_stream_desk()
        self._forms = TransactionForms()
        self._counter = counter
        self._reads = reads

    @checks_itself
    async def AccruePoints(
        self, request: pb.AccruePointsRequest, context: Context
    ) -> pb.AccruePointsResponse:
        """See the contract."""
        answer = await self._queue.submit(partial(parse.parse_row, request))
        response = pb.AccruePointsResponse()
        if isinstance(answer, PlainAccrual):
            self._forms.fill_in(answer, response.transaction)
        else:
            response.transaction.CopyFrom(render_transaction(answer))
        return response

    async def BatchAccruePoints(
        self, request: pb.BatchAccruePointsRequest, context: Context
    ) -> pb.BatchAccruePointsResponse:
        """See the contract."""
        results = await work_rows(request.requests, self._path, self._feed, self._clock)
        return pb.BatchAccruePointsResponse(results=results)

    async def HoldPoints(
        self, request: pb.HoldPointsRequest, context: Context
    ) -> pb.HoldPointsResponse:
        """See the contract."""
        posted = await self._submit(partial(parse.parse_hold, request))
        return pb.HoldPointsResponse(
            hold=render_hold(posted), transaction=render_transaction(posted)
        )

    async def RedeemPoints(
        self, request: pb.RedeemPointsRequest, context: Context
    ) -> pb.RedeemPointsResponse:
        """See the contract."""
        posted = await self._submit(partial(parse.parse_redemption, request))
        return pb.RedeemPointsResponse(
            hold=render_hold(posted), transaction=render_transaction(posted)
        )

    async def CapturePoints(
        self, request: pb.CapturePointsRequest, context: Context
    ) -> pb.CapturePointsResponse:
        """See the contract."""
        posted = await self._submit_read(parse.parse_capture(request))
        return pb.CapturePointsResponse(
            hold=render_hold(posted), transaction=render_transaction(posted)
        )

    async def ReleaseHold(
        self, request: pb.ReleaseHoldRequest, context: Context
    ) -> pb.ReleaseHoldResponse:
        """See the contract."""
        posted = await self._submit_read(parse.parse_release(request))
        return pb.ReleaseHoldResponse(
            hold=render_hold(posted), transaction=render_transaction(posted)
        )

    async def RefundPoints(
        self, request: pb.RefundPointsRequest, context: Context
    ) -> pb.RefundPointsResponse:
        """See the contract."""
        posted = await self._submit_read(parse.parse_refund(request))
        return pb.RefundPointsResponse(
            hold=render_hold(posted), transaction=render_transaction(posted)
        )

    async def ReverseAccrual(
        self, request: pb.ReverseAccrualRequest, context: Context
    ) -> pb.ReverseAccrualResponse:
        """See the contract."""
        posted = await self._submit_read(parse.parse_reversal(request))
        return render_reversal(posted)

    async def RunExpiry(
        self, request: pb.RunExpiryRequest, context: Context
    ) -> pb.RunExpiryResponse:
        """See the contract."""
        done = await self._scheduled.run_expiry(self._as_of(request))
        return pb.RunExpiryResponse(
            expired_lot_count=done.expired_lot_count,
            expired_points=done.expired_points,
            expired_hold_count=done.expired_hold_count,
            warned_member_count=done.warned_member_count,
            written_off_points=done.written_off_points,
        )

    async def RunMaturation(
        self, request: pb.RunMaturationRequest, context: Context
    ) -> pb.RunMaturationResponse:
        """See the contract."""
        done = await self._scheduled.run_maturation(self._as_of(request))
        return pb.RunMaturationResponse(
            matured_lot_count=done.matured_lot_count, matured_points=done.matured_points
        )

    async def _submit_read(self, command: Command) -> Posted:
        return await self._submit(lambda _now, _programs: command)

    async def _submit(self, reading: Reading) -> Posted:
        answer = await self._queue.submit(reading)
        return to_posted(answer) if isinstance(answer, PlainAccrual) else answer

    def _as_of(self, request: pb.RunExpiryRequest | pb.RunMaturationRequest) -> datetime:
        if not request.HasField("as_of_time"):
            return self._clock()
        return parse_time(request.as_of_time, "as_of_time")
