"""PT-01, PT-07: single calls that come together share a batch, and each is answered for itself."""

import asyncio
from collections import Counter, defaultdict
from datetime import UTC, datetime

from grpc import StatusCode

from house import new_id, refused, usd
from kit.clock import from_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger

CALLS = 200


def purchase(amount: str = "10.00") -> pb.AccruePointsRequest:
    """Of a member of its own, at no stated time."""
    key = new_id()
    return pb.AccruePointsRequest(
        request_id=key, member_id=f"m-{key}", purchase=pb.Purchase(order_id=key, amount=usd(amount))
    )


async def test_a_batch_happens_at_one_instant_that_is_not_before_its_calls(ledger: Ledger) -> None:
    """What names no time happens when its batch begins: after it was sent, before it is booked."""
    points = ledger.stub
    before = datetime.now(UTC)
    answers = await asyncio.gather(*(points.AccruePoints(purchase()) for _ in range(CALLS)))
    instants: dict[datetime, set[datetime]] = defaultdict(set)
    for answer in answers:
        transaction = answer.transaction
        occurred = from_timestamp(transaction.occurred_time)
        recorded = from_timestamp(transaction.record_time)
        assert before <= occurred <= recorded
        instants[recorded].add(occurred)
        asked = pb.GetTransactionRequest(
            member_id=transaction.member_id, transaction_id=transaction.transaction_id
        )
        assert (await points.GetTransaction(asked)).transaction == transaction
    assert len(instants) < CALLS
    assert all(len(occurred) == 1 for occurred in instants.values())


async def test_a_call_that_cannot_be_read_costs_its_neighbours_nothing(ledger: Ledger) -> None:
    """Those of a batch that break the contract are refused, field and reason; the others earn."""
    points = ledger.stub

    async def call(place: int) -> str:
        request = purchase("-1.00" if place % 4 == 0 else "10.00")
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
