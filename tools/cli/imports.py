"""`laurel import`: balances and history of another system, from CSV files."""

import asyncio
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import grpc
import uvloop
from cyclopts import App
from rich.console import Console
from rich.progress import Progress, TaskID

from cli.connect import Client
from cli.console import open_console
from cli.env import client_env
from cli.import_files import (
    BALANCES,
    HISTORY,
    Answer,
    Layout,
    Line,
    count_lines,
    read_lines,
)
from cli.import_report import BadField, Report
from cli.replay import make_progress
from cli.state import DEFAULT_DATA
from laurel.points.v1 import imports_pb2 as pb
from laurel.program.v1.program_service_pb2 import GetProgramRequest

ROWS_PER_CALL = 1000
LANES = 3
LINES_AHEAD = 3 * ROWS_PER_CALL
CALL_SECONDS = 60
ATTEMPTS_MAX = 5
PAUSE_SECONDS = 1.0

import_app = App(name="import", help="Bring balances and history from another system.")


@dataclass(slots=True)
class Totals:
    """What came of an import."""

    booked: int = 0
    points: int = 0
    repeated: int = 0
    """Lines that were booked before, by an earlier run or an earlier line of the file."""
    refused: Counter[str] = field(default_factory=Counter)


class Importer:
    """Sends the lines of a file in calls of up to 1,000 rows, a few at a time.

    The lines of a member go one after the other, in the order of the file.
    """

    def __init__(
        self, client: Client, layout: Layout, report: Report, progress: Progress, bar: TaskID
    ) -> None:
        self._client = client
        self._layout = layout
        self._report = report
        self._progress = progress
        self._bar = bar
        self.totals = Totals()

    async def send(self, lines: Sequence[Line | BadField]) -> None:
        """Sends some lines, and reports those that are refused."""
        lanes: list[list[Line]] = [[] for _ in range(LANES)]
        for line in lines:
            if isinstance(line, BadField):
                self._refuse(line)
            else:
                lanes[zlib.crc32(line.row.member_id.encode()) % LANES].append(line)
        await asyncio.gather(*(self._send_lane(lane) for lane in lanes))

    async def _send_lane(self, lane: Sequence[Line]) -> None:
        for start in range(0, len(lane), ROWS_PER_CALL):
            part = lane[start : start + ROWS_PER_CALL]
            answer = await self._call([line.row for line in part])
            repeats = set(answer.repeat_indexes)
            for index, (line, result) in enumerate(zip(part, answer.results, strict=True)):
                if result.HasField("error"):
                    self._refuse(line.refused(result.error))
                elif index in repeats:
                    self.totals.repeated += 1
                else:
                    self.totals.booked += 1
                    self.totals.points += line.row.points
            self._progress.advance(self._bar, len(part))

    async def _call(self, rows: Sequence[pb.ImportedBalance | pb.ImportedTransaction]) -> Answer:
        """Sends rows again for as long as the service is away: a repeat has no second effect."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return await self._layout.call(self._client.points, rows, CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                again = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
                if error.code() not in again or attempt == ATTEMPTS_MAX:
                    raise
            await asyncio.sleep(PAUSE_SECONDS * attempt)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _refuse(self, bad: BadField) -> None:
        self.totals.refused[bad.reason] += 1
        self._report.write(bad)


@import_app.command
def balances(file: Path, *, report: Path | None = None, data: Path = DEFAULT_DATA) -> None:
    """Bring balances: each line is points that a member earned at one time and still has.

    The header names the columns, in any order: `member_id`, `points` (1 or more), `earned_time`;
    and, where wanted, `expire_time` (`never` for never; empty: by the program in force at
    `earned_time`), `reference`, `key`. Times are dates or ISO 8601 times; without a zone, in the
    program's.

    Run again, it changes nothing of what was booked: a line is known by its `key`, or by its
    content where the file has none. Lines that were refused are tried again, and booked where
    nothing speaks against them any more.

    Parameters
    ----------
    file
        CSV file with a header line.
    report
        CSV file for the lines that are refused: line, member, field, reason, problem;
        FILE.refused.csv unless given. Where nothing is refused there is no
        such file, and one that was there is removed.
    data
        Folder of the house, where LAUREL_*_ADDR are not set.

    Exits 1 when lines were refused; all others are booked all the same.
    """
    _run(BALANCES, file, report, data)


@import_app.command
def history(file: Path, *, report: Path | None = None, data: Path = DEFAULT_DATA) -> None:
    """Bring history: each line is points that a member got or, negative, lost.

    The header names the columns, in any order: `member_id`, `points` (not 0), `occurred_time`; and,
    where wanted, `expire_time` (as for balances; for points got), `order_id`, `description`, `key`.
    The lines of a member are booked in the order of the file; a loss of more than the member has at
    that line is refused, and the lines behind it are booked. Otherwise as `laurel import balances`:
    run again, it tries what was refused once more, so a loss may be booked then, from points of
    later lines. What a history brings is a balance, so bring one of the two.

    Parameters
    ----------
    file
        CSV file with a header line.
    report
        CSV file for the lines that are refused: line, member, field, reason, problem;
        FILE.refused.csv unless given. Where nothing is refused there is no
        such file, and one that was there is removed.
    data
        Folder of the house, where LAUREL_*_ADDR are not set.

    Exits 1 when lines were refused; all others are booked all the same.
    """
    _run(HISTORY, file, report, data)


def _run(layout: Layout, file: Path, report: Path | None, data: Path) -> None:
    console = open_console(stderr=True)
    path = report or file.with_name(f"{file.name}.refused.csv")
    totals = uvloop.run(import_file(client_env(data), layout, file, path, console))
    print(f"{totals.booked} lines booked, {totals.points} points")
    if totals.repeated:
        print(f"{totals.repeated} lines booked before, of which nothing was changed")
    if totals.refused:
        causes = ", ".join(f"{count} {reason}" for reason, count in totals.refused.most_common())
        print(f"{totals.refused.total()} lines refused ({causes}), listed in {path}")
        print("another run of the file tries these lines once more")
        sys.exit(1)


async def import_file(
    environ: Mapping[str, str], layout: Layout, file: Path, report: Path, console: Console
) -> Totals:
    """Imports a file, with a progress bar; lines that are refused go into the report.

    Raises UserError for a file that cannot be read, and for a report that cannot be written.
    """
    total = count_lines(file)
    with Report(report, file) as refused:
        async with Client(environ) as client:
            response = await client.program.GetProgram(GetProgramRequest())
            zone = ZoneInfo(response.program_version.program.time_zone)
            with make_progress(console) as progress:
                bar = progress.add_task(layout.name, total=total)
                importer = Importer(client, layout, refused, progress, bar)
                for lines in _ahead(layout, file, zone):
                    await importer.send(lines)
                    bad = sum(isinstance(line, BadField) for line in lines)
                    progress.advance(bar, bad)
    return importer.totals


def _ahead(layout: Layout, file: Path, zone: ZoneInfo) -> Iterator[list[Line | BadField]]:
    """The lines of a file, a few thousand at a time: no file is too large for memory."""
    lines: list[Line | BadField] = []
    for line in read_lines(file, layout, zone):
        lines.append(line)
        if len(lines) == LINES_AHEAD:
            yield lines
            lines = []
    if lines:
        yield lines
