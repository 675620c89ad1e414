"""How far down anti-fraud holds members, as its events tell (AF-04).

What a member earns goes on as ever. While an action is in force they count as no more than its
ceiling, and others are told of that tier alone; once it is lifted they go on where they would be.
Events come twice and in any order: an action that was lifted stays lifted, whichever was heard of
first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from kit.clock import from_timestamp
from laurel.event.v1.event_pb2 import Event
from rules.compiled import CompiledProgram
from rules.values import Tier

DEMOTE = "DEMOTE"
HELD_DOWN, RESTORED, UPGRADE = "HELD_DOWN", "RESTORED", "UPGRADE"


@dataclass(slots=True)
class Ceiling:
    """An action of anti-fraud that demotes a member, as far as it was heard of."""

    member_id: str
    action_id: UUID
    tier_id: str = ""
    earned_tier_id: str = ""
    """What the member had earned when it was heard of."""
    take_time: datetime | None = None
    lift_time: datetime | None = None

    @property
    def in_force(self) -> bool:
        """Whether it was taken and not lifted."""
        return self.take_time is not None and self.lift_time is None


@dataclass(frozen=True, slots=True)
class Turn:
    """A member counts as another tier, because of an action."""

    member_id: str
    action_id: UUID
    reason: str
    origin: Tier
    target: Tier
    occurred_time: datetime


def counted(earned: Tier, ceilings: Iterable[Ceiling], program: CompiledProgram) -> Tier:
    """The tier that a member counts as; a ceiling that left the ladder is the lowest tier."""
    tiers = [program.tier(one.tier_id) or program.ladder[0] for one in ceilings if one.in_force]
    return min([earned, *tiers], key=lambda tier: tier.rank)


def holding(earned: Tier, ceilings: Sequence[Ceiling], program: CompiledProgram) -> Ceiling | None:
    """The ceiling that holds a member down; None where none does."""
    lowest = counted(earned, ceilings, program)
    if lowest.rank == earned.rank:
        return None
    return next(one for one in ceilings if counted(earned, [one], program).rank == lowest.rank)


def demotions(events: Iterable[Event]) -> list[Event]:
    """Events of anti-fraud that demote a member, or lift that."""
    return [
        event for event in events
        if event.HasField("fraud_action_taken") and event.fraud_action_taken.kind == DEMOTE
    ]  # fmt: skip


def hear(
    known: dict[UUID, Ceiling],
    events: Iterable[Event],
    earned: Mapping[str, tuple[Tier, datetime | None]],
    program: CompiledProgram,
) -> list[Turn]:
    """Notes what events tell, and says where members turn.

    `earned` is the tier that each has earned, and the instant of the last decision about it: what
    is told of them later must not look older than that.
    """
    turns: list[Turn] = []
    for event in events:
        told, member_id = event.fraud_action_taken, event.member_id
        action_id = UUID(told.action_id)
        tier, decided = earned[member_id]
        own = [one for one in known.values() if one.member_id == member_id]
        before = counted(tier, own, program)
        ceiling = known.setdefault(action_id, Ceiling(member_id, action_id))
        at = from_timestamp(event.occurred_time)
        was_in_force = ceiling.in_force
        if told.lifted and ceiling.lift_time is None:
            ceiling.lift_time = at
        elif not told.lifted and ceiling.take_time is None:
            ceiling.take_time, ceiling.tier_id, ceiling.earned_tier_id = at, told.tier_id, tier.id
        if was_in_force == ceiling.in_force:
            continue
        own = [one for one in known.values() if one.member_id == member_id]
        after = counted(tier, own, program)
        at = max(at, decided or at)
        turns += _turns(ceiling, before, after, at, program)
    return turns


def _turns(
    ceiling: Ceiling, before: Tier, after: Tier, at: datetime, program: CompiledProgram
) -> Iterable[Turn]:
    """Down at once; up to what the member had before, and from there by what they have earned
    meanwhile, as an upgrade of its own.
    """
    steps = [(HELD_DOWN, before, after)]
    if after.rank > before.rank:
        had = program.tier(ceiling.earned_tier_id) or program.ladder[0]
        resumed = max(before, min(had, after, key=_rank), key=_rank)
        steps = [(RESTORED, before, resumed), (UPGRADE, resumed, after)]
    for number, (reason, origin, target) in enumerate(steps):
        if origin.id != target.id:
            # One behind the other, for whoever keeps the latest.
            instant = at + timedelta(microseconds=number)
            yield Turn(ceiling.member_id, ceiling.action_id, reason, origin, target, instant)


def _rank(tier: Tier) -> int:
    return tier.rank


def read_ceiling(row: Any) -> Ceiling:
    """A ceiling, from its row."""
    return Ceiling(
        row["member_id"], row["action_id"], row["tier_id"], row["earned_tier_id"],
        row["take_time"], row["lift_time"],
    )  # fmt: skip


def ceiling_row(one: Ceiling) -> tuple[object, ...]:
    """A ceiling, as `note_ceilings` takes it."""
    return (
        one.member_id, one.action_id, one.tier_id, one.earned_tier_id, one.take_time, one.lift_time,
    )  # fmt: skip
