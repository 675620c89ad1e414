"""A program ready to decide: parsed once, then only whole numbers and compiled conditions."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from laurel.program.v1 import program_pb2 as pb
from rules.accrual_program import AccrualProgram, compile_accrual, is_plain, wall_time
from rules.cel import compile_condition
from rules.earn_rules import Earning, compile_earning
from rules.facts import EARN_FACTS, FRAUD_FACTS
from rules.fraud_fallbacks import DEADLINE_MS, EXTERNAL_DEADLINE_MS, compile_fallbacks
from rules.fraud_rules import Antifraud, compile_antifraud
from rules.money import MINOR_UNITS, scaled
from rules.step_up import compile_step_up
from rules.tiers import tier_for
from rules.values import (
    Action,
    Adjustments,
    Benefit,
    Channel,
    Donations,
    EarnRule,
    Expiry,
    ExpiryPolicy,
    FraudKey,
    FraudRule,
    Gifts,
    Households,
    Leaderboards,
    MessageRule,
    Never,
    Operation,
    Period,
    PromotionWindow,
    Reaction,
    ReactionKind,
    Redemption,
    Restored,
    Returns,
    RollingMonths,
    Rounding,
    Shortfall,
    Tier,
    TierDiscount,
    Trigger,
    UpgradeCoupon,
    YearEnd,
)

TILL_LATE_DAYS = 30


@dataclass(frozen=True, slots=True, eq=False)
class CompiledProgram:
    """One version of the program, ready to decide."""

    version: int
    effective_time: datetime
    message: pb.Program
    currency: str
    minor_digits: int
    zone: ZoneInfo
    earning: Earning
    accrual: AccrualProgram
    pending_days: int
    expiry: Expiry
    redemption: Redemption
    returns: Returns
    ladder: tuple[Tier, ...]
    window_months: int
    validity_months: int
    benefits: tuple[Benefit, ...]
    messages: tuple[MessageRule, ...]
    antifraud: Antifraud
    tiers_by_id: dict[str, Tier]
    gifts: Gifts | None
    donations: Donations | None
    adjustments: Adjustments
    households: Households | None
    leaderboards: Leaderboards
    till_late_days_max: int
    gone_tiers: dict[str, Tier] = field(default_factory=dict)
    """By the id of a tier that only other versions have, the tier that it counts as in this one."""

    def tier(self, tier_id: str) -> Tier | None:
        """Returns the tier of that id; None when this version has none."""
        return self.tiers_by_id.get(tier_id)

    def counted_tier(self, tier_id: str) -> Tier | None:
        """Returns what a tier of any version counts as in this one; None when none has it."""
        return self.tiers_by_id.get(tier_id) or self.gone_tiers.get(tier_id)

    def counted_tier_id(self, tier_id: str | None) -> str:
        """Returns the id of that tier; empty when no version has it, or none is known."""
        tier = self.counted_tier(tier_id or "")
        return tier.id if tier is not None else ""


def compile_program(version: int, program: pb.Program, effective_time: datetime) -> CompiledProgram:
    """Compiles a document that was found valid; ValueError when it never was."""
    digits = MINOR_UNITS[program.currency]
    zone = ZoneInfo(program.time_zone)
    ladder = tuple(_tier(tier, rank, digits) for rank, tier in enumerate(program.tiers.ladder))
    return CompiledProgram(
        version=version,
        effective_time=effective_time,
        message=program,
        currency=program.currency,
        minor_digits=digits,
        zone=zone,
        earning=_earning(program.earning, digits),
        accrual=compile_accrual(program.earning, zone, digits, compile_expiry_policy),
        pending_days=program.earning.pending_days,
        expiry=_expiry(program.expiry),
        redemption=_redemption(program.redemption, zone),
        returns=_returns(program.returns),
        ladder=ladder,
        window_months=program.tiers.window_months,
        validity_months=program.tiers.validity_months,
        benefits=tuple(_benefit(benefit, digits) for benefit in program.benefits),
        messages=tuple(_message(rule) for rule in program.messages),
        antifraud=_antifraud(program.antifraud, digits),
        tiers_by_id={tier.id: tier for tier in ladder},
        gifts=_gifts(program.gifts) if program.HasField("gifts") else None,
        donations=_donations(program.donations) if program.HasField("donations") else None,
        till_late_days_max=program.tills.late_days_max or TILL_LATE_DAYS,
        adjustments=Adjustments(program.adjustments.alone_points_max),
        households=_households(program.households) if program.HasField("households") else None,
        leaderboards=Leaderboards(
            frozenset(Period(period) for period in program.leaderboards.periods),
            program.leaderboards.by_region,
        ),
    )


class UnknownVersion(LookupError):
    """No program was ever applied under that version."""


class ProgramHistory:
    """All versions of the program that were applied; never changes."""

    def __init__(self, programs: Iterable[CompiledProgram]) -> None:
        by_version = {program.version: program for program in programs}
        if not by_version:
            raise ValueError("a history needs at least one program")
        self._by_version = _with_gone_tiers(by_version)
        self._first = self._by_version[min(self._by_version)]
        self.newest = self._by_version[max(self._by_version)]
        # Of those that begin at one instant only the highest version ever decides.
        begins = {p.effective_time: p for _, p in sorted(self._by_version.items())}
        self._times = sorted(begins)
        self._programs = [begins[time] for time in self._times]

    def in_force(self, at: datetime) -> CompiledProgram:
        """Returns the version that decides at an instant: the latest to begin up to then.

        Before all of them it is version 1, so that a version applied for a past time changes
        nothing before that time.
        """
        index = bisect_right(self._times, at)
        return self._programs[index - 1] if index else self._first

    def version(self, number: int) -> CompiledProgram:
        """Returns a version by its number; raises UnknownVersion."""
        try:
            return self._by_version[number]
        except KeyError:
            raise UnknownVersion(f"there is no version {number} of the program") from None

    def versions(self) -> tuple[int, ...]:
        """Returns the numbers of all versions, lowest first."""
        return tuple(sorted(self._by_version))


def _with_gone_tiers(programs: Mapping[int, CompiledProgram]) -> dict[int, CompiledProgram]:
    """The same versions, each knowing what the tiers that only others have count as in it.

    Who holds such a tier keeps it until their review: it counts as the highest one here that asks
    for no more than it did when it was last there.
    """
    in_order = [programs[number] for number in sorted(programs)]
    # Of a tier that is yet to come, how it begins.
    last_seen = {tier.id: tier for program in reversed(in_order) for tier in program.ladder}
    known = {}
    for program in in_order:
        last_seen |= program.tiers_by_id
        gone = {
            tier_id: tier_for(tier.qualify_minor, program.ladder)
            for tier_id, tier in last_seen.items()
            if tier_id not in program.tiers_by_id
        }
        known[program.version] = replace(program, gone_tiers=gone) if gone else program
    return known


def _tier(tier: pb.Tier, rank: int, digits: int) -> Tier:
    return Tier(
        id=tier.id,
        name=tier.name,
        rank=rank,
        qualify_minor=scaled(tier.qualify_spend, digits),
        retain_minor=scaled(tier.retain_spend, digits),
        multiplier=tier.points_multiplier,
        multiplier_e4=scaled(tier.points_multiplier, 4),
    )


def _earning(earning: pb.Earning, digits: int) -> Earning:
    """The plain rules on purchases: all that there are, where `accrual.plain_purchases` says so."""
    rules = tuple(
        EarnRule(
            name=rule.name,
            condition=compile_condition(rule.when, EARN_FACTS) if rule.when else None,
            per_unit=rule.points_per_unit,
            per_unit_e6=scaled(rule.points_per_unit, 6),
            tier_multiplier=rule.tier_multiplier,
            reason=f"{rule.points_per_unit} for each 1.00 of spend",
        )
        for rule in earning.rules
        if is_plain(rule)
    )
    return compile_earning(rules, Rounding(earning.rounding), digits)


def _expiry(expiry: pb.Expiry) -> Expiry:
    if expiry.HasField("policy"):
        policy = compile_expiry_policy(expiry.policy)
    elif expiry.rolling_months:
        policy = RollingMonths(expiry.rolling_months)
    else:
        policy = Never()
    days = tuple(sorted(expiry.warning_days, reverse=True))
    restored = Restored(expiry.restored) if expiry.restored else Restored.ORIGINAL_OR_FLOOR
    return Expiry(policy, days, expiry.restored_days_min, restored)


def _returns(returns: pb.Returns) -> Returns:
    shortfall = Shortfall(returns.shortfall) if returns.shortfall else Shortfall.DEBT
    return Returns(shortfall, returns.debt_points_max, returns.debt_days)


def compile_expiry_policy(policy: pb.ExpiryPolicy) -> ExpiryPolicy:
    """Compiles the policy of a program or of one of its rules."""
    match policy.WhichOneof("kind"):
        case "rolling_months":
            return RollingMonths(policy.rolling_months)
        case "year_end":
            return YearEnd(1 if policy.year_end == pb.YEAR_END_NEXT_YEAR else 0)
        case _:
            return Never()


def _redemption(redemption: pb.Redemption, zone: ZoneInfo) -> Redemption:
    return Redemption(
        per_unit=redemption.points_per_unit,
        share_max=redemption.points_share_max,
        share_max_e6=scaled(redemption.points_share_max, 6),
        points_min=redemption.points_min,
        hold_minutes=redemption.hold_minutes,
        quote_minutes=redemption.quote_minutes,
        points_step=max(1, redemption.points_step),
        windows=tuple(_promotion(window, zone) for window in redemption.windows),
    )


def _promotion(window: pb.PromotionWindow, zone: ZoneInfo) -> PromotionWindow:
    return PromotionWindow(
        name=window.name,
        start=wall_time(window.window.start, zone),
        end=wall_time(window.window.end, zone),
        factor=window.factor,
        factor_e4=scaled(window.factor, 4),
        member_day_points_max=window.member_day_points_max,
    )


def _gifts(gifts: pb.Gifts) -> Gifts:
    return Gifts(
        share_max=gifts.share_max,
        share_max_e6=scaled(gifts.share_max, 6),
        month_points_max=gifts.month_points_max,
        fee_share=gifts.fee_share,
        fee_share_e6=scaled(gifts.fee_share, 6),
    )


def _donations(donations: pb.Donations) -> Donations:
    return Donations(donations.points_per_unit, frozenset(donations.causes))


def _households(households: pb.Households) -> Households:
    return Households(households.members_max, households.child_month_points_max)


def _benefit(benefit: pb.Benefit, digits: int) -> Benefit:
    if benefit.HasField("tier_discount"):
        discount = benefit.tier_discount
        percent_e2 = scaled(discount.percent_off, 2)
        return TierDiscount(
            benefit.id, benefit.name, discount.tier_id, discount.percent_off, percent_e2
        )
    coupon = benefit.upgrade_coupon
    return UpgradeCoupon(
        id=benefit.id,
        name=benefit.name,
        tier_id=coupon.tier_id,
        amount_minor=scaled(coupon.amount_off, digits),
        order_min_minor=scaled(coupon.order_amount_min, digits),
        valid_days=coupon.valid_days,
    )


def _message(rule: pb.MessageRule) -> MessageRule:
    return MessageRule(
        name=rule.name,
        trigger=Trigger(rule.on),
        channels=tuple(Channel(channel) for channel in rule.channels),
        subject=rule.subject,
        body=rule.body,
    )


def _antifraud(antifraud: pb.Antifraud, digits: int) -> Antifraud:
    rules = tuple(
        FraudRule(
            name=rule.name,
            operations=frozenset(Operation(operation) for operation in rule.operations),
            condition=compile_condition(rule.when, FRAUD_FACTS),
            action=Action(rule.action),
            score=rule.score,
            shadow=rule.shadow,
            reactions=tuple(
                Reaction(
                    ReactionKind(one.kind),
                    FraudKey(one.key or FraudKey.MEMBER),
                    one.duration_days,
                    one.points,
                    one.tier_id,
                )
                for one in rule.reactions
            ),
        )
        for rule in antifraud.rules
    )
    fallbacks = compile_fallbacks(antifraud.fallbacks, antifraud.fallback_accrual_points_max)
    return compile_antifraud(
        rules, digits, antifraud.deadline_ms or DEADLINE_MS, fallbacks,
        antifraud.external.deadline_ms or EXTERNAL_DEADLINE_MS,
        compile_step_up(antifraud.step_up),
    )  # fmt: skip
