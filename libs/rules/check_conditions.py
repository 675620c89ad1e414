"""Checks that every condition compiles, reads known facts and is true or false (PG-03)."""

from laurel.program.v1.earning_pb2 import Challenge, Coefficient, Streak
from laurel.program.v1.program_pb2 import EarnRule, Program
from rules.cel import compile_condition, try_out
from rules.cel_tokens import CelInvalid
from rules.facts import EARN_FACTS, FRAUD_FACTS, Counter, FactSchema, velocity_fact
from rules.mistakes import Report

COUNTERS_MAX = 32


def check_conditions(program: Program, report: Report) -> None:
    """Reports every condition that cannot be used, and too many velocity counters."""
    _check_earning(program, report)
    counters: set[Counter] = set()
    for index, fraud_rule in enumerate(program.antifraud.rules):
        path = f"antifraud.rules[{index}].when"
        facts = _check_condition(fraud_rule.when, path, FRAUD_FACTS, report)
        counters |= {velocity_fact(fact)[0] for fact in facts if fact.startswith("velocity.")}
    if len(counters) > COUNTERS_MAX:
        reason = f"read {len(counters)} different counters; use at most {COUNTERS_MAX}"
        report.add("antifraud.rules", reason)


def _check_earning(program: Program, report: Report) -> None:
    earning = program.earning
    owners: list[tuple[str, EarnRule | Coefficient | Streak | Challenge]] = []
    for index, rule in enumerate(earning.rules):
        path = f"earning.rules[{index}]"
        owners.append((path, rule))
        owners += [(f"{path}.coefficients[{i}]", one) for i, one in enumerate(rule.coefficients)]
    owners += [(f"earning.streaks[{i}]", streak) for i, streak in enumerate(earning.streaks)]
    owners += [(f"earning.challenges[{i}]", one) for i, one in enumerate(earning.challenges)]
    for path, owner in owners:
        if owner.when:
            _check_condition(owner.when, f"{path}.when", EARN_FACTS, report)


def _check_condition(source: str, path: str, schema: FactSchema, report: Report) -> tuple[str, ...]:
    if not report.faultless(path):
        return ()
    try:
        condition = compile_condition(source, schema)
        try_out(condition, schema)
    except CelInvalid as invalid:
        report.add(path, str(invalid))
        return ()
    return condition.facts
