"""The report of an import: a CSV file with one line for each that was refused."""

import csv
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.errors import UserError


@dataclass(frozen=True, slots=True)
class BadField:
    """A line that is refused, and why."""

    line: int
    member_id: str
    field: str
    reason: str
    problem: str


class Report:
    """Written beside its place, and put there at the end; without a refused line there is no file.

    Entered before anything is sent: a report that cannot be written must not cost the refusals.
    Raises UserError where it cannot be, or where it would replace the file that is imported.
    """

    def __init__(self, path: Path, imported: Path) -> None:
        self._path = path
        self._imported = imported
        self._empty = True

    def __enter__(self) -> Self:
        with self._told():
            self._check_place()
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        self._draft = Path(name)
        # A line at a time: who looks, or a machine that dies, finds all that was refused so far.
        self._file = os.fdopen(handle, "w", buffering=1, newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow(("line", "member_id", "field", "reason", "problem"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._told():
            try:
                self._file.close()
                if not self._empty:
                    os.replace(self._draft, self._path)
                elif error is None:
                    self._path.unlink(missing_ok=True)
            finally:
                with suppress(FileNotFoundError):
                    if self._empty:
                        self._draft.unlink()

    def write(self, bad: BadField) -> None:
        """Notes a refused line."""
        self._empty = False
        with self._told():
            self._writer.writerow((bad.line, bad.member_id, bad.field, bad.reason, bad.problem))

    def _check_place(self) -> None:
        if not self._path.exists():
            return
        if not self._path.is_file():
            raise UserError(f"the report {self._path} is no regular file; name another one")
        if self._path.samefile(self._imported):
            raise UserError(f"the report {self._path} is the file to import; name another one")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"the report {self._path} cannot be written: {error}; name another with --report"
            raise UserError(text) from error
