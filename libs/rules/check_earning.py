"""Checks of earning that the schema cannot say: names, kinds that go together, times."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from laurel.program.v1.earning_pb2 import (
    Challenge,
    Coefficient,
    Measure,
    Stacking,
    StackingGroup,
    Streak,
    Window,
)
from laurel.program.v1.program_pb2 import EarnRule, Program
from rules.accrual_program import wall_time
from rules.accrual_values import PURCHASE
from rules.earning import STEPS
from rules.mistakes import Report, did_you_mean
from rules.money import MINOR_UNITS

_PER_UNIT_MAX = 1000
_FACTOR_MAX = 1000


def check_earning(program: Program, report: Report) -> None:
    """Reports what is wrong with rules, groups, streaks and challenges."""
    _check_names(program, report)
    for index, group in enumerate(program.earning.groups):
        _check_group(group, f"earning.groups[{index}]", report)
    for index, rule in enumerate(program.earning.rules):
        _check_rule(rule, f"earning.rules[{index}]", program, report)
    for index, streak in enumerate(program.earning.streaks):
        _check_streak(streak, f"earning.streaks[{index}]", report)
    for index, challenge in enumerate(program.earning.challenges):
        _check_challenge(challenge, f"earning.challenges[{index}]", program, report)


def _check_names(program: Program, report: Report) -> None:
    """Rules, streaks and challenges stand side by side in explanations and share their names."""
    earning = program.earning
    rules = [(f"earning.rules[{i}].name", rule.name) for i, rule in enumerate(earning.rules)]
    others = [(f"earning.streaks[{i}].name", one.name) for i, one in enumerate(earning.streaks)]
    others += [
        (f"earning.challenges[{i}].name", one.name) for i, one in enumerate(earning.challenges)
    ]
    for path, name in (*rules, *others):
        if name in STEPS and report.faultless(path):
            report.add(path, f"is {name}, the name of a step; choose another one")
    # Rules among each other are compared with all the other lists.
    _check_unique(others, {name: path for path, name in reversed(rules)}, report)
    groups = [(f"earning.groups[{i}].name", one.name) for i, one in enumerate(earning.groups)]
    _check_unique(groups, {}, report)


def _check_unique(named: Iterable[tuple[str, str]], first: dict[str, str], report: Report) -> None:
    for path, name in named:
        before = first.setdefault(name, path)
        if before != path and report.faultless(path):
            line = report.place(before)[0]
            report.add(path, f"is {name}, as in line {line}; give each its own name")


def _check_group(group: StackingGroup, path: str, report: Report) -> None:
    place = f"{path}.factor_max"
    if not group.factor_max or not report.faultless(place):
        return
    if not 1 <= Decimal(group.factor_max) <= _FACTOR_MAX:
        report.add(place, f"is {group.factor_max}; it must be from 1 to {_FACTOR_MAX}")


def _check_rule(rule: EarnRule, path: str, program: Program, report: Report) -> None:
    per_unit = f"{path}.points_per_unit"
    on_spend = [field for field in ("points_per_unit", "ladder") if _is_set(rule, field)]
    if report.faultless(per_unit):
        if rule.points_per_unit and Decimal(rule.points_per_unit) > _PER_UNIT_MAX:
            report.add(per_unit, f"is {rule.points_per_unit}; it must be at most {_PER_UNIT_MAX}")
        elif not on_spend and not rule.fixed_points and report.faultless_below(path):
            report.add(per_unit, "is missing; write it, or fixed_points, or a ladder")
    if rule.event not in ("", PURCHASE) and report.faultless(f"{path}.event"):
        for field in on_spend:
            reason = f"is for spend, which a {rule.event} has none of; write fixed_points"
            report.add(f"{path}.{field}", reason)
    if rule.HasField("ladder"):
        _check_amount(rule.ladder.per_amount, f"{path}.ladder.per_amount", program, report)
    _check_group_name(rule.group, f"{path}.group", program, report, multiply=False)
    if rule.HasField("window"):
        check_window(rule.window, f"{path}.window", program, report)
    _check_unique(
        [(f"{path}.coefficients[{i}].name", c.name) for i, c in enumerate(rule.coefficients)],
        {},
        report,
    )
    for index, coefficient in enumerate(rule.coefficients):
        _check_coefficient(coefficient, f"{path}.coefficients[{index}]", rule, program, report)


def _is_set(rule: EarnRule, field: str) -> bool:
    return any(one.name == field for one, _ in rule.ListFields())


def _check_coefficient(
    one: Coefficient, path: str, rule: EarnRule, program: Program, report: Report
) -> None:
    if report.faultless(f"{path}.factor") and Decimal(one.factor) > _FACTOR_MAX:
        report.add(f"{path}.factor", f"is {one.factor}; it must be at most {_FACTOR_MAX}")
    if one.name in STEPS and report.faultless(f"{path}.name"):
        report.add(f"{path}.name", f"is {one.name}, the name of a step; choose another one")
    _check_group_name(one.group, f"{path}.group", program, report, multiply=True)
    by_line = [f for f in ("categories", "from_purchase", "price_min", "price_below")
               if getattr(one, f)]  # fmt: skip
    if by_line and not rule.points_per_unit and report.faultless(f"{path}.{by_line[0]}"):
        reason = "looks at lines, which only points_per_unit counts; remove it or state a rate"
        report.add(f"{path}.{by_line[0]}", reason)
    least = _check_amount(one.price_min, f"{path}.price_min", program, report)
    below = _check_amount(one.price_below, f"{path}.price_below", program, report)
    if least is not None and below is not None and below <= least:
        report.add(f"{path}.price_below", f"is {below}, not above price_min {least}; raise it")
    ids = [tier.id for tier in program.tiers.ladder]
    for index, tier_id in enumerate(one.tiers):
        if tier_id not in ids and report.faultless("tiers.ladder"):
            reason = f"is {tier_id:.60}, which is no tier{did_you_mean(tier_id, ids)}"
            report.add(f"{path}.tiers[{index}]", reason)
    if one.HasField("window"):
        check_window(one.window, f"{path}.window", program, report)


def _check_group_name(
    name: str, path: str, program: Program, report: Report, *, multiply: bool
) -> None:
    groups = {group.name: group for group in program.earning.groups}
    if not name or not report.faultless(path) or not report.faultless("earning.groups"):
        return
    if name not in groups:
        hint = did_you_mean(name, list(groups)) if groups else "; describe it in earning.groups"
        report.add(path, f"is {name:.60}, which is no group{hint}")
    elif not multiply and groups[name].stacking == Stacking.STACKING_MULTIPLY:
        report.add(path, f"is {name}, which multiplies; rules can be added, or the best one taken")


def _check_streak(streak: Streak, path: str, report: Report) -> None:
    if not streak.bonus_points and not streak.badge and report.faultless_below(path):
        report.add(f"{path}.bonus_points", "is missing; write it, or a badge")


def _check_challenge(challenge: Challenge, path: str, program: Program, report: Report) -> None:
    if not challenge.bonus_points and not challenge.badge and report.faultless_below(path):
        report.add(f"{path}.bonus_points", "is missing; write it, or a badge")
    if challenge.HasField("window"):
        check_window(challenge.window, f"{path}.window", program, report)
    target = f"{path}.target"
    if not report.faultless(target):
        return
    if challenge.measure == Measure.MEASURE_SPEND:
        _check_amount(challenge.target, target, program, report)
        others = [event for event in challenge.events if event != PURCHASE]
        if others and report.faultless(f"{path}.events"):
            reason = f"has {others[0]}, which has no spend; leave only {PURCHASE}"
            report.add(f"{path}.events", reason)
    elif Decimal(challenge.target) != int(Decimal(challenge.target)):
        report.add(target, f"is {challenge.target}; write a whole number")
    elif not Decimal(challenge.target):
        report.add(target, "is 0; ask for more than nothing")


def _check_amount(text: str, path: str, program: Program, report: Report) -> Decimal | None:
    """A decimal above 0 with no more places than the currency has; empty is no amount."""
    if not text or not report.faultless(path):
        return None
    digits = MINOR_UNITS.get(program.currency, 2)
    if len(text.partition(".")[2].rstrip("0")) > digits:
        report.add(path, f"is {text}; {program.currency} has {digits} decimals, write no more")
        return None
    if not Decimal(text) and not path.endswith("price_min"):
        report.add(path, f"is {text}; write an amount above 0")
        return None
    return Decimal(text)


def check_window(
    window: Window, path: str, program: Program, report: Report
) -> tuple[datetime, datetime] | None:
    """Begin and end of a window; None with a mistake."""
    start = _time(window.start, f"{path}.start", program, report)
    end = _time(window.end, f"{path}.end", program, report)
    if start is None or end is None:
        return None
    if end <= start:
        report.add(f"{path}.end", f"is {window.end}, not after {window.start}; end it later")
        return None
    return start, end


def _time(text: str, path: str, program: Program, report: Report) -> datetime | None:
    if not report.faultless(path):
        return None
    # Where the zone is at fault, which is told already, any other tells the rest as well.
    zone = program.time_zone if report.faultless("time_zone") else "UTC"
    try:
        return wall_time(text, ZoneInfo(zone))
    except (ValueError, OverflowError):
        report.add(path, f"is {text}, which is no day of the calendar")
        return None
