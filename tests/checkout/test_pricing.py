"""The maths of a price (CK-01, PT-10), without any service."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from checkout_shop import shop_program
from hypothesis import given
from hypothesis import strategies as st

from checkout.pricing import Cart, Effect, Line, Standing, price, sum_lines
from kit.errors import AmountInvalid
from rules.compiled import CompiledProgram, compile_program
from rules.document import load
from rules.redemption import Boost

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def program(**redemption: int | str) -> CompiledProgram:
    document = load(shop_program()).program
    for name, value in redemption.items():
        setattr(document.redemption, name, value)
    return compile_program(1, document, BEGIN)


def cart(*lines: tuple[int, int], wanted: int = 0) -> Cart:
    made = tuple(Line(f"l{i}", "cd", n, price) for i, (n, price) in enumerate(lines))
    return Cart("m", "o", made, sum_lines(made), wanted, (), "web", "", b"")


def effect(discount: int, benefit: str, applies: bool = True, *, reusable: bool = False) -> Effect:
    return Effect(f"e-{benefit}", benefit, benefit, applies, discount, "because", reusable)


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 10**9)), min_size=1, max_size=20),
    st.integers(0, 100),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.sampled_from([1, 3, 30, 100, 1000, 1_000_000]),
    st.sampled_from(["0", "0.1", "0.333333", "0.5", "1"]),
    st.sampled_from([0, 1, 100, 5000]),
)
def test_a_price_always_sums_up(
    lines: list[tuple[int, int]],
    percent_off: int,
    balance: int,
    wanted: int,
    per_unit: int,
    share: str,
    points_min: int,
) -> None:
    """lines - discounts = points + cash; points stay within share, balance, wish and minimum."""
    rules = program(points_per_unit=per_unit, points_share_max=share, points_min=points_min)
    bought = cart(*lines, wanted=wanted)
    off = bought.lines_minor * percent_off // 100
    standing = Standing((effect(off, "gold_discount"),), balance, "gold")
    got = price(bought, standing, rules, BEGIN)
    due = bought.lines_minor - off
    assert got.lines_minor - got.discount_minor == got.points_minor + got.cash_minor
    assert 0 <= got.points <= min(got.points_max, wanted)
    assert got.points_max <= balance
    assert got.points == 0 or got.points >= points_min
    assert got.points_minor * 10**6 <= due * rules.redemption.share_max_e6
    # Whole minor units, and no point that pays nothing.
    assert got.points_minor == got.points * 100 // per_unit
    assert got.points == 0 or (got.points - 1) * 100 // per_unit < got.points_minor


def test_pt_10_points_that_are_worth_more_take_the_place_of_cash() -> None:
    """800 points pay 14.00 of 40.00 where 600 are worth double, and 8.00 where none are."""
    rules, bought = program(), cart((1, 4000), wanted=800)
    standing = Standing((), 5000, "", Boost(600, 20_000, "double"))
    got = price(bought, standing, rules, BEGIN)
    assert (got.points, got.points_minor, got.cash_minor) == (800, 1400, 2600)
    assert (got.boosted_points, got.promotion_window) == (600, "double")
    used_up = Standing((), 5000, "", Boost(0, 20_000, "double"))
    got = price(bought, used_up, rules, BEGIN)
    assert (got.points_minor, got.boosted_points, got.promotion_window) == (800, 0, "")


def test_coupons_are_reserved_and_tier_discounts_are_not() -> None:
    rules = program()
    effects = (
        effect(10, "gold_discount", reusable=True),
        effect(10, "gold_welcome"),
        effect(0, "silver_welcome", applies=False),
        effect(5, "from_an_older_program"),
    )
    got = price(cart((1, 1000)), Standing(effects, 0, ""), rules, BEGIN)
    assert got.coupon_ids == ("e-gold_welcome", "e-from_an_older_program")
    assert got.cash_minor == 975


def test_a_sum_beyond_what_can_be_paid_is_refused() -> None:
    with pytest.raises(AmountInvalid, match="sum up to 1000000000000001"):
        cart((1, 10**15), (1, 1))
    assert cart((10**6, 10**9)).lines_minor == 10**15


def test_a_cart_that_would_earn_more_than_can_be_counted_is_refused() -> None:
    document = load(shop_program()).program
    document.earning.rules[0].points_per_unit = "1000"
    rules = compile_program(1, document, BEGIN)
    with pytest.raises(AmountInvalid, match="give a smaller one"):
        price(cart((10**6, 10**9)), Standing((), 0, ""), rules, BEGIN)


def test_benefits_that_take_off_more_than_the_order_are_a_fault() -> None:
    rules = program()
    standing = Standing((effect(11, "gold_discount"),), 0, "")
    with pytest.raises(ValueError, match="take 11 off"):
        price(cart((1, 10)), standing, rules, BEGIN)


def test_a_cart_names_each_category_once() -> None:
    lines = tuple(Line(str(i), name, 1, 1) for i, name in enumerate(["b", "", "a", "b"]))
    assert replace(cart((1, 1)), lines=lines).categories == ("b", "a")
