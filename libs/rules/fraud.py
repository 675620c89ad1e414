"""Whether points may move (AF-02)."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import NamedTuple

from rules.compiled import CompiledProgram
from rules.facts import Counter, flat_name
from rules.fraud_rules import FraudFacts, Velocity
from rules.values import Action, strictness

SCORE_MAX = 1000
# What fires where a redemption is too large to go without a challenge; no rule has such a name.
STEP_UP_RULE = "step_up.redemption_points_above"


class Fired(NamedTuple):
    """A rule that fired, with the facts that its condition read."""

    rule: str
    action: Action
    score: int
    facts: dict[str, str]


class FraudDecision(NamedTuple):
    """The strictest action of the rules that fired; `broken` names rules that gave no answer."""

    action: Action
    score: int
    fired: tuple[Fired, ...]
    broken: tuple[str, ...]


_ALLOWED = FraudDecision(Action.ALLOW, 0, (), ())


def velocity_counters(program: CompiledProgram) -> tuple[Counter, ...]:
    """Returns every counter that a rule of the program reads, each once."""
    return program.antifraud.counters


def without_challenge(fired: Iterable[Fired]) -> Action:
    """What the rules that fired ask for beside a challenge: ALLOW, REVIEW or DENY."""
    asked = (one.action for one in fired if one.action is not Action.CHALLENGE)
    return max(asked, default=Action.ALLOW, key=strictness)


def decide(
    facts: FraudFacts, program: CompiledProgram, velocity: Velocity = MappingProxyType({})
) -> FraudDecision:
    """Decides an operation by all rules on it; a rule that breaks is named and left out."""
    chosen = program.antifraud.by_operation[facts.operation]
    values = {name: get(facts, velocity) for name, get in chosen.getters}
    answers = chosen.conditions.evaluate(values)
    is_large = facts.points > chosen.free_points_max
    if True not in answers and None not in answers and not is_large:
        return _ALLOWED
    fired: list[Fired] = []
    broken: list[str] = []
    for rule, answer in zip(chosen.rules, answers, strict=True):
        if answer:
            read = {path: str(values[flat_name(path)]) for path in rule.condition.facts}
            fired.append(Fired(rule.name, rule.action, rule.score, read))
        elif answer is None:
            broken.append(rule.name)
    if is_large:
        read = {"request.points": str(facts.points)}
        fired.append(Fired(STEP_UP_RULE, Action.CHALLENGE, 0, read))
    action = max((f.action for f in fired), default=Action.ALLOW, key=strictness)
    score = min(sum(f.score for f in fired), SCORE_MAX)
    return FraudDecision(action, score, tuple(fired), tuple(broken))
