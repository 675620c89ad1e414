"""What a member is told, and where it goes: values and decisions (NT-01, NT-03)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from rules.compiled import CompiledProgram
from rules.messages import render
from rules.values import Channel, MessageRule, Trigger

NO_MAIL_SERVER = "no mail server is configured"


class State(Enum):
    """Where a delivery stands."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a message on one channel; `reason` says why it was skipped or failed."""

    channel: Channel
    state: State
    attempt_count: int
    deliver_time: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message to a member; one that no event caused has no cause, no rule and version 0."""

    member_id: str
    message_id: UUID
    rule: str
    subject: str
    body: str
    create_time: datetime
    cause_event_id: UUID | None
    program_version: int
    deliveries: tuple[Delivery, ...]
    expire_time: datetime | None = None
    """Until when it is worth an attempt; None for ever."""


@dataclass(frozen=True, slots=True)
class TierUp:
    """A member rose to a tier, held until a time."""

    tier_id: str
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class PointsExpiring:
    """Points of a member expire soon, the first of them at a time."""

    points: int
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Fact:
    """An event that members may be told of."""

    event_id: UUID
    member_id: str
    occurred_time: datetime
    program_version: int
    what: TierUp | PointsExpiring


def rules_for(fact: Fact, program: CompiledProgram) -> list[MessageRule]:
    """The rules of a program that speak of a fact, in the order of the document."""
    trigger = Trigger.TIER_UP if isinstance(fact.what, TierUp) else Trigger.POINTS_EXPIRING
    return [rule for rule in program.messages if rule.trigger is trigger]


def compose(
    fact: Fact,
    rule: MessageRule,
    program: CompiledProgram,
    message_id: UUID,
    now: datetime,
    *,
    has_mail: bool,
) -> Message:
    """The message that a rule makes of a fact."""
    subject, body = render(rule, variables(fact, program))
    return Message(
        member_id=fact.member_id,
        message_id=message_id,
        rule=rule.name,
        subject=subject,
        body=body,
        create_time=now,
        cause_event_id=fact.event_id,
        program_version=program.version,
        deliveries=tuple(first_delivery(one, now, has_mail=has_mail) for one in rule.channels),
        # Points that are gone are not warned of any more.
        expire_time=fact.what.expire_time if isinstance(fact.what, PointsExpiring) else None,
    )


def variables(fact: Fact, program: CompiledProgram) -> dict[str, str]:
    """What a rule may say of a fact; days are those of the program's time zone."""
    match fact.what:
        case TierUp(tier_id, valid_until):
            tier = program.tier(tier_id)
            return {
                "member_id": fact.member_id,
                "tier": tier.name if tier is not None else tier_id,
                "valid_until": _day(valid_until, program),
            }
        case PointsExpiring(points, expire_time):
            return {
                "member_id": fact.member_id,
                "points": str(points),
                # What ends at midnight is of use on the day before, and not on the next one.
                "expire_date": _day(expire_time - timedelta(microseconds=1), program),
            }


def _day(instant: datetime | None, program: CompiledProgram) -> str:
    return instant.astimezone(program.zone).date().isoformat() if instant is not None else ""


def first_delivery(channel: Channel, now: datetime, *, has_mail: bool) -> Delivery:
    """How a delivery begins: the inbox has it at once; e-mail waits, or is skipped."""
    match channel:
        case Channel.INBOX:
            return Delivery(channel, State.DELIVERED, 0, now, "")
        case Channel.EMAIL if has_mail:
            return Delivery(channel, State.PENDING, 0, None, "")
        case Channel.EMAIL:
            return Delivery(channel, State.SKIPPED, 0, None, NO_MAIL_SERVER)
