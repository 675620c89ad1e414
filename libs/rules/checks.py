"""What the schema cannot say: names that must agree, orders that must rise, words that exist."""

from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from string import Template
from zoneinfo import available_timezones

from laurel.program.v1.program_pb2 import (
    Benefit,
    MessageRule,
    Program,
    RestoredExpiry,
    Shortfall,
    Tier,
)
from rules.check_conditions import check_conditions
from rules.check_earning import check_earning
from rules.check_fallbacks import check_fallbacks
from rules.check_reactions import check_reactions
from rules.check_redemption import check_redemption
from rules.check_step_up import check_step_up
from rules.messages import VARIABLES
from rules.mistakes import Report, did_you_mean
from rules.money import MINOR_UNITS
from rules.values import Trigger

_MULTIPLIER_MAX = 100
_PERCENT_MAX = 90


@cache
def _zones() -> frozenset[str]:
    # What a machine calls its own zone is another one on the next machine.
    return frozenset(available_timezones()) - {"localtime"}


def check_program(program: Program, report: Report) -> None:
    """Reports what is wrong in meaning, wherever the schema found no fault."""
    _check_head(program, report)
    _check_unique(program, report)
    check_earning(program, report)
    _check_expiry(program, report)
    _check_returns(program, report)
    check_redemption(program, report)
    _check_ladder(program, report)
    _check_benefits(program, report)
    for index, rule in enumerate(program.messages):
        _check_message(rule, f"messages[{index}]", report)
    _check_gifts(program, report)
    check_conditions(program, report)
    check_fallbacks(program, report)
    check_step_up(program, report)
    check_reactions(program, report)


def _check_head(program: Program, report: Report) -> None:
    if report.faultless("time_zone") and program.time_zone not in _zones():
        hint = did_you_mean(program.time_zone, sorted(_zones())) if program.time_zone else ""
        hint = hint if "did you mean" in hint else "; write one such as America/New_York"
        report.add("time_zone", f"is {program.time_zone:.60}, which is no time zone{hint}")
    if report.faultless("currency") and program.currency not in MINOR_UNITS:
        hint = did_you_mean(program.currency, sorted(MINOR_UNITS))
        hint = hint if "did you mean" in hint else "; write one such as USD"
        report.add("currency", f"is {program.currency}, which ISO 4217 does not list{hint}")


def _check_unique(program: Program, report: Report) -> None:
    named = {
        "earning.rules": ("name", [rule.name for rule in program.earning.rules]),
        "redemption.windows": ("name", [window.name for window in program.redemption.windows]),
        "tiers.ladder": ("id", [tier.id for tier in program.tiers.ladder]),
        "benefits": ("id", [benefit.id for benefit in program.benefits]),
        "messages": ("name", [rule.name for rule in program.messages]),
        "antifraud.rules": ("name", [rule.name for rule in program.antifraud.rules]),
        "antifraud.fallbacks": ("name", [one.name for one in program.antifraud.fallbacks]),
    }
    for path, (field, names) in named.items():
        first: dict[str, int] = {}
        for index, name in enumerate(names):
            before = first.setdefault(name, index)
            place = f"{path}[{index}].{field}"
            if before != index and report.faultless(place):
                line = report.place(f"{path}[{before}].{field}")[0]
                report.add(place, f"is {name}, as in line {line}; give each its own {field}")


def _check_expiry(program: Program, report: Report) -> None:
    both = program.expiry.HasField("policy") and "expiry.rolling_months" in report.places
    if both and report.faultless("expiry.policy"):
        report.add("expiry.policy", "cannot stand beside rolling_months; keep only one of the two")
    without_floor = program.expiry.restored in (
        RestoredExpiry.RESTORED_EXPIRY_ORIGINAL, RestoredExpiry.RESTORED_EXPIRY_FRESH,
    )  # fmt: skip
    if without_floor and program.expiry.restored_days_min:
        reason = "has no effect but with restored: original_or_floor; remove one of the two"
        report.add("expiry.restored_days_min", reason)


def _check_returns(program: Program, report: Report) -> None:
    if program.returns.shortfall != Shortfall.SHORTFALL_CASH:
        return
    for field in ("debt_points_max", "debt_days"):
        if f"returns.{field}" in report.places:
            report.add(f"returns.{field}", "has no effect with shortfall: cash; remove one of them")


def _check_gifts(program: Program, report: Report) -> None:
    place = "gifts.share_max"
    if not program.HasField("gifts") or not report.faultless(place):
        return
    if not Decimal(program.gifts.share_max):
        report.add(place, "is 0; write how large a gift may be, or remove `gifts` to allow none")


def _check_ladder(program: Program, report: Report) -> None:
    before: tuple[Tier, Decimal] | None = None
    for index, tier in enumerate(program.tiers.ladder):
        path = f"tiers.ladder[{index}]"
        qualify = _amount(tier.qualify_spend, f"{path}.qualify_spend", program, report)
        retain = _amount(tier.retain_spend, f"{path}.retain_spend", program, report)
        _check_multiplier(tier, f"{path}.points_multiplier", report)
        if qualify is not None:
            _check_qualify(index, tier, qualify, before, report)
            before = (tier, qualify)
            if retain is not None and retain > qualify:
                reason = f"is {retain}, above qualify_spend {qualify}; ask less to keep it"
                report.add(f"{path}.retain_spend", reason)


