"""Loads on a ledger of some size, bounded in work and time: each returns operations per second."""

import asyncio
import itertools
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from google.type.money_pb2 import Money
from tests.bench.growth_fill import Size
from tests.bench.load import BULK_CALLERS, HOLD_POINTS, ROWS_PER_CALL, UNARY_CALLERS, Lines

from kit.clock import to_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub

ROUNDS = 6
SECONDS_MAX = 3.0
# So many a round that even the members of a small ledger stay below what anti-fraud calls many
# purchases an hour: 20 in the sample program.
ACCRUALS_OF_EACH = 3
ACCRUAL_CALLS_MAX = 30
# A round, too: who has least can pay 20 times.
HOLDS_OF_EACH = 3
PAGE_SIZE = 10
EXPIRY_SECONDS_MAX = 1800


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger under load, and where its loads have got to."""

    size: Size
    points: PointsServiceStub
    lines: Lines
    accruals: "itertools.count[int]" = field(default_factory=itertools.count)
    holds: "itertools.count[int]" = field(default_factory=itertools.count)
    reads: "itertools.count[int]" = field(default_factory=itertools.count)


async def batch_accrue(ledger: Ledger, share: float = 1.0) -> float:
    """BatchAccruePoints with 500 rows a call, four calls at a time, all members in turn."""

    async def call() -> int:
        rows = [_accrual(ledger) for _ in range(ROWS_PER_CALL)]
        request = pb.BatchAccruePointsRequest(requests=rows)
        response = await ledger.points.BatchAccruePoints(request, timeout=60)
        for result in response.results:
            if result.HasField("error"):
                raise RuntimeError(f"refused: {result.error}")
        return len(response.results)

    calls = min(ACCRUAL_CALLS_MAX, ledger.size.members * ACCRUALS_OF_EACH // ROWS_PER_CALL)
    return await _drive(call, BULK_CALLERS, SECONDS_MAX * share, max(1, int(calls * share)))


def _accrual(ledger: Ledger) -> pb.AccruePointsRequest:
    number, key = next(ledger.accruals), uuid.uuid4().hex
    amount = Money(currency_code="USD", units=1 + number % 500)
    return pb.AccruePointsRequest(
        request_id=key,
        member_id=ledger.size.member(number),
        purchase=pb.Purchase(order_id=key, amount=amount),
    )


async def hold_capture(ledger: Ledger, share: float = 1.0) -> float:
    """HoldPoints, then CapturePoints of the whole hold, 256 callers at a time: pairs."""

    async def call() -> int:
        key = uuid.uuid4().hex
        member_id = ledger.size.payer(next(ledger.holds))
        hold = pb.HoldPointsRequest(
            request_id=key, member_id=member_id, points=HOLD_POINTS, order_id=key
        )
        answer = await ledger.lines.call("HoldPoints", hold.SerializeToString())
        held = pb.HoldPointsResponse.FromString(answer)
        capture = pb.CapturePointsRequest(request_id=f"{key}-c", hold_id=held.hold.hold_id)
        await ledger.lines.call("CapturePoints", capture.SerializeToString())
        return 1

    calls = ledger.size.payers * HOLDS_OF_EACH
    return await _drive(call, UNARY_CALLERS, SECONDS_MAX * share, int(calls * share))


async def get_balance(ledger: Ledger, share: float = 1.0) -> float:
    """GetBalance of all members in turn, 256 callers at a time."""

    async def call() -> int:
        request = pb.GetBalanceRequest(member_id=ledger.size.member(next(ledger.reads)))
        await ledger.lines.call("GetBalance", request.SerializeToString())
        return 1

    return await _drive(call, UNARY_CALLERS, SECONDS_MAX * share)


async def list_transactions(ledger: Ledger, share: float = 1.0) -> float:
    """The newest 10 transactions of all members in turn, 16 callers at a time."""

    async def call() -> int:
        request = pb.ListTransactionsRequest(
            member_id=ledger.size.member(next(ledger.reads)), page_size=PAGE_SIZE
        )
        await ledger.lines.call("ListTransactions", request.SerializeToString())
        return 1

    return await _drive(call, 16, SECONDS_MAX * share)


async def run_expiry(ledger: Ledger, cohort: int) -> float:
    """RunExpiry when 1 % of the lots are due, no more and no less: lots per second."""
    request = pb.RunExpiryRequest(as_of_time=to_timestamp(ledger.size.due_time(cohort)))
    began = time.perf_counter()
    done = await ledger.points.RunExpiry(request, timeout=EXPIRY_SECONDS_MAX)
    seconds = time.perf_counter() - began
    told = (done.expired_lot_count, done.expired_hold_count, done.warned_member_count)
    if told != (ledger.size.due_lots, 0, 0):
        raise RuntimeError(f"not what was due: {ledger.size.due_lots} lots were, {done}")
    return ledger.size.due_lots / seconds


async def _drive(
    call: Callable[[], Awaitable[int]], callers: int, seconds: float, calls_max: int = 1_000_000
) -> float:
    """Every caller calls again until the time or the work is up; what is under way is finished."""
    began = time.perf_counter()
    end = began + seconds
    left = itertools.count(calls_max, -1)

    async def caller() -> int:
        done = 0
        while next(left) > 0 and time.perf_counter() < end:
            done += await call()
        return done

    counts = await asyncio.gather(*(caller() for _ in range(callers)))
    return sum(counts) / (time.perf_counter() - began)
