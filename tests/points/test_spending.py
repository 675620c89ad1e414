"""PT-08, PT-10: points spent at once, in steps, and given back under each policy."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from grpc import StatusCode

from cli.check import run_checks
from house import Ground, House, new_id, refused, usd
from kit.clock import to_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1 import redemptions_pb2 as quotes
from points_ledger import Ledger, calm_program, days_left, events_of, settled

CALLS = 20


@pytest.fixture(scope="module")
async def stepped(ground: Ground) -> AsyncIterator[House]:
    """A house where points are spent in steps of 50, and refunded points live anew."""
    async with ground.house() as house:
        program = calm_program(multiplied=False)
        program = program.replace("  restored_days_min: 30", "  restored: fresh")
        program = program.replace("  points_min: 1", "  points_min: 50\n  points_step: 50")
        await house.apply(program)
        await house.start("antifraud", "tier", "points")
        yield house
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


def redeeming(member: str, points: int, **fields: object) -> pb.RedeemPointsRequest:
    """A request to spend points at once."""
    fields = {"request_id": new_id(), "order_id": new_id(), **fields}
    return pb.RedeemPointsRequest(member_id=member, points=points, **fields)  # type: ignore[arg-type]


async def test_points_are_spent_at_once_those_that_expire_first(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-08: one transaction, nothing is held; what was spent is told as a redemption."""
    late = await ledger.accrue(member, "30")
    soon = await ledger.accrue(member, "30", at=now - timedelta(days=300))
    response = await ledger.stub.RedeemPoints(redeeming(member, 40, order_id="o-1"))
    spent, hold = response.transaction, response.hold
    assert (spent.kind, spent.points, spent.order_id) == (
        pb.TRANSACTION_KIND_REDEMPTION,
        -40,
        "o-1",
    )
    assert [(entry.account, entry.points) for entry in spent.entries] == [
        (pb.ACCOUNT_ACTIVE, -40),
        (pb.ACCOUNT_REDEEMED, 40),
    ]
    assert [(move.accrual_transaction_id, move.points) for move in spent.lot_movements] == [
        (soon.transaction_id, -30),
        (late.transaction_id, -10),
    ]
    assert (hold.captured_points, hold.state) == (40, pb.HOLD_STATE_CLOSED)
    assert await ledger.balance(member) == pb.Balance(active=20)
    [told] = await events_of(ledger.house, "points_redeemed", member)
    assert (told.points_redeemed.points, told.points_redeemed.order_id) == (40, "o-1")


async def test_what_was_spent_at_once_is_refunded_to_the_very_lots_and_never_beyond(
    ledger: Ledger, member: str
) -> None:
    """PT-08: refundable like a capture, in parts; not to be captured or released."""
    accrual = await ledger.accrue(member, "100")
    hold = (await ledger.stub.RedeemPoints(redeeming(member, 80))).hold
    refunded = await ledger.refund(hold, 30)
    [move] = refunded.transaction.lot_movements
    assert (move.lot_id, move.points) == (accrual.lot_movements[0].lot_id, 30)
    assert (await refused(ledger.refund(hold, 51))).reason == "REFUND_EXCEEDED"
    for call in (ledger.capture(hold), ledger.release(hold)):
        assert (await refused(call)).reason == "HOLD_NOT_OPEN"
    assert (await ledger.refund(hold)).hold.refunded_points == 80
    assert await ledger.balance(member) == pb.Balance(active=100)


async def test_a_redemption_is_refused_as_a_hold_would_be(
    house: House, ledger: Ledger, member: str
) -> None:
    """PT-08, AF-06: assessed, no more than there is, within the minimum and the share."""
    await ledger.accrue(member, "1000")
    refusal = await refused(ledger.stub.RedeemPoints(redeeming(member, 1001)))
    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_POINTS")
    above = redeeming(member, 501, order_amount=usd("10.00"))
    assert (await refused(ledger.stub.RedeemPoints(above))).reason == "POINTS_ABOVE_SHARE"
    await house.start("antifraud", "tier", "points")
    sample = Ledger(house)
    below = await refused(sample.stub.RedeemPoints(redeeming(member, 99)))
    assert (below.code, below.reason) == (StatusCode.INVALID_ARGUMENT, "POINTS_BELOW_MINIMUM")
    denied = await refused(sample.stub.RedeemPoints(redeeming(member, 50_001)))
    assert (denied.code, denied.reason) == (StatusCode.FAILED_PRECONDITION, "DENIED")


async def test_of_twenty_redemptions_at_once_those_win_that_the_balance_covers(
    ledger: Ledger, member: str
) -> None:
    await ledger.accrue(member, "75")
    calls = [ledger.stub.RedeemPoints(redeeming(member, 10)) for _ in range(CALLS)]
    won, lost = await settled(calls)
    assert (len(won), {one.reason for one in lost}) == (7, {"INSUFFICIENT_POINTS"})
    assert await ledger.balance(member) == pb.Balance(active=5)


