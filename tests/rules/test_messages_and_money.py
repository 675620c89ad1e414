"""The words of messages, and decimals as whole numbers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.compiled import CompiledProgram
from rules.messages import render
from rules.money import MINOR_UNITS, decimal_text, scaled
from rules.values import Channel, Trigger


def test_nt_02_a_message_is_filled_with_what_is_known_of_its_event(
    program: CompiledProgram,
) -> None:
    rule = next(r for r in program.messages if r.trigger is Trigger.POINTS_EXPIRING)
    subject, body = render(rule, {"points": "120", "expire_date": "1998-01-31"})
    assert subject == "120 points expire on 1998-01-31"
    assert "120 of your points expire on 1998-01-31." in body
    assert rule.channels == (Channel.INBOX, Channel.EMAIL)


def test_nt_02_a_subject_stays_in_one_line_whatever_its_variables_hold(
    program: CompiledProgram,
) -> None:
    rule = next(r for r in program.messages if r.trigger is Trigger.TIER_UP)
    subject, _ = render(rule, {"tier": "Gold\r\nBcc: all@example.com"})
    assert subject == "Welcome to Gold Bcc: all@example.com"


@pytest.mark.parametrize(
    ("code", "digits"), [("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("UYU", 2), ("CNY", 2)]
)
def test_currencies_have_the_decimals_of_iso_4217(code: str, digits: int) -> None:
    assert MINOR_UNITS[code] == digits


def test_every_currency_is_listed_once() -> None:
    assert len(MINOR_UNITS) >= 160
    assert all(len(code) == 3 and code.isupper() for code in MINOR_UNITS)


@given(st.integers(-(10**18), 10**18), st.integers(0, 6))
def test_a_scaled_number_is_shown_as_the_decimal_it_stands_for(value: int, digits: int) -> None:
    text = decimal_text(value, digits)
    assert Decimal(text) == Decimal(value).scaleb(-digits)
    assert "." not in text or not text.endswith("0")


@given(st.decimals(0, 10**9, places=4))
def test_a_decimal_is_scaled_exactly(number: Decimal) -> None:
    assert scaled(f"{number:f}", 4) == int(number * 10**4)


def test_a_decimal_that_is_finer_than_its_scale_is_refused() -> None:
    assert scaled("1.500", 1) == 15
    with pytest.raises(ValueError, match="more than 1 decimals"):
        scaled("1.55", 1)
