"""Checks what rules of anti-fraud do beyond the operation (AF-04)."""

from laurel.program.v1.program_pb2 import FraudKey, FraudReaction, FraudReactionKind, Program
from rules.mistakes import Report

_LISTS = (
    FraudReactionKind.FRAUD_REACTION_KIND_DENY_LIST,
    FraudReactionKind.FRAUD_REACTION_KIND_WATCH_LIST,
)


def check_reactions(program: Program, report: Report) -> None:
    """Reports reactions that say more than their kind can use, and the same one twice."""
    for number, rule in enumerate(program.antifraud.rules):
        seen: dict[tuple[int, int], int] = {}
        for index, reaction in enumerate(rule.reactions):
            path = f"antifraud.rules[{number}].reactions[{index}]"
            _check(reaction, path, report)
            _check_tier(reaction, path, program, report)
            key = reaction.key or FraudKey.FRAUD_KEY_MEMBER
            before = seen.setdefault((reaction.kind, key), index)
            if before != index and report.faultless(f"{path}.kind"):
                line = report.place(f"antifraud.rules[{number}].reactions[{before}].kind")[0]
                report.add(f"{path}.kind", f"stands in line {line} already; keep only one of them")


def _check(reaction: FraudReaction, path: str, report: Report) -> None:
    if not report.faultless(f"{path}.kind"):
        return
    member = (FraudKey.FRAUD_KEY_UNSPECIFIED, FraudKey.FRAUD_KEY_MEMBER)
    if reaction.kind not in _LISTS and reaction.key not in member:
        report.add(f"{path}.key", "is for lists alone; this kind is for the member, leave key out")
    is_cap = reaction.kind == FraudReactionKind.FRAUD_REACTION_KIND_CAP_POINTS
    if reaction.points and not is_cap and report.faultless(f"{path}.points"):
        report.add(f"{path}.points", "are for cap_points alone; leave them out")


def _check_tier(reaction: FraudReaction, path: str, program: Program, report: Report) -> None:
    if not reaction.tier_id or not report.faultless(f"{path}.tier_id"):
        return
    if reaction.kind != FraudReactionKind.FRAUD_REACTION_KIND_DEMOTE:
        report.add(f"{path}.tier_id", "is for demote alone; leave it out")
        return
    below_top = [tier.id for tier in program.tiers.ladder][:-1]
    if reaction.tier_id not in below_top:
        known = ", ".join(below_top)
        report.add(
            f"{path}.tier_id",
            f"{reaction.tier_id} is no tier below the top of the ladder; name one of {known}",
        )
