"""Checkouts while points are worth double, capped per member and day (PT-10)."""

from asyncio import gather
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
import yaml
from checkout_shop import (
    AUTHORIZED,
    CANCELLED,
    COMPLETED,
    SERVICES,
    Shop,
    cart,
    cents,
    shop_program,
)
from google.type.money_pb2 import Money

from cli.check import run_checks
from house import Ground, House, Refused, new_id, refused, usd
from laurel.checkout.v1 import checkout_service_pb2 as pb
from laurel.points.v1 import points_service_pb2 as points_pb
from laurel.points.v1.redemptions_pb2 import QuoteRedemptionRequest

CAP = 1000


def promoted_program(factor: str = "2", cap: int = CAP) -> str:
    """The program of the shop, with points that are worth double for some weeks."""
    document = yaml.safe_load(shop_program())
    begin, end = (datetime.now(UTC) + timedelta(days=days) for days in (-5, 30))
    window: dict[str, Any] = {"start": f"{begin:%Y-%m-%d}", "end": f"{end:%Y-%m-%d}"}
    document["redemption"]["windows"] = [
        {"name": "double", "window": window, "factor": factor, "member_day_points_max": cap}
    ]
    return yaml.safe_dump(document)


@pytest.fixture(scope="module")
async def fair(ground: Ground) -> AsyncIterator[House]:
    """A house with a promotion window; at the end `laurel check` looks at all that was written."""
    async with ground.house() as house:
        await house.apply(promoted_program())
        await house.start(*SERVICES)
        yield house
        broken = [one for one in await run_checks(house.settings.database_url) if one.violations]
        assert not broken, broken


@pytest.fixture
def shop(fair: House) -> Shop:
    """The shop in which points are worth double."""
    return Shop(fair)


async def left(shop: Shop, member: str) -> int:
    """Points of the member that are still worth more today."""
    request = QuoteRedemptionRequest(member_id=member, order_amount=usd("1"))
    return (await shop.points.QuoteRedemption(request)).window.points_left


async def worth(shop: Shop, shown: pb.Checkout) -> dict[int, Money]:
    """By kind, what the ledger says that the points of a checkout pay."""
    request = points_pb.ListTransactionsRequest(member_id=shown.member_id, hold_id=shown.hold_id)
    booked = (await shop.points.ListTransactions(request)).transactions
    return {one.kind: one.value for one in booked}


async def test_an_order_is_paid_with_points_that_are_worth_double(shop: Shop, member: str) -> None:
    """PT-10: quote, ledger and what is to be paid in cash agree to the cent."""
    await shop.earn(member, "90")
    quoted = await shop.quote(member, cart((1, "20")), points=800)
    price = quoted.price
    assert (price.points_max, price.points, price.boosted_points) == (500, 500, 500)
    assert (cents(price.points_amount), cents(price.cash_amount)) == (10_00, 10_00)
    assert price.promotion_window == "double"
    await shop.authorize(quoted)
    assert await left(shop, member) == 500
    paid = await shop.complete(quoted)
    assert (paid.state, paid.price) == (COMPLETED, price)
    assert await worth(shop, paid) == {
        points_pb.TRANSACTION_KIND_HOLD: price.points_amount,
        points_pb.TRANSACTION_KIND_CAPTURE: price.points_amount,
    }


async def test_points_beyond_the_cap_pay_the_ordinary_value(shop: Shop, member: str) -> None:
    """PT-10: 1,000 points pay 20.00, the other 400 pay 4.00."""
    await shop.earn(member, "140")
    paid = await shop.paid(member, cart((1, "100")), points=1400)
    price = paid.price
    assert (price.points, price.boosted_points) == (1400, CAP)
    assert (cents(price.points_amount), cents(price.cash_amount)) == (24_00, 76_00)
    assert (await worth(shop, paid))[points_pb.TRANSACTION_KIND_CAPTURE] == price.points_amount
    again = (await shop.quote(member, cart((1, "10")), points=100)).price
    assert (cents(again.points_amount), again.boosted_points, again.promotion_window) == (
        100,
        0,
        "",
    )


