"""Checks of anti-fraud's policy under failure that the schema cannot say."""

from laurel.program.v1.program_pb2 import (
    FallbackPolicy,
    FraudFallback,
    FraudOperation,
    Program,
)
from rules.fraud_fallbacks import ANY, DEADLINE_MS, EXTERNAL_DEADLINE_MS
from rules.mistakes import Report, did_you_mean

REDEMPTION_TYPES = ("order", "gift", "donation", "pool")
_PEND = FallbackPolicy.FALLBACK_POLICY_PEND
_REDEMPTION = FraudOperation.FRAUD_OPERATION_REDEMPTION


def check_fallbacks(program: Program, report: Report) -> None:
    """Reports fallbacks that contradict each other or themselves, and an engine that would be
    waited for too long.
    """
    named: dict[tuple[int, str], str] = {}
    for index, fallback in enumerate(program.antifraud.fallbacks):
        path = f"antifraud.fallbacks[{index}]"
        _check_policy(fallback, path, report)
        _check_types(fallback, path, named, report)
    _check_deadlines(program, report)


def _check_policy(fallback: FraudFallback, path: str, report: Report) -> None:
    if fallback.policy == _PEND and fallback.operation == _REDEMPTION:
        if report.faultless(f"{path}.policy"):
            reason = "cannot be pend for a redemption: spent points do not come back; write refuse"
            report.add(f"{path}.policy", reason)
        return
    place = f"{path}.points_max"
    if not report.faultless(place):
        return
    if fallback.policy == _PEND and not fallback.points_max:
        wanted = "the most points of one accrual that are booked pending, or policy: refuse"
        report.add(place, f"must be 1 or more with policy: pend; write {wanted}")
    elif fallback.policy != _PEND and fallback.points_max:
        report.add(place, "has no effect but with policy: pend; remove one of the two")


def _check_types(
    fallback: FraudFallback, path: str, named: dict[tuple[int, str], str], report: Report
) -> None:
    types = [(f"{path}.types[{i}]", type_) for i, type_ in enumerate(fallback.types)]
    for place, type_ in types or [(path, ANY)]:
        if not report.faultless(place):
            continue
        if fallback.operation == _REDEMPTION and type_ and type_ not in REDEMPTION_TYPES:
            hint = did_you_mean(type_, list(REDEMPTION_TYPES))
            report.add(place, f"is {type_:.60}, which is no type of redemptions{hint}")
            continue
        before = named.setdefault((fallback.operation, type_), place)
        if before != place:
            what = type_ or "all types of the operation"
            line = report.place(before)[0]
            report.add(place, f"is for {what}, as in line {line}; keep only one of the two")


def _check_deadlines(program: Program, report: Report) -> None:
    antifraud, place = program.antifraud, "antifraud.external.deadline_ms"
    if not antifraud.HasField("external") or not report.faultless(place):
        return
    own_ms = antifraud.external.deadline_ms or EXTERNAL_DEADLINE_MS
    whole_ms = antifraud.deadline_ms or DEADLINE_MS
    if own_ms >= whole_ms and report.faultless("antifraud.deadline_ms"):
        reason = (
            f"is {own_ms}; it must be below the {whole_ms} ms that a caller waits for a decision"
        )
        report.add(place, reason)
