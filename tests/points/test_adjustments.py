"""PT-12: manual adjustments, and the second operator that large ones need."""

import asyncio
from datetime import datetime

from grpc import StatusCode

from house import new_id, refused
from laurel.points.v1 import adjustments_pb2 as adjustments
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import days_left, events_of, settled
from points_moving import Counter

WAITS = adjustments.ADJUSTMENT_STATE_PENDING_APPROVAL
BOOKED = adjustments.ADJUSTMENT_STATE_BOOKED
REJECTED = adjustments.ADJUSTMENT_STATE_REJECTED


async def test_one_operator_gives_and_takes_up_to_the_limit(
    counter: Counter, member: str, now: datetime
) -> None:
    """PT-12: with a reason, and who it was; points given expire as if earned now."""
    given = await counter.adjust(member, 1_000, operator="olga", reason="a broken parcel")
    assert (given.state, given.operator, given.identity) == (BOOKED, "olga", "admin")
    assert given.decider == ""
    taken = await counter.adjust(member, -400, reason="it was not broken")
    assert await counter.balance(member) == pb.Balance(active=600)
    first, second = await counter.transactions(member)
    assert first.transaction_id == given.transaction_id
    assert second.transaction_id == taken.transaction_id
    assert (first.kind, first.points) == (pb.TRANSACTION_KIND_ADJUSTMENT, 1_000)
    assert (second.kind, second.points) == (pb.TRANSACTION_KIND_ADJUSTMENT, -400)
    assert {e.account: e.points for e in second.entries}[pb.ACCOUNT_ADJUSTED] == 400
    assert first.explanation.lines[0].reason == "a broken parcel"
    assert 360 < days_left(first.lot_movements[0], now) < 370
    told = await events_of(counter.house, "points_adjusted", member)
    assert sorted(event.points_adjusted.points for event in told) == [-400, 1_000]


async def test_a_large_adjustment_waits_for_another_operator(counter: Counter, member: str) -> None:
    """PT-12: approval by another operator than the asker, whichever way they write their name."""
    asked = await counter.adjust(member, 1_001, operator="olga")
    assert (asked.state, asked.transaction_id) == (WAITS, "")
    assert await counter.balance(member) == pb.Balance()
    for name in ("olga", "Olga", " OLGA "):
        refusal = await refused(counter.approve(asked, operator=name))
        assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "SAME_OPERATOR")
    done = await counter.approve(asked, operator="piet", reason="seen the parcel")
    assert (done.state, done.decider, done.decision_reason) == (BOOKED, "piet", "seen the parcel")
    assert await counter.balance(member) == pb.Balance(active=1_001)
    assert (await refused(counter.approve(asked))).reason == "ADJUSTMENT_NOT_PENDING"
    assert (await refused(counter.reject(asked))).reason == "ADJUSTMENT_NOT_PENDING"


async def test_a_rejected_adjustment_books_nothing(counter: Counter, member: str) -> None:
    asked = await counter.adjust(member, 5_000, operator="olga")
    done = await counter.reject(asked, operator="olga", reason="a slip of mine")
    assert (done.state, done.decider) == (REJECTED, "olga")
    assert (await refused(counter.approve(asked))).reason == "ADJUSTMENT_NOT_PENDING"
    assert not await counter.transactions(member)


async def test_more_than_there_is_cannot_be_taken_and_goes_on_waiting(
    counter: Counter, member: str
) -> None:
    await counter.accrue(member, "1500")
    refusal = await refused(counter.adjust(member, -1_000_000_000_001))
    assert refusal.code is StatusCode.INVALID_ARGUMENT
    assert (await refused(counter.adjust(member, 0))).code is StatusCode.INVALID_ARGUMENT
    asked = await counter.adjust(member, -1_600)
    short = await refused(counter.approve(asked))
    assert (short.reason, short.metadata["available"]) == ("INSUFFICIENT_POINTS", "1500")
    await counter.accrue(member, "100")
    await counter.approve(asked)
    assert await counter.balance(member) == pb.Balance()
    assert (await refused(counter.adjust(member, -1))).reason == "INSUFFICIENT_POINTS"


async def test_frozen_and_closed_accounts_are_not_adjusted(counter: Counter, member: str) -> None:
    asked = await counter.adjust(member, 2_000)
    await counter.freeze(member)
    assert (await refused(counter.adjust(member, 5))).reason == "ACCOUNT_FROZEN"
    assert (await refused(counter.approve(asked))).reason == "ACCOUNT_FROZEN"
    await counter.close(member)
    assert (await refused(counter.adjust(member, 5))).reason == "ACCOUNT_CLOSED"
    assert (await refused(counter.approve(asked))).reason == "ACCOUNT_CLOSED"
    await counter.reject(asked)


async def test_an_unknown_adjustment_is_not_found(counter: Counter) -> None:
    unknown = adjustments.Adjustment(adjustment_id="00000000-0000-7000-8000-000000000000")
    for call in (counter.approve(unknown), counter.reject(unknown)):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "ADJUSTMENT_NOT_FOUND")


async def test_a_request_id_of_an_approval_does_not_reject(counter: Counter, member: str) -> None:
    request_id = new_id()
    asked = await counter.adjust(member, 3_000)
    await counter.approve(asked, request_id=request_id)
    other = await refused(counter.reject(asked, request_id=request_id))
    assert (other.code, other.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_adjustments_repeated_or_raced_take_effect_once(
    counter: Counter, member: str
) -> None:
    request_id = new_id()
    answers = await asyncio.gather(
        *(counter.adjust(member, 100, request_id=request_id) for _ in range(20))
    )
    assert all(answer == answers[0] for answer in answers)
    other = await refused(counter.adjust(member, 101, request_id=request_id))
    assert (other.code, other.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    asked = await counter.adjust(member, 3_000)
    approvals = [counter.approve(asked) for _ in range(10)]
    rejections = [counter.reject(asked) for _ in range(10)]
    done, refusals = await settled([*approvals, *rejections])
    assert (len(done), {one.reason for one in refusals}) == (1, {"ADJUSTMENT_NOT_PENDING"})
    won = 3_000 if done[0].state == BOOKED else 0
    assert await counter.balance(member) == pb.Balance(active=100 + won)


async def test_adjustments_are_listed_by_state_and_member_in_pages(
    counter: Counter, member: str
) -> None:
    """PT-12: what waits for approval can be found."""
    waiting = [await counter.adjust(member, 2_000 + number) for number in range(3)]
    booked = await counter.adjust(member, 7)
    request = adjustments.ListAdjustmentsRequest(state=WAITS, member_id=member, page_size=2)
    first = await counter.stub.ListAdjustments(request)
    request.page_token = first.next_page_token
    second = await counter.stub.ListAdjustments(request)
    assert [*first.adjustments, *second.adjustments] == list(reversed(waiting))
    assert second.next_page_token == ""
    everybody = adjustments.ListAdjustmentsRequest(page_size=4)
    newest = (await counter.stub.ListAdjustments(everybody)).adjustments
    assert list(newest) == [booked, *reversed(waiting)]
    wrong = adjustments.ListAdjustmentsRequest(page_token="nonsense")
    assert (await refused(counter.stub.ListAdjustments(wrong))).reason == "PAGE_TOKEN_INVALID"
