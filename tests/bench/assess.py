"""What a decision of anti-fraud costs: of a batch, as a share of the accruals it is for; and of
one alone, at 100 a second, beside an echo at the same pace.
"""

import asyncio
import itertools
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
from tests.bench.echo import Say
from tests.bench.load import MEMBERS, ROWS_PER_CALL, accrual

from kit.clock import to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as fraud_pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from laurel.program.v1.program_pb2 import FraudOperation

PAIRS = 20
CALLS_PER_SECOND = 100
CALLS = 500

_number = itertools.count()


@dataclass(slots=True)
class Costs:
    """Of each round, the share of the batch's time, and the 99th percentiles in milliseconds."""

    shares: list[float]
    alone_ms: list[float]
    echo_ms: list[float]

    def summary(self) -> dict[str, object]:
        """As it is kept in bench.json."""
        return {
            "assess_share": _spread(self.shares),
            "assess_alone_p99_ms": _spread(self.alone_ms),
            "echo_p99_ms": _spread(self.echo_ms),
        }


def _spread(values: Sequence[float]) -> dict[str, float]:
    found = sorted(round(value, 2) for value in values)
    return {"median": statistics.median(found), "lowest": found[0], "highest": found[-1]}


async def measure_round(
    costs: Costs, channel: grpc.aio.Channel, points: grpc.aio.Channel, say: Say
) -> None:
    """One more of each; everything is asked one call after the other, or at its pace."""
    fraud, book = AntifraudServiceStub(channel), PointsServiceStub(points)
    costs.shares.append(await _share(fraud, book))

    async def assess() -> None:
        await fraud.BatchAssess(fraud_pb.BatchAssessRequest(operations=[_alone()]))

    async def give_back() -> None:
        await say(_alone().SerializeToString(), timeout=30)

    costs.alone_ms.append(await _p99_ms(assess))
    costs.echo_ms.append(await _p99_ms(give_back))


async def _share(fraud: Any, book: Any) -> float:
    """Time of BatchAssess over time of BatchAccruePoints, of the same 500 purchases, in turn."""
    assessing = accruing = 0.0
    for _ in range(PAIRS):
        rows = [accrual() for _ in range(ROWS_PER_CALL)]
        questions = _question(rows)
        began = time.perf_counter()
        await fraud.BatchAssess(questions)
        assessing += time.perf_counter() - began
        began = time.perf_counter()
        await book.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
        accruing += time.perf_counter() - began
    return assessing / accruing


def _question(rows: Sequence[pb.AccruePointsRequest]) -> fraud_pb.BatchAssessRequest:
    """What points asks about purchases, under request ids of its own."""
    now = datetime.now(UTC).timestamp()
    plain = fraud_pb.PlainOperations(
        kind=FraudOperation.FRAUD_OPERATION_ACCRUAL, type="purchase",
        request_ids=[uuid.uuid4().hex for _ in rows], member_ids=[row.member_id for row in rows],
        points=[row.purchase.amount.units for row in rows], currency_code="USD",
        amounts_minor=[row.purchase.amount.units * 100 for row in rows],
        occurred_micros=[round(now * 1_000_000)], tier_ids=["member"],
        order_ids=[row.purchase.order_id for row in rows],
    )  # fmt: skip
    return fraud_pb.BatchAssessRequest(plain=plain)


def _operation(row: pb.AccruePointsRequest) -> fraud_pb.Operation:
    """A purchase as a question of its own."""
    return fraud_pb.Operation(
        request_id=uuid.uuid4().hex, kind=FraudOperation.FRAUD_OPERATION_ACCRUAL,
        member_id=row.member_id, points=row.purchase.amount.units, amount=row.purchase.amount,
        occurred_time=to_timestamp(datetime.now(UTC)), tier_id="member",
        order_id=row.purchase.order_id, type="purchase",
    )  # fmt: skip


def _alone() -> fraud_pb.Operation:
    """A purchase in a store: with all that rules may count by."""
    number = next(_number)
    operation = _operation(accrual(str(number % MEMBERS)))
    origin = fraud_pb.Origin(
        channel="store", store=f"s{number % 100}", device=f"d{number}", ip=f"10.0.0.{number % 200}",
        card=f"c{number}",
    )  # fmt: skip
    operation.origin.CopyFrom(origin)
    return operation


async def _p99_ms(call: Callable[[], Awaitable[None]]) -> float:
    """The 99th percentile of the time of calls that begin 100 times a second."""
    began = time.perf_counter()

    async def one(number: int) -> float:
        due = began + number / CALLS_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        start = time.perf_counter()
        await call()
        return (time.perf_counter() - start) * 1000

    times = sorted(await asyncio.gather(*(one(number) for number in range(CALLS))))
    return times[CALLS * 99 // 100]
