"""What is counted, and under which number its rows stand (AF-02).

A series is one kind of operation under one key, or two, kept for so long as one of five horizons:
the shortest that holds the longest window that a version's rules read. So a version that needs no
longer horizon than another goes on with its rows, and one that does has rows of its own, which are
filled from the stored assessments: see `filling`.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from rules.compiled import CompiledProgram
from rules.facts import DISTINCT_MEASURES, VELOCITY_KEYS, Counter, velocity_fact
from rules.fraud_rules import FraudFacts, field_index
from rules.values import Operation

PROGRAMS_MAX = 64
SECOND_US = 1_000_000
# Operations under way at the same time count for each other in whatever order they arrive.
REORDER_US = 5 * SECOND_US
HOUR_US = 3600 * SECOND_US
HORIZONS_US = tuple(hours * HOUR_US for hours in (1, 24, 7 * 24, 30 * 24, 90 * 24))
# Rows from before there were horizons stand under numbers below this one.
HORIZON_STEP = 1000
DISTINCT_STEP = 100
PAIR_STEP = 10
# queries/velocity.sql takes codes apart by the same number.
KIND_STEP = 10


class Watch(NamedTuple):
    """The counters that rules on one kind of operation read in one series."""

    number: int
    kind: int
    code: int
    """Number and kind in one, as rows are keyed by them."""
    fact: int
    """Where the value of the key stands in FraudFacts."""
    second: int | None
    """Where that of the other key of a pair stands."""
    distinct: int | None
    """Where that stands whose different values are counted."""
    counters: tuple[tuple[str, int], ...]
    """(name, window in microseconds)"""
    windows_us: tuple[int, ...]
    """Shortest first; the last one is the horizon."""

    def key(self, facts: FraudFacts) -> str:
        """What an operation is counted under; empty where it names no such key."""
        value = str(facts[self.fact])
        if self.second is None or not value:
            return value
        second = facts[self.second]
        # The length says where the one ends and the other begins.
        return f"{len(value)} {value} {second}" if second else ""


@lru_cache(maxsize=PROGRAMS_MAX)
def watches(program: CompiledProgram, kind: Operation) -> tuple[Watch, ...]:
    """What has to be counted for the rules on one kind of operation, and nothing else."""
    rules = program.antifraud.by_operation[kind].rules
    paths = (path for rule in rules for path in rule.condition.facts)
    counters = {velocity_fact(p)[0]: None for p in paths if p.startswith("velocity.")}
    return watches_of(counters, kind.value)


def watches_of(counters: Iterable[Counter], kind: int) -> tuple[Watch, ...]:
    """The counters by series, in the order of the contract."""
    known = tuple(counters)
    found = []
    for key, second, distinct in _shapes():
        own = tuple(
            (c.name, c.window_seconds * SECOND_US)
            for c in known
            if (c.key, c.second, c.distinct) == (key, second, distinct)
        )
        if own:
            found.append(_watch(kind, key, second, distinct, own))
    return tuple(found)


def _shapes() -> Iterator[tuple[str, str, str]]:
    """(key, second, distinct) of all that can be counted."""
    yield from ((key, "", "") for key in VELOCITY_KEYS)
    yield from ((key, second, "") for key, second in combinations(VELOCITY_KEYS, 2))
    yield from (
        (key, "", distinct)
        for key in VELOCITY_KEYS
        for distinct in DISTINCT_MEASURES.values()
        if key != distinct
    )


def _watch(
    kind: int, key: str, second: str, distinct: str, counters: tuple[tuple[str, int], ...]
) -> Watch:
    windows = {window for _, window in counters}
    level = next(i for i, horizon in enumerate(HORIZONS_US, 1) if max(windows) <= horizon)
    horizon = HORIZONS_US[level - 1]
    number = HORIZON_STEP * level + shape_number(key, second, distinct)
    return Watch(
        number=number,
        kind=kind,
        code=KIND_STEP * number + kind,
        fact=field_index(key),
        second=field_index(second) if second else None,
        distinct=field_index(distinct) if distinct else None,
        counters=counters,
        windows_us=tuple(sorted({*windows, horizon})),
    )


def shape_number(key: str, second: str, distinct: str) -> int:
    """Keys count from 1: store is 5, member and device 12, the members of a device 201."""
    first = VELOCITY_KEYS.index(key) + 1
    if second:
        return PAIR_STEP * first + VELOCITY_KEYS.index(second) + 1
    if distinct:
        return DISTINCT_STEP * first + VELOCITY_KEYS.index(distinct) + 1
    return first


def name_of(number: int) -> str:
    """The series of that number in words, such as `device.members, 1d`."""
    level, shape = divmod(number, HORIZON_STEP)
    days, hours = divmod(HORIZONS_US[level - 1] // HOUR_US, 24)
    window = f"{days}d" if days else f"{hours}h"
    names = {shape_number(*one): one for one in _shapes()}
    key, second, distinct = names[shape]
    shown = f"{key}_{second}" if second else f"{key}.{distinct}s" if distinct else key
    return f"{shown}, {window}"


def horizon_us(number: int) -> int:
    """How long the series of that number is kept."""
    return HORIZONS_US[number // HORIZON_STEP - 1]
