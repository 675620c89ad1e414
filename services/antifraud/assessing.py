"""Decides a batch in the order given: an operation sees those before it (AF-01, AF-02)."""

from collections.abc import Iterable, Sequence
from typing import Any

from antifraud.distinct import DistinctTrack
from antifraud.lists import Learned
from antifraud.profiles import Profiles
from antifraud.series import Watch
from antifraud.values import Asked
from antifraud.velocity import Key, Track
from rules.fraud import FraudDecision, decide_by

Tracked = tuple[Any, Watch, Any]
"""The Track or DistinctTrack that an operation is counted under, and its entry in that one's form.
"""


class Tracks:
    """What operations add to each key, and the keys in the order of locking."""

    def __init__(self) -> None:
        self._tracks: dict[Key, Any] = {}

    def take(self, asked: Asked, watched: Iterable[Watch]) -> list[Tracked]:
        """Notes an operation under every key that it names, and returns these."""
        facts, plain = asked.facts, None
        found: list[Tracked] = []
        for watch in watched:
            # Where the request names no such key, nothing is counted.
            value: Any = facts[watch.fact] if watch.second is None else watch.key(facts)
            if not value:
                continue
            entry: Any
            if watch.distinct is None:
                entry = plain = plain or Track.entry(asked, watch)
            else:
                entry = DistinctTrack.entry(asked, watch)
                if entry is None:
                    continue
            key = (value, watch.code)
            track = self._tracks.get(key)
            if track is None:
                form = Track if watch.distinct is None else DistinctTrack
                track = self._tracks[key] = form(entry, watch.windows_us)
            else:
                track.announce(entry, watch.windows_us)
            found.append((track, watch, entry))
        return found

    def additions(self) -> list[tuple[Key, bytes]]:
        """What each key is to take up, in the order of locking."""
        tracks = self._tracks
        return [(key, tracks[key].announced()) for key in sorted(tracks)]

    def load(self, stored: Iterable[tuple[str, int, bytes]]) -> None:
        """Takes in what each key, given in its parts, holds with the additions appended to it."""
        tracks = self._tracks
        for value, code, row in stored:
            tracks[value, code].load(row)

    def untidy(self) -> list[tuple[Key, bytes]]:
        """The keys whose rows should be replaced, in the order of locking."""
        untidy = sorted(key for key, track in self._tracks.items() if track.is_untidy)
        return [(key, self._tracks[key].tidied()) for key in untidy]


class Batch:
    """The new operations of one call: what they add to each key, and then what is decided."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._asked = asked
        self._tracks = tracks = Tracks()
        self._tracked = [tracks.take(one, one.scope.watches) for one in asked]
        self._learned: Learned = {}

    def additions(self) -> list[tuple[Key, bytes]]:
        """What each key is to take up, in the order of locking."""
        return self._tracks.additions()

    def learn(self, learned: Learned) -> None:
        """Takes up what was looked up for the operations."""
        self._learned = learned

    def decide(
        self, stored: Iterable[tuple[str, int, bytes]], profiles: Profiles | None = None
    ) -> list[FraudDecision]:
        """The decisions, in the order given.

        `stored` is what each key holds once the additions were appended to it; `profiles` the
        members, where a rule reads of them.
        """
        self._tracks.load(stored)
        if profiles is None and not self._learned:
            return [
                _decide(one, tracked, {})
                for one, tracked in zip(self._asked, self._tracked, strict=True)
            ]
        decisions = []
        for one, tracked in zip(self._asked, self._tracked, strict=True):
            known = profiles.facts_of(one) if profiles is not None else {}
            known.update(self._learned.get(one.request_key, {}))
            decision = _decide(one, tracked, known)
            if profiles is not None:
                profiles.learn(one, decision)
            decisions.append(decision)
        return decisions

    def untidy(self) -> list[tuple[Key, bytes]]:
        """The keys whose rows should be replaced, in the order of locking."""
        return self._tracks.untidy()


def _decide(asked: Asked, tracked: Iterable[Tracked], known: dict[str, Any]) -> FraudDecision:
    """Decides an operation by what is known of it, and counts it for those behind it."""
    for track, watch, entry in tracked:
        for name, window_us in watch.counters:
            known[name] = track.counts_with(entry, window_us)
        track.add(entry)
    return decide_by(asked.scope.rules, asked.facts, known)
