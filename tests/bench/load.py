"""Loads on PointsService, bounded in time: each returns operations per second and fails on the
first refusal.

Accruals are made and serialised before the clock starts: the load shares two cores with what it
measures, and should be as cheap as pgbench, which the yardstick is measured by.
"""

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import grpc
from google.type.money_pb2 import Money
from tests.bench.echo import Say
from tests.bench.wire import Wire

from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub

MEMBERS = 100_000
ROWS_PER_CALL = 500
BULK_CALLERS = 4
# What is made before the clock starts; a load that is faster makes the rest under way.
BULK_PER_SECOND = 20_000
UNARY_PER_SECOND = 6_000
STREAMS = 4
ROWS_PER_MESSAGE = 100
MESSAGES_AHEAD = 10
UNARY_CALLERS = 256
PAYERS = 20_000
PAYER_POINTS = 100_000
HOLD_POINTS = 100

SERVICE = "/laurel.points.v1.PointsService"
# The tags of the rows of a batch, and of the number and the rows of a message of a stream.
_BATCH_ROW, _SEQUENCE, _STREAM_ROW = b"\x0a", b"\x08", b"\x12"

_random = random.Random(20261124)
_payer = itertools.cycle(range(1, PAYERS + 1))


def accrual(member_id: str = "") -> pb.AccruePointsRequest:
    """A purchase of 1.00 to 500.00 by a member, one of 100,000 unless given."""
    key = uuid.uuid4().hex
    amount = Money(currency_code="USD", units=_random.randint(1, 500))
    return pb.AccruePointsRequest(
        request_id=key,
        member_id=member_id or str(_random.randint(1, MEMBERS)),
        purchase=pb.Purchase(order_id=key, amount=amount),
    )


def accruals(count: int) -> Iterator[bytes]:
    """Serialised accruals: `count` that are ready now, and more when these are used up."""
    ready = [accrual().SerializeToString() for _ in range(count)]
    return itertools.chain(ready, (accrual().SerializeToString() for _ in itertools.count()))


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _joined(rows: Iterable[bytes], tag: bytes) -> bytes:
    return b"".join(part for row in rows for part in (tag, _varint(len(row)), row))


class Lines:
    """Calls that take turns over several lean connections, as those of many callers do."""

    def __init__(self, wires: Sequence[Wire]) -> None:
        self._turns = itertools.cycle(wires)

    async def call(self, method: str, message: bytes) -> bytes:
        """The answer to a call of PointsService. Raises Refused."""
        return await next(self._turns).call(f"{SERVICE}/{method}", message)


async def batch_accrue(channel: grpc.aio.Channel, seconds: float) -> float:
    """BatchAccruePoints with 500 rows a call, four calls at a time."""
    book = channel.unary_unary(f"{SERVICE}/BatchAccruePoints")
    rows = accruals(round(seconds * BULK_PER_SECOND))

    async def call() -> int:
        answer = await book(_joined(itertools.islice(rows, ROWS_PER_CALL), _BATCH_ROW), timeout=30)
        return _booked(pb.BatchAccruePointsResponse.FromString(answer).results)

    return await _drive(call, BULK_CALLERS, seconds)


async def stream_accrue(channel: grpc.aio.Channel, seconds: float) -> float:
    """StreamAccruePoints, 4 streams of messages of 100 rows, ten on their way at a time."""
    open_stream = channel.stream_stream(f"{SERVICE}/StreamAccruePoints")
    rows = accruals(round(seconds * BULK_PER_SECOND))
    began = time.perf_counter()

    async def stream() -> int:
        call, done, ahead = open_stream(), 0, asyncio.Semaphore(MESSAGES_AHEAD)

        async def write() -> None:
            for sequence in itertools.count(1):
                if time.perf_counter() > began + seconds:
                    break
                await ahead.acquire()
                message = _joined(itertools.islice(rows, ROWS_PER_MESSAGE), _STREAM_ROW)
                await call.write(_SEQUENCE + _varint(sequence) + message)
            await call.done_writing()

        writer = asyncio.create_task(write())
        while isinstance(answer := await call.read(), bytes):
            done += _booked(pb.StreamAccruePointsResponse.FromString(answer).results)
            ahead.release()
        await writer
        return done

    counts = await asyncio.gather(*(stream() for _ in range(STREAMS)))
    return sum(counts) / (time.perf_counter() - began)


async def unary_accrue(points: Lines, seconds: float) -> float:
    """AccruePoints, 256 callers at a time."""
    rows = accruals(round(seconds * UNARY_PER_SECOND))

    async def call() -> int:
        await points.call("AccruePoints", next(rows))
        return 1

    return await _drive(call, UNARY_CALLERS, seconds)


async def unary_accrue_native(points: Lines, seconds: float) -> float:
    """The same by the native front."""
    return await unary_accrue(points, seconds)


async def hot_member(points: PointsServiceStub, seconds: float) -> float:
    """AccruePoints for one and the same member, 256 callers at a time."""

    async def call() -> int:
        await points.AccruePoints(accrual("hot"), timeout=30)
        return 1

    return await _drive(call, UNARY_CALLERS, seconds)


async def hold_capture(points: Lines, seconds: float) -> float:
    """HoldPoints, then CapturePoints of the whole hold, 256 callers at a time: pairs."""

    async def call() -> int:
        key = uuid.uuid4().hex
        hold = pb.HoldPointsRequest(
            request_id=key, member_id=f"p{next(_payer)}", points=HOLD_POINTS, order_id=key
        )
        answer = await points.call("HoldPoints", hold.SerializeToString())
        held = pb.HoldPointsResponse.FromString(answer)
        capture = pb.CapturePointsRequest(request_id=f"{key}-c", hold_id=held.hold.hold_id)
        await points.call("CapturePoints", capture.SerializeToString())
        return 1

    return await _drive(call, UNARY_CALLERS, seconds)


async def get_balance(points: PointsServiceStub, seconds: float) -> float:
    """GetBalance of one of 100,000 members, 256 callers at a time."""

    async def call() -> int:
        member_id = str(_random.randint(1, MEMBERS))
        await points.GetBalance(pb.GetBalanceRequest(member_id=member_id), timeout=30)
        return 1

    return await _drive(call, UNARY_CALLERS, seconds)


async def echo_balance(say: Say, seconds: float) -> float:
    """The same requests to a server that only gives them back, 256 callers at a time."""

    async def call() -> int:
        member_id = str(_random.randint(1, MEMBERS))
        await say(pb.GetBalanceRequest(member_id=member_id).SerializeToString(), timeout=30)
        return 1

    return await _drive(call, UNARY_CALLERS, seconds)


def _booked(results: Sequence[pb.AccrueResult]) -> int:
    for result in results:
        if result.HasField("error"):
            raise RuntimeError(f"refused: {result.error}")
    return len(results)


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
