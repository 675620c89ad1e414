"""The compiled form of the anti-fraud rules, and the facts they read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rules.cel import Conditions
from rules.cel_plain import AnyHolds, compile_any
from rules.facts import (
    DISTINCT_MEASURES,
    EXTERNAL_SCORE,
    LIST_FACTS,
    POINTS_CAP,
    POINTS_UNCAPPED,
    PROFILE_FACTS,
    Counter,
    flat_name,
    velocity_fact,
)
from rules.fraud_fallbacks import Fallback, Fallbacks, fallback_of
from rules.profile_facts import UNKNOWN
from rules.values import FraudRule, Operation, Reaction, StepUp


class Counts(NamedTuple):
    """What a velocity counter holds, this assessment included."""

    count: int  # type: ignore[assignment]  # hides the method of tuples, which nobody needs here
    amount_minor: int
    points: int


NO_COUNTS = Counts(0, 0, 0)
NO_SCORE = -1
"""The external engine gave no answer."""
# No operation moves more.
POINTS_MAX = 2**63 - 1


class FraudFacts(NamedTuple):
    """What a request says of an operation; unknown texts are empty."""

    operation: Operation
    points: int
    amount_minor: int = 0
    channel: str = ""
    store: str = ""
    device: str = ""
    ip: str = ""
    card: str = ""
    tier: str = ""
    order_id: str = ""
    type: str = ""
    staff: str = ""
    counterparty: str = ""
    latitude: float | None = None
    longitude: float | None = None
    member: str = ""
    external_score: int = NO_SCORE
    external_reasons: tuple[str, ...] = ()


# Facts and keys that FraudFacts has under another name.
_FIELDS = {"order": "order_id", "id": "member"}


def field_index(name: str) -> int:
    """Where the value of `request.<name>`, `member.id|tier` or of a key stands in FraudFacts."""
    return FraudFacts._fields.index(_FIELDS.get(name, name))


Velocity = Mapping[str, Any]
"""By the name of a counter, such as `member_1h`, what it shows; one that is not in it is 0.

By the path of a fact about the member, such as `member.age_days`, its value; one that is not in it
is unknown. So are facts of `lists`, false where not in it, and the cap.

Of a counter of different values, such as `device_1d.members`, the count says how many.
"""

Getter = Callable[[FraudFacts, Velocity], Any]


@dataclass(frozen=True, slots=True, eq=False)
class OperationRules:
    """The rules on one operation, in the order of the program."""

    rules: tuple[FraudRule, ...]
    conditions: Conditions
    getters: tuple[tuple[str, Getter], ...]
    reads_external: bool
    """Whether a condition reads the score of the external engine."""
    free_points_max: int
    """Above it an operation is challenged, whatever the rules say."""
    lists: frozenset[str]
    """The facts of lists, and the cap, that the rules read: what has to be looked up."""
    any_holds: AnyHolds | None
    """Whether any rule fires on facts and what is known beside them, where that is simple to tell:
    then no rule can break, and nearly always none fires.
    """


@dataclass(frozen=True, slots=True, eq=False)
class Antifraud:
    """All anti-fraud rules, the counters they read, and what holds when no decision can be had."""

    rules: tuple[FraudRule, ...]
    by_operation: Mapping[Operation, OperationRules]
    counters: tuple[Counter, ...]
    deadline_ms: int
    fallbacks: Fallbacks
    external_deadline_ms: int
    reads_external: bool
    """Whether any condition reads the score of the external engine."""
    step_up: StepUp
    reads_lists: bool
    """Whether a rule on any operation reads such a fact."""
    reactions: Mapping[str, tuple[Reaction, ...]]
    """By the name of a rule, what it does beyond the operation; only rules that do something."""

    def fallback(self, operation: Operation, type_: str) -> Fallback:
        """What is done with an operation of a type when no decision can be had."""
        return fallback_of(self.fallbacks, operation, type_)


def compile_antifraud(
    rules: tuple[FraudRule, ...],
    digits: int,
    deadline_ms: int,
    fallbacks: Fallbacks,
    external_deadline_ms: int,
    step_up: StepUp,
) -> Antifraud:
    """Prepares the rules so that an operation costs one evaluation of all their conditions."""
    by_operation = {o: _operation_rules(rules, o, digits, step_up) for o in Operation}
    return Antifraud(
        rules=rules,
        by_operation=by_operation,
        counters=_counters(rules),
        deadline_ms=deadline_ms,
        fallbacks=fallbacks,
        external_deadline_ms=external_deadline_ms,
        reads_external=any(one.reads_external for one in by_operation.values()),
        step_up=step_up,
        reads_lists=any(chosen.lists for chosen in by_operation.values()),
        reactions={rule.name: rule.reactions for rule in rules if rule.reactions},
    )


def _operation_rules(
    rules: tuple[FraudRule, ...], operation: Operation, digits: int, step_up: StepUp
) -> OperationRules:
    above = step_up.redemption_points_above if operation is Operation.REDEMPTION else 0
    chosen = tuple(rule for rule in rules if operation in rule.operations)
    paths = dict.fromkeys(path for rule in chosen for path in rule.condition.facts)
    getters = {flat_name(path): getter(path, digits) for path in paths}
    return OperationRules(
        rules=chosen,
        conditions=Conditions([rule.condition for rule in chosen]),
        getters=tuple(getters.items()),
        reads_external=EXTERNAL_SCORE in paths,
        free_points_max=above or POINTS_MAX,
        lists=frozenset(path for path in paths if path in LIST_FACTS or path == POINTS_CAP),
        any_holds=compile_any((rule.condition.flat for rule in chosen), getters),
    )


def _counters(rules: tuple[FraudRule, ...]) -> tuple[Counter, ...]:
    paths = (path for rule in rules for path in rule.condition.facts)
    found = {velocity_fact(p)[0]: None for p in paths if p.startswith("velocity.")}
    return tuple(found)


def getter(path: str, digits: int) -> Getter:
    """Returns what fetches a fact; amounts come in units of the currency."""
    scale = 10**digits
    root, _, name = path.partition(".")
    if root == "velocity":
        counter, _, measure = name.partition(".")
        return _counter_getter(counter, measure, scale)
    if path in PROFILE_FACTS:
        unknown = UNKNOWN[path]
        return lambda _, known: known.get(path, unknown)
    if root == "lists":
        return lambda _, known: known.get(path, False)
    if path == POINTS_CAP:
        return lambda _, known: known.get(path, POINTS_UNCAPPED)
    if path == "request.amount":
        return lambda facts, _: facts.amount_minor / scale
    if path == EXTERNAL_SCORE:
        return lambda facts, _: facts.external_score
    index = field_index(name)
    return lambda facts, _: facts[index]


def _counter_getter(counter: str, measure: str, scale: int) -> Getter:
    if measure == "amount":
        return lambda _, velocity: velocity.get(counter, NO_COUNTS).amount_minor / scale
    if measure == "points":
        return lambda _, velocity: velocity.get(counter, NO_COUNTS).points
    name = f"{counter}.{measure}" if measure in DISTINCT_MEASURES else counter
    return lambda _, velocity: velocity.get(name, NO_COUNTS).count