async def test_a_repeated_redemption_spends_once_and_other_content_is_refused(
    ledger: Ledger, member: str
) -> None:
    await ledger.accrue(member, "100")
    request = redeeming(member, 60)
    answers = await asyncio.gather(*[ledger.stub.RedeemPoints(request) for _ in range(CALLS)])
    assert all(answer == answers[0] for answer in answers)
    await ledger.refund(answers[0].hold)
    assert await ledger.stub.RedeemPoints(request) == answers[0]
    assert await ledger.balance(member) == pb.Balance(active=100)
    other = redeeming(member, 61, request_id=request.request_id)
    assert (await refused(ledger.stub.RedeemPoints(other))).reason == "REQUEST_ID_REUSED"
    held = ledger.holding(member, 60, request_id=request.request_id, order_id=request.order_id)
    assert (await refused(ledger.stub.HoldPoints(held))).reason == "REQUEST_ID_REUSED"


async def test_points_are_spent_in_steps(stepped: House, member: str) -> None:
    """PT-10: only multiples of 50, by hold or at once."""
    ledger = Ledger(stepped)
    await ledger.accrue(member, "500")
    for call in (ledger.hold(member, 75), ledger.stub.RedeemPoints(redeeming(member, 75))):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "POINTS_OFF_STEP")
        assert refusal.metadata["points_step"] == "50"
    await ledger.hold(member, 100)
    await ledger.stub.RedeemPoints(redeeming(member, 50))


async def test_refunded_points_may_live_anew(stepped: House, member: str, now: datetime) -> None:
    """PT-08: as if earned at the refund; the accrual that they stem from is still named."""
    ledger = Ledger(stepped)
    accrual = await ledger.accrue(member, "100", at=now - timedelta(days=300))
    hold = (await ledger.stub.RedeemPoints(redeeming(member, 100))).hold
    [move] = (await ledger.refund(hold, 50)).transaction.lot_movements
    assert move.accrual_transaction_id == accrual.transaction_id
    assert 364 < days_left(move, now) < 367


async def test_refunded_points_may_keep_their_end_even_when_it_has_passed(
    ground: Ground, member: str, now: datetime
) -> None:
    """PT-08: under `restored: original` what has ended meanwhile is no balance any more."""
    async with ground.house() as house:
        program = calm_program(multiplied=False)
        await house.apply(program.replace("  restored_days_min: 30", "  restored: original"))
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        accrual = await ledger.accrue(member, "100", at=now - timedelta(days=400))
        early = to_timestamp(now - timedelta(days=300))
        hold = (await ledger.stub.RedeemPoints(redeeming(member, 60, occurred_time=early))).hold
        [move] = (await ledger.refund(hold)).transaction.lot_movements
        assert move.lot_id == accrual.lot_movements[0].lot_id
        assert await ledger.balance(member) == pb.Balance()
        assert (await ledger.run_expiry(now)).expired_points == 100


async def test_a_quote_says_how_an_order_may_be_paid_and_what_bounds_it(
    stepped: House, member: str, now: datetime
) -> None:
    """PT-10: what it names is what a hold takes; points past their end are no balance."""
    ledger = Ledger(stepped)
    await ledger.accrue(member, "1000", at=now - timedelta(days=400))
    await ledger.accrue(member, "730")
    order = usd("9.99")
    request = quotes.QuoteRedemptionRequest(member_id=member, order_amount=order)
    found = await ledger.stub.QuoteRedemption(request)
    assert (found.points, found.points_max, found.program_version) == (450, 450, 1)
    assert (found.points_value, found.cash) == (usd("4.50"), usd("5.49"))
    assert [(limit.kind, limit.points) for limit in found.limits] == [
        (quotes.REDEMPTION_LIMIT_KIND_BALANCE, 730),
        (quotes.REDEMPTION_LIMIT_KIND_SHARE, 499),
        (quotes.REDEMPTION_LIMIT_KIND_MINIMUM, 50),
        (quotes.REDEMPTION_LIMIT_KIND_STEP, 50),
    ]
    assert all(limit.reason for limit in found.limits)
    request.points_wanted = 120
    some = await ledger.stub.QuoteRedemption(request)
    assert (some.points, some.points_max) == (100, 450)
    assert some.reason == "only multiples of 50 points can be spent"
    request.points_wanted = 49
    assert (await ledger.stub.QuoteRedemption(request)).points == 0
    assert (await refused(ledger.hold(member, 500, order_amount=order))).reason == (
        "POINTS_ABOVE_SHARE"
    )
    await ledger.hold(member, 450, order_amount=order)
    request.order_amount.currency_code = "EUR"
    assert (await refused(ledger.stub.QuoteRedemption(request))).reason == "CURRENCY_MISMATCH"


async def test_a_quote_of_an_order_that_takes_more_points_than_can_be_counted_is_answered(
    ground: Ground, member: str
) -> None:
    """PT-10: nobody has so many; the balance bounds it."""
    program = calm_program().replace("points_per_unit: 100 ", "points_per_unit: 1000000 ")
    program = program.replace("points_share_max: 0.5", "points_share_max: 1")
    async with ground.house() as house:
        await house.apply(program)
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        await ledger.accrue(member, "50")
        request = quotes.QuoteRedemptionRequest(member_id=member, order_amount=usd(f"{10**13}"))
        found = await ledger.stub.QuoteRedemption(request)
    assert (found.points, found.points_max) == (0, 50)
    assert found.limits[1].points == 2**63 - 1
