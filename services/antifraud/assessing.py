"""Decides a batch in the order given: an operation sees those before it (AF-01, AF-02)."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from antifraud.lists import Learned
from antifraud.values import Asked, Assessed
from antifraud.velocity import Entry, Key, Track, Watch, watches_of
from rules.compiled import CompiledProgram
from rules.facts import velocity_fact
from rules.fraud import decide
from rules.values import Operation

PROGRAMS_MAX = 64


@lru_cache(maxsize=PROGRAMS_MAX)
def watches(program: CompiledProgram, kind: Operation) -> tuple[Watch, ...]:
    """What has to be counted for the rules on one kind of operation, and nothing else."""
    rules = program.antifraud.by_operation[kind].rules
    paths = (path for rule in rules for path in rule.condition.facts)
    counters = {velocity_fact(p)[0]: None for p in paths if p.startswith("velocity.")}
    return watches_of(counters, kind.value)


class Step(NamedTuple):
    """An operation, its entry, and the keys that it counts under."""

    asked: Asked
    entry: Entry
    tracks: tuple[tuple[Track, Watch], ...]


class Batch:
    """The new operations of one call: what they add to each key, and then what is decided."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._tracks: dict[Key, Track] = {}
        self._steps = [self._step(one) for one in asked]
        self._learned: Learned = {}

    def _step(self, asked: Asked) -> Step:
        request_key, _, occurred_us, program, facts = asked
        entry = (occurred_us, 1, facts.amount_minor, facts.points)
        found = []
        for watch in watches(program, facts.operation):
            value = request_key[0] if watch.fact is None else facts[watch.fact]
            # Where the request names no such key, nothing is counted.
            if value:
                key = Key(str(value), watch.number, watch.kind)
                track = self._tracks.get(key)
                if track is None:
                    track = self._tracks[key] = Track()
                track.announce(entry, watch.windows_us)
                found.append((track, watch))
        return Step(asked, entry, tuple(found))

    def additions(self) -> list[tuple[Key, bytes]]:
        """What each key is to take up, in the order of locking."""
        return [(key, self._tracks[key].announced()) for key in sorted(self._tracks)]

    def learn(self, learned: Learned) -> None:
        """Takes up what was looked up for the operations."""
        self._learned = learned

    def decide(self, stored: Iterable[tuple[Key, bytes]]) -> list[Assessed]:
        """The decisions, in the order given.

        `stored` is what each key holds once the additions were appended to it.
        """
        for key, row in stored:
            self._tracks[key].load(row)
        return [self._decide(*step) for step in self._steps]

    def _decide(
        self, asked: Asked, entry: Entry, tracks: tuple[tuple[Track, Watch], ...]
    ) -> Assessed:
        learned = self._learned.get(asked.request_key) if self._learned else None
        if not tracks and learned is None:
            return Assessed(asked, decide(asked.facts, asked.program))
        velocity: dict[str, Any] = {**learned} if learned is not None else {}
        for track, watch in tracks:
            for name, window_us in watch.counters:
                velocity[name] = track.counts_with(entry, window_us)
            track.add(entry)
        return Assessed(asked, decide(asked.facts, asked.program, velocity))

    def untidy(self) -> list[tuple[Key, bytes]]:
        """The keys whose rows should be replaced, in the order of locking."""
        return [
            (key, self._tracks[key].tidied())
            for key in sorted(self._tracks)
            if self._tracks[key].is_untidy
        ]
