"""The desk of a crowd: it sends what callers ask for, and keeps what each of them was told.

A call, and each row of a bulk call, is either acknowledged or refused for a reason that is foreseen
for it here. Anything else fails the test: an INTERNAL row as much as an INTERNAL call.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import grpc
from google.protobuf.message import Message

from house import House, Refused
from kit.errors import info_of
from laurel.points.v1 import points_service_pb2 as pb
from points_moving import Counter
from points_streaming import stream_rows

SPENDING = {"INSUFFICIENT_POINTS", "ACCOUNT_FROZEN"}
POOL = {*SPENDING, "NOT_IN_HOUSEHOLD"}
FORESEEN: dict[str, set[str]] = {
    "HoldPoints": SPENDING,
    "RedeemPoints": SPENDING,
    "CapturePoints": {"HOLD_NOT_OPEN", "HOLD_EXCEEDED"},
    "ReleaseHold": {"HOLD_NOT_OPEN"},
    "RefundPoints": {"REFUND_EXCEEDED"},
    "ReverseAccrual": {"RETURN_EXCEEDED"},
    "ImportTransactions": {"INSUFFICIENT_POINTS"},
    "TransferPoints": {*SPENDING, "GIFT_ABOVE_SHARE", "GIFT_ABOVE_MONTH"},
    "DonatePoints": SPENDING,
    "AdjustPoints": SPENDING,
    "ApproveAdjustment": {*SPENDING, "ADJUSTMENT_NOT_PENDING"},
    "RejectAdjustment": {"ADJUSTMENT_NOT_PENDING"},
    "FreezeAccount": {"ACCOUNT_FROZEN"},
    "MergeMembers": {"ACCOUNT_FROZEN"},
    "UndoMerge": {"MERGE_UNDONE"},
    "AddHouseholdMember": {"ACCOUNT_FROZEN", "IN_HOUSEHOLD"},
    "UpdateHouseholdMember": set(),
    "RemoveHouseholdMember": {"NOT_IN_HOUSEHOLD", "POOL_HOLDS_OPEN"},
    "ContributeToPool": POOL,
    "HoldPoolPoints": {*POOL, "CHILD_LIMIT_EXCEEDED"},
    "RemoveTeamMember": {"NOT_IN_TEAM"},
}
# Of accounts that are merged and closed while others write to them.
ENDED = {"ACCOUNT_MERGED", "ACCOUNT_CLOSED"}
# The contract asks to send these again, with the same request id.
AGAIN = {
    "TOO_MANY_STREAMS", "QUEUE_FULL", "ANTIFRAUD_UNAVAILABLE", "DATABASE_UNAVAILABLE",
    "HOLD_MOVED", "REQUEST_RACED", "TILL_BATCH_UNFINISHED",
}  # fmt: skip
READS = ("Get", "List", "BatchGet", "Verify", "Watch", "Quote")
WRITES = {
    method.name
    for method in pb.DESCRIPTOR.services_by_name["PointsService"].methods
    if not method.name.startswith(READS)
}


class Declined(Exception):
    """A call was refused, as it may be."""


class Desk:
    """Sends, sends again, compares, and counts."""

    def __init__(self, house: House) -> None:
        self.counter = Counter(house)
        self.stub = self.counter.stub
        self.sent: set[str] = set()
        self.acknowledged: set[str] = set()
        self.told: set[str] = set()
        """Ids of all transactions that answers name."""
        self.done: Tally[str] = Tally()
        """By call: how often it took effect."""
        self.refusals: Tally[tuple[str, str]] = Tally()
        self.again: Tally[str] = Tally()
        self.ending: set[str] = set()
        """Members whose accounts are merged or closed meanwhile."""

    async def send(self, name: str, request: Any, random: Random) -> Any:
        """The answer to a request, which one in five sends twice at once. Raises Declined."""
        times = 2 if random.random() < 0.2 else 1
        outcomes = await asyncio.gather(
            *(self._insist(name, request) for _ in range(times)), return_exceptions=True
        )
        answers = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        for error in outcomes:
            if isinstance(error, BaseException):
                self._note_refusal(name, request, error)
        self.sent.update(ids_of(request))
        if not answers:
            raise Declined
        return self._note(name, request, answers)

    def _note(self, name: str, request: Any, answers: Sequence[Any]) -> Any:
        """What one request was answered, perhaps twice: only refusals may differ."""
        rows = rows_of(request)
        if rows is None:
            assert all(answer == answers[0] for answer in answers), (name, answers)
            self.done[name] += 1
            self.acknowledged.update(ids_of(request))
        else:
            for index, row in enumerate(rows):
                results = [answer.results[index] for answer in answers]
                self._note_row(name, row, results)
        for answer in answers:
            self.told.update(transactions_in(answer))
        return answers[0]

    def _note_row(self, name: str, row: Any, results: Sequence[Any]) -> None:
        booked = [result for result in results if not result.HasField("error")]
        assert all(result == booked[0] for result in booked), (name, booked)
        for result in results:
            if result.HasField("error"):
                self._check(name, info_of(result.error).reason, row, result.error)
        if booked:
            self.done[name] += 1
            self.acknowledged.update(ids_of(row))

    def _note_refusal(self, name: str, request: Any, error: BaseException) -> None:
        if not isinstance(error, grpc.aio.AioRpcError):
            raise error
        refusal = Refused(error)
        self._check(name, refusal.reason, request, refusal)

    def _check(self, name: str, reason: str, request: Any, shown: object) -> None:
        ended = ENDED if self.ending & set(members_in(request)) else set()
        assert reason in FORESEEN.get(name, set()) | ended, (name, shown)
        self.refusals[name, reason] += 1

    async def _insist(self, name: str, request: Any) -> Any:
        """The answer, once there is one for each row."""
        while True:
            try:
                answer = await self._call(name, request)
            except grpc.aio.AioRpcError as error:
                reason = Refused(error).reason
                if reason not in AGAIN:
                    raise
            else:
                open_rows = [
                    reason
                    for result in (answer.results if rows_of(request) is not None else ())
                    if (reason := info_of(result.error).reason) in AGAIN
                ]
                if not open_rows:
                    return answer
                reason = open_rows[0]
            self.again[reason] += 1
            await asyncio.sleep(0.2)

    async def _call(self, name: str, request: Any) -> Any:
        if name != "StreamAccruePoints":
            return await getattr(self.stub, name)(request, timeout=100)
        results = await stream_rows(self.stub, request.requests, timeout=100)
        return pb.BatchAccruePointsResponse(results=results)


def rows_of(request: Message) -> Sequence[Any] | None:
    """The rows of a bulk call."""
    for name in ("requests", "rows"):
        if name in request.DESCRIPTOR.fields_by_name:
            rows: Sequence[Any] = getattr(request, name)
            return rows
    return None


def ids_of(request: Message) -> list[str]:
    """The request ids of a call or of its rows; a till has none."""
    if rows := rows_of(request):
        return [id_ for row in rows for id_ in ids_of(row)]
    return [request.request_id] if "request_id" in request.DESCRIPTOR.fields_by_name else []  # type: ignore[attr-defined]


def members_in(request: Message) -> Iterator[str]:
    """The members that a request names."""
    for field, value in request.ListFields():
        if field.name.endswith("member_id"):
            yield value


def transactions_in(message: Message) -> Iterator[str]:
    """The ids of all transactions that an answer tells of."""
    for field, value in message.ListFields():
        if field.name.endswith("transaction_id"):
            yield value
        elif field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from transactions_in(one)