def _check_qualify(
    index: int, tier: Tier, qualify: Decimal, before: tuple[Tier, Decimal] | None, report: Report
) -> None:
    path = f"tiers.ladder[{index}].qualify_spend"
    if index == 0 and qualify:
        report.add(path, f"is {qualify}; the first tier is everybody's, write 0")
    if before is not None and qualify <= before[1]:
        lower, threshold = before
        reason = f"is {qualify}, not above {threshold} of {lower.id or 'the tier before'}"
        report.add(path, f"{reason}; thresholds must rise from tier to tier")


def _check_multiplier(tier: Tier, path: str, report: Report) -> None:
    if report.faultless(path) and not 1 <= Decimal(tier.points_multiplier) <= _MULTIPLIER_MAX:
        reason = f"is {tier.points_multiplier}; it must be from 1 to {_MULTIPLIER_MAX}"
        report.add(path, reason)


def _check_benefits(program: Program, report: Report) -> None:
    discounts: dict[str, int] = {}
    for index, benefit in enumerate(program.benefits):
        path = f"benefits[{index}]"
        if benefit.HasField("tier_discount"):
            _check_tier_id(benefit.tier_discount.tier_id, f"{path}.tier_discount", program, report)
            _check_discount(benefit, f"{path}.tier_discount", discounts, report)
        elif benefit.HasField("upgrade_coupon"):
            _check_tier_id(
                benefit.upgrade_coupon.tier_id, f"{path}.upgrade_coupon", program, report
            )
            _check_coupon(benefit, f"{path}.upgrade_coupon", program, report)


def _check_tier_id(tier_id: str, path: str, program: Program, report: Report) -> None:
    path += ".tier_id"
    ids = [tier.id for tier in program.tiers.ladder]
    # Where an id of the ladder is at fault, it may well be the one that is meant here.
    ladder = ["tiers.ladder", *(f"tiers.ladder[{index}].id" for index in range(len(ids)))]
    if report.faultless(path) and all(map(report.faultless, ladder)) and tier_id not in ids:
        report.add(path, f"is {tier_id:.60}, which is no tier{did_you_mean(tier_id, ids)}")


def _check_discount(benefit: Benefit, path: str, discounts: dict[str, int], report: Report) -> None:
    discount = benefit.tier_discount
    percent = f"{path}.percent_off"
    if report.faultless(percent) and not 0 < Decimal(discount.percent_off) <= _PERCENT_MAX:
        reason = f"is {discount.percent_off}; it must be above 0 and at most {_PERCENT_MAX}"
        report.add(percent, reason)
    line = discounts.setdefault(discount.tier_id, report.place(path)[0])
    if line != report.place(path)[0] and report.faultless(f"{path}.tier_id"):
        reason = f"is {discount.tier_id}, which has a discount in line {line}; only one can apply"
        report.add(f"{path}.tier_id", f"{reason}, remove the other")


def _check_coupon(benefit: Benefit, path: str, program: Program, report: Report) -> None:
    coupon = benefit.upgrade_coupon
    off = _amount(coupon.amount_off, f"{path}.amount_off", program, report)
    least = _amount(coupon.order_amount_min, f"{path}.order_amount_min", program, report)
    if off is not None and not off:
        report.add(f"{path}.amount_off", "is 0; take something off or remove the benefit")
    if off is not None and least is not None and least < off:
        reason = f"is {least}, below amount_off {off}; raise it to at least that"
        report.add(f"{path}.order_amount_min", reason)
    ladder = program.tiers.ladder
    if ladder and coupon.tier_id == ladder[0].id and report.faultless(f"{path}.tier_id"):
        reason = f"is {coupon.tier_id}, the first tier, which nobody rises to; name a higher one"
        report.add(f"{path}.tier_id", reason)


def _amount(text: str, path: str, program: Program, report: Report) -> Decimal | None:
    """Returns an amount that has no more decimals than the currency; None with a mistake."""
    if not report.faultless(path):
        return None
    digits = MINOR_UNITS.get(program.currency, 2)
    if len(text.partition(".")[2].rstrip("0")) > digits:
        report.add(path, f"is {text}; {program.currency} has {digits} decimals, write no more")
        return None
    return Decimal(text)


def _check_message(rule: MessageRule, path: str, report: Report) -> None:
    if not report.faultless(f"{path}.on"):
        return
    known = VARIABLES[Trigger(rule.on)]
    for field, text in (("subject", rule.subject), ("body", rule.body)):
        place = f"{path}.{field}"
        template = Template(text)
        if not template.is_valid():
            report.add(place, "has a $ without a variable; write ${name}, or $$ for a dollar sign")
            continue
        _check_variables(template.get_identifiers(), known, place, report)


def _check_variables(
    used: Iterable[str], known: tuple[str, ...], place: str, report: Report
) -> None:
    for name in used:
        if name not in known:
            hint = did_you_mean(name, list(known))
            report.add(place, f"uses ${{{name}}}, which this event does not have{hint}")
