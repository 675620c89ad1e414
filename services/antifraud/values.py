"""What anti-fraud is asked, and what it has decided."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from rules.compiled import CompiledProgram
from rules.fraud import Fired, FraudDecision
from rules.fraud_rules import FraudFacts
from rules.values import Action, Operation

RequestKey = tuple[str, str]
"""(member_id, request_id)"""


class Asked(NamedTuple):
    """An operation that is about to take effect; the facts come without velocity."""

    request_key: RequestKey
    occurred_time: datetime
    occurred_us: int
    program: CompiledProgram
    facts: FraudFacts


class Decided(NamedTuple):
    """A decision, as the hot path needs it."""

    assessment_id: UUID
    action: Action
    score: int
    program_version: int


class Assessed(NamedTuple):
    """An operation with the decision that was made now."""

    asked: Asked
    decision: FraudDecision


class Assessment(NamedTuple):
    """A stored decision with all that is known of it."""

    assessment_id: UUID
    request_id: str
    member_id: str
    kind: Operation
    action: Action
    score: int
    fired: tuple[Fired, ...]
    program_version: int
    points: int
    occurred_time: datetime
    create_time: datetime


def fired_to_json(fired: tuple[Fired, ...]) -> str | None:
    """The rules that fired as they are stored; None where there are none."""
    return orjson.dumps([one._asdict() for one in fired]).decode() if fired else None


def fired_from_json(stored: list[dict[str, Any]] | None) -> tuple[Fired, ...]:
    """The rules that fired, in the order of the program."""
    return tuple(
        Fired(one["rule"], Action(one["action"]), one["score"], one["facts"])
        for one in stored or ()
    )
