"""What the rules of a version want to know of an operation: worked out once for all of its shape.

Most operations look alike: the same kind and type, and none or all of device, card and store. What
follows from that alone is looked up here in one go, and is the same object for all of them.
"""

from functools import lru_cache
from typing import NamedTuple

from antifraud.profile_views import VIEWS, View
from antifraud.series import Watch, watches
from rules.awake import NAMED, Guarded, Shape, awake, guarded, may_reach, shape_of
from rules.compiled import CompiledProgram
from rules.facts import PROFILE_FACTS
from rules.fraud_rules import FraudFacts, OperationRules, field_index
from rules.profile_facts import GIFT_FACTS
from rules.values import Operation

PROGRAMS_MAX = 64
SCOPES_MAX = 1024
MEMBER_FACTS = frozenset(PROFILE_FACTS)
HISTORY_FACTS = frozenset(path for path in PROFILE_FACTS if path.startswith("history."))


class Needs(NamedTuple):
    """What the rules on one kind of operation read of members."""

    views: tuple[tuple[str, View], ...]
    gifts: bool
    history: bool


class Scope(NamedTuple):
    """What operations of one shape are decided by."""

    rules: OperationRules
    """Those that can fire."""
    watches: tuple[Watch, ...]
    """What they count under: each names the key."""
    needs: Needs | None
    """What is to be looked up of members; None where no rule gets to read it."""
    guards: tuple[Guarded, ...]
    """Where there are any, nothing is to be looked up unless one of them lets its rule read it."""
    is_own: bool
    """Whether they are counted and looked up by nothing but their member."""

    def needs_of(self, facts: FraudFacts) -> Needs | None:
        """What is to be looked up for one operation."""
        return self.needs if not self.guards or may_reach(self.guards, facts) else None


def scope_of(program: CompiledProgram, facts: FraudFacts) -> Scope:
    """The scope of an operation."""
    return _scope(program, facts.operation, shape_of(facts))


@lru_cache(maxsize=SCOPES_MAX)
def scope_of_nowhere(
    program: CompiledProgram, kind: int, type_: str, has_order: bool, has_receiver: bool
) -> Scope:
    """The scope of an operation that names no channel, device or place, as nearly all do: found
    by what little there is to say of it.
    """
    facts = FraudFacts(
        Operation(kind), 0, type=type_, order_id="-" if has_order else "",
        counterparty="-" if has_receiver else "",
    )  # fmt: skip
    return scope_of(program, facts)


@lru_cache(maxsize=SCOPES_MAX)
def _scope(program: CompiledProgram, kind: Operation, shape: Shape) -> Scope:
    rules = awake(program.antifraud.by_operation[kind], shape)
    missing = {field_index(key) for key, named in zip(NAMED, shape[2:], strict=True) if not named}
    watched = tuple(
        watch for watch in watches(program, kind) if missing.isdisjoint((watch.fact, watch.second))
    )
    found = needs(program, kind)
    guards: tuple[Guarded, ...] = ()
    # One that names neither device nor place nor receiver leaves nothing to remember but history.
    remembers = {"device", "counterparty", "latitude"}
    is_sure = any(named for key, named in zip(NAMED, shape[2:], strict=True) if key in remembers)
    if found is not None and not found.history and not is_sure:
        guards = guarded(rules, MEMBER_FACTS)
        found = found if guards else None
    return Scope(rules, watched, found, guards, _is_own(rules, watched, found, shape))


def _is_own(
    rules: OperationRules, watched: tuple[Watch, ...], found: Needs | None, shape: Shape
) -> bool:
    own = {field_index("member")}
    # What is looked up on lists beside the member: what an operation puts there must not reach
    # another one of its batch.
    is_listed = bool(rules.lists) and any(shape[2:6])
    return (
        all({watch.fact, watch.second or watch.fact} == own for watch in watched)
        and not is_listed
        and (found is None or not found.gifts)
    )


@lru_cache(maxsize=PROGRAMS_MAX)
def needs(program: CompiledProgram, kind: Operation) -> Needs | None:
    """What is to be looked up for operations of a kind; None where no rule reads any of it."""
    rules = program.antifraud.by_operation[kind].rules
    read = {path for rule in rules for path in rule.condition.facts if path in PROFILE_FACTS}
    if not read:
        return None
    views = tuple((path, VIEWS[path]) for path in sorted(read - GIFT_FACTS))
    return Needs(views, gifts=bool(read & GIFT_FACTS), history=bool(read & HISTORY_FACTS))
