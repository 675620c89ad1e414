"""The compiled form of the rules on spend."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from rules.cel import Conditions
from rules.facts import flat_name
from rules.values import EarnRule, Rounding


class Purchase(NamedTuple):
    """What earns points: an amount of 0 or more in minor units, and where it was spent."""

    amount_minor: int
    categories: tuple[str, ...] = ()
    channel: str = ""
    store: str = ""


Getter = Callable[[Purchase, str], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Earning:
    """The rules on spend; `conditional` holds the positions of those with a condition."""

    rules: tuple[EarnRule, ...]
    rounding: Rounding
    minor_digits: int
    unit: int
    conditional: tuple[int, ...]
    conditions: Conditions
    getters: tuple[tuple[str, Getter], ...]
    always: tuple[bool, ...]


def compile_earning(rules: tuple[EarnRule, ...], rounding: Rounding, digits: int) -> Earning:
    """Prepares the rules so that a purchase costs one evaluation of all their conditions."""
    conditional = tuple(i for i, rule in enumerate(rules) if rule.condition is not None)
    conditions = [rule.condition for rule in rules if rule.condition is not None]
    paths = dict.fromkeys(path for condition in conditions for path in condition.facts)
    getters = _getters(digits)
    return Earning(
        rules=rules,
        rounding=rounding,
        minor_digits=digits,
        unit=10 ** (digits + 6),
        conditional=conditional,
        conditions=Conditions(conditions),
        getters=tuple((flat_name(path), getters[path]) for path in paths),
        always=(True,) * len(rules),
    )


def _getters(digits: int) -> dict[str, Getter]:
    scale = 10**digits
    return {
        "order.amount": lambda purchase, _: purchase.amount_minor / scale,
        "order.channel": lambda purchase, _: purchase.channel,
        "order.store": lambda purchase, _: purchase.store,
        "order.categories": lambda purchase, _: list(purchase.categories),
        "member.tier": lambda _, tier_id: tier_id,
    }
