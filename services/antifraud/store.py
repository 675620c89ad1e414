"""Decisions and sliding windows in Postgres."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from antifraud import metrics
from antifraud.assessing import Batch
from antifraud.errors import AssessmentContended
from antifraud.values import (
    Asked,
    Assessed,
    Assessment,
    Decided,
    RequestKey,
    fired_from_json,
    fired_to_json,
)
from antifraud.velocity import Key
from kit.clock import Clock, NewId
from kit.db import Database, Transaction
from rules.facts import WINDOW_SECONDS_MAX
from rules.values import Action, Operation

ATTEMPTS_MAX = 5
RETRY_AFTER_MS = 100
PRUNE_PAGE = 2000
# The longest window a program may have, and a day for what is late.
IDLE_AGE = timedelta(seconds=WINDOW_SECONDS_MAX, days=1)


class _Overtaken(Exception):
    """Another call assessed one of these request ids while this one was deciding."""


class AssessmentStore:
    """What was decided, and what it was decided on."""

    def __init__(self, database: Database, *, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id

    async def assess(self, asked: Sequence[Asked]) -> list[Decided]:
        """One decision for each operation, in order; what was decided before counts no second time.

        Raises AssessmentContended.
        """
        for _ in range(ATTEMPTS_MAX):
            try:
                decided, new = await self._assess(asked)
            except _Overtaken:
                # Undone, counts and all: now the other's decisions can be found.
                continue
            metrics.count(new)
            return [decided[one.request_key] for one in asked]
        raise AssessmentContended(attempts=ATTEMPTS_MAX, retry_after_ms=RETRY_AFTER_MS)

    async def _assess(
        self, asked: Sequence[Asked]
    ) -> tuple[Mapping[RequestKey, Decided], list[Assessed]]:
        first = {one.request_key: one for one in reversed(asked)}
        async with self._database.transaction() as tx:
            decided = await _find(tx, first)
            new = [
                one
                for one in asked
                if one.request_key not in decided and first[one.request_key] is one
            ]
            if not new:
                return decided, []
            assessed = await self._count(tx, new)
            return {**decided, **await self._keep(tx, assessed)}, assessed

    async def _count(self, tx: Transaction, new: Sequence[Asked]) -> list[Assessed]:
        batch = Batch(new)
        additions = batch.additions()
        stored: dict[Key, bytes] = {}
        if additions:
            rows = await tx.fetch("add_velocity", *_key_columns(additions), self._clock())
            stored = {Key(row[0], row[1], row[2]): row[3] for row in rows}
        assessed, untidy = batch.decide(stored)
        if untidy:
            await tx.execute("rewrite_velocity", *_key_columns(untidy))
        return assessed

    async def _keep(
        self, tx: Transaction, assessed: Sequence[Assessed]
    ) -> Mapping[RequestKey, Decided]:
        # Ids in the order of deciding, so that a list shows it; rows in the order of the key.
        with_ids = [(one, self._new_id()) for one in assessed]
        with_ids.sort(key=lambda pair: pair[0].asked.request_key)
        columns = zip(*(_row(one, id_) for one, id_ in with_ids), strict=True)
        status = await tx.execute("add_assessments", *map(list, columns), self._clock())
        if int(status.rpartition(" ")[2]) < len(with_ids):
            raise _Overtaken
        return {
            one.asked.request_key: Decided(
                id_, one.decision.action, one.decision.score, one.asked.program.version
            )
            for one, id_ in with_ids
        }

    async def list_assessments(
        self, member_id: str, action: int, before: UUID | None, limit: int
    ) -> list[Assessment]:
        """The assessments of a member, newest first; only those of an action unless it is 0."""
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch("list_assessments", member_id, action, before, limit)
        return [_assessment(row) for row in rows]

    async def prune(self) -> None:
        """Forgets keys that no window can reach any more, in small steps."""
        last: Key | None = Key("", 0, 0)
        idle_since = self._clock() - IDLE_AGE
        while last is not None:
            async with self._database.transaction() as tx:
                row = await tx.fetchrow("prune_velocity", *last, idle_since, PRUNE_PAGE)
            last = Key(*row) if row is not None else None


async def _find(tx: Transaction, keys: Mapping[RequestKey, Asked]) -> dict[RequestKey, Decided]:
    members, requests = zip(*keys, strict=True)
    rows = await tx.fetch("find_assessments", list(members), list(requests))
    return {
        (row["member_id"], row["request_id"]): Decided(
            row["assessment_id"], Action(row["action"]), row["score"], row["program_version"]
        )
        for row in rows
    }


def _key_columns(rows: Sequence[tuple[Key, bytes]]) -> list[list[Any]]:
    return [
        [key.key for key, _ in rows],
        [key.dimension for key, _ in rows],
        [key.kind for key, _ in rows],
        [entries for _, entries in rows],
    ]


def _row(assessed: Assessed, assessment_id: UUID) -> tuple[Any, ...]:
    asked, decision = assessed
    return (
        asked.member_id,
        asked.request_id,
        assessment_id,
        asked.facts.operation,
        decision.action,
        decision.score,
        asked.program.version,
        asked.facts.points,
        asked.occurred_time,
        fired_to_json(decision.fired),
    )


def _assessment(row: Any) -> Assessment:
    return Assessment(
        assessment_id=row["assessment_id"],
        request_id=row["request_id"],
        member_id=row["member_id"],
        kind=Operation(row["kind"]),
        action=Action(row["action"]),
        score=row["score"],
        fired=fired_from_json(row["fired"]),
        program_version=row["program_version"],
        points=row["points"],
        occurred_time=row["occurred_time"],
        create_time=row["create_time"],
    )
