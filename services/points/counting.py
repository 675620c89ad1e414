"""The counters that a batch works on: of members, and of the teams that they are in."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from rules.accrual_values import NOTHING, Counter, Key


class Slot(NamedTuple):
    """Where a counter is kept: its owner is a member, or a team where the key says so."""

    owner: str
    key: Key


class Badge(NamedTuple):
    """A badge that a member has just earned."""

    member_id: str
    badge: str
    name: str
    period: str
    occurred_time: datetime
    program_version: int


@dataclass(frozen=True, slots=True)
class TeamBonus:
    """What each member of a team is given for a challenge that it reached."""

    team_id: str
    name: str
    period: str
    points: int
    badge: str
    reason: str
    program_version: int
    occurred_time: datetime
    cause_transaction_id: UUID


@dataclass(slots=True)
class BookedBonus:
    """A bonus that was booked when a counter was reached, and that a return may lose."""

    transaction_id: UUID
    occurred_time: datetime
    program_version: int
    region: str
    under_review: bool
    """Whether what completed it waits for a verdict: then the bonus counts nowhere yet."""
    lost_points: int = 0
    """Points of it that are taken back now."""


def slot_of(key: Key, member_id: str, team_id: str) -> Slot:
    """The slot of a counter that an activity of a member looks at."""
    return Slot(team_id if key.team else member_id, key)


class Counting:
    """Counters as they stand under the locks, what of them has changed, and what came of it."""

    def __init__(self) -> None:
        self._counters: dict[Slot, Counter] = {}
        self.bonus_ids: dict[Slot, UUID] = {}
        """What was booked when a counter was last reached."""
        self.bonuses: dict[UUID, BookedBonus] = {}
        """By id, those that returns may lose, and those that were just booked."""
        self.changed: dict[Slot, Counter] = {}
        self.team_bonuses: list[TeamBonus] = []
        self.badges: list[Badge] = []

    def add_loaded(self, slot: Slot, counter: Counter, bonus_id: UUID | None = None) -> None:
        """Puts a counter in as it stands in the database."""
        self._counters[slot] = counter
        if bonus_id is not None:
            self.bonus_ids[slot] = bonus_id

    def counter(self, slot: Slot) -> Counter:
        """A counter; nothing where there is none."""
        return self._counters.get(slot, NOTHING)

    def shown(self, keys: Collection[Key], member_id: str, team_id: str) -> dict[Key, Counter]:
        """The counters that an activity looks at, but for those that hold nothing."""
        slots = {key: slot_of(key, member_id, team_id) for key in keys}
        return {key: self._counters[s] for key, s in slots.items() if s in self._counters}

    def change(self, changes: Mapping[Key, Counter], member_id: str, team_id: str) -> None:
        """Sets counters."""
        for key, counter in changes.items():
            self.set(slot_of(key, member_id, team_id), counter)

    def move_bonus(self, source: Slot, target: Slot) -> None:
        """A counter is kept elsewhere from now on; so is what was booked when it was reached."""
        bonus_id = self.bonus_ids.pop(source, None)
        if bonus_id is not None:
            self.bonus_ids[target] = bonus_id

    def set(self, slot: Slot, counter: Counter) -> None:
        """Sets one counter."""
        self._counters[slot] = self.changed[slot] = counter
