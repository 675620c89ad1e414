"""Which benefits a tier decision gives (BN-02)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from benefits.entitlements import Entitlement, Kind, State
from rules.calendar import add_days
from rules.compiled import CompiledProgram
from rules.values import Benefit, TierDiscount, UpgradeCoupon


@dataclass(frozen=True, slots=True)
class TierFact:
    """What an event says about a member's tier: a decision, or the first tier on enrolment."""

    event_id: UUID
    member_id: str
    tier_id: str
    is_upgrade: bool
    occurred_time: datetime
    record_time: datetime
    program_version: int
    trace_parent: str


def latest_by_member(facts: Iterable[TierFact]) -> list[TierFact]:
    """The fact that stands for each member, the last by occurred, then record time."""
    latest: dict[str, TierFact] = {}
    for fact in facts:
        other = latest.get(fact.member_id)
        if other is None or _age(fact) > _age(other):
            latest[fact.member_id] = fact
    return [latest[member_id] for member_id in sorted(latest)]


def _age(fact: TierFact) -> tuple[datetime, datetime, UUID]:
    return fact.occurred_time, fact.record_time, fact.event_id


def discounts(fact: TierFact, program: CompiledProgram) -> list[Benefit]:
    """The discounts of the tier that the fact puts its member in."""
    return [
        b for b in program.benefits if isinstance(b, TierDiscount) and b.tier_id == fact.tier_id
    ]


def coupons(fact: TierFact, program: CompiledProgram) -> list[Benefit]:
    """The coupons of the tier that an upgrade reaches; tiers that were jumped over give none."""
    if not fact.is_upgrade:
        return []
    return [
        b for b in program.benefits if isinstance(b, UpgradeCoupon) and b.tier_id == fact.tier_id
    ]


def entitle(
    fact: TierFact, benefit: Benefit, program: CompiledProgram, entitlement_id: UUID
) -> Entitlement:
    """The entitlement to a benefit, under the terms of the program."""
    coupon = benefit if isinstance(benefit, UpgradeCoupon) else None
    return Entitlement(
        member_id=fact.member_id,
        entitlement_id=entitlement_id,
        benefit_id=benefit.id,
        name=benefit.name,
        kind=Kind.UPGRADE_COUPON if coupon else Kind.TIER_DISCOUNT,
        state=State.AVAILABLE,
        percent_off_e2=benefit.percent_e2 if isinstance(benefit, TierDiscount) else None,
        amount_off_minor=coupon.amount_minor if coupon else None,
        order_amount_min_minor=coupon.order_min_minor if coupon else None,
        currency=program.currency,
        currency_digits=program.minor_digits,
        create_time=fact.occurred_time,
        # Counted from the upgrade, not from its arrival here: a replay gives what the day gave.
        expire_time=add_days(fact.occurred_time, coupon.valid_days, program.zone)
        if coupon
        else None,
        cause_event_id=fact.event_id,
        program_version=program.version,
        order_id="",
    )


def enrolled(fact: TierFact, program: CompiledProgram) -> TierFact:
    """The fact of an enrolment, with the first tier of the program in force."""
    return replace(fact, tier_id=program.ladder[0].id, program_version=program.version)
