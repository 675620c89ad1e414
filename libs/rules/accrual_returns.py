"""What is left of an accrual after a return, by what its rules had found true (PT-09).

No condition is asked again, and no counter: the rules, coefficients and room for caps of the day of
the purchase stay as they were found. So successive returns take back exactly what was earned.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rules.accrual_periods import Room
from rules.accrual_program import AccrualProgram
from rules.accrual_rules import Found, Settled, parts_from, settle
from rules.accrual_values import Challenge, Key, Measure, OrderLine
from rules.compiled import CompiledProgram
from rules.stacking import Applied
from rules.values import Tier

NOTHING_LEFT = Settled(0, (), (), {})


class TakenBack(NamedTuple):
    """An amount that a return takes from a counter; the challenge, where it is one's, and of a
    challenge of some days the first of them (0 where it was not noted).
    """

    key: Key
    amount: int
    challenge: Challenge | None
    first_day: int = 0


def settle_whole(
    basis: Mapping[str, Any], spend_minor: int, tier: Tier | None, program: CompiledProgram
) -> Settled:
    """What an activity earned, before anything of it was returned."""
    lines = [OrderLine(*line) for line in basis["lines"]]
    parts = parts_from(spend_minor, lines, basis["categories"])
    return settle(spend_minor, parts, _found(basis, program.accrual), tier, program.accrual)


def settle_kept(
    basis: Mapping[str, Any],
    spend_minor: int,
    kept_minor: int,
    tier: Tier | None,
    program: CompiledProgram,
    kept_by_line: Mapping[str, int] | None = None,
) -> Settled:
    """What a purchase earns for the part of its spend that was kept; nothing for nothing.

    Without `kept_by_line` all lines were kept in the same proportion; fixed points stay as long as
    anything is kept.
    """
    if not kept_minor:
        return NOTHING_LEFT
    lines = [OrderLine(*line) for line in basis["lines"]]
    kept_lines = _kept_lines(lines, spend_minor, kept_minor, kept_by_line)
    parts = parts_from(kept_minor, kept_lines, basis["categories"])
    found = _found(basis, program.accrual)
    return settle(kept_minor, parts, found, tier, program.accrual)


def taken_back(
    basis: Mapping[str, Any],
    before: Settled,
    after: Settled,
    returned_minor: int,
    whole: bool,
    program: CompiledProgram,
) -> list[TakenBack]:
    """What a return takes from counters: the room it frees under caps, and progress of challenges.

    Orders, categories and events are taken back when nothing is left. Days in a row stay.
    """
    challenges = {f"challenge:{c.name}": c for c in program.accrual.challenges}
    gone: list[TakenBack] = []
    for team, name, period, *first_day in basis["counted"]:
        challenge = challenges.get(name)
        kind, _, rule = name.partition(":")
        if kind == "cap":
            amount = before.capped.get(rule, 0) - after.capped.get(rule, 0)
        elif challenge is not None:
            amount = {
                Measure.POINTS: before.points - after.points,
                Measure.SPEND: returned_minor,
                Measure.COUNT: int(whole),
            }[challenge.measure]
        else:
            amount = int(whole and kind != "streak")
        if amount:
            gone.append(TakenBack(Key(team, name, period), amount, challenge, *first_day))
    return gone


def _kept_lines(
    lines: Sequence[OrderLine],
    spend_minor: int,
    kept_minor: int,
    kept_by_line: Mapping[str, int] | None,
) -> list[OrderLine]:
    kept = []
    amount = before = 0
    for line in lines:
        if kept_by_line is not None:
            part = kept_by_line.get(line.line_id, line.amount_minor)
        else:
            # Of sums, not of each: the parts then add up to what was kept.
            amount += line.amount_minor
            upto = amount * kept_minor // spend_minor
            part, before = upto - before, upto
        kept.append(
            OrderLine(
                line.line_id,
                line.category,
                line.product,
                line.quantity,
                line.unit_price_minor,
                part,
            )
        )
    return kept


def _found(basis: Mapping[str, Any], accrual: AccrualProgram) -> list[Found]:
    # In the order of the program, which decides ties: that of a JSON object is lost in Postgres.
    found = []
    for rule in accrual.of(basis["event"]).rules:
        what = basis["rules"].get(rule.name)
        if what is None:
            continue
        held = what["coefficients"]
        applied = tuple(
            Applied(one, None if held[one.name] is None else frozenset(held[one.name]))
            for one in rule.coefficients
            if one.name in held
        )
        room = None if what["room"] is None else Room(what["room"], "as found for the purchase")
        found.append(Found(rule, applied, room))
    return found
