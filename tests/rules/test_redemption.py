"""What points pay (PT-10)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.compiled import CompiledProgram
from rules.redemption import (
    Boost,
    LimitKind,
    boost_of,
    limits,
    points_for_minor,
    points_max,
    points_value_minor,
    quote,
)

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


@pytest.mark.parametrize(
    ("wanted", "points", "minor", "words"),
    [
        (504, 0, 0, "fewer than 505 points"),
        (505, 505, 50, "as wanted"),
        (509, 505, 50, "smallest coin"),
        (512, 510, 51, "smallest coin"),
    ],
)
def test_pt_10_a_quote_keeps_the_points_that_the_minimum_asks_for(
    compiled: Compile, wanted: int, points: int, minor: int, words: str
) -> None:
    """They pay nothing more, but fewer could not be spent at all."""
    program = compiled(
        ("points_per_unit: 100 ", "points_per_unit: 1000 "), ("points_min: 100", "points_min: 505")
    )
    found = quote(10_000, wanted, 5_000, program)
    assert (found.points, found.points_minor) == (points, minor)
    assert words in found.reason


def test_a_quote_takes_no_points_where_even_the_minimum_pays_nothing(compiled: Compile) -> None:
    program = compiled(("points_per_unit: 100 ", "points_per_unit: 100000 "))
    found = quote(10_000, 600, 5_000, program)
    assert (found.points, found.points_minor) == (0, 0)
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
    least = max(100, points_for_minor(found.points_minor, program))
    assert found.points == (least if found.points_minor else 0)


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


WINDOWS = """points_min: 100
  windows:
    - name: november
      window: {start: 2026-11-01, end: 2026-12-01}
      factor: 2
      member_day_points_max: 1000
    - {name: advent, window: {start: 2026-12-06T18:00, end: 2026-12-07}, factor: 1.5,
       member_day_points_max: 300}"""


@pytest.fixture(scope="module")
def promoted(compiled: Compile) -> CompiledProgram:
    """Points are worth double in November, the first 1,000 of a day."""
    return compiled(("points_min: 100", WINDOWS))


@pytest.mark.parametrize(
    ("at", "name"),
    [
        (datetime(2026, 11, 1, 3, 59, tzinfo=UTC), None),
        (datetime(2026, 11, 1, 4, 0, tzinfo=UTC), "november"),
        (datetime(2026, 12, 1, 4, 59, tzinfo=UTC), "november"),
        (datetime(2026, 12, 1, 5, 0, tzinfo=UTC), None),
        (datetime(2026, 12, 6, 23, 0, tzinfo=UTC), "advent"),
        (datetime(2026, 12, 7, 5, 0, tzinfo=UTC), None),
    ],
)
def test_pt_10_a_promotion_window_begins_and_ends_by_the_clock_of_the_program(
    promoted: CompiledProgram, at: datetime, name: str | None
) -> None:
    window = promoted.redemption.window_at(at)
    assert (window.name if window else None) == name


@pytest.mark.parametrize(
    ("points", "left", "minor"),
    [
        (500, 1_000, 1_000),
        (1_000, 1_000, 2_000),
        (1_500, 1_000, 2_500),
        (1_500, 0, 1_500),
        (1, 1, 2),
        (0, 1_000, 0),
    ],
)
def test_pt_10_points_in_a_window_are_worth_double_up_to_the_cap_and_the_rest_as_always(
    program: CompiledProgram, points: int, left: int, minor: int
) -> None:
    assert points_value_minor(points, program, Boost(left, 20_000, "november")) == minor


def test_pt_10_what_a_member_has_used_of_a_day_is_taken_off_its_cap(
    promoted: CompiledProgram,
) -> None:
    window = promoted.redemption.windows[0]
    assert boost_of(window, 0) == Boost(1_000, 20_000, "november")
    assert boost_of(window, 400).points == 600
    # A later version may have lowered the cap below what is used.
    assert boost_of(window, 1_200).points == 0
    assert boost_of(None, 0).points == 0


def test_pt_10_a_value_of_both_kinds_of_points_is_rounded_down_once(compiled: Compile) -> None:
    program = compiled(("points_per_unit: 100 ", "points_per_unit: 300 "))
    half_more = Boost(1, 15_000, "advent")
    # 1.5 + 1 thirds of a cent are less than one, 1.5 + 2 are more.
    assert points_value_minor(2, program, half_more) == 0
    assert points_value_minor(3, program, half_more) == 1


def test_pt_10_the_share_of_an_order_bounds_the_money_and_not_the_points(
    program: CompiledProgram,
) -> None:
    double = Boost(1_000, 20_000, "november")
    # 50.00 of 100.00: 1,000 points pay 20.00 and 3,000 pay 30.00.
    assert points_max(10_000, program, double) == 4_000
    assert points_max(1_000, program, double) == 250
    split = quote(10_000, 9_000, 9_000, program, double)
    assert (split.points, split.points_minor, split.cash_minor) == (4_000, 5_000, 5_000)


def test_pt_10_a_quote_names_the_window_as_a_reason_and_as_a_limit(
    program: CompiledProgram,
) -> None:
    double = Boost(300, 20_000, "november")
    split = quote(10_000, 500, 9_000, program, double)
    assert (split.points_minor, split.boosted) == (800, 300)
    assert split.reason == "as wanted; 300 of them are worth 2 times as much (november)"
    [limit] = [one for one in limits(10_000, 9_000, program, double) if one.kind > LimitKind.STEP]
    assert (limit.kind, limit.points) == (LimitKind.WINDOW, 300)
    assert limit.reason.startswith("november: ")
    # Used up, it still is a limit, and no reason any more.
    used_up = Boost(0, 20_000, "november")
    assert limits(10_000, 9_000, program, used_up)[-1].points == 0
    assert quote(10_000, 500, 9_000, program, used_up).reason == "as wanted"


@given(
    order=orders,
    share=shares,
    rate=rates,
    wanted=orders,
    balance=orders,
    left=st.integers(0, 10**9),
    factor_e4=st.integers(10_001, 10**6),
)
def test_pt_10_points_that_are_worth_more_never_pay_more_than_their_share(
    compiled: Compile,
    order: int,
    share: object,
    rate: int,
    wanted: int,
    balance: int,
    left: int,
    factor_e4: int,
) -> None:
    program = compiled(
        ("points_share_max: 0.5", f"points_share_max: {share:f}"),
        ("points_per_unit: 100 ", f"points_per_unit: {rate} "),
    )
    boost = Boost(left, factor_e4, "any")
    most = points_max(order, program, boost)
    exact = Fraction(min(most, left) * factor_e4, 10**4) + max(0, most - left)
    assert exact * 100 / rate <= order * Fraction(str(share))
    more = Fraction(min(most + 1, left) * factor_e4, 10**4) + max(0, most + 1 - left)
    assert more * 100 / rate > order * Fraction(str(share))
    found = quote(order, wanted, balance, program, boost)
    assert found.points_minor + found.cash_minor == order
    assert found.points <= min(wanted, balance, most)
    assert found.points_minor == points_value_minor(found.points, program, boost)
    assert found.boosted == min(found.points, left)
    least = max(100, points_for_minor(found.points_minor, program, boost))
    assert found.points == (least if found.points_minor else 0)


@given(
    value=st.integers(0, 10**9),
    left=st.integers(0, 10**6),
    factor_e4=st.integers(10_001, 10**6),
    rate=st.sampled_from([1, 7, 100, 333]),
)
def test_pt_10_the_fewest_points_for_a_value_are_exactly_that(
    compiled: Compile, value: int, left: int, factor_e4: int, rate: int
) -> None:
    program = compiled(("points_per_unit: 100 ", f"points_per_unit: {rate} "))
    boost = Boost(left, factor_e4, "any")
    points = points_for_minor(value, program, boost)
    assert points_value_minor(points, program, boost) >= value
    assert points == 0 or points_value_minor(points - 1, program, boost) < value


def test_pt_10_a_window_lasts_as_long_as_the_clock_says_even_where_the_clock_changes(
    promoted: CompiledProgram,
) -> None:
    """In New York an hour is given back on 1 November 2026."""
    window = promoted.redemption.windows[0]
    assert window.end - window.start == timedelta(days=30, hours=1)
