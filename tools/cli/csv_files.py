"""CSV files of other systems, line by line: nothing in them is dropped or read by guess."""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from cli.errors import UserError

# Of a line, and so of a field: what is longer is no file of lines, and is not read into memory.
LINE_CHARS_MAX = 4 * 1024 * 1024
csv.field_size_limit(LINE_CHARS_MAX)
# What bytes that are no UTF-8 are read as.
_NO_TEXT = re.compile("[\udc80-\udcff]")
_QUOTE_LEFT_OPEN = "unexpected end of data"


class Record(NamedTuple):
    """The fields of a line, or why it is refused."""

    line: int
    fields: Sequence[str]
    problem: str = ""


class CsvFile:
    """A file with a header line; one line is one record.

    A quote that another line closes makes one record of all the lines between, which is refused
    whole: what stands in a text must never be taken for lines of the file.
    """

    def __init__(self, file: Path, handle: TextIO) -> None:
        self._file = file
        self._reader = csv.reader(_bounded_lines(file, handle), strict=True)
        header = next(self.records(), Record(1, ()))
        if header.problem:
            raise UserError(f"{file}: line {header.line}: {header.problem}")
        self.columns = tuple(header.fields)

    def records(self) -> Iterator[Record]:
        """The lines that are left; empty ones are none."""
        while True:
            first = self._reader.line_num + 1
            try:
                fields = next(self._reader, None)
            except csv.Error as error:
                yield Record(first, (), self._explain(first, error))
                continue
            if fields is None:
                return
            if fields:
                problem = self._problem(first, fields)
                yield Record(first, () if problem else fields, problem)

    def by_column(self, record: Record) -> dict[str, str]:
        """The fields of a line under their columns; those that it lacks are empty."""
        lacking = len(self.columns) - len(record.fields)
        return dict(zip(self.columns, [*record.fields, *[""] * lacking], strict=False))

    def _problem(self, first: int, fields: Sequence[str]) -> str:
        last = self._reader.line_num
        if last > first:
            return f"a quote in it is closed on line {last}; no field may have line ends"
        if any(map(_NO_TEXT.search, fields)):
            return "it has bytes that are no UTF-8"
        return ""

    def _explain(self, first: int, error: csv.Error) -> str:
        last = self._reader.line_num
        if str(error) == _QUOTE_LEFT_OPEN:
            return f"a quote in it is not closed: all up to line {last}, the last, is left out"
        if last > first:
            # Where it would have ended cannot be known, nor what of the rest is lines.
            text = f"a quote in it is not closed, nothing was read from there on ({error})"
            raise UserError(f"{self._file}: line {first}: {text}") from error
        return f"it is no CSV: {error}"


@contextmanager
def open_csv(file: Path) -> Iterator[CsvFile]:
    """Opens a CSV file. Raises UserError for one that cannot be read."""
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as handle:
            yield CsvFile(file, handle)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error}") from error


def _bounded_lines(file: Path, handle: TextIO) -> Iterator[str]:
    number = 0
    while line := handle.readline(LINE_CHARS_MAX):
        number += 1
        if len(line) == LINE_CHARS_MAX:
            raise UserError(f"{file}: line {number} is longer than {LINE_CHARS_MAX:,} characters")
        yield line
