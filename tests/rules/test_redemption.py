"""What points pay (PT-10)."""

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.compiled import CompiledProgram
from rules.redemption import points_for_minor, points_max, points_value_minor, quote

Compile = Callable[..., CompiledProgram]


def test_pt_10_a_hundred_points_pay_one_dollar(program: CompiledProgram) -> None:
    assert points_value_minor(100, program) == 100
    assert points_value_minor(1, program) == 1


@pytest.mark.parametrize(("order", "points"), [(10_000, 5_000), (3_999, 1_999), (1, 0), (0, 0)])
def test_pt_10_points_pay_at_most_half_of_an_order(
    program: CompiledProgram, order: int, points: int
) -> None:
    assert points_max(order, program) == points


@pytest.mark.parametrize(
    ("wanted", "balance", "points", "cash", "most", "words"),
    [
        (2_000, 9_000, 2_000, 8_000, 5_000, "as wanted"),
        (9_000, 9_000, 5_000, 5_000, 5_000, "may pay of this order"),
        (9_000, 3_000, 3_000, 7_000, 3_000, "all that the member has"),
        (99, 9_000, 0, 10_000, 5_000, "fewer than 100 points"),
        (0, 9_000, 0, 10_000, 5_000, "as wanted"),
        (100, 99, 0, 10_000, 0, "fewer than 100 points"),
    ],
)
def test_pt_10_a_quote_splits_an_order_of_100_dollars(
    program: CompiledProgram,
    wanted: int,
    balance: int,
    points: int,
    cash: int,
    most: int,
    words: str,
) -> None:
    found = quote(10_000, wanted, balance, program)
    assert (found.points, found.cash_minor, found.points_max) == (points, cash, most)
    assert words in found.reason


def test_a_quote_takes_no_point_that_would_pay_nothing(compiled: Compile) -> None:
    program = compiled(("points_per_unit: 100 ", "points_per_unit: 333 "))
    found = quote(10_000, 1_000, 5_000, program)
    assert (found.points, found.points_minor) == (999, 300)
    assert "smallest coin" in found.reason


orders = st.integers(0, 10**12)
shares = st.decimals(0, 1, places=6)
rates = st.integers(1, 10**6)


@given(order=orders, share=shares, rate=rates, wanted=orders, balance=orders)
def test_pt_10_points_never_pay_more_than_their_share_and_the_sum_is_the_order(
    compiled: Compile, order: int, share: object, rate: int, wanted: int, balance: int
) -> None:
    program = compiled(
        ("points_share_max: 0.5", f"points_share_max: {share:f}"),
        ("points_per_unit: 100 ", f"points_per_unit: {rate} "),
    )
    most = points_max(order, program)
    assert points_value_minor(most, program) <= order * Fraction(str(share))
    found = quote(order, wanted, balance, program)
    assert found.points_minor + found.cash_minor == order
    assert found.points <= min(wanted, balance, most)
    assert found.points_minor == points_value_minor(found.points, program)
    assert found.points == 0 or found.points == points_for_minor(found.points_minor, program)


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from([7, 50, 100]),
)
def test_pt_10_a_quote_in_steps_takes_no_point_that_pays_nothing(
    compiled: Compile, order: int, wanted: int, balance: int, step: int
) -> None:
    found = _in_steps(compiled, step)
    split = quote(order, wanted, balance, found)
    assert split.points % step == 0
    assert split.points <= min(wanted, balance, points_max(order, found))
    assert split.points_minor == points_value_minor(split.points, found)
    assert split.points_minor + split.cash_minor == order
    assert split.points == 0 or split.points >= step * -(-100 // step)


def _in_steps(compiled: Compile, step: int) -> CompiledProgram:
    if step not in _PROGRAMS:
        least = step * -(-100 // step)
        text = f"points_min: {least}\n  points_step: {step}"
        _PROGRAMS[step] = compiled(("points_min: 100", text))
    return _PROGRAMS[step]


_PROGRAMS: dict[int, CompiledProgram] = {}
