"""Orders from a CSV file: read, checked line by line, and put in the order of time."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from zoneinfo import ZoneInfo

from cli.csv_files import CsvFile, Record, open_csv
from cli.errors import UserError

ORDERS_MAX = 10_000_000
MEMBER_BYTES_MAX = 128
AMOUNT_MAX = Decimal(10) ** 12
# As the contract takes times. Close to the ends of what a datetime can tell, months and zones
# would lead out of it.
TIME_MIN, TIME_MAX = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns; `order` and `category` may be missing."""

    member: str
    time: str
    amount: str
    order: str | None = None
    category: str | None = None

    def names(self) -> list[str]:
        """All that must be in the file."""
        return [n for n in (self.member, self.time, self.amount, self.order, self.category) if n]


@dataclass(frozen=True, slots=True)
class Order:
    """One purchase. `key` names it and stays the same when the file is read again."""

    key: str
    member_id: str
    order_id: str
    time: datetime
    units: int
    nanos: int
    category: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no order, and why."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


def read_orders(file: Path, columns: Columns, zone: ZoneInfo) -> tuple[list[Order], list[BadLine]]:
    """All orders of a file, oldest first, and the lines that are none.

    A time without a zone, and a date, are taken in the program's zone. An order without an id of
    its own gets one from its content, and a number where the same content stands more than once.
    Raises UserError for a file that cannot be read.
    """
    orders: list[Order] = []
    bad: list[BadLine] = []
    seen: dict[str, int] = {}
    with open_csv(file) as source:
        _check_header(file, source.columns, columns)
        for record in source.records():
            if len(orders) >= ORDERS_MAX:
                raise UserError(f"{file}: more than {ORDERS_MAX} orders; split the file")
            try:
                orders.append(_order(_values(record, source), columns, zone, seen))
            except ValueError as error:
                bad.append(BadLine(record.line, str(error)))
    orders.sort(key=lambda order: order.time)
    return orders, bad


def _check_header(file: Path, names: Sequence[str], columns: Columns) -> None:
    if missing := [name for name in columns.names() if name not in names]:
        known = ", ".join(names) or "none"
        raise UserError(f"{file}: there is no column {', '.join(missing)}; its columns are {known}")
    if twice := [name for name in columns.names() if names.count(name) > 1]:
        raise UserError(f"{file}: column {', '.join(twice)} is named more than once")


def _values(record: Record, source: CsvFile) -> dict[str, str]:
    if record.problem:
        raise ValueError(record.problem)
    if any(record.fields[len(source.columns) :]):
        # Such as an amount of 1,234.50 without quotes: which field is which cannot be known.
        raise ValueError("it has more fields than the header names")
    return source.by_column(record)


def _order(row: dict[str, str], columns: Columns, zone: ZoneInfo, seen: dict[str, int]) -> Order:
    member_id = row[columns.member].strip()
    if not 1 <= len(member_id.encode()) <= MEMBER_BYTES_MAX:
        raise ValueError(f"{columns.member} {member_id[:40]!r} is not 1 to 128 bytes long")
    instant = _time(row[columns.time], columns.time, zone)
    units, nanos = _amount(row[columns.amount], columns.amount)
    order_id = row[columns.order].strip() if columns.order else ""
    category = row[columns.category].strip() if columns.category else ""
    content = "\x1f".join(
        (member_id, instant.isoformat(), f"{units}.{nanos:09d}", order_id, category)
    )
    count = seen[content] = seen.get(content, 0) + 1
    key = hashlib.blake2b(f"{content}\x1f{count}".encode(), digest_size=12).hexdigest()
    return Order(key, member_id, order_id or key, instant, units, nanos, category)


def _time(text: str, column: str, zone: ZoneInfo) -> datetime:
    value = text.strip()
    try:
        if len(value) == len("1997-01-01"):
            instant = datetime.combine(date.fromisoformat(value), time(), zone)
        else:
            instant = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{column} {value[:40]!r} is no date and no ISO 8601 time") from None
    instant = instant if instant.tzinfo else instant.replace(tzinfo=zone)
    if not TIME_MIN <= instant < TIME_MAX:
        raise ValueError(f"{column} {value[:40]!r} is not between 1900-01-01 and 9999-01-01")
    return instant.astimezone(UTC)


def _amount(text: str, column: str) -> tuple[int, int]:
    value = text.strip()
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{column} {value[:40]!r} is no amount") from None
    if not amount.is_finite() or not 0 <= amount <= AMOUNT_MAX:
        raise ValueError(f"{column} {value[:40]!r} is not between 0 and {AMOUNT_MAX}")
    nanos = amount.scaleb(9)
    if nanos != nanos.to_integral_value():
        raise ValueError(f"{column} {value[:40]!r} has more than 9 decimals")
    units, rest = divmod(int(nanos), 10**9)
    return units, rest
