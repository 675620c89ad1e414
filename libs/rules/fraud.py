"""Whether points may move (AF-02)."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import NamedTuple

from rules.awake import awake, shape_of
from rules.compiled import CompiledProgram
from rules.facts import EXTERNAL_SCORE, Counter, flat_name
from rules.fraud_rules import FraudFacts, OperationRules, Velocity
from rules.values import Action, strictness

SCORE_MAX = 1000
EXTERNAL_REASONS = "external.reasons"
"""Told beside the score that a rule has read; no condition can read it."""
# What fires where a redemption is too large to go without a challenge; no rule has such a name.
STEP_UP_RULE = "step_up.redemption_points_above"


class Fired(NamedTuple):
    """A rule that fired, with the facts that its condition read."""

    rule: str
    action: Action
    score: int
    facts: dict[str, str]
    shadow: bool = False
    """Whether it only watched: then its action and score count for nothing."""


class FraudDecision(NamedTuple):
    """The strictest action of the rules that fired and do not only watch; `broken` names rules that
    gave no answer.
    """

    action: Action
    score: int
    fired: tuple[Fired, ...]
    broken: tuple[str, ...]


ALLOWED = FraudDecision(Action.ALLOW, 0, (), ())
"""What nearly all decisions are."""


def velocity_counters(program: CompiledProgram) -> tuple[Counter, ...]:
    """Returns every counter that a rule of the program reads, each once."""
    return program.antifraud.counters


def without_challenge(fired: Iterable[Fired]) -> Action:
    """What the rules that fired ask for beside a challenge: ALLOW, REVIEW or DENY."""
    asked = (one.action for one in fired if not one.shadow and one.action is not Action.CHALLENGE)
    return max(asked, default=Action.ALLOW, key=strictness)


def decide(
    facts: FraudFacts, program: CompiledProgram, velocity: Velocity = MappingProxyType({})
) -> FraudDecision:
    """Decides an operation by all rules on it; a rule that breaks is named and left out."""
    rules = program.antifraud.by_operation[facts.operation]
    return decide_by(awake(rules, shape_of(facts)), facts, velocity)


def decide_by(chosen: OperationRules, facts: FraudFacts, velocity: Velocity) -> FraudDecision:
    """The same, by the rules that are awake for operations of its shape.

    Where nothing fires or breaks, it is ALLOWED itself.
    """
    is_large = facts.points > chosen.free_points_max
    if not is_large and chosen.any_holds is not None and not chosen.any_holds(facts, velocity):
        return ALLOWED
    values = {name: get(facts, velocity) for name, get in chosen.getters}
    answers = chosen.conditions.evaluate(values)
    if True not in answers and None not in answers and not is_large:
        return ALLOWED
    fired: list[Fired] = []
    broken: list[str] = []
    for rule, answer in zip(chosen.rules, answers, strict=True):
        if answer:
            read = {path: str(values[flat_name(path)]) for path in rule.condition.facts}
            if facts.external_reasons and EXTERNAL_SCORE in read:
                read[EXTERNAL_REASONS] = "; ".join(facts.external_reasons)
            fired.append(Fired(rule.name, rule.action, rule.score, read, rule.shadow))
        elif answer is None:
            broken.append(rule.name)
    if is_large:
        read = {"request.points": str(facts.points)}
        fired.append(Fired(STEP_UP_RULE, Action.CHALLENGE, 0, read))
    return decision_of(fired, broken)


def decision_of(fired: Iterable[Fired], broken: Iterable[str] = ()) -> FraudDecision:
    """What the rules that fired, in the order of the program, decide together."""
    known = tuple(fired)
    action, score = Action.ALLOW, 0
    for one in known:
        if not one.shadow:
            action = max(action, one.action, key=strictness)
            score += one.score
    return FraudDecision(action, min(score, SCORE_MAX), known, tuple(broken))
