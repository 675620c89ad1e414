"""PT-11: what a gift may be, what it costs, and what a donation gives."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from rules.compiled import CompiledProgram
from rules.document import ProgramInvalid, load
from rules.gifts import donation_minor, donation_step, gift_fee, gift_points_max, month_of


@pytest.mark.parametrize(
    ("active", "points"), [(0, 0), (4, 0), (5, 1), (99, 19), (100, 20), (10**15, 2 * 10**14)]
)
def test_pt_11_a_gift_is_at_most_a_fifth_of_the_balance_rounded_down(
    program: CompiledProgram, active: int, points: int
) -> None:
    assert program.gifts is not None
    assert gift_points_max(active, program.gifts) == points


@pytest.mark.parametrize(
    ("points", "fee"), [(1, 0), (4, 0), (5, 1), (14, 1), (15, 2), (200, 20), (10**15, 10**14)]
)
def test_pt_11_the_fee_is_a_tenth_rounded_a_half_up(
    program: CompiledProgram, points: int, fee: int
) -> None:
    assert program.gifts is not None
    assert gift_fee(points, program.gifts) == fee


def test_pt_11_a_thousand_points_give_one_dollar(
    program: CompiledProgram, compiled: Callable[..., CompiledProgram]
) -> None:
    assert program.donations is not None
    assert donation_minor(1000, 2, program.donations) == 100
    assert donation_minor(10, 2, program.donations) == 1
    assert donation_minor(1005, 2, program.donations) is None
    assert donation_step(2, program.donations) == 10
    odd = compiled(("points_per_unit: 1000", "points_per_unit: 150")).donations
    assert odd is not None
    assert donation_step(2, odd) == 3
    assert donation_minor(3, 2, odd) == 2


def test_a_month_begins_where_the_program_is() -> None:
    instant = datetime(2026, 12, 1, 3, tzinfo=UTC)
    assert month_of(instant, ZoneInfo("America/New_York")) == date(2026, 11, 1)
    assert month_of(instant, ZoneInfo("Europe/Berlin")) == date(2026, 12, 1)


def test_a_program_without_these_sections_allows_nothing(sample_text: str) -> None:
    """Documents from before stay valid; every adjustment then needs a second operator."""
    start = sample_text.index("# What members may give")
    text = sample_text[:start] + sample_text[sample_text.index("# The ladder. Spend of") :]
    program = load(text).program
    assert not program.HasField("gifts")
    assert program.adjustments.alone_points_max == 0


def test_a_gift_of_no_share_is_a_mistake(sample_text: str) -> None:
    text = sample_text.replace("  share_max: 0.2  ", "  share_max: 0.0  ")
    with pytest.raises(ProgramInvalid) as error:
        load(text)
    assert [mistake.path for mistake in error.value.mistakes] == ["gifts.share_max"]
