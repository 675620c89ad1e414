"""Refunds (CK-03)."""

from asyncio import gather

import grpc
from checkout_shop import COMPLETED, USED, Shop, cart, cents, eventually

from house import Refused, new_id, refused
from laurel.checkout.v1 import checkout_service_pb2 as pb


async def test_a_whole_order_goes_back_as_it_was_paid(shop: Shop, member: str) -> None:
    """CK-03: cash and points go back, earned points are taken back; a coupon counts as used."""
    await shop.regular(member)
    before = await shop.balance(member)
    paid = await shop.paid(member, cart((1, "60"), (2, "20")), points=2000)
    back = await shop.refund(paid)
    assert back.state == COMPLETED
    [refund] = back.refunds
    assert (cents(refund.cash_amount), refund.points, refund.complete) == (60_00, 2000, True)
    assert refund.reversed_points == paid.price.points_to_earn == 900
    assert {line.line_id: line.quantity for line in refund.lines} == {"l0": 1, "l1": 2}
    assert await shop.balance(member) == before
    assert await shop.coupon_state(member) == USED
    assert (await refused(shop.refund(paid))).reason == "REFUND_EXCEEDED"


async def test_lines_go_back_in_proportion_and_the_last_one_brings_the_rest(
    shop: Shop, member: str
) -> None:
    """CK-03: 33.33 three times, paid with 800 points and the rest in cash."""
    await shop.earn(member, "90")
    paid = await shop.paid(member, cart((3, "33.33")), points=800)
    before = await shop.balance(member)
    cash, points, reversed_points = [], [], []
    for _ in range(3):
        refund = (await shop.refund(paid, l0=1)).refunds[-1]
        cash.append(cents(refund.cash_amount))
        points.append(refund.points)
        reversed_points.append(refund.reversed_points)
    assert points == [266, 267, 267]
    assert sum(cash) == cents(paid.price.cash_amount) == 91_99
    assert max(cash) - min(cash) <= 1
    assert sum(reversed_points) == paid.price.points_to_earn
    active = before[0] + 800 - paid.price.points_to_earn
    assert await shop.balance(member) == (active, 0, 0, 0)
    assert [refund.complete for refund in (await shop.get(paid)).refunds] == [True] * 3


async def test_refunds_that_are_refused_change_nothing(shop: Shop, member: str) -> None:
    await shop.earn(member, "90")
    paid = await shop.paid(member, cart((2, "10"), (1, "5")), points=500)
    balance = await shop.balance(member)
    got = await refused(shop.refund(paid, other=1))
    assert (got.code, got.reason) == (grpc.StatusCode.NOT_FOUND, "LINE_NOT_FOUND")
    got = await refused(shop.refund(paid, l1=1, l0=3))
    assert (got.code, got.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REFUND_EXCEEDED")
    twice = pb.RefundCheckoutRequest(
        request_id=new_id(),
        checkout_id=paid.checkout_id,
        lines=[pb.RefundLine(line_id="l0", quantity=1)] * 2,
    )
    got = await refused(shop.stub.RefundCheckout(twice))
    assert (got.code, got.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert await shop.get(paid) == paid
    assert await shop.balance(member) == balance


async def test_a_repeated_refund_is_the_same_refund(shop: Shop, member: str) -> None:
    """CK-04: even when another refund came after it."""
    await shop.earn(member, "90")
    paid = await shop.paid(member, cart((2, "10")), points=500)
    request_id = new_id()
    first = await shop.refund(paid, request_id, l0=1)
    await shop.refund(paid, l0=1)
    balance = await shop.balance(member)
    assert await shop.refund(paid, request_id, l0=1) == first
    assert len(first.refunds) == 1
    assert await shop.balance(member) == balance
    assert (await refused(shop.refund(paid, request_id, l0=2))).reason == "REQUEST_ID_REUSED"


async def test_the_same_refund_twenty_times_at_once_takes_effect_once(
    shop: Shop, member: str
) -> None:
    await shop.earn(member, "90")
    paid = await shop.paid(member, cart((2, "10")), points=500)
    before = await shop.balance(member)
    request_id = new_id()
    answers = await gather(*(shop.refund(paid, request_id, l0=1) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    refund = answers[0].refunds[-1]
    active = before[0] + refund.points - refund.reversed_points
    assert await shop.balance(member) == (active, 0, 0, 0)


async def test_of_twenty_full_refunds_at_once_one_succeeds(shop: Shop, member: str) -> None:
    """CK-03: never more than was paid."""
    await shop.earn(member, "90")
    before = await shop.balance(member)
    paid = await shop.paid(member, cart((2, "10")), points=500)
    answers = await gather(*(shop.refund(paid) for _ in range(20)), return_exceptions=True)
    errors = [Refused(one) for one in answers if isinstance(one, grpc.aio.AioRpcError)]
    assert [error.reason for error in errors] == ["REFUND_EXCEEDED"] * 19
    assert await shop.balance(member) == before


async def test_twenty_parts_at_once_sum_up_to_what_was_paid(shop: Shop, member: str) -> None:
    await shop.earn(member, "90")
    before = await shop.balance(member)
    paid = await shop.paid(member, cart((20, "1.37")), points=777)
    await gather(*(shop.refund(paid, l0=1) for _ in range(20)))
    refunds = (await shop.get(paid)).refunds
    assert sum(cents(refund.cash_amount) for refund in refunds) == cents(paid.price.cash_amount)
    assert sum(refund.points for refund in refunds) == 777
    assert await shop.balance(member) == before


async def test_a_refund_waits_for_points_and_the_sweeper_ends_it(shop: Shop, member: str) -> None:
    """CK-04."""
    await shop.earn(member, "90")
    before = await shop.balance(member)
    paid = await shop.paid(member, cart((2, "10")), points=500)
    await shop.house.stop("points")
    request_id = new_id()
    got = await refused(shop.refund(paid, request_id))
    assert (got.code, got.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert [refund.complete for refund in (await shop.get(paid)).refunds] == [False]
    assert (await refused(shop.refund(paid))).reason == "REFUND_EXCEEDED"
    await shop.restart("points")
    await shop.sweep()
    done = await shop.get(paid)
    assert [refund.complete for refund in done.refunds] == [True]
    assert await shop.refund(paid, request_id) == done
    assert await eventually(lambda: shop.balance(member)) == before


async def test_payments_and_refunds_are_told_once(shop: Shop, member: str) -> None:
    """Events CheckoutCompleted and CheckoutRefunded, by the outbox."""
    heard = await shop.listen("checkout_completed", "checkout_refunded")
    await shop.earn(member, "90")
    paid = await shop.paid(member, cart((2, "10")), points=500)
    await gather(*(shop.refund(paid, "refund-" + member) for _ in range(5)))
    events = await heard(member, 2)
    completed, refunded = events[0].checkout_completed, events[1].checkout_refunded
    assert (completed.checkout_id, completed.order_id) == (paid.checkout_id, paid.order_id)
    assert (completed.points, cents(completed.cash)) == (500, 15_00)
    assert (refunded.checkout_id, refunded.order_id) == (paid.checkout_id, paid.order_id)
    assert (refunded.points, cents(refunded.cash)) == (500, 15_00)
    assert all(event.member_id == member and event.program_version == 1 for event in events)
