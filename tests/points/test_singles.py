"""PT-01, PT-07: single calls that come together share a batch, and each is answered for itself."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from grpc import StatusCode

from house import new_id, refused, usd
from kit.clock import from_timestamp, to_timestamp
from kit.errors import DatabaseUnavailable
from laurel.points.v1 import points_service_pb2 as pb
from points.errors import AmountTooLarge
from points.singles import answer_each
from points.store import Answer
from points.values import Command, Release
from points_ledger import Ledger

CALLS = 200


def purchase(amount: int = 10) -> pb.AccruePointsRequest:
    """Of a member of its own, at no stated time."""
    key = new_id()
    return pb.AccruePointsRequest(
        request_id=key,
        member_id=f"m-{key}",
        purchase=pb.Purchase(order_id=key, amount=usd(f"{amount}.00")),
    )


async def test_a_batch_happens_at_one_instant_that_is_not_before_its_calls(ledger: Ledger) -> None:
    """What names no time happens when its batch begins: after it was sent, before it is booked.

    One in five names a time, and keeps it.
    """
    points = ledger.stub
    before = datetime.now(UTC)
    requests = [purchase(place + 1) for place in range(CALLS)]
    for place in range(0, CALLS, 5):
        requests[place].occurred_time.CopyFrom(to_timestamp(before - timedelta(minutes=place)))
    answers = await asyncio.gather(*map(points.AccruePoints, requests))
    instants: dict[datetime, set[datetime]] = defaultdict(set)
    for request, answer in zip(requests, answers, strict=True):
        told = answer.transaction
        assert (told.request_id, told.member_id) == (request.request_id, request.member_id)
        assert told.points == request.purchase.amount.units
        if request.HasField("occurred_time"):
            assert told.occurred_time == request.occurred_time
        else:
            occurred, recorded = map(from_timestamp, (told.occurred_time, told.record_time))
            assert before <= occurred <= recorded
            instants[recorded].add(occurred)
        # What is read later goes another way: it is told by what was stored.
        asked = pb.GetTransactionRequest(
            member_id=told.member_id, transaction_id=told.transaction_id
        )
        assert (await points.GetTransaction(asked)).transaction == told
    assert len(instants) < CALLS / 2
    assert all(len(occurred) == 1 for occurred in instants.values())


async def test_a_call_that_cannot_be_read_costs_its_neighbours_nothing(ledger: Ledger) -> None:
    """Those of a batch that break the contract are refused, field and reason; the others earn."""
    points = ledger.stub

    async def call(place: int) -> str:
        request = purchase(-1 if place % 4 == 0 else 10)
        if place % 4 == 1:
            request.purchase.amount.currency_code = "EUR"
        if place % 4 > 1:
            return f"{(await points.AccruePoints(request)).transaction.points} points"
        refusal = await refused(points.AccruePoints(request))
        assert refusal.code is StatusCode.INVALID_ARGUMENT
        return str(refusal.reason)

    told = Counter(await asyncio.gather(*(call(place) for place in range(CALLS))))
    assert told == {
        "AMOUNT_INVALID": CALLS // 4,
        "CURRENCY_MISMATCH": CALLS // 4,
        "10 points": CALLS // 2,
    }


async def test_who_cannot_be_read_keeps_that_refusal_where_the_batch_fails() -> None:
    """Its neighbours are to come again, it is not."""
    ended = DatabaseUnavailable(retry_after_ms=1)

    async def fails(commands: Sequence[Command]) -> list[Answer]:
        raise ended

    refusal = AmountTooLarge(points=2, points_max=1)
    good = Release("r", b"", UUID(int=1))
    assert await answer_each([good, refusal, good], fails) == [ended, refusal, ended]
