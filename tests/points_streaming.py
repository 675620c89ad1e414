"""A stream of purchases, each in a message of its own."""

import asyncio
from collections.abc import Sequence

import grpc

from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub


async def stream_rows(
    stub: PointsServiceStub, rows: Sequence[pb.AccruePointsRequest], timeout: float
) -> list[pb.AccrueResult]:
    """What became of the rows, the next one sent once the one before was answered."""
    call = stub.StreamAccruePoints(timeout=timeout)
    results: list[pb.AccrueResult] = []
    try:
        for number, row in enumerate(rows, start=1):
            await call.write(pb.StreamAccruePointsRequest(sequence=number, requests=[row]))
            results += (await call.read()).results
        await call.done_writing()
    except (asyncio.InvalidStateError, AttributeError):
        # What grpc says of a write to a call that has ended: the call itself says why it did.
        raise grpc.aio.AioRpcError(
            await call.code(), await call.initial_metadata(), await call.trailing_metadata(),
            await call.details(),
        ) from None  # fmt: skip
    return results
