"""Quotes (CK-01, PT-10)."""

from asyncio import gather

import grpc
from checkout_shop import FREE, QUOTED, Shop, cart, cents
from google.type.money_pb2 import Money

from house import refused, usd
from laurel.checkout.v1 import checkout_service_pb2 as pb
from laurel.points.v1 import points_service_pb2 as points_pb


def sums_up(price: pb.Price) -> bool:
    off = sum(cents(discount.amount) for discount in price.discounts)
    parts = cents(price.points_amount) + cents(price.cash_amount)
    return cents(price.lines_amount) - off == parts


async def test_a_quote_itemises_what_a_cart_costs(shop: Shop, member: str) -> None:
    """CK-01, PT-10: 100 points pay 1.00 and at most half of what is left after the discounts."""
    await shop.regular(member)
    quoted = await shop.quote(member, cart((2, "40"), (1, "20")), points=10_000)
    price = quoted.price
    assert quoted.state == QUOTED
    assert cents(price.lines_amount) == 100_00
    off = {
        discount.name: cents(discount.amount) for discount in price.discounts if discount.applies
    }
    assert off == {"Gold 10 % off": 10_00, "10 dollars to welcome you to Gold": 10_00}
    assert all(discount.reason for discount in price.discounts)
    assert (price.points_max, price.points) == (3000, 3000)
    assert (cents(price.points_amount), cents(price.cash_amount)) == (30_00, 50_00)
    assert price.points_to_earn == 750, "50.00 at 10 points, gold earns 1.5 times"
    assert price.program_version == 1
    assert 14 * 60 < quoted.expire_time.seconds - quoted.create_time.seconds <= 15 * 60
    assert sums_up(price)


async def test_points_pay_no_more_than_their_share(shop: Shop, member: str) -> None:
    """PT-10: points pay at most 50 %."""
    await shop.earn(member, "90")
    price = (await shop.quote(member, cart((1, "10.01")), points=900)).price
    assert (price.points_max, price.points) == (500, 500)
    assert cents(price.cash_amount) == 5_01


async def test_points_below_the_minimum_pay_nothing(shop: Shop, member: str) -> None:
    """PT-10: the sample program takes no fewer than 100 points."""
    await shop.earn(member, "90")
    price = (await shop.quote(member, cart((1, "10")), points=99)).price
    assert (price.points_max, price.points, cents(price.cash_amount)) == (500, 0, 10_00)
    price = (await shop.quote(member, cart((1, "1.98")), points=1000)).price
    assert (price.points_max, price.points) == (0, 0)


async def test_no_points_are_taken_where_none_are_wanted(shop: Shop, member: str) -> None:
    await shop.earn(member, "90")
    price = (await shop.quote(member, cart((1, "10")))).price
    assert (price.points_max, price.points, cents(price.cash_amount)) == (500, 0, 10_00)
    assert sums_up(price)


async def test_a_quote_changes_no_balance(shop: Shop, member: str) -> None:
    """CK-01."""
    await shop.regular(member)
    before = await shop.balance(member)
    await gather(*(shop.quote(member, cart((1, "80")), points=3000) for _ in range(5)))
    assert await shop.balance(member) == before
    assert await shop.coupon_state(member) == FREE


async def test_a_stranger_gets_a_plain_quote(shop: Shop, member: str) -> None:
    price = (await shop.quote(member, cart((1, "80")), points=3000)).price
    assert (price.points_max, price.points, cents(price.cash_amount)) == (0, 0, 80_00)


async def test_another_members_coupon_takes_nothing_off(shop: Shop, member: str) -> None:
    coupon = await shop.regular(member)
    thief = f"thief-{member}"
    quoted = await shop.quote(thief, cart((1, "80")), entitlement_ids=[coupon])
    assert not any(discount.applies for discount in quoted.price.discounts)
    assert cents(quoted.price.cash_amount) == 80_00
    named = [one for one in quoted.price.discounts if one.entitlement_id == coupon]
    assert [cents(one.amount) for one in named] == [0]


