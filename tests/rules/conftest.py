"""The sample program, as text and compiled."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rules.compiled import CompiledProgram, compile_program
from rules.document import load

SAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "programs" / "sample.yaml"
START = datetime(1997, 1, 1, tzinfo=UTC)

Compile = Callable[..., CompiledProgram]


@pytest.fixture(scope="session")
def sample_text() -> str:
    return SAMPLE.read_text()


@pytest.fixture(scope="session")
def program(sample_text: str) -> CompiledProgram:
    return compile_program(1, load(sample_text).program, START)


@pytest.fixture(scope="session")
def compiled(sample_text: str) -> Compile:
    """Compiles the sample with some of its text replaced."""

    def compile_changed(*changes: tuple[str, str]) -> CompiledProgram:
        text = sample_text
        for before, after in changes:
            assert before in text, f"the sample has no {before!r}"
            text = text.replace(before, after)
        return compile_program(1, load(text).program, START)

    return compile_changed
