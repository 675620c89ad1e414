"""The calls of PointsService for tills that are offline at times."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import grpc

from kit.clock import Clock, from_timestamp, to_timestamp
from kit.errors import LaurelError, info_of, to_status
from kit.requests import content_hash
from kit.validate import check
from laurel.antifraud.v1.antifraud_service_pb2 import Origin
from laurel.points.v1 import points_service_pb2 as pb
from points.bulk import work_rows
from points.counter import Counter
from points.errors import TillBatchTooLate, TillBatchUnfinished
from points.till_store import Gap
from points.writing import WritePath
from rules.feed import ProgramFeed

Context = grpc.aio.ServicerContext[Any, Any]
# What a row ends in that may end otherwise when it is tried again.
UNDECIDED = {
    code.value[0]
    for code in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
    )
}


class TillCalls:
    """Batches of tills."""

    _path: WritePath
    _feed: ProgramFeed
    _clock: Clock
    _counter: Counter

    async def SubmitTillBatch(
        self, request: pb.SubmitTillBatchRequest, context: Context
    ) -> pb.SubmitTillBatchResponse:
        """See the contract."""
        tills, digest = self._counter.tills, content_hash(request)
        key = (request.device_id, request.batch_number)
        answer = await tills.find(*key, digest)
        if answer is None:
            await self._check_not_too_late(request)
            answer = await tills.claim(*key, digest)
        if answer is None:
            results = await self._work(request)
            answer = await tills.finish(*key, lambda gaps: _render(results, gaps))
        return pb.SubmitTillBatchResponse.FromString(answer)

    async def GetTill(self, request: pb.GetTillRequest, context: Context) -> pb.GetTillResponse:
        """See the contract."""
        till = await self._counter.tills.get(request.device_id)
        response = pb.GetTillResponse(last_batch_number=till.last_number, gaps=_gaps(till.gaps))
        if till.last_time is not None:
            response.last_submit_time.CopyFrom(to_timestamp(till.last_time))
        return response

    async def _check_not_too_late(self, request: pb.SubmitTillBatchRequest) -> None:
        now = self._clock()
        days = (await self._feed.ensure()).in_force(now).till_late_days_max
        oldest = min(
            (row.occurred_time for row in request.rows if row.HasField("occurred_time")),
            key=lambda stamp: stamp.seconds,
            default=None,
        )
        if oldest is not None and oldest.seconds < (now - timedelta(days=days)).timestamp():
            shown = from_timestamp(oldest).isoformat() if oldest.seconds > 0 else oldest.seconds
            raise TillBatchTooLate(oldest_time=shown, late_days_max=days)

    async def _work(self, request: pb.SubmitTillBatchRequest) -> list[pb.AccrueResult]:
        """Books the rows in the order in which they occurred. Raises TillBatchUnfinished."""
        results = {number: _mistake(row) for number, row in enumerate(request.rows)}
        valid = [number for number, mistake in results.items() if mistake is None]
        valid.sort(key=lambda number: _instant(request.rows[number]))
        rows = [_accrual(request, number) for number in valid]
        booked = await work_rows(rows, self._path, self._feed, self._clock)
        undecided = [row.error for row in booked if row.error.code in UNDECIDED]
        if undecided:
            raise TillBatchUnfinished(
                open=len(undecided), rows=len(results), cause=info_of(undecided[0]).reason,
                retry_after_ms=TillBatchUnfinished.RETRY_AFTER_MS,
            )  # fmt: skip
        results.update(zip(valid, booked, strict=True))
        return [result for result in results.values() if result is not None]


def _mistake(row: pb.TillRow) -> pb.AccrueResult | None:
    try:
        check(row)
    except LaurelError as error:
        return pb.AccrueResult(error=to_status(error))
    return None


def _instant(row: pb.TillRow) -> tuple[int, int]:
    return row.occurred_time.seconds, row.occurred_time.nanos


def _accrual(request: pb.SubmitTillBatchRequest, number: int) -> pb.AccruePointsRequest:
    row = request.rows[number]
    return pb.AccruePointsRequest(
        request_id=f"till:{request.device_id}:{request.batch_number}:{number}",
        member_id=row.member_id,
        purchase=row.purchase,
        occurred_time=row.occurred_time,
        origin=Origin(channel="till", store=request.store),
    )


def _render(results: Sequence[pb.AccrueResult], gaps: Sequence[Gap]) -> bytes:
    return pb.SubmitTillBatchResponse(results=results, gaps=_gaps(gaps)).SerializeToString()


def _gaps(gaps: Sequence[Gap]) -> list[pb.TillGap]:
    return [pb.TillGap(first_batch_number=gap.first, last_batch_number=gap.last) for gap in gaps]
