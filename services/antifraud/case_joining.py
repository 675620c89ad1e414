"""What cases have to do with decisions: a review joins one, and its outcome answers a repeat.

A batch without a review pays nothing for it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from antifraud.cases import Outcome
from antifraud.values import Asked, Decided, Kept, RequestKey, covers
from kit.clock import NewId
from kit.db import Transaction
from rules.values import Action, Operation


class Review(NamedTuple):
    """What is to join a case."""

    asked: Asked
    assessment_id: UUID
    score: int


def reviews_of(rows: Iterable[Kept]) -> list[Review]:
    """What new decisions want people to look at."""
    return [
        Review(asked, assessment_id, decision.score)
        for asked, decision, assessment_id in rows
        if decision.action is Action.REVIEW
    ]


async def late_reviews(
    tx: Transaction, solved: Sequence[Asked], decided: dict[RequestKey, Decided]
) -> list[Review]:
    """What is challenged no more, but is to be reviewed and in no case yet."""
    late = {
        one.request_key: one for one in solved if decided[one.request_key].action is Action.REVIEW
    }
    if not late:
        return []
    members, requests = zip(*late, strict=True)
    for row in await tx.fetch("find_case_items", list(members), list(requests)):
        del late[row["member_id"], row["request_id"]]
    return [
        Review(one, decided[key].assessment_id, decided[key].score) for key, one in late.items()
    ]


async def join_cases(
    tx: Transaction, reviews: Sequence[Review], new_id: NewId, now: datetime
) -> None:
    """Puts what is to be reviewed into the open cases of its members, in their order."""
    if not reviews:
        return
    ordered = sorted(reviews, key=lambda one: one.asked.request_key)
    await tx.execute(
        "join_cases",
        [one.asked.request_key[0] for one in ordered],
        [one.asked.request_key[1] for one in ordered],
        [one.assessment_id for one in ordered],
        [one.asked.facts.operation for one in ordered],
        [one.score for one in ordered],
        [new_id() for _ in ordered],
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
    """Whether it is what people looked at: nobody shall use their leave for anything else, be it
    less.
    """
    facts = asked.facts
    same_points = facts.operation is Operation.ACCRUAL or facts.points == row["points"]
    same_amount = facts.amount_minor == (row["amount_minor"] or 0)
    return same_points and same_amount and covers(row, facts)
