"""Decisions in the order of a member, numbered and named, as they are written down."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from tier.ids import derived_id
from tier.standing import Decision, Standing


class Step(NamedTuple):
    """A decision about a member; numbers begin at 1 and have no gap."""

    member_id: str
    number: int
    decision_id: UUID
    decision: Decision


class Moved(NamedTuple):
    """A member, and where their steps have led."""

    member_id: str
    standing: Standing


def steps_of(member_id: str, before: Standing, decisions: Sequence[Decision]) -> list[Step]:
    """The steps that follow those which the member had made before."""
    return [
        Step(member_id, number, _id(member_id, decision), decision)
        for number, decision in enumerate(decisions, before.decision_count + 1)
    ]


def _id(member_id: str, decision: Decision) -> UUID:
    return derived_id(
        decision.occurred_time,
        member_id,
        decision.kind.name,
        decision.from_tier_id,
        decision.target.id,
        decision.occurred_time.isoformat(),
        decision.cause_event_id or "",
    )
