"""Domain facts <-> laurel.event.v1.Event."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from google.type.money_pb2 import Money

from kit.clock import from_timestamp, to_timestamp
from kit.money import to_minor
from kit.telemetry import trace_parent
from laurel.event.v1.event_pb2 import Event, MemberEnrolled, TierChanged
from rules.compiled import CompiledProgram, ProgramHistory
from rules.money import MINOR_UNITS
from rules.values import Tier
from tier.ceilings import UPGRADE, Ceiling, Demotion, Ladder, Turn, counted
from tier.enrolment import Enrolment
from tier.growth import Spend
from tier.ids import derived_id
from tier.standing import Kind
from tier.steps import Step

Events = Sequence[Event]
# The kind of anti-fraud's actions that holds members down.
DEMOTE = "DEMOTE"


class Purchase(NamedTuple):
    """Spend of a member, or its return, as the ledger told it."""

    member_id: str
    """Whose it was when it was booked, whoever their account was merged into since."""
    transaction_id: str
    spend: Spend


def members_of(events: Events) -> list[str]:
    """The members whom events are about, in key order."""
    return sorted({event.member_id for event in events if event.member_id})


def program_version_of(events: Events) -> int:
    """The newest version of the program that any of the events was decided by."""
    return max((event.program_version for event in events), default=0)


def read_purchases(events: Events) -> list[Purchase]:
    """Spend that counts for a tier; what was under review by anti-fraud once it is settled."""
    return [
        purchase
        for event in events
        if event.member_id
        and (purchase := _read_purchase(event)) is not None
        and purchase.spend.spend_minor
    ]


def _read_purchase(event: Event) -> Purchase | None:
    if event.HasField("points_accrued") and not event.points_accrued.under_review:
        accrued = event.points_accrued
        spend = Spend(
            from_timestamp(event.occurred_time), UUID(event.event_id), _minor(accrued.spend)
        )
        return Purchase(event.member_id, accrued.transaction_id, spend)
    if event.HasField("accrual_reversed") and not event.accrual_reversed.under_review:
        returned = event.accrual_reversed
        counted = from_timestamp(returned.accrual_occurred_time)
        spend = Spend(counted, UUID(event.event_id), -_minor(returned.spend))
        member_id = returned.booked_member_id or event.member_id
        return Purchase(member_id, returned.transaction_id, spend)
    if event.HasField("review_settled") and event.review_settled.legitimate:
        settled = event.review_settled
        counted = from_timestamp(settled.accrual_occurred_time)
        spend = Spend(counted, UUID(event.event_id), _minor(settled.spend))
        member_id = settled.booked_member_id or event.member_id
        return Purchase(member_id, settled.transaction_id, spend)
    return None


def read_demotions(events: Events) -> list[Demotion]:
    """What anti-fraud tells of demotions; its other actions are nothing to tiers."""
    return [
        Demotion(
            event.member_id,
            UUID(event.fraud_action_taken.action_id),
            event.fraud_action_taken.lifted,
            event.fraud_action_taken.tier_id,
            event.program_version,
            from_timestamp(event.occurred_time),
        )
        for event in events
        if event.HasField("fraud_action_taken") and event.fraud_action_taken.kind == DEMOTE
    ]


def _minor(spend: Money) -> int:
    if not spend.currency_code:
        return 0
    return to_minor(spend, spend.currency_code, MINOR_UNITS[spend.currency_code], "spend")


def member_enrolled(enrolment: Enrolment, now: datetime) -> Event:
    """The fact that a member joined."""
    member_id, profile = enrolment.member_id, enrolment.profile
    return Event(
        event_id=str(derived_id(profile.enrol_time, member_id, "member_enrolled")),
        member_id=member_id,
        occurred_time=to_timestamp(profile.enrol_time),
        record_time=to_timestamp(now),
        trace_parent=trace_parent(),
        member_enrolled=MemberEnrolled(channel=profile.channel, birth_month=profile.birth_month),
    )


def tier_changes(
    steps: Iterable[Step],
    ceilings: Mapping[str, Sequence[Ceiling]],
    history: ProgramHistory,
    now: datetime,
) -> list[Event]:
    """The facts that members count as another tier; keeping the same one is none, nor is a step
    above a ceiling.
    """
    events = []
    for step in steps:
        decision = step.decision
        from_id, from_rank = decision.from_tier_id, decision.origin.rank
        target = decision.target
        if above := ceilings.get(step.member_id):
            ladder = Ladder(history.version(decision.program_version), history)
            origin = counted(decision.origin, above, ladder)
            if origin.rank != from_rank:
                from_id, from_rank = origin.id, origin.rank
            target = counted(target, above, ladder)
        if from_id != target.id:
            events.append(_tier_changed(step, from_id, from_rank, target, now))
    return events


def in_turn(events: Sequence[Event], told: Mapping[str, datetime]) -> dict[str, datetime]:
    """Dates events behind what members were `told` before, where they are older: others keep the
    latest. Returns the latest instant of each member.
    """
    latest: dict[str, datetime] = {}
    for event in events:
        member_id = event.member_id
        at, last = from_timestamp(event.occurred_time), latest.get(member_id) or told.get(member_id)
        if last is not None and at <= last:
            at = last + timedelta(microseconds=1)
            event.occurred_time.CopyFrom(to_timestamp(at))
        latest[member_id] = at
    return latest


def tier_turned(
    turn: Turn, valid_until: datetime | None, program: CompiledProgram, now: datetime
) -> Event:
    """The fact that a member counts as another tier, because of an action of anti-fraud."""
    changed = TierChanged(
        from_tier_id=turn.origin.id,
        to_tier_id=turn.target.id,
        from_rank=turn.origin.rank,
        to_rank=turn.target.rank,
        reason=turn.reason,
        action_id=str(turn.action_id),
    )
    event_id = derived_id(turn.occurred_time, turn.action_id, turn.reason, turn.target.id)
    event = _told(event_id, turn.member_id, changed, valid_until, turn.occurred_time, now)
    event.program_version = program.version
    return event


def _tier_changed(step: Step, from_id: str, from_rank: int, target: Tier, now: datetime) -> Event:
    decision = step.decision
    changed = TierChanged(
        decision_id=str(step.decision_id),
        from_tier_id=from_id,
        to_tier_id=target.id,
        from_rank=from_rank,
        to_rank=target.rank,
        reason=UPGRADE if decision.kind is Kind.UPGRADE else "DEMOTION",
    )
    at = decision.occurred_time
    event_id = derived_id(at, step.decision_id, "tier_changed")
    event = _told(event_id, step.member_id, changed, decision.valid_until, at, now)
    event.program_version = decision.program_version
    return event


def _told(
    event_id: UUID,
    member_id: str,
    changed: TierChanged,
    valid_until: datetime | None,
    occurred: datetime,
    now: datetime,
) -> Event:
    if valid_until is not None:
        changed.valid_until_time.CopyFrom(to_timestamp(valid_until))
    return Event(
        event_id=str(event_id),
        member_id=member_id,
        occurred_time=to_timestamp(occurred),
        record_time=to_timestamp(now),
        trace_parent=trace_parent(),
        tier_changed=changed,
    )
