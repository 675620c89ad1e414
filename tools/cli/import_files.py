"""Files of an import: their columns, their lines as rows of calls, and the report of refusals."""

import csv
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from cli.errors import UserError
from kit.clock import to_timestamp
from kit.errors import info_of
from laurel.points.v1 import imports_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub

SHOWN_MAX = 60
NEVER = "never"
Row = pb.ImportedBalance | pb.ImportedTransaction
Values = dict[str, str]


@dataclass(frozen=True, slots=True)
class BadField:
    """A line that is refused, and why."""

    line: int
    member_id: str
    field: str
    reason: str
    problem: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line as a row of a call."""

    line: int
    row: Row

    def refused(self, status: Status) -> BadField:
        """The line with what the service said to it."""
        return BadField(
            self.line, self.row.member_id, _field_of(status), info_of(status).reason, status.message
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """A kind of file."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    make: Callable[[Values, str, ZoneInfo], Row]
    call: Callable[[PointsServiceStub, Sequence[Row], float], Awaitable[Sequence[pb.ImportResult]]]


class Mistake(ValueError):
    """A value that cannot be read."""

    def __init__(self, field: str, value: str, problem: str) -> None:
        super().__init__(f"{field} {value[:SHOWN_MAX]!r} {problem}")
        self.field = field


class Report:
    """A CSV file with one line for each that was refused; without any there is no file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[BadField] = []
        self._begun = False

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._flush()

    def write(self, bad: BadField) -> None:
        """Notes a refused line."""
        self._rows.append(bad)
        if len(self._rows) >= 1000:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        with self._path.open("a", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            if not self._begun:
                writer.writerow(("line", "member_id", "field", "reason", "problem"))
                self._begun = True
            for bad in self._rows:
                writer.writerow((bad.line, bad.member_id, bad.field, bad.reason, bad.problem))
        self._rows.clear()


def count_lines(file: Path) -> int:
    """Lines after the header; a field with line ends in it makes it a little more than rows."""
    try:
        with file.open("rb") as handle:
            return max(0, sum(1 for _ in handle) - 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error}") from error


def read_lines(file: Path, layout: Layout, zone: ZoneInfo) -> Iterator[Line | BadField]:
    """The lines of a file. Raises UserError for one that cannot be read."""
    seen: dict[bytes, int] = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle, restval="")
            _check_header(file, reader.fieldnames or (), layout)
            for values in reader:
                yield _line(reader.line_num, values, layout, zone, seen)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read: {error}") from error


def _check_header(file: Path, names: Sequence[str], layout: Layout) -> None:
    known = (*layout.required, *layout.optional)
    if missing := [name for name in layout.required if name not in names]:
        raise UserError(
            f"{file}: there is no column {', '.join(missing)}; its columns are {', '.join(names)}"
        )
    if strange := [name for name in names if name not in known]:
        raise UserError(
            f"{file}: column {', '.join(strange)} is not known; columns are {', '.join(known)}"
        )


def _line(
    number: int, raw: Values, layout: Layout, zone: ZoneInfo, seen: dict[bytes, int]
) -> Line | BadField:
    if None in raw:
        return BadField(number, "", "", "TOO_MANY_FIELDS", "more fields than the header names")
    values = {name: (raw.get(name) or "").strip() for name in (*layout.required, *layout.optional)}
    try:
        return Line(number, layout.make(values, _request_id(layout, values, seen), zone))
    except Mistake as mistake:
        return BadField(
            number, values["member_id"], mistake.field, "UNREADABLE_FIELD", str(mistake)
        )


def _request_id(layout: Layout, values: Values, seen: dict[bytes, int]) -> str:
    """The same for the same line whenever the file is read: by its key, or by its content and how
    many such lines came before.
    """
    if values["key"]:
        content = f"key\x1f{values['key']}"
    else:
        content = "\x1f".join(values.values())
        digest = hashlib.blake2b(content.encode(), digest_size=8).digest()
        seen[digest] = seen.get(digest, 0) + 1
        content = f"content\x1f{content}\x1f{seen[digest]}"
    return f"import:{layout.name}:{hashlib.blake2b(content.encode(), digest_size=16).hexdigest()}"


def _balance(values: Values, request_id: str, zone: ZoneInfo) -> Row:
    row = pb.ImportedBalance(
        request_id=request_id, member_id=values["member_id"], points=_points(values["points"]),
        earned_time=to_timestamp(_time(values["earned_time"], "earned_time", zone)),
        reference=values["reference"],
    )  # fmt: skip
    _set_end(row, values["expire_time"], zone)
    return row


def _transaction(values: Values, request_id: str, zone: ZoneInfo) -> Row:
    row = pb.ImportedTransaction(
        request_id=request_id, member_id=values["member_id"], points=_points(values["points"]),
        occurred_time=to_timestamp(_time(values["occurred_time"], "occurred_time", zone)),
        order_id=values["order_id"], description=values["description"],
    )  # fmt: skip
    _set_end(row, values["expire_time"], zone)
    return row


def _set_end(row: Row, text: str, zone: ZoneInfo) -> None:
    if text.lower() == NEVER:
        row.never_expires = True
    elif text:
        row.expire_time.CopyFrom(to_timestamp(_time(text, "expire_time", zone)))


def _points(text: str) -> int:
    try:
        points = int(text)
    except ValueError:
        raise Mistake("points", text, "is no whole number") from None
    if abs(points) >= 2**63:
        raise Mistake("points", text, "is out of range")
    return points


def _time(text: str, field: str, zone: ZoneInfo) -> datetime:
    try:
        if len(text) == len("1997-01-01"):
            return datetime.combine(date.fromisoformat(text), time(), zone).astimezone(UTC)
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Mistake(field, text, "is no date and no ISO 8601 time") from None


def _field_of(status: Status) -> str:
    bad = BadRequest()
    for detail in status.details:
        if detail.Unpack(bad) and bad.field_violations:
            return str(bad.field_violations[0].field)
    return ""


async def _import_balances(
    points: PointsServiceStub, rows: Sequence[Row], timeout: float
) -> Sequence[pb.ImportResult]:
    request = pb.ImportBalancesRequest(
        rows=[row for row in rows if isinstance(row, pb.ImportedBalance)]
    )
    return (await points.ImportBalances(request, timeout=timeout)).results


async def _import_transactions(
    points: PointsServiceStub, rows: Sequence[Row], timeout: float
) -> Sequence[pb.ImportResult]:
    request = pb.ImportTransactionsRequest(
        rows=[row for row in rows if isinstance(row, pb.ImportedTransaction)]
    )
    return (await points.ImportTransactions(request, timeout=timeout)).results


BALANCES = Layout(
    "balances", ("member_id", "points", "earned_time"), ("expire_time", "reference", "key"),
    _balance, _import_balances,
)  # fmt: skip
HISTORY = Layout(
    "history", ("member_id", "points", "occurred_time"),
    ("expire_time", "order_id", "description", "key"), _transaction, _import_transactions,
)  # fmt: skip
