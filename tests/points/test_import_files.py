"""PT-15: `laurel import`: files with mistakes, run again, in any order of columns."""

import csv
import io
import os
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
        self.file.write_text(text, errors="surrogateescape")
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
    for booked, points, repeated in ((3, 30, 0), (0, 0, 3), (0, 0, 3)):
        totals = await desk.bring(BALANCES, text)
        assert (totals.booked, totals.points, totals.repeated) == (booked, points, repeated)
        assert not desk.report.exists()
    await desk.bring(BALANCES, f"{text}{member},5,2026-02-01,never\n")
    assert await ledger.balance(member) == pb.Balance(active=35)


async def test_a_line_with_a_key_is_known_by_it(desk: Desk, ledger: Ledger, member: str) -> None:
    key = new_id()
    head = "key,member_id,points,earned_time,expire_time\n"
    await desk.bring(BALANCES, f"{head}{key},{member},10,2026-01-01,never\n")
    other = f"{head}{key},{member},11,2026-01-01,never\n"
    totals = await desk.bring(BALANCES, other)
    assert dict(totals.refused) == {"REQUEST_ID_REUSED": 1}
    assert desk.refused() == [("2", member, "key", "REQUEST_ID_REUSED")]
    assert f"'{key}' was used before" in desk.report.read_text()
    assert await ledger.balance(member) == pb.Balance(active=10)


async def test_a_line_that_stands_twice_is_counted_once(
    desk: Desk, ledger: Ledger, member: str
) -> None:
    line = f"{new_id()},{member},10,2026-01-01,never\n"
    other = f"{new_id()},{member},10,2026-01-01,never\n"
    head = "key,member_id,points,earned_time,expire_time\n"
    totals = await desk.bring(BALANCES, head + line * 2 + other)
    assert (totals.booked, totals.points, totals.repeated) == (2, 20, 1)
    assert await ledger.balance(member) == pb.Balance(active=20)


