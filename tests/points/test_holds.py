"""PT-08, PT-10: points set aside, spent, given back; each from and to the lots it came from."""

import asyncio
from datetime import datetime, timedelta

from grpc import StatusCode

from house import House, new_id, refused, usd
from kit.clock import from_timestamp, to_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger, days_left, in_one_batch, settled

CALLS = 20


def moves(transaction: pb.Transaction) -> dict[str, int]:
    """By accrual, the points put into its lots, or drawn from them where negative."""
    return {move.accrual_transaction_id: move.points for move in transaction.lot_movements}


async def test_points_that_expire_first_are_spent_first(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-06: the order of expiry decides, not the order of booking."""
    late = await ledger.accrue(member, "30", at=now - timedelta(days=1))
    soon = await ledger.accrue(member, "30", at=now - timedelta(days=300))
    middle = await ledger.accrue(member, "30", at=now - timedelta(days=100))
    held = (await ledger.stub.HoldPoints(ledger.holding(member, 70))).transaction
    assert [(move.accrual_transaction_id, move.points) for move in held.lot_movements] == [
        (soon.transaction_id, -30),
        (middle.transaction_id, -30),
        (late.transaction_id, -10),
    ]
    assert [(entry.account, entry.points) for entry in held.entries] == [
        (pb.ACCOUNT_ACTIVE, -70),
        (pb.ACCOUNT_HELD, 70),
    ]


async def test_of_points_that_expire_together_the_oldest_are_spent_first(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-06: ties go by age."""
    accruals = [await ledger.accrue(member, "10", at=now - timedelta(days=5)) for _ in range(4)]
    held = (await ledger.stub.HoldPoints(ledger.holding(member, 25))).transaction
    oldest = [accrual.transaction_id for accrual in accruals[:3]]
    assert moves(held) == dict(zip(oldest, [-10, -10, -5], strict=True))


async def test_a_hold_counts_in_the_next_check_of_the_balance(ledger: Ledger, member: str) -> None:
    """PT-08: what is set aside cannot be set aside again."""
    await ledger.accrue(member, "100")
    await ledger.hold(member, 60)
    refusal = await refused(ledger.hold(member, 41))
    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_POINTS")
    assert refusal.metadata == {"asked": "41", "available": "40"}
    await ledger.hold(member, 40)
    balance = await ledger.balance(member)
    assert (balance.active, balance.held) == (0, 100)


async def test_the_id_of_a_refused_hold_is_good_for_no_larger_one(
    ledger: Ledger, member: str
) -> None:
    """AF-01: what anti-fraud let pass, and the ledger refused, lets nothing else pass."""
    request, larger = ledger.holding(member, 10), ledger.holding(member, 50)
    assert (await refused(ledger.stub.HoldPoints(request))).reason == "INSUFFICIENT_POINTS"
    await ledger.accrue(member, "100")
    larger.request_id = request.request_id
    assert (await refused(ledger.stub.HoldPoints(larger))).reason == "DENIED"
    assert (await ledger.stub.HoldPoints(request)).hold.points == 10
    assert (await ledger.stub.HoldPoints(ledger.holding(member, 50))).hold.points == 50


async def test_pending_points_and_those_of_a_stranger_cannot_be_held(
    house: House, ledger: Ledger, member: str
) -> None:
    assert (await refused(ledger.hold(member, 1))).reason == "INSUFFICIENT_POINTS"
    await house.start("antifraud", "tier", "points")
    pending = Ledger(house)
    await pending.accrue(member, "200")
    assert (await refused(pending.hold(member, 100))).reason == "INSUFFICIENT_POINTS"


async def test_a_hold_that_an_accrual_of_the_same_batch_funds(ledger: Ledger, member: str) -> None:
    """The working set of a batch knows what the commands before it did."""
    await in_one_batch(ledger, ledger.accrue(member, "50"), ledger.hold(member, 50))
    accrual, held = await ledger.transactions(member)
    assert held.record_time == accrual.record_time
    assert (held.balance_after.active, held.balance_after.held) == (0, 50)
    assert moves(held) == {accrual.transaction_id: -50}


async def test_a_hold_for_yesterday_does_not_hide_what_can_be_spent_today(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """Each hold of a batch sees all lots that its own time lets it spend."""
    expired = await ledger.accrue(member, "1000", at=now - timedelta(days=400))
    good = await ledger.accrue(member, "100")
    yesterday = to_timestamp(now - timedelta(days=50))
    early = ledger.hold(member, 10, occurred_time=yesterday)
    await in_one_batch(ledger, early, ledger.hold(member, 100))
    past, present = (await ledger.transactions(member))[2:]
    assert past.record_time == present.record_time
    assert moves(past) == {expired.transaction_id: -10}
    assert moves(present) == {good.transaction_id: -100}


async def test_a_claw_back_does_not_hide_what_can_be_spent(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """A reversal of the same batch may take expired points; the hold beside it may not."""
    await ledger.accrue(member, "1000", at=now - timedelta(days=400))
    good = await ledger.accrue(member, "100")
    bought = await ledger.accrue(member, "10", at=now - timedelta(days=1))
    await in_one_batch(ledger, ledger.reverse(bought), ledger.hold(member, 100))
    back, held = (await ledger.transactions(member))[3:]
    assert back.record_time == held.record_time
    assert moves(back) == {bought.transaction_id: -10}
    assert moves(held) == {good.transaction_id: -100}


async def test_a_hold_is_captured_whole(ledger: Ledger, member: str) -> None:
    """PT-08: 0 stands for all that is still held; spent points are the program's."""
    await ledger.accrue(member, "100")
    hold = await ledger.hold(member, 60)
    response = await ledger.capture(hold)
    assert (response.hold.captured_points, response.hold.state) == (60, pb.HOLD_STATE_CLOSED)
    assert [(entry.account, entry.points) for entry in response.transaction.entries] == [
        (pb.ACCOUNT_HELD, -60),
        (pb.ACCOUNT_REDEEMED, 60),
    ]
    balance = await ledger.balance(member)
    assert (balance.active, balance.held) == (40, 0)
    again = await refused(ledger.capture(hold))
    assert (again.code, again.reason) == (StatusCode.FAILED_PRECONDITION, "HOLD_NOT_OPEN")


async def test_a_hold_is_captured_in_parts_and_the_rest_is_released(
    ledger: Ledger, member: str
) -> None:
    """PT-08: whole, part, several times; `release_rest` ends it in the same transaction."""
    accrual = await ledger.accrue(member, "100")
    hold = await ledger.hold(member, 100)
    first = await ledger.capture(hold, 30)
    assert (first.hold.captured_points, first.hold.state) == (30, pb.HOLD_STATE_OPEN)
    beyond = await refused(ledger.capture(hold, 71))
    assert (beyond.reason, beyond.metadata) == ("HOLD_EXCEEDED", {"asked": "71", "held": "70"})
    last = await ledger.capture(hold, 20, release_rest=True)
    assert (last.hold.captured_points, last.hold.released_points) == (50, 50)
    assert last.hold.state == pb.HOLD_STATE_CLOSED
    assert moves(last.transaction) == {accrual.transaction_id: 50}
    balance = await ledger.balance(member)
    assert (balance.active, balance.held) == (50, 0)


async def test_a_release_gives_back_to_the_very_lots(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-08: the released points expire when they would have."""
    for age in (300, 200, 100):
        await ledger.accrue(member, "10", at=now - timedelta(days=age))
    holding = ledger.holding(member, 25)
    held = await ledger.stub.HoldPoints(holding)
    released = await ledger.release(held.hold)
    drawn = {(m.lot_id, -m.points, m.expire_time.seconds) for m in held.transaction.lot_movements}
    back = {(m.lot_id, m.points, m.expire_time.seconds) for m in released.transaction.lot_movements}
    assert back == drawn
    assert (released.hold.state, released.hold.released_points) == (pb.HOLD_STATE_CLOSED, 25)
    assert (await ledger.balance(member)).active == 30
    for call in (ledger.release(held.hold), ledger.capture(held.hold)):
        assert (await refused(call)).reason == "HOLD_NOT_OPEN"


async def test_a_hold_that_nobody_made_is_not_found(ledger: Ledger) -> None:
    for hold_id in ("no-id-at-all", "018f0000-0000-7000-8000-000000000000"):
        hold = pb.Hold(hold_id=hold_id)
        for call in (ledger.capture(hold), ledger.release(hold), ledger.refund(hold)):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "HOLD_NOT_FOUND")


async def test_a_hold_times_out(ledger: Ledger, member: str, now: datetime) -> None:
    """PT-08: after `hold_minutes` RunExpiry gives back what is left; what was captured stays so."""
    await ledger.accrue(member, "100")
    hold = await ledger.hold(member, 60)
    await ledger.capture(hold, 20)
    ends = hold.expire_time.ToDatetime(now.tzinfo)
    minutes = (ends - hold.create_time.ToDatetime(now.tzinfo)).total_seconds() / 60
    assert minutes == 30
    await ledger.run_expiry(ends - timedelta(seconds=1))
    assert (await ledger.balance(member)).held == 40
    runs = await asyncio.gather(*(ledger.run_expiry(ends) for _ in range(5)))
    assert sum(run.expired_hold_count for run in runs) >= 1
    balance = await ledger.balance(member)
    assert (balance.active, balance.held) == (80, 0)
    refusal = await refused(ledger.capture(hold))
    assert (refusal.reason, refusal.metadata["state"]) == ("HOLD_NOT_OPEN", "expired")
    releases = [t for t in await ledger.transactions(member) if t.kind == 5]
    assert [(t.points, t.hold_id, t.request_id) for t in releases] == [(40, hold.hold_id, "")]
    assert releases[0].occurred_time == hold.expire_time
    assert from_timestamp(releases[0].record_time) < ends
    refunded = await ledger.refund(hold)
    assert refunded.hold.refunded_points == 20


async def test_a_hold_past_its_time_cannot_be_captured_even_before_anybody_ended_it(
    ledger: Ledger, member: str
) -> None:
    await ledger.accrue(member, "100")
    hold = await ledger.hold(member, 60)
    await ledger.house.fetch(
        "UPDATE points.hold SET expire_time = now() - interval '1 second' WHERE member_id = $1",
        member,
    )
    refusal = await refused(ledger.capture(hold))
    assert (refusal.reason, refusal.metadata["state"]) == ("HOLD_NOT_OPEN", "expired")
    await ledger.release(hold)
    assert (await ledger.balance(member)).active == 100


async def test_a_refund_gives_back_to_the_very_lots_and_never_more_than_was_captured(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-08: in part, several times; the last points drawn come back first; whole with 0."""
    old = await ledger.accrue(member, "50", at=now - timedelta(days=200))
    new = await ledger.accrue(member, "50", at=now - timedelta(days=10))
    hold = await ledger.hold(member, 90)
    nothing = await refused(ledger.refund(hold))
    assert (nothing.code, nothing.reason) == (StatusCode.FAILED_PRECONDITION, "REFUND_EXCEEDED")
    await ledger.capture(hold, 80, release_rest=True)
    first = await ledger.refund(hold, 20)
    assert moves(first.transaction) == {new.transaction_id: 20}
    second = await ledger.refund(hold, 15)
    assert moves(second.transaction) == {new.transaction_id: 10, old.transaction_id: 5}
    beyond = await refused(ledger.refund(hold, 46))
    assert (beyond.reason, beyond.metadata) == (
        "REFUND_EXCEEDED",
        {"asked": "46", "refundable": "45"},
    )
    rest = await ledger.refund(hold)
    assert moves(rest.transaction) == {old.transaction_id: 45}
    assert rest.hold.refunded_points == 80
    assert (await refused(ledger.refund(hold))).reason == "REFUND_EXCEEDED"
    assert (await ledger.balance(member)).active == 100
    lots = await ledger.house.fetch(
        "SELECT points, remaining FROM points.lot WHERE member_id = $1", member
    )
    assert [(lot["points"], lot["remaining"]) for lot in lots] == [(50, 50), (50, 50)]


async def test_refunded_points_are_good_for_thirty_days_at_least(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-08: original expiry with a floor; a lot of their own names the accrual they stem from."""
    accrual = await ledger.accrue(member, "100", at=now - timedelta(days=355))
    assert days_left(accrual.lot_movements[0], now) < 12
    hold = await ledger.hold(member, 60)
    await ledger.capture(hold)
    refunded = await ledger.refund(hold, 50)
    [move] = refunded.transaction.lot_movements
    assert (move.accrual_transaction_id, move.points) == (accrual.transaction_id, 50)
    assert move.lot_id != accrual.lot_movements[0].lot_id
    assert 29.9 < days_left(move, now) < 30.1
    assert (await ledger.balance(member)).active == 90


async def test_points_of_a_lot_that_has_expired_meanwhile_are_refunded_too(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-08: what was spent in time comes back to life; what was not stays expired."""
    accrual = await ledger.accrue(member, "100", at=now - timedelta(days=360))
    hold = await ledger.hold(member, 60)
    await ledger.capture(hold)
    await ledger.run_expiry(now + timedelta(days=8))
    assert (await ledger.balance(member)).active == 0
    refunded = await ledger.refund(hold)
    [move] = refunded.transaction.lot_movements
    assert (move.accrual_transaction_id, move.points) == (accrual.transaction_id, 60)
    assert 29.9 < days_left(move, now) < 30.1
    assert (await ledger.balance(member)).active == 60


async def test_points_pay_no_more_than_their_share_of_an_order(ledger: Ledger, member: str) -> None:
    """PT-10: at most 50 % of 10.00, that is 500 points at 100 for 1.00."""
    await ledger.accrue(member, "1000")
    refusal = await refused(ledger.hold(member, 501, order_amount=usd("10.00")))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "POINTS_ABOVE_SHARE")
    assert (refusal.metadata["points"], refusal.metadata["points_max"]) == ("501", "500")
    assert (await ledger.hold(member, 500, order_amount=usd("10.00"))).points == 500


async def test_fewer_points_than_the_minimum_are_not_spent(house: House, member: str) -> None:
    """PT-10: the sample program takes no fewer than 100."""
    await house.start("antifraud", "tier", "points")
    ledger = Ledger(house)
    refusal = await refused(ledger.hold(member, 99))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "POINTS_BELOW_MINIMUM")
    assert (await refused(ledger.hold(member, 100))).reason == "INSUFFICIENT_POINTS"


async def test_each_repeated_write_of_a_hold_gets_its_first_answer(
    ledger: Ledger, member: str
) -> None:
    """The stored answer is that of the first time, whatever became of the hold since."""
    await ledger.accrue(member, "100")
    holding = ledger.holding(member, 60)
    held = await ledger.stub.HoldPoints(holding)
    hold_id = held.hold.hold_id
    capture = pb.CapturePointsRequest(request_id=new_id(), hold_id=hold_id, points=20)
    captured = await ledger.stub.CapturePoints(capture)
    release = pb.ReleaseHoldRequest(request_id=new_id(), hold_id=hold_id)
    released = await ledger.stub.ReleaseHold(release)
    refund = pb.RefundPointsRequest(request_id=new_id(), hold_id=hold_id, points=5)
    refunded = await ledger.stub.RefundPoints(refund)
    await ledger.refund(held.hold)
    assert await ledger.stub.HoldPoints(holding) == held
    assert await ledger.stub.CapturePoints(capture) == captured
    assert await ledger.stub.ReleaseHold(release) == released
    assert await ledger.stub.RefundPoints(refund) == refunded
    balance = await ledger.balance(member)
    assert (balance.active, balance.held) == (100, 0)


async def test_each_write_of_a_hold_with_one_request_id_at_once_takes_effect_once(
    ledger: Ledger, member: str
) -> None:
    await ledger.accrue(member, "100")
    holding = ledger.holding(member, 60)
    holds = await asyncio.gather(*[ledger.stub.HoldPoints(holding) for _ in range(CALLS)])
    assert all(answer == holds[0] for answer in holds)
    hold_id = holds[0].hold.hold_id
    capture = pb.CapturePointsRequest(request_id=new_id(), hold_id=hold_id, points=2)
    captures = await asyncio.gather(*[ledger.stub.CapturePoints(capture) for _ in range(CALLS)])
    assert all(answer == captures[0] for answer in captures)
    refund = pb.RefundPointsRequest(request_id=new_id(), hold_id=hold_id, points=1)
    refunds = await asyncio.gather(*[ledger.stub.RefundPoints(refund) for _ in range(CALLS)])
    assert all(answer == refunds[0] for answer in refunds)
    release = pb.ReleaseHoldRequest(request_id=new_id(), hold_id=hold_id)
    releases = await asyncio.gather(*[ledger.stub.ReleaseHold(release) for _ in range(CALLS)])
    assert all(answer == releases[0] for answer in releases)
    balance = await ledger.balance(member)
    assert (balance.active, balance.held) == (99, 0)


async def test_each_write_of_a_hold_refuses_its_request_id_with_other_content(
    ledger: Ledger, member: str
) -> None:
    """One effect per request id: other points, another call, another hold."""
    await ledger.accrue(member, "100")
    request_id = new_id()
    hold = await ledger.hold(member, 60, request_id=request_id, order_id="o")
    captured, released, refunded = new_id(), new_id(), new_id()
    await ledger.capture(hold, 20, request_id=captured)
    await ledger.refund(hold, 5, request_id=refunded)
    await ledger.release(hold, request_id=released)
    other = await ledger.hold(member, 10)
    for call in (
        ledger.hold(member, 61, request_id=request_id, order_id="o"),
        ledger.capture(hold, 21, request_id=captured),
        ledger.capture(hold, 20, request_id=captured, release_rest=True),
        ledger.release(other, request_id=released),
        ledger.release(hold, request_id=captured),
        ledger.refund(hold, 6, request_id=refunded),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    balance = await ledger.balance(member)
    assert (balance.active, balance.held) == (75, 10)


async def test_a_refused_hold_leaves_its_request_id_free(ledger: Ledger, member: str) -> None:
    holding = ledger.holding(member, 10)
    assert (await refused(ledger.stub.HoldPoints(holding))).reason == "INSUFFICIENT_POINTS"
    await ledger.accrue(member, "10")
    assert (await ledger.stub.HoldPoints(holding)).hold.points == 10


async def test_of_twenty_holds_at_once_those_win_that_the_balance_covers(
    ledger: Ledger, member: str
) -> None:
    """Exactly 7 of 20 holds of 10 points on 75."""
    await ledger.accrue(member, "75")
    won, lost = await settled([ledger.hold(member, 10) for _ in range(CALLS)])
    assert (len(won), {one.reason for one in lost}) == (7, {"INSUFFICIENT_POINTS"})
    balance = await ledger.balance(member)
    assert (balance.active, balance.held) == (5, 70)


async def test_of_twenty_captures_at_once_one_wins(ledger: Ledger, member: str) -> None:
    await ledger.accrue(member, "100")
    hold = await ledger.hold(member, 100)
    won, lost = await settled([ledger.capture(hold) for _ in range(CALLS)])
    assert (len(won), {one.reason for one in lost}) == (1, {"HOLD_NOT_OPEN"})
    won_too, lost_too = await settled([ledger.refund(hold) for _ in range(CALLS)])
    assert (len(won_too), {one.reason for one in lost_too}) == (1, {"REFUND_EXCEEDED"})
    assert (await ledger.balance(member)).active == 100


async def test_of_a_capture_and_a_release_at_once_one_wins(ledger: Ledger, member: str) -> None:
    await ledger.accrue(member, "100")
    for _ in range(5):
        hold = await ledger.hold(member, 10)
        calls = [ledger.capture(hold), ledger.release(hold)]
        won, lost = await settled(calls)
        assert (len(won), [one.reason for one in lost]) == (1, ["HOLD_NOT_OPEN"])
    assert (await ledger.balance(member)).held == 0
