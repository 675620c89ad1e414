"""PT-15: StreamAccruePoints: order, flow control, ends of every kind, one effect."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import grpc
from grpc import StatusCode
from prometheus_client import REGISTRY

from house import Ground, House, Refused, new_id, usd
from kit.clock import from_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from points_ledger import Ledger, calm_program

Call = Any


def message(sequence: int, rows: Iterable[pb.AccruePointsRequest]) -> pb.StreamAccruePointsRequest:
    """A message of a stream."""
    return pb.StreamAccruePointsRequest(sequence=sequence, requests=rows)


async def send(call: Call, *messages: pb.StreamAccruePointsRequest) -> None:
    """Writes messages, and leaves the sending side open."""
    for one in messages:
        await call.write(one)


async def rest_of(call: Call) -> list[pb.StreamAccruePointsResponse]:
    """Closes the sending side and reads to the end."""
    await call.done_writing()
    answers = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        answers.append(answer)
    return answers


async def ended(call: Call) -> Refused:
    """How a stream ended that did not end well."""
    try:
        while (answer := await call.read()) is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return Refused(error)
    raise AssertionError(f"expected a refusal, got {answer}")


@asynccontextmanager
async def locked(house: House, member: str) -> AsyncIterator[None]:
    """While this lasts nothing can be booked for a member."""
    owner = await asyncpg.connect(house.settings.database_url)
    async with owner.transaction():
        await owner.execute("SELECT 1 FROM points.account WHERE member_id = $1 FOR UPDATE", member)
        yield
    await owner.close()


async def test_each_message_is_answered_in_order_and_each_row_for_itself(
    ledger: Ledger, member: str
) -> None:
    good = ledger.accrual(member, "10")
    foreign = ledger.accrual(member, "10")
    foreign.purchase.amount.currency_code = "EUR"
    call = ledger.stub.StreamAccruePoints()
    await send(
        call,
        message(3, [good, ledger.accrual("", "10"), foreign]),
        message(7, [good, ledger.accrual(member, "5")]),
    )
    answers = await rest_of(call)
    assert [answer.sequence for answer in answers] == [3, 7]
    outcomes = [[r.WhichOneof("outcome") for r in answer.results] for answer in answers]
    assert outcomes == [["accrued", "error", "error"], ["accrued", "accrued"]]
    assert answers[0].results[0] == answers[1].results[0]
    assert (await ledger.balance(member)).active == 15
    assert await call.code() is StatusCode.OK


async def test_a_stream_answers_while_it_stays_open(ledger: Ledger, member: str) -> None:
    call = ledger.stub.StreamAccruePoints()
    for number in range(1, 4):
        await send(call, message(number, [ledger.accrual(member, "5")]))
        answer = await call.read()
        assert answer.sequence == number
        assert answer.results[0].accrued.balance_after.active == 5 * number
    assert await rest_of(call) == []


async def test_closing_the_sending_side_has_all_that_was_sent_answered(
    ledger: Ledger, member: str
) -> None:
    call = ledger.stub.StreamAccruePoints()
    await send(call, *(message(n, [ledger.accrual(member, "1")] * 1) for n in range(1, 301)))
    answers = await rest_of(call)
    assert [answer.sequence for answer in answers] == list(range(1, 301))
    assert (await ledger.balance(member)).active == 300


async def test_rows_of_a_stream_share_commits_and_keep_their_order(
    ledger: Ledger, member: str
) -> None:
    rows = [ledger.accrual(member, "1") for _ in range(200)]
    call = ledger.stub.StreamAccruePoints()
    await send(call, *(message(n, [row]) for n, row in enumerate(rows, start=1)))
    await rest_of(call)
    booked = await ledger.transactions(member)
    assert [t.request_id for t in booked] == [row.request_id for row in rows]
    assert len({from_timestamp(t.record_time) for t in booked}) < 100


async def test_four_streams_with_the_same_rows_at_once_credit_once(
    ledger: Ledger, member: str
) -> None:
    rows = [ledger.accrual(member, "2") for _ in range(50)]

    async def stream() -> list[pb.StreamAccruePointsResponse]:
        call = ledger.stub.StreamAccruePoints()
        await send(call, *(message(n, [row]) for n, row in enumerate(rows, start=1)))
        return await rest_of(call)

    first, *others = await asyncio.gather(*(stream() for _ in range(4)))
    assert all(other == first for other in others)
    assert (await ledger.balance(member)).active == 100


async def test_what_came_before_a_mistake_is_answered_before_it_ends_the_stream(
    ledger: Ledger, member: str
) -> None:
    for wrong, reason in [
        (message(0, [ledger.accrual(member, "1")]), "INVALID_ARGUMENT"),
        (message(9, []), "INVALID_ARGUMENT"),
        (message(1, [ledger.accrual(member, "1")]), "SEQUENCE_NOT_RISING"),
    ]:
        call = ledger.stub.StreamAccruePoints()
        await send(call, message(1, [ledger.accrual(member, "10")]), wrong)
        assert (await call.read()).sequence == 1
        refusal = await ended(call)
        assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert (await ledger.balance(member)).active == 30


async def test_bytes_that_are_no_message_end_the_stream_with_a_reason(ledger: Ledger) -> None:
    method = "/laurel.points.v1.PointsService/StreamAccruePoints"
    call = ledger.house.channel("points").stream_stream(method)()
    await call.write(b"\xff\xff")
    assert (await ended(call)).reason == "MALFORMED"


async def test_who_may_not_call_is_told_so_before_anything_is_read(calm: House) -> None:
    """SC-01: streams pass the policy as every other call."""
    call = calm.stub(PointsServiceStub, "points", "dashboard").StreamAccruePoints()
    refusal = await ended(call)
    assert (refusal.code, refusal.reason) == (StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")


async def test_a_full_window_stops_the_reading(ledger: Ledger, member: str) -> None:
    """SC-05: while nothing can be booked, no more is read than the window and the wire hold."""
    await ledger.accrue(member, "1")
    long = pb.Purchase(order_id="x" * 128, categories=["y" * 128] * 3, amount=usd("1"))
    rows = [ledger.accrual(member, "1", purchase=long) for _ in range(500)]
    call = ledger.stub.StreamAccruePoints()
    written = 0

    async def write() -> None:
        nonlocal written
        for number in range(1, 201):
            await call.write(message(number, rows))
            written = number

    async with locked(ledger.house, member):
        writer = asyncio.create_task(write())
        before = -1
        while written > before:
            before = written
            await asyncio.sleep(0.5)
        assert before < 200, "the caller was never told to wait"
    for number in range(1, 201):
        assert (await call.read()).sequence == number
    await writer
    assert await rest_of(call) == []
    assert (await ledger.balance(member)).active == 501


async def test_what_was_answered_before_a_cancel_stands_and_the_rest_can_be_sent_again(
    ledger: Ledger, member: str
) -> None:
    rows = [ledger.accrual(member, "1") for _ in range(100)]
    messages = [message(n, rows[5 * n - 5 : 5 * n]) for n in range(1, 21)]
    call = ledger.stub.StreamAccruePoints()
    await send(call, *messages)
    answered = [await call.read() for _ in range(3)]
    call.cancel()
    told = {r.accrued.transaction_id for answer in answered for r in answer.results}
    assert told <= {t.transaction_id for t in await ledger.transactions(member)}
    again = ledger.stub.StreamAccruePoints()
    await send(again, *messages)
    answers = await rest_of(again)
    assert answers[:3] == answered
    assert (await ledger.balance(member)).active == 100
    assert len(await ledger.transactions(member)) == 100


async def test_a_deadline_ends_a_stream_and_its_repeat_has_no_second_effect(
    ledger: Ledger, member: str
) -> None:
    await ledger.accrue(member, "1")
    row = ledger.accrual(member, "7")
    async with locked(ledger.house, member):
        call = ledger.stub.StreamAccruePoints(timeout=0.3)
        await send(call, message(1, [row]))
        assert (await ended(call)).code is StatusCode.DEADLINE_EXCEEDED
    for _ in range(2):
        again = ledger.stub.StreamAccruePoints()
        await send(again, message(1, [row]))
        assert len(await rest_of(again)) == 1
    assert (await ledger.balance(member)).active == 8


async def test_a_server_that_leaves_answers_what_it_has_read_and_then_says_unavailable(
    ground: Ground, member: str
) -> None:
    """OP-03: the caller sends the rest elsewhere."""
    async with ground.house() as house:
        await house.apply(calm_program())
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        await ledger.accrue(member, "1")
        call, idle = ledger.stub.StreamAccruePoints(), ledger.stub.StreamAccruePoints()
        await send(idle, message(1, [ledger.accrual(member, "1")]))
        await idle.read()
        async with locked(house, member):
            await send(call, *(message(n, [ledger.accrual(member, "1")]) for n in range(1, 11)))
            await asyncio.sleep(0.2)
            stopping = asyncio.create_task(house.stop("points"))
            await asyncio.sleep(0.2)
        answers = [await call.read() for _ in range(10)]
        assert [answer.sequence for answer in answers] == list(range(1, 11))
        for stream in (call, idle):
            refusal = await ended(stream)
            told = (refusal.code, refusal.reason)
            assert told == (StatusCode.UNAVAILABLE, "SHUTTING_DOWN"), refusal
        await stopping
        await house.start("points")
        assert (await ledger.balance(member)).active == 12


async def test_only_so_many_streams_are_open_at_once(ledger: Ledger, member: str) -> None:
    """SC-05: a window is memory; the 65th is told to come again."""
    calls = [ledger.stub.StreamAccruePoints() for _ in range(64)]
    for call in calls:
        await send(call, message(1, [ledger.accrual(member, "1")]))
        await call.read()
    refusal = await ended(ledger.stub.StreamAccruePoints())
    assert (refusal.code, refusal.reason) == (StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
    for call in calls:
        await rest_of(call)
    again = ledger.stub.StreamAccruePoints()
    await send(again, message(1, [ledger.accrual(new_id(), "1")]))
    assert len(await rest_of(again)) == 1


async def test_a_stream_is_counted_as_every_other_call(ledger: Ledger, member: str) -> None:
    """OP-02."""
    labels = {"service": "points", "method": "StreamAccruePoints", "code": "OK"}

    def count() -> float:
        return REGISTRY.get_sample_value("laurel_rpc_seconds_count", labels) or 0.0

    before = count()
    call = ledger.stub.StreamAccruePoints()
    await send(call, message(1, [ledger.accrual(member, "1")]))
    await rest_of(call)
    assert count() == before + 1
