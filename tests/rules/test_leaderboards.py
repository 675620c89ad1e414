"""PT-13: which leaderboards a program keeps."""

from datetime import UTC, datetime

import pytest

from rules.compiled import CompiledProgram, compile_program
from rules.document import ProgramInvalid, load
from rules.values import Period

START = datetime(1997, 1, 1, tzinfo=UTC)


def compile_with(text: str, boards: str) -> CompiledProgram:
    """The sample program with leaderboards."""
    return compile_program(1, load(f"{text}\n{boards}\n").program, START)


def test_without_a_word_none_are_kept(program: CompiledProgram) -> None:
    assert not program.leaderboards.periods


def test_those_listed_are_kept_everywhere_and_by_region_where_asked(sample_text: str) -> None:
    boards = compile_with(sample_text, "leaderboards: {periods: [week, all]}").leaderboards
    assert (boards.periods, boards.by_region) == ({Period.WEEK, Period.ALL}, False)
    by_region = "leaderboards: {periods: [day], by_region: true}"
    assert compile_with(sample_text, by_region).leaderboards.by_region


@pytest.mark.parametrize("periods", ["[]", "[month, month]", "[decade]", "[unspecified]"])
def test_periods_that_mean_nothing_are_mistakes(sample_text: str, periods: str) -> None:
    with pytest.raises(ProgramInvalid, match="leaderboards"):
        compile_with(sample_text, f"leaderboards: {{periods: {periods}}}")
