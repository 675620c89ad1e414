"""How many different values a key was seen with lately (AF-02).

Every operation adds a record of 24 bytes: when its value was seen first and last, and a hash.
A busy key keeps one record for each value, of the 512 that were seen last. Its windows then err
for what is told late, to the strict side: what was seen before and after them counts as within.
"""

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from itertools import chain

from antifraud.series import REORDER_US, Watch
from antifraud.values import Asked
from rules.fraud_rules import Counts

DISTINCT_MAX = 512
RECORDS_MAX = 2 * DISTINCT_MAX
# Below so many records a row is not looked through for values that it holds twice.
TIDY_MIN = 64
HASHES_MAX = 4096

# (first_us, latest_us, hash)
Sighting = tuple[int, int, int]

_RECORD = struct.Struct("<qqq")
RECORD_BYTES = _RECORD.size


@lru_cache(maxsize=HASHES_MAX)
def hash_of(value: str) -> int:
    """64 bits of a value: two of 512 share them once in 10^14 keys."""
    digest = blake2b(value.encode(), digest_size=8, person=b"velocity").digest()
    return int.from_bytes(digest, "little", signed=True)


class DistinctTrack:
    """The sightings of one key while a batch is decided; the same promises as Track."""

    __slots__ = ("_added", "_announced", "_horizon_us", "_stored", "is_untidy")

    @staticmethod
    def entry(asked: Asked, watch: Watch) -> Sighting | None:
        """What an operation adds; None where it names nothing of what is counted."""
        assert watch.distinct is not None
        value = asked.facts[watch.distinct]
        return (asked.occurred_us, asked.occurred_us, hash_of(value)) if value else None

    def __init__(self, entry: Sighting, windows_us: tuple[int, ...]) -> None:
        self._announced = [entry]
        self._stored = b""
        self._added: list[Sighting] = []
        self._horizon_us = windows_us[-1]
        self.is_untidy = False
        """Whether the stored row should be replaced by `tidied()`."""

    def announce(self, entry: Sighting, windows_us: tuple[int, ...]) -> None:
        """Notes an operation that will be added, and the windows that look at it or may later."""
        self._announced.append(entry)
        self._horizon_us = max(self._horizon_us, windows_us[-1])

    def announced(self) -> bytes:
        """What the stored row is to take up."""
        return pack(self._announced)

    def load(self, row: bytes) -> None:
        """Takes in the stored row, at whose end stands what was announced."""
        self._stored = row[: -len(self._announced) * RECORD_BYTES]

    def counts_with(self, entry: Sighting, window_us: int) -> Counts:
        """How many different values the window up to and with an operation holds, 512 at most."""
        low, high = entry[1] - window_us, entry[1] + REORDER_US
        seen = {hash_ for first, last, hash_ in self._records() if low < last and first <= high}
        seen.add(entry[2])
        return Counts(min(len(seen), DISTINCT_MAX), 0, 0)

    def add(self, entry: Sighting) -> None:
        """Appends a sighting."""
        self._added.append(entry)
        record_count = len(self._stored) // RECORD_BYTES + len(self._added)
        if record_count <= TIDY_MIN:
            return
        # What is kept is half of it at most, so that a row is not merged at every operation.
        if record_count > RECORDS_MAX or record_count >= 2 * len({r[2] for r in self._records()}):
            self._stored = pack(merge(self._records(), self._horizon_us))
            self._added = []
            self.is_untidy = True

    def tidied(self) -> bytes:
        """The sightings as they are to be stored."""
        return self._stored + pack(self._added)

    def _records(self) -> Iterator[Sighting]:
        return chain(_RECORD.iter_unpack(self._stored), self._added)


def pack(records: Iterable[Sighting]) -> bytes:
    """The sightings as they are stored."""
    return b"".join(_RECORD.pack(*record) for record in records)


def merge(records: Iterable[Sighting], horizon_us: int) -> list[Sighting]:
    """One record for each value, oldest first: the 512 that were seen last within the horizon."""
    merged: dict[int, Sighting] = {}
    for record in records:
        first, last, hash_ = record
        other = merged.get(hash_)
        if other is None:
            merged[hash_] = record
        else:
            merged[hash_] = (min(first, other[0]), max(last, other[1]), hash_)
    latest_us = max(last for _, last, _ in merged.values())
    fresh = [record for record in merged.values() if record[1] > latest_us - horizon_us]
    return sorted(fresh, key=lambda record: record[1])[-DISTINCT_MAX:]
