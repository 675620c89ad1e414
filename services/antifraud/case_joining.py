"""What cases have to do with decisions: a review joins one, and its outcome answers a repeat.

A batch without a review pays nothing for it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from antifraud.cases import Outcome
from antifraud.values import Asked, Decided, RequestKey
from kit.clock import NewId
from kit.db import Transaction
from rules.fraud import FraudDecision
from rules.values import Action, Operation


async def join_cases(
    tx: Transaction, rows: Sequence[tuple[Asked, FraudDecision, UUID]], new_id: NewId, now: datetime
) -> None:
    """Puts what is to be reviewed into the open cases of its members; `rows` are in the order of
    members.
    """
    reviews = [row for row in rows if row[1].action is Action.REVIEW]
    if reviews:
        await tx.execute(
            "join_cases",
            [asked.request_key[0] for asked, _, _ in reviews],
            [asked.request_key[1] for asked, _, _ in reviews],
            [assessment_id for _, _, assessment_id in reviews],
            [asked.facts.operation for asked, _, _ in reviews],
            [decision.score for _, decision, _ in reviews],
            [new_id() for _ in reviews],
            now,
        )


async def by_outcome(
    tx: Transaction, asked: Sequence[Asked], decided: dict[RequestKey, Decided]
) -> dict[RequestKey, Decided]:
    """Stored decisions; where people have decided a review since, theirs."""
    keys = [key for key, one in decided.items() if one.action is Action.REVIEW]
    if not keys:
        return decided
    members, requests = zip(*keys, strict=True)
    operations = {one.request_key: one for one in asked}
    answers = dict(decided)
    for row in await tx.fetch("find_outcomes", list(members), list(requests)):
        key = (row["member_id"], row["request_id"])
        allowed = row["outcome"] == Outcome.LEGITIMATE and _is_reviewed(operations[key], row)
        answers[key] = decided[key]._replace(action=Action.ALLOW if allowed else Action.DENY)
    return answers


def _is_reviewed(asked: Asked, row: Any) -> bool:
    """Whether it is what people looked at: nobody shall use their leave for anything else.

    The points of an accrual follow from its amount and what the member has done meanwhile.
    """
    facts = asked.facts
    same_points = facts.operation is Operation.ACCRUAL or facts.points == row["points"]
    return (
        facts.operation == row["kind"]
        and same_points
        and facts.amount_minor == (row["amount_minor"] or 0)
        and facts.counterparty == (row["counterparty"] or "")
    )
