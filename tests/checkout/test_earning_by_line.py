"""What a checkout earns where the rules look at its lines (CK-01, CK-03, PT-01)."""

from asyncio import gather
from collections.abc import AsyncIterator

import pytest
import yaml
from checkout_shop import COMPLETED, COMPLETING, SERVICES, Shop, cart, cents, shop_program
from hypothesis import given
from hypothesis import strategies as st

from checkout.pricing import Line, paid_by_line
from checkout.refunding import returned_by_line
from cli.check import run_checks
from house import Ground, House, new_id, refused
from laurel.checkout.v1 import checkout_service_pb2 as pb


@pytest.fixture(scope="module")
async def bookshop(ground: Ground) -> AsyncIterator[House]:
    """A mall in which books earn twice."""
    async with ground.house() as house:
        document = yaml.safe_load(shop_program())
        document["earning"]["rules"][0]["tier_multiplier"] = False
        document["earning"]["rules"][0]["coefficients"] = [
            {"name": "books", "categories": ["book"], "factor": 2}
        ]
        await house.apply(yaml.safe_dump(document))
        await house.start(*SERVICES)
        yield house
        broken = [one for one in await run_checks(house.settings.database_url) if one.violations]
        assert not broken, broken


@pytest.fixture
async def shop(bookshop: House) -> Shop:
    """The shop of that mall."""
    return Shop(bookshop)


def with_a_book(*lines: tuple[int, str]) -> list[pb.Line]:
    """A cart whose first line is books."""
    made = cart(*lines)
    made[0].category = "book"
    return made


async def test_pt_01_a_coefficient_of_a_category_multiplies_its_lines_alone(
    shop: Shop, member: str
) -> None:
    """CK-01: a book of 1.00 does not make the records beside it earn twice."""
    paid = await shop.paid(member, with_a_book((1, "1"), (1, "9")))
    assert paid.price.points_to_earn == 2 * 10 + 90
    assert await shop.balance(member) == (110, 0, 0, 0)


async def test_ck_03_a_line_that_goes_back_takes_back_what_it_had_earned(
    shop: Shop, member: str
) -> None:
    paid = await shop.paid(member, with_a_book((2, "10"), (1, "10")))
    assert await shop.balance(member) == (500, 0, 0, 0)
    assert (await shop.refund(paid, l1=1)).refunds[-1].reversed_points == 100
    assert (await shop.refund(paid, l0=1)).refunds[-1].reversed_points == 200
    assert (await shop.refund(paid)).refunds[-1].reversed_points == 200
    assert await shop.balance(member) == (0, 0, 0, 0)


async def test_ck_03_parts_of_lines_paid_with_points_too_sum_up(shop: Shop, member: str) -> None:
    """Twenty at once, and all that was earned is taken back to the point."""
    await shop.earn(member, "90")
    before = await shop.balance(member)
    paid = await shop.paid(member, with_a_book((7, "1.37"), (13, "0.99")), points=777)
    parts = [{"l0": 1}] * 7 + [{"l1": 1}] * 13
    await gather(*(shop.refund(paid, **part) for part in parts))
    refunds = (await shop.get(paid)).refunds
    assert sum(cents(one.cash_amount) for one in refunds) == cents(paid.price.cash_amount)
    assert sum(one.reversed_points for one in refunds) == paid.price.points_to_earn
    assert await shop.balance(member) == before


async def test_ck_04_a_crash_while_a_line_goes_back_takes_back_once(
    shop: Shop, member: str
) -> None:
    paid = await shop.paid(member, with_a_book((2, "10"), (1, "10")))
    request_id = new_id()
    with shop.crash("after reverse_accrual"):
        await refused(shop.refund(paid, request_id, l0=1))
    await shop.refund(paid, l1=1)
    back = await shop.refund(paid, request_id, l0=1)
    assert [one.reversed_points for one in back.refunds] == [200]
    assert await shop.balance(member) == (200, 0, 0, 0)


async def test_ck_04_a_quote_of_before_earns_as_it_was_begun(shop: Shop, member: str) -> None:
    """The ledger may have been asked already: it must be the same request."""
    quoted = await shop.quote(member, with_a_book((1, "1"), (1, "9")))
    older = "UPDATE checkout.checkout SET earns_by_line = false WHERE checkout_id = $1"
    await shop.house.fetch(older, quoted.checkout_id)
    await shop.authorize(quoted)
    with shop.crash("after accrue"):
        await refused(shop.complete(quoted))
    assert (await shop.get(quoted)).state == COMPLETING
    await shop.sweep()
    assert (await shop.get(quoted)).state == COMPLETED
    assert (await shop.refund(quoted)).refunds[-1].reversed_points == 200
    assert await shop.balance(member) == (0, 0, 0, 0)


LINES = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 999)), min_size=1, max_size=9)


@given(LINES, st.integers(0, 10_000), st.randoms())
def test_what_is_returned_of_lines_adds_up_to_what_was_paid(
    bought: list[tuple[int, int]], paid_minor: int, random: object
) -> None:
    lines = [Line(str(i), "", quantity, price) for i, (quantity, price) in enumerate(bought)]
    if not any(line.amount_minor for line in lines):
        paid_minor = 0
    assert sum(paid_by_line(lines, paid_minor)) == paid_minor
    returned = 0
    for place, line in enumerate(lines):
        for count in range(line.quantity):
            before = [
                Line(one.line_id, "", one.quantity, one.unit_price_minor, gone)
                for at, one in enumerate(lines)
                for gone in [one.quantity if at < place else count if at == place else 0]
            ]
            returned += sum(minor for _, minor in returned_by_line(before, paid_minor, {place: 1}))
    assert returned == paid_minor
