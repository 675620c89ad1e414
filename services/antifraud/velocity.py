"""Sliding windows: what was assessed lately under a key, and what of it a counter sees (AF-02).

Every operation is an entry at its own time, to the microsecond. A busy key merges entries into
cells of a thirtieth of the shortest window that still reaches them, so that its memory is bounded;
then the edges of its windows are blurred by so much, to the strict side.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any

from antifraud.series import REORDER_US, Watch
from antifraud.values import Asked
from kit.db import one_for_all, packed_texts
from rules.fraud_rules import Counts

CELLS_PER_WINDOW = 30
STALE_MAX = 16
INT64_MAX = 2**63 - 1

# (time_us, count, amount_minor, points) of one operation, or of several that a busy key has merged;
# then the time is that of the latest. A plain tuple: a batch looks at thousands of them.
Entry = tuple[int, int, int, int]

_RECORD = struct.Struct("<qiqq")
RECORD_BYTES = _RECORD.size


Key = tuple[str, int]
"""What is counted together: the value of the key, and the code of the series. Sorted, it is the
order in which rows are locked.
"""


def key_columns(rows: Sequence[tuple[Key, bytes]]) -> list[Any]:
    """Keys and their entries, as the statements take them."""
    return [
        packed_texts([value for (value, _), _ in rows]),
        [code for (_, code), _ in rows],
        [entries for _, entries in rows],
    ]


def addition_columns(rows: Sequence[tuple[Key, bytes]]) -> list[Any]:
    """The same for additions, which are all of the same size most of the time: as one text of
    bytes, their sizes, and where they begin unless that follows from the size.
    """
    sizes = one_for_all([len(entries) for _, entries in rows])
    starts = list(accumulate(sizes[:-1], initial=1)) if len(sizes) > 1 else None
    return [
        packed_texts([value for (value, _), _ in rows]),
        one_for_all([code for (_, code), _ in rows]),
        b"".join([entries for _, entries in rows]),
        sizes,
        starts,
    ]


def pack(entries: Iterable[Entry]) -> bytes:
    """The entries as they are stored."""
    return b"".join(_RECORD.pack(*entry) for entry in entries)


class Track:
    """The entries of one key while a batch is decided."""

    __slots__ = ("_added", "_announced", "_stored", "_windows_us", "is_untidy")

    @staticmethod
    def entry(asked: Asked, _: Watch) -> Entry:
        """What an operation adds."""
        return (asked.occurred_us, 1, asked.facts.amount_minor, asked.facts.points)

    def __init__(self, entry: Entry, windows_us: tuple[int, ...]) -> None:
        self._announced = [entry]
        # Stays packed: most keys are looked at once.
        self._stored = b""
        self._added: list[Entry] = []
        self._windows_us = windows_us
        self.is_untidy = False
        """Whether the stored row should be replaced by `tidied()`."""

    def announce(self, entry: Entry, windows_us: tuple[int, ...]) -> None:
        """Notes an operation that will be added, and the windows that look at it or may later."""
        self._announced.append(entry)
        if windows_us is not self._windows_us:
            # Operations of one batch may be decided by versions with other windows.
            self._windows_us = tuple(sorted({*self._windows_us, *windows_us}))

    def announced(self) -> bytes:
        """What the stored row is to take up."""
        first, *more = self._announced
        return pack(self._announced) if more else _RECORD.pack(*first)

    def load(self, row: bytes) -> None:
        """Takes in the stored row, at whose end stands what was announced."""
        self._stored = row[: -len(self._announced) * RECORD_BYTES]

    def counts_with(self, entry: Entry, window_us: int) -> Counts:
        """What the window up to and with an operation holds that is not added yet.

        What lies exactly one window behind is out.
        """
        at_us, count, amount_minor, points = entry
        if not self._stored and not self._added:
            return Counts(count, amount_minor, points)
        low, high = at_us - window_us, at_us + REORDER_US
        blurred = at_us + max(REORDER_US, window_us // CELLS_PER_WINDOW)
        for time_us, number, amount, moved in self._entries():
            if low < time_us and (time_us <= high or (number > 1 and time_us <= blurred)):
                count += number
                amount_minor += amount
                points += moved
        return Counts(count, min(amount_minor, INT64_MAX), min(points, INT64_MAX))

    def add(self, entry: Entry) -> None:
        """Appends an operation."""
        self._added.append(entry)
        entry_count = len(self._stored) // RECORD_BYTES + len(self._added)
        if entry_count > STALE_MAX:
            self._tidy(entry, entry_count)

    def _tidy(self, entry: Entry, entry_count: int) -> None:
        if entry_count > (len(self._windows_us) + 1) * (CELLS_PER_WINDOW + 2):
            self._replace(merge(self._entries(), self._windows_us))
            return
        # Only what lies behind this very operation: a replay of old orders keeps its windows.
        until_us = entry[0] - self._windows_us[-1]
        fresh = [known for known in self._entries() if known[0] > until_us]
        if entry_count - len(fresh) >= STALE_MAX:
            self._replace(fresh)

    def tidied(self) -> bytes:
        """The entries as they are to be stored."""
        return self._stored + pack(self._added)

    def _entries(self) -> Iterator[Entry]:
        return chain(_RECORD.iter_unpack(self._stored), self._added)

    def _replace(self, entries: Iterable[Entry]) -> None:
        self._stored = pack(entries)
        self._added = []
        self.is_untidy = True


def merge(entries: Iterable[Entry], windows_us: Sequence[int]) -> list[Entry]:
    """At most 31 entries for each window; what no window of the latest entry reaches is dropped."""
    known = list(entries)
    latest_us = max(known)[0]
    cells: dict[tuple[int, int], Entry] = {}
    for entry in known:
        age_us = latest_us - entry[0]
        window_us = next((window for window in windows_us if age_us < window), None)
        if window_us is None:
            continue
        cell = (window_us, entry[0] // (window_us // CELLS_PER_WINDOW))
        other = cells.get(cell)
        cells[cell] = entry if other is None else _sum(other, entry)
    return sorted(cells.values())


def _sum(one: Entry, other: Entry) -> Entry:
    return (
        max(one[0], other[0]),
        one[1] + other[1],
        min(one[2] + other[2], INT64_MAX),
        min(one[3] + other[3], INT64_MAX),
    )
