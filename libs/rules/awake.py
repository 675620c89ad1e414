"""The rules of anti-fraud that an operation can make fire (AF-02).

Most operations name no device, card or store. What a rule reads of these is then known beforehand:
the text is empty, the counter 0. A rule that is false for that alone sleeps: it is not evaluated,
and what else it reads is not fetched. What is counted does not depend on it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from rules.cel import Condition, Conditions, compile_condition, evaluate_one
from rules.cel_plain import compile_any
from rules.cel_tokens import tokens
from rules.facts import FRAUD_FACTS, REQUEST_FACTS, Type, flat_name, velocity_fact
from rules.fraud_rules import FraudFacts, Getter, OperationRules

SHAPES_MAX = 1024
CONDITIONS_MAX = 1024
NEVER_MINUTES = 1_000_000_000

Shape = tuple[str, str, bool, bool, bool, bool, bool, bool, bool, bool]
"""Type and channel of an operation, and whether it names what NAMED lists."""
NAMED = ("device", "ip", "card", "store", "staff", "order", "counterparty", "latitude")

# What facts need that are no counters and no texts of the request, and what they show without it.
_WITHOUT: Mapping[str, tuple[str, Any]] = MappingProxyType(
    {
        "request.device_age_minutes": ("device", NEVER_MINUTES),
        "travel.km": ("latitude", 0.0),
        "travel.kmh": ("latitude", 0.0),
        "gifts.senders": ("counterparty", 0),
        "gifts.cycle": ("counterparty", False),
    }
)


def shape_of(facts: FraudFacts) -> Shape:
    """What decides which rules are awake."""
    return (
        facts.type, facts.channel, facts.device != "", facts.ip != "", facts.card != "",
        facts.store != "", facts.staff != "", facts.order_id != "", facts.counterparty != "",
        facts.latitude is not None,
    )  # fmt: skip


class Guarded(NamedTuple):
    """The parts of a rule that read of the request alone, and what fetches their facts."""

    getters: tuple[tuple[str, Getter], ...]
    parts: Conditions


def may_reach(guards: Iterable[Guarded], facts: FraudFacts) -> bool:
    """Whether one of these rules may get to read more than the request: one that is false by what
    the request says does not.
    """
    for getters, parts in guards:
        if False not in parts.evaluate({name: get(facts, {}) for name, get in getters}):
            return True
    return False


def guarded(rules: OperationRules, paths: frozenset[str]) -> tuple[Guarded, ...]:
    """For each rule that reads any of these facts, which lie outside of the request, its parts that
    read of the request alone.
    """
    found = []
    for rule in rules.rules:
        if paths.isdisjoint(rule.condition.facts):
            continue
        guards = [p for p in parts_of(rule.condition) if REQUEST_FACTS.keys() >= {*p.facts}]
        names = {flat_name(path) for guard in guards for path in guard.facts}
        getters = tuple((name, get) for name, get in rules.getters if name in names)
        found.append(Guarded(getters, Conditions(guards)))
    return tuple(found)


@lru_cache(maxsize=SHAPES_MAX)
def awake(rules: OperationRules, shape: Shape) -> OperationRules:
    """The rules that can fire on operations of a shape, in the order of the program."""
    chosen = tuple(rule for rule in rules.rules if not _sleeps(rule.condition, shape))
    names = {flat_name(path) for rule in chosen for path in rule.condition.facts}
    getters = {name: get for name, get in rules.getters if name in names}
    return replace(
        rules,
        rules=chosen,
        conditions=Conditions([rule.condition for rule in chosen]),
        getters=tuple(getters.items()),
        any_holds=compile_any((rule.condition.flat for rule in chosen), getters),
    )


def _sleeps(condition: Condition, shape: Shape) -> bool:
    """Whether a part of the condition is false by the shape alone."""
    for part in parts_of(condition):
        known = {path: value for path in part.facts for value in _known(path, shape)}
        if len(known) == len(part.facts):
            values = {flat_name(path): value for path, value in known.items()}
            if evaluate_one(part, values) is False:
                return True
    return False


def _known(path: str, shape: Shape) -> list[Any]:
    """What a fact shows for all operations of a shape; empty where that differs."""
    root, _, name = path.partition(".")
    missing = {key for key, named in zip(NAMED, shape[2:], strict=True) if not named}
    if root == "velocity":
        counter, kind = velocity_fact(path)
        keys = {counter.key, counter.second, counter.distinct}
        return [0.0 if kind is Type.DOUBLE else 0] if keys & missing else []
    if path == "request.type":
        return [shape[0]]
    if path == "request.channel":
        return [shape[1]]
    needed, without = _WITHOUT.get(path, (name if root == "request" else "", ""))
    return [without] if needed in missing else []


@lru_cache(maxsize=CONDITIONS_MAX)
def parts_of(condition: Condition) -> tuple[Condition, ...]:
    """What && joins, where nothing else stands around it; else the condition as it is."""
    found = tokens(condition.source)
    depth, start, cuts = 0, 0, []
    for token in found:
        if token.kind == "sign":
            depth += (token.text in "([") - (token.text in ")]")
            if depth == 0 and token.text in ("||", "?"):
                return (condition,)
            if depth == 0 and token.text == "&&":
                cuts.append((start, token.column - 1))
                start = token.column + 1
    cuts.append((start, len(condition.source)))
    if len(cuts) == 1:
        return (condition,)
    return tuple(compile_condition(condition.source[a:b], FRAUD_FACTS) for a, b in cuts)
