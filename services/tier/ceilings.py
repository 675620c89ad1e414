"""How far down anti-fraud holds members, as its events tell (AF-04).

What a member earns goes on as ever. While an action is in force they count as no more than its
ceiling, and others are told of that tier alone; once it is lifted they go on where they would be.
Events come twice and in any order: an action that was lifted stays lifted, whichever was heard of
first.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from rules.compiled import CompiledProgram, ProgramHistory
from rules.values import Tier
from tier.standing import tier_of

HELD_DOWN, RESTORED, UPGRADE = "HELD_DOWN", "RESTORED", "UPGRADE"


class Demotion(NamedTuple):
    """What anti-fraud told: that an action demotes a member, or was lifted."""

    member_id: str
    action_id: UUID
    lifted: bool
    tier_id: str
    """Empty for the lowest."""
    program_version: int
    """The version whose tier that is."""
    occurred_time: datetime


@dataclass(slots=True)
class Ceiling:
    """An action of anti-fraud that demotes a member, as far as it was heard of."""

    member_id: str
    action_id: UUID
    tier_id: str = ""
    """Empty for the lowest."""
    program_version: int = 0
    """The version whose tier that is."""
    earned_tier_id: str = ""
    """What others knew that the member had earned when it was heard of, by `earned_version`."""
    earned_version: int = 0
    take_time: datetime | None = None
    lift_time: datetime | None = None

    @property
    def in_force(self) -> bool:
        """Whether it was taken and not lifted."""
        return self.take_time is not None and self.lift_time is None


class Ladder(NamedTuple):
    """The program whose ladder counts, and all versions, for tiers that left it."""

    program: CompiledProgram
    history: ProgramHistory

    def tier(self, tier_id: str) -> Tier:
        """A tier of some version; the lowest where the id is empty."""
        if not tier_id:
            return self.program.ladder[0]
        return tier_of(tier_id, self.program, self.history)


@dataclass(frozen=True, slots=True)
class Turn:
    """A member counts as another tier, because of an action."""

    member_id: str
    action_id: UUID
    reason: str
    origin: Tier
    target: Tier
    occurred_time: datetime


def counted(earned: Tier, ceilings: Iterable[Ceiling], ladder: Ladder) -> Tier:
    """The tier that a member counts as."""
    tiers = [ladder.tier(one.tier_id) for one in ceilings if one.in_force]
    return min([earned, *tiers], key=_rank)


def holding(earned: Tier, ceilings: Sequence[Ceiling], ladder: Ladder) -> Ceiling | None:
    """The ceiling that holds a member down; None where none does."""
    lowest = counted(earned, ceilings, ladder)
    if lowest.rank == earned.rank:
        return None
    return next(one for one in ceilings if counted(earned, [one], ladder).rank == lowest.rank)


def hear(
    known: dict[UUID, Ceiling],
    told: Iterable[Demotion],
    earned: Mapping[str, Tier],
    ladder: Ladder,
) -> list[Turn]:
    """Notes what was told, and says where members turn; `earned` is the tier of each."""
    turns: list[Turn] = []
    for one in told:
        tier, at = earned[one.member_id], one.occurred_time
        ceiling = known.setdefault(one.action_id, Ceiling(one.member_id, one.action_id))
        own = [other for other in known.values() if other.member_id == one.member_id]
        before = counted(tier, own, ladder)
        if one.lifted and ceiling.lift_time is None:
            ceiling.lift_time = at
        elif not one.lifted and ceiling.take_time is None:
            known_tier = _known(before, own, ladder)
            ceiling.take_time = at
            ceiling.tier_id, ceiling.program_version = one.tier_id, one.program_version
            ceiling.earned_tier_id, ceiling.earned_version = known_tier.id, ladder.program.version
        turns += _turns(ceiling, before, counted(tier, own, ladder), at, ladder)
    return turns


def _known(before: Tier, own: Iterable[Ceiling], ladder: Ladder) -> Tier:
    """The highest tier that others know of: what rose beneath a ceiling that is in force is not
    told yet, and what a review took beneath one is not either.
    """
    had = [ladder.tier(one.earned_tier_id) for one in own if one.in_force]
    return max([before, *had], key=_rank)


def _turns(
    ceiling: Ceiling, before: Tier, after: Tier, at: datetime, ladder: Ladder
) -> Iterator[Turn]:
    """Down at once; up to what the member had before, and from there by what they have earned
    meanwhile, as an upgrade of its own.
    """
    steps = [(HELD_DOWN, before, after)]
    if after.rank > before.rank:
        had = ladder.tier(ceiling.earned_tier_id)
        resumed = max(before, min(had, after, key=_rank), key=_rank)
        steps = [(RESTORED, before, resumed), (UPGRADE, resumed, after)]
    for reason, origin, target in steps:
        if origin.id != target.id:
            yield Turn(ceiling.member_id, ceiling.action_id, reason, origin, target, at)


def _rank(tier: Tier) -> int:
    return tier.rank


def read_ceiling(row: Any) -> Ceiling:
    """A ceiling, from its row."""
    return Ceiling(*row)


def ceiling_row(one: Ceiling) -> tuple[object, ...]:
    """A ceiling, as `note_ceilings` takes it."""
    return (
        one.member_id, one.action_id, one.tier_id, one.program_version, one.earned_tier_id,
        one.earned_version, one.take_time, one.lift_time,
    )  # fmt: skip
