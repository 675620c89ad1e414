"""Which counters a new version of the program finds empty, and what fills them (AF-02).

What an assessment counts under follows from the version that decided it. So it is certain of each
stored one whether a series has counted it, and a fill adds just those that it has not. The first
version to read a series is the one that fills it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from antifraud.assessing import Tracked, Tracks
from antifraud.series import Watch, horizon_us, watches
from antifraud.values import Asked, asked_of, facts_of
from rules.compiled import CompiledProgram, ProgramHistory
from rules.values import Operation

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Until every process knows a version that was applied, some still decide by the one before.
KNOWN_BY_ALL = timedelta(minutes=1)
ROWS_WANTED = 500
ROWS_MAX = 2000
SLICE_US_MAX = 7 * 86_400_000_000

SeriesKey = tuple[int, int]
"""(kind, number)"""


class Fill(NamedTuple):
    """What is filled for a version, and from which assessments."""

    version: int
    starts: Mapping[SeriesKey, datetime]
    """By series, the create_time from which on assessments are missing in it."""
    until_time: datetime
    """Those created before it are filled in."""


def series_of(program: CompiledProgram) -> dict[SeriesKey, Watch]:
    """All series that the rules of a version read."""
    return {(w.kind, w.number): w for kind in Operation for w in watches(program, kind)}


def plan(history: ProgramHistory, known: Mapping[int, Fill], now: datetime) -> list[Fill]:
    """A fill for each version that has none, lowest first; many fill nothing."""
    first = history.in_force(now).version
    fills = dict(known)
    for version in history.versions():
        if version in fills:
            continue
        program = history.version(version)
        needed = set(series_of(program))
        if known or version > first:
            # Whoever reads what the version before reads goes on with it.
            needed -= set(series_of(history.version(version - 1))) if version > 1 else set()
        elif version < first:
            # There were versions before there were fills: those behind us need none.
            needed = set()
        starts = {key: _start(key, fills.values(), now) for key in sorted(needed)}
        until = max(now, program.effective_time) + KNOWN_BY_ALL if starts else now
        fills[version] = Fill(version, starts, until)
    return [fill for version, fill in sorted(fills.items()) if version not in known]


def _start(key: SeriesKey, fills: Iterable[Fill], now: datetime) -> datetime:
    start = now - timedelta(microseconds=horizon_us(key[1]))
    # A version without it came between: what was filled for the one before stays.
    return max([start, *(fill.until_time for fill in fills if key in fill.starts)])


class Gathered(NamedTuple):
    """What stored assessments add to the series of a fill."""

    tracks: Tracks
    tracked: list[Tracked]
    """Each assessment under each key."""
    operation_count: int


def gather(rows: Sequence[Any], fill: Fill, history: ProgramHistory) -> Gathered:
    """Takes from stored assessments what the series have not counted.

    Raises UnknownVersion where another process already decides by a version not known here.
    """
    own = series_of(history.version(fill.version))
    counted: dict[int, frozenset[SeriesKey]] = {}
    tracks, tracked, count = Tracks(), list[Tracked](), 0
    for row in rows:
        version = row["program_version"]
        if version not in counted:
            counted[version] = frozenset(series_of(history.version(version)))
        # An assessment without an amount is from before there were series.
        done = counted[version] if row["amount_minor"] is not None else frozenset()
        missing = [
            own[key]
            for key, start in fill.starts.items()
            if key[0] == row["kind"] and key not in done and row["create_time"] >= start
        ]
        if missing:
            count += 1
            tracked += tracks.take(_asked(row, history.version(version)), missing)
    return Gathered(tracks, tracked, count)


def _asked(row: Any, program: CompiledProgram) -> Asked:
    occurred = row["occurred_time"]
    key = (row["member_id"], row["request_id"])
    return asked_of(key, occurred, (occurred - EPOCH) // MICROSECOND, program, facts_of(row))


def next_slice_us(slice_us: int, row_count: int) -> int:
    """How much time the next step looks at, after one that found so many assessments."""
    if row_count > 2 * ROWS_WANTED:
        return max(1, slice_us // 2)
    if row_count < ROWS_WANTED // 2:
        return min(SLICE_US_MAX, slice_us * 2)
    return slice_us
