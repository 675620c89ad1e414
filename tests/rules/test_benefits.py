"""What an order costs with a member's benefits, and why (BN-04)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.benefits import AmountOff, PercentOff, Usable, price


def percent(text: str, entitlement_id: str = "d") -> Usable:
    kind = PercentOff(text, int(float(text) * 100))
    return Usable(entitlement_id, f"b_{entitlement_id}", f"Discount {text} %", kind)


def coupon(entitlement_id: str, off: int, least: int = 0) -> Usable:
    kind = AmountOff(off, least)
    return Usable(entitlement_id, f"b_{entitlement_id}", f"Coupon {entitlement_id}", kind)


def priced(order: int, usable: list[Usable], *wanted: str) -> tuple[list[tuple[str, int]], int]:
    """The discounts that apply, in order, and what is left to pay."""
    found = price(order, usable, wanted)
    return [
        (e.entitlement_id, e.discount_minor) for e in found.effects if e.applies
    ], found.due_minor


D10 = percent("10")


@pytest.mark.parametrize(
    ("order", "usable", "wanted", "applies", "due"),
    [
        # The discount comes first, the coupon off what is left.
        (10_000, [coupon("a", 500), D10], (), [("d", 1_000), ("a", 500)], 8_500),
        # The best coupon is chosen, the first of equals.
        (10_000, [coupon("a", 500), coupon("b", 700)], (), [("b", 700)], 9_300),
        (10_000, [coupon("b", 500), coupon("a", 500)], (), [("b", 500)], 9_500),
        # Wanted coupons all apply, in the order wanted.
        (10_000, [coupon("a", 500), coupon("b", 700)], ("b", "a"), [("b", 700), ("a", 500)], 8_800),
        # A coupon needs its least amount, of the order before any discount.
        (2_000, [coupon("a", 500, 2_000), D10], (), [("d", 200), ("a", 500)], 1_300),
        (1_999, [coupon("a", 500, 2_000)], (), [], 1_999),
        (1_999, [coupon("a", 500, 2_000), coupon("b", 100)], (), [("b", 100)], 1_899),
        # Never below nothing.
        (300, [coupon("a", 500)], (), [("a", 300)], 0),
        (300, [coupon("a", 500), coupon("b", 500)], ("a", "b"), [("a", 300)], 0),
        # Of two discounts the better one.
        (10_000, [percent("5", "x"), percent("15", "y")], (), [("y", 1_500)], 8_500),
        # Half a cent is rounded up.
        (1_005, [D10], (), [("d", 101)], 904),
        (0, [D10, coupon("a", 500)], (), [], 0),
    ],
)
def test_bn_04_benefits_price_an_order(
    order: int,
    usable: list[Usable],
    wanted: tuple[str, ...],
    applies: list[tuple[str, int]],
    due: int,
) -> None:
    assert priced(order, usable, *wanted) == (applies, due)


@pytest.mark.parametrize(
    ("order", "usable", "wanted", "refused", "reason"),
    [
        (100, [coupon("a", 5, 200)], (), "a", "the order is below the coupon's least amount"),
        (100, [coupon("a", 5), coupon("b", 9)], (), "a", "Coupon b takes off more or as much"),
        (100, [coupon("a", 5), coupon("b", 9)], ("a",), "b", "other coupons were chosen"),
        (
            100,
            [coupon("a", 100), coupon("b", 9)],
            ("a", "b"),
            "b",
            "there is nothing left to take off",
        ),
        (100, [percent("5", "x"), D10], (), "x", "Discount 10 % takes off more or as much"),
        (0, [D10], (), "d", "there is nothing to take off"),
        (
            100,
            [],
            ("gone",),
            "gone",
            "the member cannot use it: it is unknown, used, reserved or has ended",
        ),
    ],
)
def test_bn_04_what_does_not_apply_says_why(
    order: int, usable: list[Usable], wanted: tuple[str, ...], refused: str, reason: str
) -> None:
    effect = next(e for e in price(order, usable, wanted).effects if e.entitlement_id == refused)
    assert (effect.applies, effect.discount_minor, effect.reason) == (False, 0, reason)


usables = st.lists(
    st.one_of(
        st.builds(lambda n: ("p", n, 0), st.integers(1, 9_000)),
        st.builds(lambda n, m: ("c", n, m), st.integers(1, 10**6), st.integers(0, 10**6)),
    ),
    max_size=6,
)


@given(st.integers(0, 10**7), usables, st.lists(st.integers(0, 7), unique=True, max_size=4))
def test_bn_04_discounts_and_what_is_due_add_up_to_the_order(
    order: int, kinds: list[tuple[str, int, int]], wanted: list[int]
) -> None:
    usable = [
        Usable(str(n), "b", "B", PercentOff("", a) if kind == "p" else AmountOff(a, least))
        for n, (kind, a, least) in enumerate(kinds)
    ]
    found = price(order, usable, [str(n) for n in wanted])
    assert found.due_minor + sum(e.discount_minor for e in found.effects) == order
    assert found.due_minor >= 0
    assert all((e.discount_minor > 0) == e.applies for e in found.effects)
    named = [e.entitlement_id for e in found.effects]
    assert sorted(named) == sorted({*(u.entitlement_id for u in usable), *map(str, wanted)})
    # Those that apply come first.
    assert sorted(found.effects, key=lambda e: not e.applies) == list(found.effects)


def test_discounts_can_be_used_again_and_coupons_cannot() -> None:
    effects = price(10_000, [percent("10"), coupon("a", 500)], ()).effects
    assert {e.entitlement_id: e.reusable for e in effects} == {"d": True, "a": False}
