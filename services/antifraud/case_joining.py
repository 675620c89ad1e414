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
    reviews = [
        (asked, assessment_id, decision.score)
        for asked, decision, assessment_id in rows
        if decision.action is Action.REVIEW
    ]
    if reviews:
        await _join(tx, reviews, new_id, now)


async def join_late_cases(
    tx: Transaction, solved: Sequence[Asked], decided: dict[RequestKey, Decided], new_id: NewId,
    now: datetime,
) -> None:  # fmt: skip
    """Puts what is challenged no more, but is to be reviewed, into cases, each of them once."""
    late = {
        one.request_key: one for one in solved if decided[one.request_key].action is Action.REVIEW
    }
    if not late:
        return
    members, requests = zip(*late, strict=True)
    for row in await tx.fetch("find_case_items", list(members), list(requests)):
        del late[row["member_id"], row["request_id"]]
    reviews = [(late[key], decided[key].assessment_id, decided[key].score) for key in sorted(late)]
    if reviews:
        await _join(tx, reviews, new_id, now)


async def _join(
    tx: Transaction, reviews: Sequence[tuple[Asked, UUID, int]], new_id: NewId, now: datetime
) -> None:
    await tx.execute(
        "join_cases",
        [asked.request_key[0] for asked, _, _ in reviews],
        [asked.request_key[1] for asked, _, _ in reviews],
        [assessment_id for _, assessment_id, _ in reviews],
        [asked.facts.operation for asked, _, _ in reviews],
        [score for _, _, score in reviews],
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
