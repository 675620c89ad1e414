"""What anti-fraud does beyond single operations, and what rules ask for (AF-04)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from antifraud.lists import key_of
from antifraud.values import Asked
from kit.clock import to_timestamp
from kit.telemetry import trace_parent
from laurel.event.v1 import event_pb2
from rules.fraud import FraudDecision
from rules.values import FraudKey, ReactionKind


class Decider(NamedTuple):
    """Who decides: a person, whose name an identity vouches for; nobody where a rule or the clock
    does.
    """

    operator: str = ""
    identity: str = ""


NOBODY = Decider()
A_RULE_FIRED = "a rule of anti-fraud fired"


@dataclass(frozen=True, slots=True)
class Wish:
    """An action that is to be taken."""

    kind: ReactionKind
    key_kind: FraudKey
    value: str
    member_id: str
    points: int | None
    rule: str | None
    assessment_id: UUID | None
    reason: str
    end_time: datetime | None
    tier_id: str = ""
    """The highest tier that a demoted member counts as; empty for the lowest."""
    program_version: int = 0
    """The version of the program whose tier that is."""

    @property
    def told_reason(self) -> str:
        """Why, for other services: names of rules are not for the member's eyes."""
        return self.reason if self.rule is None else A_RULE_FIRED

    @property
    def place(self) -> tuple[int, str, int]:
        """What at most one action in force has; the order of locking."""
        return (self.key_kind.value, self.value, self.kind.value)


@dataclass(frozen=True, slots=True)
class Lift:
    """What ended an action."""

    lift_id: UUID
    operator: str
    identity: str
    reason: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Action:
    """An action as the audit trail has it."""

    action_id: UUID
    wish: Wish
    decider: Decider
    create_time: datetime
    lift: Lift | None


def wishes_of(rows: Iterable[tuple[Asked, FraudDecision, UUID]], now: datetime) -> list[Wish]:
    """What rules that fired ask for, in the order of locking; of the same thing, the first."""
    wishes: dict[tuple[int, str, int], Wish] = {}
    for asked, decision, assessment_id in rows:
        reactions = asked.program.antifraud.reactions
        for fired in decision.fired:
            for reaction in () if fired.shadow else reactions.get(fired.rule, ()):
                value = key_of(asked, reaction.key)
                if not value:
                    continue
                is_cap = reaction.kind is ReactionKind.CAP_POINTS
                wish = Wish(
                    reaction.kind, reaction.key, value, asked.request_key[0],
                    reaction.points if is_cap else None, fired.rule, assessment_id,
                    f"rule {fired.rule} fired", end_of(now, reaction.duration_days),
                    reaction.tier_id, asked.program.version,
                )  # fmt: skip
                wishes.setdefault(wish.place, wish)
    return [wishes[place] for place in sorted(wishes)]


def end_of(now: datetime, duration_days: int) -> datetime | None:
    """When what is taken now ends by itself."""
    return now + timedelta(days=duration_days) if duration_days else None


def action_event(
    action_id: UUID,
    event_id: UUID,
    kind: ReactionKind,
    member_id: str,
    reason: str,
    at: datetime,
    *,
    lifted: bool,
    end_time: datetime | None = None,
    tier_id: str = "",
    program_version: int = 0,
) -> event_pb2.Event:
    """Tells that an action was taken or lifted."""
    return event_pb2.Event(
        event_id=str(event_id),
        member_id=member_id,
        occurred_time=to_timestamp(at),
        record_time=to_timestamp(at),
        program_version=program_version,
        trace_parent=trace_parent(),
        fraud_action_taken=event_pb2.FraudActionTaken(
            action_id=str(action_id),
            kind=kind.name,
            lifted=lifted,
            reason=reason,
            end_time=to_timestamp(end_time) if end_time else None,
            tier_id=tier_id,
        ),
    )
