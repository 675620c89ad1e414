"""What anti-fraud is asked, and what it has decided."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from antifraud.scopes import Scope, scope_of
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
    scope: Scope


def asked_of(
    request_key: RequestKey,
    occurred_time: datetime,
    occurred_us: int,
    program: CompiledProgram,
    facts: FraudFacts,
) -> Asked:
    """An operation as a version decides it."""
    scope = scope_of(program, facts)
    return Asked(request_key, occurred_time, occurred_us, program, facts, scope)


class Decided(NamedTuple):
    """A decision, as the hot path needs it."""

    assessment_id: UUID
    action: Action
    score: int
    program_version: int
    challenge_id: UUID | None = None
    """With CHALLENGE, what the member has to solve; None where no more can be asked of them."""


class Kept(NamedTuple):
    """An operation, what was decided about it now, and the id under which that is kept."""

    asked: Asked
    decision: FraudDecision
    assessment_id: UUID


class Assessment(NamedTuple):
    """A stored decision with all that is known of it."""

    assessment_id: UUID
    request_id: str
    member_id: str
    facts: FraudFacts
    """What the request said of the operation."""
    action: Action
    score: int
    fired: tuple[Fired, ...]
    program_version: int
    occurred_time: datetime
    create_time: datetime


def fired_to_json(fired: tuple[Fired, ...]) -> str:
    """The rules that fired as they are stored; empty where there are none."""
    return orjson.dumps([_stored(one) for one in fired]).decode() if fired else ""


def fired_from_json(stored: list[dict[str, Any]] | None) -> tuple[Fired, ...]:
    """The rules that fired, in the order of the program."""
    return tuple(
        Fired(
            one["rule"], Action(one["action"]), one["score"], one["facts"],
            one.get("shadow", False),
        )
        for one in stored or ()
    )  # fmt: skip


def _stored(fired: Fired) -> dict[str, Any]:
    stored = fired._asdict()
    if not fired.shadow:
        # As rows from before shadow rules have it.
        del stored["shadow"]
    return stored


# What of the facts is stored under one key, each only where it is known.
CONTEXT = (
    "channel", "store", "device", "ip", "card", "staff", "counterparty", "latitude", "longitude",
)  # fmt: skip


def context_to_json(facts: FraudFacts) -> str:
    """Where an operation came from and whom it was for, as it is stored; empty where unknown."""
    if facts.latitude is None and not (
        facts.channel or facts.store or facts.device or facts.ip or facts.card
        or facts.staff or facts.counterparty
    ):  # fmt: skip
        return ""
    known = {name: getattr(facts, name) for name in CONTEXT}
    return orjson.dumps({k: v for k, v in known.items() if v not in ("", None)}).decode()


def facts_of(row: Any) -> FraudFacts:
    """The facts of a stored assessment."""
    return FraudFacts(
        Operation(row["kind"]), row["points"], row["amount_minor"] or 0, tier=row["tier_id"],
        order_id=row["order_id"], type=row["type"], member=row["member_id"],
        **(row["context"] or {}),
    )  # fmt: skip


def covers(row: Any, facts: FraudFacts) -> bool:
    """Whether leave for what was stored goes as far as what is asked now: nobody shall get more
    past the rules under a request id whose operation was let through, but never booked.

    The points of an accrual follow from its amount and what the member has done meanwhile.
    """
    amount_minor = row["amount_minor"]
    return (
        facts.operation == row["kind"]
        and (facts.operation is Operation.ACCRUAL or facts.points <= row["points"])
        # None in rows from before amounts were kept.
        and (amount_minor is None or facts.amount_minor <= amount_minor)
        and facts.counterparty == (row["counterparty"] or "")
    )
