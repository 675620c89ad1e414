"""New operations as they are kept: what does not depend on the decisions is made before these."""

from collections.abc import Sequence
from typing import Any

from antifraud.values import Asked, Kept, context_to_json, fired_to_json
from kit.clock import NewId
from kit.db import one_for_all, packed_texts
from rules.fraud import ALLOWED, FraudDecision


class Draft:
    """The rows of a batch, in the order of the key: two batches that share request ids must not
    deadlock.
    """

    def __init__(self, asked: Sequence[Asked], new_id: NewId) -> None:
        self._asked = asked
        self._new_id = new_id
        self._order = sorted(range(len(asked)), key=lambda i: asked[i].request_key)
        rows = [asked[i] for i in self._order]
        members, requests = zip(*[one.request_key for one in rows], strict=True)
        self._columns: list[Any] = [
            packed_texts(members),
            packed_texts(requests),
            [one.facts.points for one in rows],
            [one.facts.amount_minor for one in rows],
            packed_texts([one.facts.order_id for one in rows]),
            _sparse_texts([context_to_json(one.facts) for one in rows]),
            *_shared(rows),
        ]

    def kept(self, decisions: Sequence[FraudDecision]) -> list[Kept]:
        """The operations with their decisions, which are given in the order of deciding."""
        # In the order of deciding and behind the locks, so that a list shows that order.
        ids = [self._new_id() for _ in decisions]
        return [Kept(self._asked[i], decisions[i], ids[i]) for i in self._order]

    def columns(self, kept: Sequence[Kept]) -> list[Any]:
        """What `add_assessments` takes, but for the time."""
        decisions = [row.decision for row in kept]
        columns = [*self._columns, [row.assessment_id for row in kept]]
        if all(decision is ALLOWED for decision in decisions):
            return [*columns, None, None, None]
        return [
            *columns,
            [decision.action for decision in decisions],
            [decision.score for decision in decisions],
            packed_texts([fired_to_json(decision.fired) for decision in decisions]),
        ]


def _sparse_texts(texts: Sequence[str]) -> str | None:
    """Texts that are all empty most of the time."""
    return packed_texts(texts) if any(texts) else None


def _shared(rows: Sequence[Asked]) -> list[list[Any]]:
    """What many rows share, once each: for each row which of those that follow it has."""
    # Keyed by numbers: to hash an enum or a datetime costs as much as all else here.
    forms = _Numbered(
        [(int(o.facts.operation), o.program.version, o.facts.tier, o.facts.type) for o in rows]
    )
    times = {one.occurred_us: one.occurred_time for one in rows}
    instants = _Numbered([one.occurred_us for one in rows])
    columns = [list(column) for column in zip(*forms.values, strict=True)]
    return [forms.places, *columns, instants.places, [times[at_us] for at_us in instants.values]]


class _Numbered:
    """Different values, and for each row which of them it has: counted from 1, as arrays are."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self.values = list(dict.fromkeys(rows))
        numbers = {value: number for number, value in enumerate(self.values, 1)}
        # One where all are the same: the statement takes it for all.
        self.places = one_for_all([numbers[row] for row in rows])
