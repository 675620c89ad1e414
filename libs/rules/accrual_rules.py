"""Which rules an activity meets (`find`), and what those give (`settle`), line by line.

The two are apart so that a return can settle again what was found true when the purchase was made.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal as Exact
from typing import Any, NamedTuple

from rules.accrual_facts import Scene, categories_of, category_key
from rules.accrual_periods import Room, room_of
from rules.accrual_program import AccrualProgram
from rules.accrual_values import (
    EXACT,
    AccrualRule,
    Activity,
    Coefficient,
    OrderLine,
    Stacking,
)
from rules.earning import POINTS_MAX, ROUNDING_STEP, Line, PointsOutOfRange
from rules.money import decimal_text
from rules.stacking import Applied, Part, multiply, total
from rules.values import ExpiryPolicy, Rounding, Tier

Answers = Mapping[str, bool | None]

_FALSE = "its condition does not hold"
_BROKEN = "its condition could not be evaluated"
_ROUNDING_REASONS = {
    Rounding.HALF_UP: "to whole points, a half up",
    Rounding.DOWN: "down to whole points",
}


class Found(NamedTuple):
    """A rule that holds, the coefficients that hold, and the room that its caps leave."""

    rule: AccrualRule
    applied: tuple[Applied, ...]
    room: Room | None


class Share(NamedTuple):
    """Points that mature and end alike: what becomes one lot.

    None stands for what the program says of all points.
    """

    points: int
    pending_days: int | None
    expiry: ExpiryPolicy | None
    rules: tuple[str, ...]


class Settled(NamedTuple):
    """Whole points, the lines that add up to them, the lots, and whole points of capped rules."""

    points: int
    lines: tuple[Line, ...]
    shares: tuple[Share, ...]
    capped: Mapping[str, int]


class _Outcome(NamedTuple):
    found: Found
    points: Exact
    lines: list[Line]


def find(scene: Scene, answers: Answers, program: AccrualProgram) -> tuple[list[Found], list[Line]]:
    """The rules that hold, and a line for each other rule that says why it does not."""
    found: list[Found] = []
    lines: list[Line] = []
    for rule in program.of(scene.activity.event).rules:
        reason = _why_not(rule, scene, answers)
        if reason:
            lines.append(Line(rule.name, False, rule.rate_text, "0", reason))
            continue
        applied = []
        for coefficient in rule.coefficients:
            reason = _why_not_coefficient(coefficient, scene, answers)
            if reason:
                name = f"{rule.name}:{coefficient.name}"
                lines.append(Line(name, False, coefficient.text, "0", reason))
            else:
                applied.append(Applied(coefficient, _categories(coefficient, scene)))
        found.append(Found(rule, tuple(applied), room_of(rule, scene)))
    return found, lines


def settle(
    amount_minor: int,
    parts: Sequence[Part],
    found: Sequence[Found],
    tier: Tier | None,
    program: AccrualProgram,
) -> Settled:
    """What rules that hold give for an amount and its parts: exact, rounded once for each lot.

    Raises PointsOutOfRange.
    """
    outcomes = [_outcome(one, amount_minor, parts, tier, program) for one in found]
    outcomes = _stack(outcomes, program)
    lines = [line for outcome in outcomes for line in outcome.lines]
    shares = _shares(outcomes, program.rounding)
    points = sum(share.points for share in shares)
    if points > POINTS_MAX:
        raise PointsOutOfRange(points)
    # Lines show 6 decimals, cut off: the last one takes what they lack, so that they always add up.
    rest_e6 = points * 10**6 - sum(_e6(Exact(line.points)) for line in lines)
    if rest_e6:
        reason = _ROUNDING_REASONS[program.rounding]
        lines.append(Line(ROUNDING_STEP, True, "", decimal_text(rest_e6, 6), reason))
    capped = {o.found.rule.name: int(o.points) for o in outcomes if o.found.room is not None}
    return Settled(points, tuple(lines), shares, capped)


def parts_of(activity: Activity) -> tuple[Part, ...]:
    """A purchase as its lines, and the rest of its amount that no line is for."""
    return parts_from(activity.amount_minor, activity.lines, activity.categories)


def parts_from(
    amount_minor: int, lines: Sequence[OrderLine], categories: Sequence[str]
) -> tuple[Part, ...]:
    """Parts of an amount; without lines there is one, of all the categories."""
    if not lines:
        return (Part(amount_minor, frozenset(categories), None),)
    parts = [
        Part(
            line.amount_minor,
            frozenset((line.category,)) if line.category else frozenset(),
            line.unit_price_minor,
        )
        for line in lines
    ]
    rest = amount_minor - sum(part.amount_minor for part in parts)
    return (*parts, Part(rest, frozenset(), None))


def _why_not(rule: AccrualRule, scene: Scene, answers: Answers) -> str:
    if rule.window is not None and not rule.window.holds(scene.activity.at):
        return "it is not the time of its campaign"
    return _why_false(rule, answers)


def _why_false(owner: Any, answers: Answers) -> str:
    if owner.condition is None:
        return ""
    answer = answers[owner.condition.source]
    if answer is None:
        return _BROKEN
    return "" if answer else _FALSE


def _why_not_coefficient(one: Coefficient, scene: Scene, answers: Answers) -> str:
    member, local = scene.member, scene.local
    if one.window is not None and not one.window.holds(scene.activity.at):
        return "it is not the time of its campaign"
    if one.month_days and local.day not in one.month_days:
        return "it is not a member day"
    if one.birthday_month and not member.birth_month:
        return "the month of the member's birthday is not known"
    if one.birthday_month and member.birth_month != local.month:
        return "it is not the month of the member's birthday"
    if one.tiers and (member.tier is None or member.tier.id not in one.tiers):
        return "it is for other tiers"
    if one.card and one.card not in member.cards:
        return f"the member holds no {one.card}"
    if one.by_category and not _categories(one, scene):
        if one.from_purchase:
            return f"nothing is the member's purchase no. {one.from_purchase} of a category"
        return "nothing is of its categories"
    return _why_false(one, answers)


def _categories(one: Coefficient, scene: Scene) -> frozenset[str] | None:
    """The categories of the purchase that a coefficient is for; None where it looks at none."""
    if not one.by_category:
        return None
    return frozenset(
        category
        for category in categories_of(scene.activity)
        if (not one.categories or category in one.categories)
        and scene.counted(category_key(category)) + 1 >= one.from_purchase
    )


def _outcome(
    found: Found,
    amount_minor: int,
    parts: Sequence[Part],
    tier: Tier | None,
    program: AccrualProgram,
) -> _Outcome:
    rule = found.rule
    vector = [EXACT.multiply(Exact(part.amount_minor), rule.rate) for part in parts]
    steps = amount_minor // rule.ladder_minor if rule.ladder_minor else 0
    vector.append(Exact(rule.fixed + steps * rule.ladder_points))
    lines = [Line(rule.name, True, rule.rate_text, _text(total(vector)), _reason(rule))]
    vector, more = multiply(vector, parts, rule, found.applied, program.groups, tier)
    lines += [
        Line(f"{rule.name}:{s.name}", s.applied, s.factor, _text(s.points), s.reason) for s in more
    ]
    points = total(vector)
    if rule.rounded_alone:
        points = _round_alone(rule, points, lines, program)
    if found.room is not None and points > found.room.points:
        over = EXACT.subtract(Exact(found.room.points), points)
        points = Exact(found.room.points)
        lines.append(Line(f"{rule.name}:cap", True, "", _text(over), found.room.reason))
    return _Outcome(found, points, lines)


def _round_alone(
    rule: AccrualRule, points: Exact, lines: list[Line], program: AccrualProgram
) -> Exact:
    rounding = rule.rounding or program.rounding
    whole = Exact(rounded(points, rounding))
    if whole != points:
        gain = _text(EXACT.subtract(whole, points))
        lines.append(Line(f"{rule.name}:rounding", True, "", gain, _ROUNDING_REASONS[rounding]))
    return whole


def _reason(rule: AccrualRule) -> str:
    reasons = []
    if rule.rate_text:
        reasons.append(f"{rule.rate_text} for each 1.00 of spend")
    if rule.ladder_points:
        reasons.append(f"{rule.ladder_points} for each full {rule.ladder_text}")
    if rule.fixed:
        reasons.append(f"{rule.fixed} for each {rule.event}")
    return ", ".join(reasons)


def _stack(outcomes: Sequence[_Outcome], program: AccrualProgram) -> list[_Outcome]:
    """Of the rules of a group that takes the best one, the others give nothing."""
    winners: dict[str, _Outcome] = {}
    for outcome in outcomes:
        group = outcome.found.rule.group
        if group and program.groups[group].stacking is Stacking.BEST:
            best = winners.setdefault(group, outcome)
            if outcome.points > best.points:
                winners[group] = outcome
    stacked = []
    for outcome in outcomes:
        rule = outcome.found.rule
        winner = winners.get(rule.group, outcome)
        if winner is outcome:
            stacked.append(outcome)
        else:
            reason = f"{winner.found.rule.name} of {rule.group} gives more, or as much"
            line = Line(rule.name, False, rule.rate_text, "0", reason)
            stacked.append(_Outcome(outcome.found, Exact(0), [line]))
    return stacked


def _shares(outcomes: Sequence[_Outcome], rounding: Rounding) -> tuple[Share, ...]:
    sums: dict[tuple[int | None, ExpiryPolicy | None], list[_Outcome]] = {}
    for outcome in outcomes:
        rule = outcome.found.rule
        sums.setdefault((rule.pending_days, rule.expiry), []).append(outcome)
    shares = []
    for (pending_days, expiry), together in sums.items():
        points = rounded(total([outcome.points for outcome in together]), rounding)
        names = tuple(outcome.found.rule.name for outcome in together if outcome.points)
        if points:
            shares.append(Share(points, pending_days, expiry, names))
    return tuple(shares)


def rounded(points: Exact, rounding: Rounding) -> int:
    """Whole points of an exact amount of 0 or more."""
    numerator, denominator = points.as_integer_ratio()
    if rounding is Rounding.HALF_UP:
        return (2 * numerator + denominator) // (2 * denominator)
    return numerator // denominator


def _e6(points: Exact) -> int:
    return int(EXACT.scaleb(points, 6))


def _text(points: Exact) -> str:
    return decimal_text(_e6(points), 6)
