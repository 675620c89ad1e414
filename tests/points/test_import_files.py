"""PT-15: `laurel import`: files with mistakes, run again, in any order of columns."""

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from cli.errors import UserError
from cli.import_files import BALANCES, HISTORY, Layout
from cli.imports import Totals, import_file
from house import House, new_id
from kit.clock import from_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from points_importing import environ_of
from points_ledger import Ledger


class Desk:
    """Imports files into a house."""

    def __init__(self, house: House, folder: Path) -> None:
        self.house = house
        self.file = folder / "old_system.csv"
        self.report = folder / "refused.csv"

    async def bring(self, layout: Layout, text: str) -> Totals:
        """Imports a text."""
        self.file.write_text(text)
        console = Console(file=io.StringIO())
        environ = environ_of(self.house)
        return await import_file(environ, layout, self.file, self.report, console)

    def refused(self) -> list[tuple[str, ...]]:
        """Line, member, field and reason of what was refused."""
        with self.report.open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        assert all(row["problem"] for row in rows)
        return [(r["line"], r["member_id"], r["field"], r["reason"]) for r in rows]


@pytest.fixture
def desk(calm: House, tmp_path: Path) -> Desk:
    """A desk in the calm house."""
    return Desk(calm, tmp_path)


async def test_each_refused_line_is_reported_and_the_others_are_booked(
    desk: Desk, ledger: Ledger, member: str
) -> None:
    this_year = datetime.now(UTC) - timedelta(days=30)
    text = (
        "points,member_id,earned_time,expire_time,reference\n"
        f"100,{member},{this_year:%Y-%m-%d},never,a\n"
        f"many,{member},{this_year:%Y-%m-%d},,b\n"
        f"20,{member},yesterday,,c\n"
        f"20,,{this_year:%Y-%m-%d},,d\n"
        f"-5,{member},{this_year:%Y-%m-%d},,e\n"
        f"30,{member},2001-01-01,,f\n"
        f"30,{member},2999-01-01,never,g\n"
        f"40,{member},{this_year.isoformat()},,h\n"
        f"40,{member},{this_year:%Y-%m-%d},,i,surplus\n"
    )
    totals = await desk.bring(BALANCES, text)
    assert (totals.booked, totals.points, totals.refused.total()) == (2, 140, 7)
    assert sorted(desk.refused()) == [
        ("10", "", "", "TOO_MANY_FIELDS"),
        ("3", member, "points", "UNREADABLE_FIELD"),
        ("4", member, "earned_time", "UNREADABLE_FIELD"),
        ("5", "", "member_id", "INVALID_ARGUMENT"),
        ("6", member, "points", "INVALID_ARGUMENT"),
        ("7", member, "expire_time", "POINTS_EXPIRED"),
        ("8", member, "earned_time", "TIME_IN_FUTURE"),
    ]
    assert await ledger.balance(member) == pb.Balance(active=140)


async def test_a_file_that_is_imported_again_changes_nothing(
    desk: Desk, ledger: Ledger, member: str
) -> None:
    """Lines that say the same are two lines, and the same two when the file is read again."""
    text = "member_id,points,earned_time,expire_time\n" + f"{member},10,2026-01-01,never\n" * 3
    for _ in range(3):
        assert (await desk.bring(BALANCES, text)).booked == 3
        assert not desk.report.exists()
    await desk.bring(BALANCES, f"{text}{member},5,2026-02-01,never\n")
    assert await ledger.balance(member) == pb.Balance(active=35)


async def test_a_line_with_a_key_is_known_by_it(desk: Desk, ledger: Ledger, member: str) -> None:
    key = new_id()
    head = "key,member_id,points,earned_time,expire_time\n"
    await desk.bring(BALANCES, f"{head}{key},{member},10,2026-01-01,never\n")
    totals = await desk.bring(BALANCES, f"{head}{key},{member},11,2026-01-01,never\n")
    assert dict(totals.refused) == {"REQUEST_ID_REUSED": 1}
    assert desk.refused() == [("2", member, "", "REQUEST_ID_REUSED")]
    assert await ledger.balance(member) == pb.Balance(active=10)


async def test_history_is_booked_in_the_order_of_the_file(
    desk: Desk, ledger: Ledger, member: str
) -> None:
    lines = [f"{member},{points},2026-01-{day:02},never,o{day}," for day in range(1, 29)
             for points in (10, -4)]  # fmt: skip
    text = "member_id,points,occurred_time,expire_time,order_id,description\n" + "\n".join(lines)
    totals = await desk.bring(HISTORY, f"{text}\n{member},-1000,2026-02-01,,,too much\n")
    assert (totals.booked, totals.points) == (56, 28 * 6)
    assert desk.refused() == [("58", member, "", "INSUFFICIENT_POINTS")]
    transactions = await ledger.transactions(member)
    assert [t.points for t in transactions] == [10, -4] * 28
    midnight = from_timestamp(transactions[0].occurred_time)
    assert midnight == datetime(2026, 1, 1, 5, tzinfo=UTC), "midnight in New York"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("member_id,earned_time\n", "no column points"),
        ("member_id,points,earned_time,colour\n", "column colour is not known"),
        ("", "no column"),
    ],
)
async def test_a_file_of_another_kind_is_refused_whole(desk: Desk, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        await desk.bring(BALANCES, text)


async def test_a_file_that_is_not_there_is_said_so(desk: Desk, tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    with pytest.raises(UserError, match="cannot be read"):
        await import_file(
            environ_of(desk.house), BALANCES, tmp_path / "none.csv", desk.report, console
        )
