"""Loads the program document: one YAML text in, the program or every mistake of it out (PG-01)."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from laurel.program.v1.program_pb2 import Program
from rules.checks import check_program
from rules.mistakes import Mistake, ProgramInvalid, Report, TooManyMistakes
from rules.reading import read_into
from rules.schema import check_schema
from rules.yaml_tree import Fields, Scalar, YamlInvalid, parse

__all__ = ["LoadedProgram", "Mistake", "ProgramInvalid", "load", "top_fields"]


@dataclass(frozen=True, slots=True)
class LoadedProgram:
    """A valid program, and for every path that was written its line and column, from 1."""

    program: Program
    places: Mapping[str, tuple[int, int]]


def load(
    source_yaml: str, file: str = "program.yaml", base: Program | None = None
) -> LoadedProgram:
    """Reads and checks a document of at most 1 MiB; what is not written in it is as in `base`.

    Items of lists join those of `base`. Raises ProgramInvalid with every mistake, the first 1,000
    where there are more.
    """
    report = Report(file)
    program = Program()
    if base is not None:
        program.CopyFrom(base)
    try:
        root = parse(source_yaml)
    except YamlInvalid as invalid:
        report.add("", invalid.reason, (invalid.line, invalid.column))
        raise ProgramInvalid(report.mistakes()) from None
    with suppress(TooManyMistakes):
        read_into(program, root, "", report)
        # What could not be read is left out, so that the later checks can judge the rest of it.
        check_schema(program, report)
        check_program(program, report)
    mistakes = report.mistakes()
    if mistakes:
        raise ProgramInvalid(mistakes)
    return LoadedProgram(program, report.places)


def top_fields(source_yaml: str) -> frozenset[str]:
    """The names that stand at the top of a document; none where it cannot be read."""
    try:
        root = parse(source_yaml)
    except YamlInvalid:
        return frozenset()
    if not isinstance(root, Fields):
        return frozenset()
    return frozenset(key.text for key, _ in root.entries if isinstance(key, Scalar))