async def test_what_was_refused_is_tried_again_by_the_next_run(
    desk: Desk, ledger: Ledger, member: str
) -> None:
    """A loss that had nothing to draw from is booked once there is something, and told so."""
    text = "member_id,points,occurred_time,expire_time\n" + "".join(
        f"{member},{points},2026-01-01,never\n" for points in (-10, 20)
    )
    totals = await desk.bring(HISTORY, text)
    assert (totals.booked, totals.points) == (1, 20)
    assert desk.refused() == [("2", member, "", "INSUFFICIENT_POINTS")]
    totals = await desk.bring(HISTORY, text)
    assert (totals.booked, totals.points, totals.repeated) == (1, -10, 1)
    totals = await desk.bring(HISTORY, text)
    assert (totals.booked, totals.repeated) == (0, 2)
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
        ("member_id,points,points,earned_time\n", "column points is named more than once"),
        ('member_id,points,"earned_time\n', "line 1: a quote in it is not closed"),
        ("", "no column"),
    ],
)
async def test_a_file_of_another_kind_is_refused_whole(desk: Desk, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        await desk.bring(BALANCES, text)


async def test_a_quote_that_its_line_does_not_close_drops_no_line(
    desk: Desk, ledger: Ledger, member: str
) -> None:
    """Lines inside of quotes may be part of a text: they are refused, with where they stand."""
    good = f"{member},1,2026-01-01,never,"
    head = "member_id,points,occurred_time,expire_time,description\n"
    inside = f'{good}"a note of two\n{good}lines, as it seems"\n'
    cut = f'{good}"a ""whole"" one"\n{good}"5" wide"\n{good}"to the end\n{good}\n'
    totals = await desk.bring(HISTORY, f"{head}{good}first\n{inside}{cut}")
    assert (totals.booked, dict(totals.refused)) == (2, {"UNREADABLE_LINE": 3})
    with desk.report.open(newline="") as handle:
        told = {row["line"]: row["problem"] for row in csv.DictReader(handle)}
    assert told["3"] == "a quote in it is closed on line 4; no field may have line ends"
    assert told["6"].startswith("it is no CSV")
    assert told["7"] == "a quote in it is not closed: all up to line 8, the last, is left out"
    assert await ledger.balance(member) == pb.Balance(active=2)


async def test_fields_that_are_too_long_or_no_text_are_refused_alone(
    desk: Desk, ledger: Ledger, member: str
) -> None:
    head = "member_id,points,occurred_time,expire_time,order_id,description\n"
    good = f"{member},1,2026-01-01,never,"
    lines = [f"{good},{'x' * 200_000}", *[f"{good},{'y' * 100_000}"] * 300, f"{good},{'z' * 500}"]
    lines += [f"{good}{'o' * 129},", f"{'m' * 1000},1,2026-01-01,never,,", f"{good},\udcff"]
    for number in ("1_000", "١٢", "1.0", ""):
        lines.append(f"{member},{number},2026-01-01,never,,")
    lines.append(f"{member},+1,2026-01-01,never,,")
    totals = await desk.bring(HISTORY, head + "\n".join(lines))
    assert (totals.booked, totals.points) == (2, 2)
    assert dict(totals.refused) == {
        "FIELD_TOO_LONG": 303, "UNREADABLE_LINE": 1, "UNREADABLE_FIELD": 4,
    }  # fmt: skip
    assert ("2", member, "description", "FIELD_TOO_LONG") in desk.refused()
    assert ("306", "", "", "UNREADABLE_LINE") in desk.refused()
    assert await ledger.balance(member) == pb.Balance(active=2)


async def test_a_call_of_the_largest_rows_is_taken(desk: Desk, ledger: Ledger, member: str) -> None:
    head = "member_id,points,occurred_time,expire_time,order_id,description\n"
    line = f"{member},1,2026-01-01T00:00:00Z,2999-01-01T00:00:00Z,{'o' * 128},{'d' * 500}\n"
    assert (await desk.bring(HISTORY, head + line * 1000)).booked == 1000
    assert await ledger.balance(member) == pb.Balance(active=1000)


async def test_the_report_never_takes_the_place_of_the_file(desk: Desk, tmp_path: Path) -> None:
    text = "member_id,points,earned_time\n,1,2026-01-01\n"
    (tmp_path / "link.csv").symlink_to(desk.file)
    for name in ("old_system.csv", "link.csv"):
        desk.report = tmp_path / name
        with pytest.raises(UserError, match="is the file to import"):
            await desk.bring(BALANCES, text)
        assert desk.file.read_text() == text


@pytest.mark.parametrize("place", ["none/refused.csv", "", "old_system.csv/refused.csv"])
async def test_a_report_that_cannot_be_written_is_told_before_anything_is_booked(
    desk: Desk, ledger: Ledger, member: str, tmp_path: Path, place: str
) -> None:
    desk.report = tmp_path / place
    with pytest.raises(UserError, match=r"the report .* (cannot be written|is no regular file)"):
        await desk.bring(BALANCES, f"member_id,points,earned_time\n{member},1,2026-11-01\n,1,\n")
    assert await ledger.balance(member) == pb.Balance()
    assert [file.name for file in tmp_path.iterdir()] == ["old_system.csv"]


async def test_a_pipe_is_no_file_to_import(desk: Desk, tmp_path: Path) -> None:
    """It could be read once only, and is read twice."""
    desk.file = tmp_path / "pipe"
    os.mkfifo(desk.file)
    console = Console(file=io.StringIO())
    with pytest.raises(UserError, match="is no regular file; write what is to be imported"):
        await import_file(environ_of(desk.house), BALANCES, desk.file, desk.report, console)


async def test_a_file_that_is_not_there_is_said_so(desk: Desk, tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    with pytest.raises(UserError, match="cannot be read"):
        await import_file(
            environ_of(desk.house), BALANCES, tmp_path / "none.csv", desk.report, console
        )
