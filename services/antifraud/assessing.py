"""Decides a batch in the order given: an operation sees those before it (AF-01, AF-02)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from antifraud.values import Asked, Assessed
from antifraud.velocity import DIMENSIONS, Entry, Key, Track, Watch, pack, unpack, watches_of
from rules.compiled import CompiledProgram
from rules.facts import velocity_fact
from rules.fraud import decide
from rules.fraud_rules import Counts
from rules.values import Operation

PROGRAMS_MAX = 64


@lru_cache(maxsize=PROGRAMS_MAX)
def watches(program: CompiledProgram, kind: Operation) -> tuple[Watch, ...]:
    """What has to be counted for the rules on one kind of operation, and nothing else."""
    rules = program.antifraud.by_operation[kind].rules
    paths = (path for rule in rules for path in rule.condition.facts)
    return watches_of({velocity_fact(p)[0]: None for p in paths if p.startswith("velocity.")})


def keys_of(asked: Asked) -> list[tuple[Key, Watch]]:
    """The keys that an operation counts under; none for what it does not name."""
    kind = asked.facts.operation
    found = []
    for watch in watches(asked.program, kind):
        value = _value(asked, watch.dimension)
        if value:
            found.append((Key(value, DIMENSIONS[watch.dimension], int(kind)), watch))
    return found


def _value(asked: Asked, dimension: str) -> str:
    if dimension == "member":
        return asked.member_id
    value: str = getattr(asked.facts, dimension)
    return value


class Batch:
    """The new operations of one call: what they add to each key, and then what is decided."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._asked = [(one, keys_of(one), _entry(one)) for one in asked]
        self._added: dict[Key, list[Entry]] = {}
        self._windows: dict[Key, tuple[int, ...]] = {}
        for _, keys, entry in self._asked:
            for key, watch in keys:
                self._added.setdefault(key, []).append(entry)
                # Operations of one batch may be decided by versions with other windows.
                known = self._windows.get(key, ())
                if known != watch.windows_us:
                    self._windows[key] = tuple(sorted({*known, *watch.windows_us}))

    def additions(self) -> list[tuple[Key, bytes]]:
        """What each key is to take up, in the order of locking."""
        return [(key, pack(self._added[key])) for key in sorted(self._added)]

    def decide(self, stored: Mapping[Key, bytes]) -> tuple[list[Assessed], list[tuple[Key, bytes]]]:
        """The decisions in the order given, and the keys whose rows should be replaced.

        `stored` is what each key holds once the additions were appended to it.
        """
        tracks = {key: self._track(key, row) for key, row in stored.items()}
        assessed = []
        for asked, keys, entry in self._asked:
            velocity: dict[str, Counts] = {}
            for key, watch in keys:
                track = tracks[key]
                for name, window_us in watch.counters:
                    velocity[name] = track.counts_with(entry, window_us)
                track.add(entry)
            facts = asked.facts._replace(velocity=velocity) if velocity else asked.facts
            assessed.append(Assessed(asked, decide(facts, asked.program)))
        untidy = [(key, tracks[key].tidied()) for key in sorted(tracks) if tracks[key].is_untidy]
        return assessed, untidy

    def _track(self, key: Key, row: bytes) -> Track:
        entries = unpack(row)
        return Track(entries[: -len(self._added[key])], self._windows[key])


def _entry(asked: Asked) -> Entry:
    return (asked.occurred_us, 1, asked.facts.amount_minor, asked.facts.points)