async def test_a_cap_that_was_used_up_since_the_quote_is_a_refusal_and_a_new_quote_is_good(
    shop: Shop, member: str
) -> None:
    """PT-10: never a wrong amount of money; nothing is held by what was refused."""
    await shop.earn(member, "300")
    quoted = await shop.quote(member, cart((1, "40")), points=800)
    assert cents(quoted.price.points_amount) == 16_00
    await shop.paid(member, cart((1, "40")), points=700)
    before = await shop.balance(member)
    request_id = new_id()
    refusal = await refused(shop.authorize(quoted, request_id))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "POINTS_VALUE_CHANGED",
    )
    assert "quote the order again" in refusal.message
    assert (await refused(shop.authorize(quoted, request_id))).reason == "POINTS_VALUE_CHANGED"
    undone = await shop.get(quoted)
    assert (undone.state, undone.failure_reason) == (CANCELLED, "POINTS_VALUE_CHANGED")
    assert await shop.balance(member) == before
    assert await left(shop, member) == 300
    fresh = await shop.quote(member, cart((1, "40")), points=800)
    assert cents(fresh.price.points_amount) == 11_00
    assert (await shop.authorize(fresh)).state == AUTHORIZED


async def test_points_that_became_worth_more_since_the_quote_are_a_refusal_too(
    shop: Shop, member: str
) -> None:
    """PT-10: a member pays no more cash than needed without having been told."""
    await shop.earn(member, "300")
    other = await shop.quote(member, cart((1, "100")), points=1000)
    await shop.authorize(other)
    quoted = await shop.quote(member, cart((1, "100")), points=500)
    assert cents(quoted.price.points_amount) == 5_00
    await shop.cancel(other)
    assert await left(shop, member) == CAP
    assert (await refused(shop.authorize(quoted))).reason == "POINTS_VALUE_CHANGED"


async def test_of_twenty_orders_quoted_for_one_cap_those_win_that_it_covers(
    shop: Shop, member: str
) -> None:
    """PT-10: each was promised 200 points at double value, and 1,000 are there."""
    await shop.earn(member, "900")
    quotes = [await shop.quote(member, cart((1, "10")), points=200) for _ in range(20)]
    assert {cents(quoted.price.points_amount) for quoted in quotes} == {4_00}
    outcomes = await gather(*(shop.authorize(quoted) for quoted in quotes), return_exceptions=True)
    lost = [Refused(one) for one in outcomes if isinstance(one, grpc.aio.AioRpcError)]
    assert (len(lost), {one.reason for one in lost}) == (15, {"POINTS_VALUE_CHANGED"})
    assert await left(shop, member) == 0


async def test_what_is_cancelled_or_refunded_can_be_worth_more_again(
    shop: Shop, member: str
) -> None:
    """PT-10: the day gets back what the order used of it, a returned line its share."""
    # Too little for a tier that would take something off.
    await shop.earn(member, "80")
    quoted = await shop.quote(member, cart((1, "100")), points=600)
    await shop.authorize(quoted)
    await shop.cancel(quoted)
    assert await left(shop, member) == CAP
    paid = await shop.paid(member, cart((2, "50")), points=600)
    assert await left(shop, member) == 400
    half = await shop.refund(paid, l0=1)
    assert (half.refunds[0].points, cents(half.refunds[0].cash_amount)) == (300, 44_00)
    assert await left(shop, member) == 700
    await shop.refund(paid)
    assert await left(shop, member) == CAP


async def test_a_quote_of_before_windows_counts_on_no_value(shop: Shop, member: str) -> None:
    """A hold that was begun by an older process is the same request to this one."""
    await shop.earn(member, "300")
    quoted = await shop.quote(member, cart((1, "40")), points=200)
    await shop.house.fetch(
        "UPDATE checkout.checkout SET boosted_points = NULL, promotion_window = NULL "
        "WHERE checkout_id = $1",
        quoted.checkout_id,
    )
    await shop.paid(member, cart((1, "100")), points=CAP)
    authorized = await shop.authorize(quoted)
    assert authorized.state == AUTHORIZED
    assert (authorized.price.boosted_points, authorized.price.promotion_window) == (0, "")
    await shop.cancel(quoted)


async def test_a_program_that_changes_what_points_are_worth_ends_open_quotes(
    ground: Ground, member: str
) -> None:
    """PT-10: quoted at double value, authorised at half as much again."""
    async with ground.house() as house:
        await house.apply(promoted_program())
        await house.start(*SERVICES)
        shop = Shop(house)
        await shop.earn(member, "300")
        first, second = [await shop.quote(member, cart((1, "40")), points=200) for _ in range(2)]
        await shop.authorize(first)
        await house.apply(promoted_program(factor="1.5"))
        await house.settle()
        assert (await refused(shop.authorize(second))).reason == "POINTS_VALUE_CHANGED"
        # What was authorised stays what it is.
        paid = await shop.complete(first)
        assert (await worth(shop, paid))[points_pb.TRANSACTION_KIND_CAPTURE] == usd("4")
        assert not [o for o in await run_checks(house.settings.database_url) if o.violations]
