"""PT-16: tills that are offline at times: late, again, out of order, once."""

import asyncio
import re
from datetime import datetime, timedelta

from grpc import StatusCode

from house import Ground, new_id, refused, usd
from kit.clock import from_timestamp, to_timestamp
from kit.errors import info_of
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger, calm_program


def sold(member: str, amount: str, at: datetime) -> pb.TillRow:
    """A purchase at a till."""
    purchase = pb.Purchase(order_id=new_id(), amount=usd(amount))
    return pb.TillRow(member_id=member, purchase=purchase, occurred_time=to_timestamp(at))


def batch(device: str, number: int, *rows: pb.TillRow) -> pb.SubmitTillBatchRequest:
    """A till's batch."""
    return pb.SubmitTillBatchRequest(
        device_id=device, batch_number=number, rows=rows, store="store-1"
    )


def ranges(gaps: "list[pb.TillGap]") -> list[tuple[int, int]]:
    """First and last of each gap."""
    return [(gap.first_batch_number, gap.last_batch_number) for gap in gaps]


async def test_a_batch_takes_effect_in_its_own_time_order_and_answers_row_by_row(
    ledger: Ledger, member: str, now: datetime
) -> None:
    hours = [3, 1, 2]
    rows = [sold(member, str(hour), now - timedelta(hours=hour)) for hour in hours]
    response = await ledger.stub.SubmitTillBatch(batch(new_id(), 1, *rows))
    assert [row.accrued.points for row in response.results] == hours
    transactions = await ledger.transactions(member)
    assert [t.points for t in transactions] == [3, 2, 1]
    occurred = [from_timestamp(t.occurred_time) for t in transactions]
    assert occurred == [now - timedelta(hours=hour) for hour in (3, 2, 1)]


async def test_a_batch_sent_again_takes_effect_once_and_gets_its_first_answer(
    ledger: Ledger, member: str, now: datetime
) -> None:
    request = batch(
        new_id(), 1, sold(member, "10", now), sold("", "5", now), sold(member, "7", now)
    )
    answers = await asyncio.gather(*[ledger.stub.SubmitTillBatch(request) for _ in range(20)])
    assert all(answer == answers[0] for answer in answers)
    await ledger.accrue(member, "100")
    assert await ledger.stub.SubmitTillBatch(request) == answers[0]
    outcomes = [row.WhichOneof("outcome") for row in answers[0].results]
    assert outcomes == ["accrued", "error", "accrued"]
    assert await ledger.balance(member) == pb.Balance(active=117)


async def test_other_content_under_the_same_number_is_refused(
    ledger: Ledger, member: str, now: datetime
) -> None:
    device = new_id()
    first, other = (batch(device, 1, sold(member, amount, now)) for amount in ("10", "11"))
    await ledger.stub.SubmitTillBatch(first)
    refusal = await refused(ledger.stub.SubmitTillBatch(other))
    assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert refusal.metadata["request_id"] == f"{device}/1"
    assert await ledger.balance(member) == pb.Balance(active=10)


async def test_of_two_contents_at_once_one_wins_whole(
    ledger: Ledger, member: str, now: datetime
) -> None:
    device = new_id()
    requests = [batch(device, 1, sold(member, str(n), now)) for n in range(1, 11)]
    calls = [ledger.stub.SubmitTillBatch(request) for request in requests]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, pb.SubmitTillBatchResponse)]
    assert len(won) == 1
    assert await ledger.balance(member) == pb.Balance(active=won[0].results[0].accrued.points)


async def test_numbers_that_are_missing_are_told_until_they_come(
    ledger: Ledger, member: str, now: datetime
) -> None:
    device = new_id()
    told = {}
    for number in (2, 3, 7, 1, 5):
        request = batch(device, number, sold(member, "1", now))
        told[number] = ranges((await ledger.stub.SubmitTillBatch(request)).gaps)
    assert told == {
        2: [(1, 1)],
        3: [(1, 1)],
        7: [(1, 1), (4, 6)],
        1: [(4, 6)],
        5: [(4, 4), (6, 6)],
    }
    till = await ledger.stub.GetTill(pb.GetTillRequest(device_id=device))
    assert (till.last_batch_number, ranges(till.gaps)) == (7, [(4, 4), (6, 6)])
    assert till.HasField("last_submit_time")
    unknown = await ledger.stub.GetTill(pb.GetTillRequest(device_id=new_id()))
    assert unknown == pb.GetTillResponse()


