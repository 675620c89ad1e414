"""Files of an import: their columns, and their lines as rows of calls."""

import hashlib
import re
import stat
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from cli.csv_files import open_csv
from cli.errors import UserError
from cli.import_report import BadField
from kit.clock import to_timestamp
from kit.errors import info_of
from laurel.points.v1 import imports_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub

# By the contract. A row of them all is less than 1 KB, so a call of 1,000 is far from the limit of
# a message.
BYTES_MAX = {
    "member_id": 128, "points": 128, "earned_time": 128, "occurred_time": 128, "expire_time": 128,
    "reference": 128, "order_id": 128, "description": 500, "key": 500,
}  # fmt: skip
WHOLE = re.compile("[+-]?[0-9]+")
REUSED = "REQUEST_ID_REUSED"
SHOWN_MAX = 128
NEVER = "never"
Row = pb.ImportedBalance | pb.ImportedTransaction
Answer = pb.ImportBalancesResponse | pb.ImportTransactionsResponse
Values = dict[str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """A line as a row of a call."""

    line: int
    row: Row
    key: str

    def refused(self, status: Status) -> BadField:
        """The line with what the service said to it."""
        field, reason, problem = _field_of(status), info_of(status).reason, status.message
        if self.key and reason == REUSED:
            field, problem = "key", f"key {self.key!r} was used before with other content"
        return BadField(self.line, self.row.member_id, field, reason, problem)


@dataclass(frozen=True, slots=True)
class Layout:
    """A kind of file."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    make: Callable[[Values, str, ZoneInfo], Row]
    call: Callable[[PointsServiceStub, Sequence[Row], float], Awaitable[Answer]]


class Mistake(ValueError):
    """A value that cannot be read."""

    def __init__(self, field: str, value: str, problem: str) -> None:
        super().__init__(f"{field} {value[:SHOWN_MAX]!r} {problem}")
        self.field = field


def count_lines(file: Path) -> int:
    """Lines after the header. Raises UserError for what is no file, such as a pipe: it is read once
    more to be imported.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise UserError(f"{file} is no regular file; write what is to be imported into one")
        with file.open("rb") as handle:
            return max(0, sum(1 for _ in handle) - 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error}") from error


def read_lines(file: Path, layout: Layout, zone: ZoneInfo) -> Iterator[Line | BadField]:
    """The lines of a file. Raises UserError for one that cannot be read."""
    seen: dict[bytes, int] = {}
    with open_csv(file) as source:
        _check_header(file, source.columns, layout)
        for record in source.records():
            if record.problem:
                yield BadField(record.line, "", "", "UNREADABLE_LINE", record.problem)
            elif len(record.fields) > len(source.columns):
                problem = "more fields than the header names"
                yield BadField(record.line, "", "", "TOO_MANY_FIELDS", problem)
            else:
                yield _line(record.line, source.by_column(record), layout, zone, seen)


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
    if twice := [name for name in known if names.count(name) > 1]:
        raise UserError(f"{file}: column {', '.join(twice)} is named more than once")


def _line(
    number: int, raw: Values, layout: Layout, zone: ZoneInfo, seen: dict[bytes, int]
) -> Line | BadField:
    values = {name: raw.get(name, "").strip() for name in (*layout.required, *layout.optional)}
    member_id = values["member_id"][:SHOWN_MAX]
    for name, value in values.items():
        length, length_max = len(value.encode()), BYTES_MAX[name]
        if length > length_max:
            problem = f"{name} is {length:,} bytes long; give at most {length_max}"
            return BadField(number, member_id, name, "FIELD_TOO_LONG", problem)
    try:
        row = layout.make(values, _request_id(layout, values, seen), zone)
    except Mistake as mistake:
        return BadField(number, member_id, mistake.field, "UNREADABLE_FIELD", str(mistake))
    return Line(number, row, values["key"])


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
    if not WHOLE.fullmatch(text):
        raise Mistake("points", text, "is no whole number")
    points = int(text)
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
) -> Answer:
    request = pb.ImportBalancesRequest(
        rows=[row for row in rows if isinstance(row, pb.ImportedBalance)]
    )
    return await points.ImportBalances(request, timeout=timeout)


async def _import_transactions(
    points: PointsServiceStub, rows: Sequence[Row], timeout: float
) -> Answer:
    request = pb.ImportTransactionsRequest(
        rows=[row for row in rows if isinstance(row, pb.ImportedTransaction)]
    )
    return await points.ImportTransactions(request, timeout=timeout)


BALANCES = Layout(
    "balances", ("member_id", "points", "earned_time"), ("expire_time", "reference", "key"),
    _balance, _import_balances,
)  # fmt: skip
HISTORY = Layout(
    "history", ("member_id", "points", "occurred_time"),
    ("expire_time", "order_id", "description", "key"), _transaction, _import_transactions,
)  # fmt: skip