async def test_a_repeated_quote_is_the_same_quote(shop: Shop, member: str) -> None:
    request = shop.quote_request(member, cart((1, "80")))
    first = await shop.stub.QuoteCheckout(request)
    await shop.earn(member, "300")
    assert await shop.stub.QuoteCheckout(request) == first


async def test_a_quote_asked_for_twenty_times_at_once_is_made_once(shop: Shop, member: str) -> None:
    request = shop.quote_request(member, cart((1, "80")))
    answers = await gather(*(shop.stub.QuoteCheckout(request) for _ in range(20)))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    rows = await shop.house.fetch(
        "SELECT count(*) AS n FROM checkout.checkout WHERE member_id = $1", member
    )
    assert rows[0]["n"] == 1


async def test_a_request_id_is_good_for_one_content(shop: Shop, member: str) -> None:
    request = shop.quote_request(member, cart((1, "80")))
    await shop.stub.QuoteCheckout(request)
    request.points_wanted = 1
    got = await refused(shop.stub.QuoteCheckout(request))
    assert (got.code, got.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_money_that_the_program_does_not_take_is_refused(shop: Shop, member: str) -> None:
    lines = cart((1, "80"), (1, "5"))
    lines[1].unit_price.currency_code = "EUR"
    got = await refused(shop.quote(member, lines))
    assert (got.code, got.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CURRENCY_MISMATCH")
    assert got.metadata["field"] == "lines[1].unit_price"
    for money in (usd("-1"), Money(currency_code="USD", nanos=1)):
        lines[1].unit_price.CopyFrom(money)
        got = await refused(shop.quote(member, lines))
        assert (got.code, got.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "AMOUNT_INVALID")


async def test_a_huge_cart_is_exact_and_one_beyond_the_limit_is_refused(
    shop: Shop, member: str
) -> None:
    lines = cart(*[(1_000_000, "49999.99")] * 200)
    quoted = await shop.quote(member, lines)
    assert cents(quoted.price.lines_amount) == 200 * 10**6 * 4_999_999
    assert len(quoted.lines) == 200
    assert sums_up(quoted.price)
    lines[0].unit_price.CopyFrom(usd("9999999999999"))
    got = await refused(shop.quote(member, lines))
    assert (got.code, got.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "AMOUNT_INVALID")
    assert "lines" in got.message


async def test_a_line_id_that_stands_twice_is_refused(shop: Shop, member: str) -> None:
    lines = cart((1, "80"), (1, "5"))
    lines[1].line_id = "l0"
    got = await refused(shop.quote(member, lines))
    assert got.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "lines[1].line_id" in got.message


async def test_more_categories_than_an_accrual_can_name_are_refused(
    shop: Shop, member: str
) -> None:
    lines = cart(*[(1, "1")] * 101)
    for place, line in enumerate(lines):
        line.category = f"c{place}"
    got = await refused(shop.quote(member, lines))
    assert got.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_checkout_that_is_not_there_is_not_found(shop: Shop) -> None:
    nobody = pb.Checkout(checkout_id="018f0000-0000-7000-8000-000000000000")
    for call in (shop.get, shop.authorize, shop.complete, shop.cancel, shop.refund):
        got = await refused(call(nobody))
        assert (got.code, got.reason) == (grpc.StatusCode.NOT_FOUND, "CHECKOUT_NOT_FOUND")


async def test_the_quote_foretells_what_the_purchase_earns(shop: Shop, member: str) -> None:
    """CK-01: points to be earned."""
    await shop.regular(member)
    paid = await shop.paid(member, cart((1, "77.77")), points=1000)
    request = points_pb.GetTransactionRequest(
        member_id=member, transaction_id=paid.accrual_transaction_id
    )
    booked = (await shop.points.GetTransaction(request)).transaction
    assert booked.points == paid.price.points_to_earn > 0
    assert booked.explanation.spend == paid.price.cash_amount
