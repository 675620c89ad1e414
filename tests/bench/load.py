"""Loads on PointsService, bounded in time: each returns operations per second and fails on the
first refusal.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable

from google.type.money_pb2 import Money

from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub

MEMBERS = 100_000
ROWS_PER_CALL = 500
BULK_CALLERS = 3
UNARY_CALLERS = 256

_random = random.Random(20261124)


def accrual() -> pb.AccruePointsRequest:
    """A purchase of 1.00 to 500.00 by one of 100,000 members."""
    key = uuid.uuid4().hex
    amount = Money(currency_code="USD", units=_random.randint(1, 500))
    return pb.AccruePointsRequest(
        request_id=key,
        member_id=str(_random.randint(1, MEMBERS)),
        purchase=pb.Purchase(order_id=key, amount=amount),
    )


async def batch_accrue(points: PointsServiceStub, seconds: float) -> float:
    """BatchAccruePoints with 500 rows a call, three calls at a time."""

    async def call() -> int:
        rows = [accrual() for _ in range(ROWS_PER_CALL)]
        response = await points.BatchAccruePoints(
            pb.BatchAccruePointsRequest(requests=rows), timeout=30
        )
        for result in response.results:
            if result.HasField("error"):
                raise RuntimeError(f"refused: {result.error}")
        return len(response.results)

    return await _drive(call, BULK_CALLERS, seconds)


async def unary_accrue(points: PointsServiceStub, seconds: float) -> float:
    """AccruePoints, 256 callers at a time."""

    async def call() -> int:
        await points.AccruePoints(accrual(), timeout=30)
        return 1

    return await _drive(call, UNARY_CALLERS, seconds)


async def _drive(call: Callable[[], Awaitable[int]], callers: int, seconds: float) -> float:
    """Every caller calls again until the time is up; what is under way then is finished and
    counted.
    """
    began = time.perf_counter()
    end = began + seconds

    async def caller() -> int:
        done = 0
        while time.perf_counter() < end:
            done += await call()
        return done

    counts = await asyncio.gather(*(caller() for _ in range(callers)))
    return sum(counts) / (time.perf_counter() - began)