async def test_a_batch_that_is_too_late_is_refused_whole_and_says_why(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """The bound is the program's: 30 days unless it says otherwise."""
    device, old = new_id(), now - timedelta(days=31)
    late = batch(device, 1, sold(member, "10", now), sold(member, "10", old))
    refusal = await refused(ledger.stub.SubmitTillBatch(late))
    told = (refusal.code, refusal.reason)
    assert told == (StatusCode.FAILED_PRECONDITION, "TILL_BATCH_TOO_LATE")
    assert refusal.metadata["late_days_max"] == "30"
    assert refusal.metadata["oldest_time"] == old.isoformat()
    assert await ledger.balance(member) == pb.Balance()
    just = batch(device, 1, sold(member, "10", now - timedelta(days=29)))
    assert (await ledger.stub.SubmitTillBatch(just)).results[0].accrued.points == 10


async def test_mistakes_of_rows_are_theirs_and_those_of_the_batch_its_own(
    ledger: Ledger, member: str, now: datetime
) -> None:
    timeless = sold(member, "1", now)
    timeless.ClearField("occurred_time")
    rows = [timeless, sold(member, "1", now + timedelta(hours=1)), sold(member, "3", now)]
    response = await ledger.stub.SubmitTillBatch(batch(new_id(), 1, *rows))
    reasons = [info_of(row.error).reason for row in response.results]
    assert reasons == ["INVALID_ARGUMENT", "TIME_IN_FUTURE", ""]
    for wrong in (batch("", 1, rows[2]), batch("d", 0, rows[2]), batch("d", 1)):
        refusal = await refused(ledger.stub.SubmitTillBatch(wrong))
        assert refusal.code is StatusCode.INVALID_ARGUMENT


async def test_each_row_is_decided_by_the_program_of_its_time(ground: Ground, member: str) -> None:
    """And a batch that could not be decided is not answered for good: sent again it is."""
    async with ground.house() as house:
        before = calm_program(multiplied=False)
        first = await house.apply(before)
        await asyncio.sleep(0.05)
        changed = re.sub(r"points_per_unit: 1\b", "points_per_unit: 3", before, count=1)
        second = await house.apply(changed)
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        begins = from_timestamp(second.effective_time)
        rows = [
            sold(member, "400", begins + timedelta(milliseconds=1)),
            sold(member, "100", from_timestamp(first.effective_time)),
        ]
        request = batch(new_id(), 1, *rows)
        await house.stop("antifraud")
        refusal = await refused(ledger.stub.SubmitTillBatch(request, timeout=30))
        told = (refusal.code, refusal.reason)
        assert told == (StatusCode.UNAVAILABLE, "TILL_BATCH_UNFINISHED"), refusal
        await house.start("antifraud")
        # Anti-fraud is left alone for a second after it was silent time and again.
        await asyncio.sleep(1.2)
        answer = await ledger.stub.SubmitTillBatch(request)
        assert [row.accrued.points for row in answer.results] == [1200, 100]
        assert await ledger.stub.SubmitTillBatch(request) == answer
        assert len(await ledger.transactions(member)) == 2


async def test_the_program_says_how_late_a_till_may_be(
    ground: Ground, member: str, now: datetime
) -> None:
    async with ground.house() as house:
        text = calm_program()
        await house.apply(text.replace("late_days_max: 30", "late_days_max: 90"))
        await house.start("antifraud", "tier", "points")
        request = batch(new_id(), 1, sold(member, "5", now - timedelta(days=80)))
        response = await Ledger(house).stub.SubmitTillBatch(request)
        assert response.results[0].accrued.points == 5
