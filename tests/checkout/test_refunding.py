"""The maths of refunds (CK-03), without any service."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.errors import LineNotFound, NothingLeft, RefundExceeded, TooManyRefunds
from checkout.pricing import Line
from checkout.refunding import REFUND_COUNT_MAX, Paid, Share, share

ID = UUID(int=0)
LINES = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 10**6)), min_size=1, max_size=8)


def paid_for(lines: list[tuple[int, int]], cash: int, points: int) -> Paid:
    made = tuple(Line(f"l{i}", "", n, price) for i, (n, price) in enumerate(lines))
    total = sum(line.amount_minor for line in made)
    return Paid(ID, made, total, min(cash, total), points if total else 0, 0, 0, 0, 0)


def after(paid: Paid, back: Share) -> Paid:
    lines = tuple(
        replace(line, refunded_quantity=line.refunded_quantity + back.quantities.get(i, 0))
        for i, line in enumerate(paid.lines)
    )
    return replace(
        paid,
        lines=lines,
        refunded_lines_minor=paid.refunded_lines_minor + back.lines_minor,
        refunded_cash_minor=paid.refunded_cash_minor + back.cash_minor,
        refunded_points=paid.refunded_points + back.points,
        refund_count=paid.refund_count + 1,
    )


@given(LINES, st.integers(0, 10**8), st.integers(0, 10**9), st.data())
def test_any_sequence_of_refunds_gives_back_exactly_what_was_paid(
    lines: list[tuple[int, int]], cash: int, points: int, data: st.DataObject
) -> None:
    """CK-03: never more than was paid, and the last refund returns the rest."""
    paid = paid_for(lines, cash, points)
    for _ in range(data.draw(st.integers(0, 12))):
        open_lines = [line for line in paid.lines if line.refunded_quantity < line.quantity]
        if not open_lines:
            break
        line = data.draw(st.sampled_from(open_lines))
        quantity = data.draw(st.integers(1, line.quantity - line.refunded_quantity))
        back = share(paid, [(line.line_id, quantity)])
        assert back.cash_minor >= 0
        assert back.points >= 0
        paid = after(paid, back)
        assert paid.refunded_cash_minor <= paid.cash_minor
        assert paid.refunded_points <= paid.points
    if any(line.refunded_quantity < line.quantity for line in paid.lines):
        paid = after(paid, share(paid, []))
    assert paid.refunded_cash_minor == paid.cash_minor
    assert paid.refunded_points == paid.points
    with pytest.raises(NothingLeft):
        share(paid, [])


@given(LINES, st.integers(0, 10**8), st.integers(0, 10**9), st.data())
def test_a_part_is_never_more_than_its_proportion_and_less_by_under_one(
    lines: list[tuple[int, int]], cash: int, points: int, data: st.DataObject
) -> None:
    """CK-03: cash and points go back in stated proportion."""
    paid = paid_for(lines, cash, points)
    line = data.draw(st.sampled_from(paid.lines))
    quantity = data.draw(st.integers(1, line.quantity))
    back = share(paid, [(line.line_id, quantity)])
    if paid.lines_minor:
        part = quantity * line.unit_price_minor
        for got, whole in ((back.cash_minor, paid.cash_minor), (back.points, paid.points)):
            assert 0 <= whole * part - got * paid.lines_minor < paid.lines_minor


def test_discounts_are_shared_over_the_lines() -> None:
    """30.00 and 10.00 with 8.00 off were paid with 32.00: the smaller line is worth 8.00."""
    paid = paid_for([(1, 3000), (1, 1000)], 3200, 0)
    assert share(paid, [("l1", 1)]).cash_minor == 800


def test_a_free_line_goes_back_for_nothing() -> None:
    paid = paid_for([(2, 0), (1, 1000)], 1000, 0)
    back = share(paid, [("l0", 2)])
    assert (back.cash_minor, back.points) == (0, 0)
    assert share(after(paid, back), []).cash_minor == 1000


def test_a_free_cart_can_go_back() -> None:
    back = share(paid_for([(1, 0)], 0, 0), [])
    assert (back.lines_minor, back.cash_minor, back.points) == (0, 0, 0)


def test_a_line_that_is_not_there_is_refused() -> None:
    with pytest.raises(LineNotFound):
        share(paid_for([(1, 100)], 100, 0), [("other", 1)])


def test_more_than_is_left_of_a_line_is_refused() -> None:
    paid = paid_for([(2, 100)], 200, 0)
    paid = after(paid, share(paid, [("l0", 1)]))
    with pytest.raises(RefundExceeded, match="2 of line l0 were to go back and 1 are left"):
        share(paid, [("l0", 2)])


def test_the_last_refund_that_a_checkout_may_have_is_kept_for_the_rest() -> None:
    paid = replace(paid_for([(5, 100)], 500, 0), refund_count=REFUND_COUNT_MAX - 1)
    with pytest.raises(TooManyRefunds):
        share(paid, [("l0", 1)])
    assert share(paid, []).cash_minor == 500


def test_the_largest_cart_is_shared_without_rounding_errors() -> None:
    paid = paid_for([(10**6, 10**9)], 10**15, 10**15)
    back = share(paid, [("l0", 333_333)])
    assert back.cash_minor == 333_333 * 10**9
    assert back.points == 333_333 * 10**9
