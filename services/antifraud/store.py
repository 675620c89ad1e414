"""Decisions and sliding windows in Postgres."""

from asyncio import gather
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from antifraud import metrics
from antifraud.action_store import ActionStore
from antifraud.alarm import BrokenRuleAlarm
from antifraud.assessing import Batch
from antifraud.case_joining import Review, by_outcome, join_cases, late_reviews, reviews_of
from antifraud.challenge_issue import Issuer, Wanted, first_challenges
from antifraud.drafting import Draft
from antifraud.errors import AssessedMeanwhile
from antifraud.list_store import look_up
from antifraud.profile_store import close_profiles, open_profiles
from antifraud.values import (
    Asked,
    Assessment,
    Decided,
    Kept,
    RequestKey,
    covers,
    facts_of,
    fired_from_json,
)
from antifraud.velocity import Key, addition_columns, key_columns
from kit.clock import Clock, NewId
from kit.db import Database, Transaction, meanwhile
from kit.errors import LaurelError
from rules.facts import WINDOW_SECONDS_MAX
from rules.fraud import ALLOWED, FraudDecision
from rules.values import Action

CONSTRAINTS: dict[str, type[LaurelError]] = {
    "assessment_pkey": AssessedMeanwhile,
    "case_item_pkey": AssessedMeanwhile,
    "challenge_pkey": AssessedMeanwhile,
}
ATTEMPTS_MAX = 5
# Repeats are rare, and a batch without one need not look for them. One with a repeat breaks the key
# when it keeps its decisions, is undone and runs again.
LOOK_FIRST_BATCHES = 100
# A batch is cut in two from this size on, where nothing but members ties its operations together:
# while Postgres works for the one half, the other is prepared, or works there as well.
HALVES_FROM = 200
PRUNE_PAGE = 2000
# The longest window a program may have, and a day for what is late.
IDLE_AGE = timedelta(seconds=WINDOW_SECONDS_MAX, days=1)


class Known(NamedTuple):
    """Stored decisions on repeated operations, as they stand now."""

    decided: dict[RequestKey, Decided]
    late: list[Review]
    """What has to join a case, as its challenge is solved."""
    again: list[Wanted]
    """What needs another challenge."""


class AssessmentStore:
    """What was decided, and what it was decided on."""

    def __init__(
        self,
        database: Database,
        issuer: Issuer,
        actions: ActionStore,
        *,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._actions = actions
        self._clock = clock
        self._new_id = new_id
        self._alarm = BrokenRuleAlarm(clock)
        self._look_first = 0
        """Batches that look for stored decisions before they count."""

    async def assess(self, asked: Sequence[Asked], *, took_effect: bool = False) -> list[Decided]:
        """One decision for each operation, in order; what was decided before counts no second time.

        Nobody is challenged about operations that took effect already.

        Raises AssessedMeanwhile when others race for the same request ids time and again.
        """
        first = {one.request_key: one for one in reversed(asked)}
        if len(first) == len(asked):
            unique = asked
        else:
            unique = [one for one in asked if first[one.request_key] is one]
        parts = halves(unique)
        # To the end, all of them, also where one fails: nothing goes on behind the answer.
        found = await gather(
            *(self._try(part, took_effect=took_effect) for part in parts), return_exceptions=True
        )
        decided: dict[RequestKey, Decided] = {}
        for made in found:
            if isinstance(made, BaseException):
                raise made
            decided.update(made)
        return [decided[one.request_key] for one in asked]

    async def _try(
        self, part: Sequence[Asked], *, took_effect: bool
    ) -> Mapping[RequestKey, Decided]:
        """Decides different operations in one transaction."""
        attempts_left = ATTEMPTS_MAX
        while True:
            attempts_left -= 1
            try:
                decided, new = await self._assess(part, took_effect=took_effect)
                break
            except AssessedMeanwhile:
                # Undone, counts and all. Who repeats once often repeats again: look first now.
                self._look_first = LOOK_FIRST_BATCHES
                if not attempts_left:
                    raise
        metrics.count(new)
        self._alarm.tell(new)
        return decided

    async def _assess(
        self, unique: Sequence[Asked], *, took_effect: bool
    ) -> tuple[dict[RequestKey, Decided], list[Kept]]:
        known = Known({}, [], [])
        rows: list[Kept] = []
        async with self._database.transaction() as tx:
            if self._look_first > 0:
                self._look_first -= 1
                known = await self._look_up(tx, unique)
            decided = known.decided
            new = [o for o in unique if o.request_key not in decided] if decided else unique
            if new:
                rows, made = await self._decide(tx, new)
                decided.update(made)
            # Of new and of repeated operations together, and behind the keys and members: cases,
            # actions and days are locked in one order.
            now = self._clock()
            # Nearly all are plainly allowed; the others are looked at more closely.
            unusual = [row for row in rows if row.decision is not ALLOWED]
            await join_cases(tx, [*known.late, *reviews_of(unusual)], self._new_id, now)
            reacting = [
                row
                for row in unusual
                if row.decision.fired and row.asked.program.antifraud.reactions
            ]
            if reacting:
                await self._actions.react(tx, reacting)
            wanted = [*known.again, *first_challenges(unusual)] if not took_effect else []
            await self._issuer.challenge(tx, wanted, decided)
        return decided, rows

    async def _look_up(self, tx: Transaction, unique: Sequence[Asked]) -> Known:
        """What was decided before, and what it comes to now; locks nothing."""
        found = await _find(tx, unique)
        solved, again = await self._issuer.settle(tx, unique, found)
        late = await late_reviews(tx, solved, found)
        return Known(await by_outcome(tx, unique, found), late, again)

    async def _decide(
        self, tx: Transaction, new: Sequence[Asked]
    ) -> tuple[list[Kept], dict[RequestKey, Decided]]:
        """Counts operations, decides about them and keeps that, in the order of the key."""
        batch = Batch(new)
        additions = batch.additions()
        rows: Sequence[Any] = ()
        if additions:
            counting = tx.fetch("add_velocity", *addition_columns(additions), self._clock())
            rows, draft = await meanwhile(counting, lambda: Draft(new, self._new_id))
        else:
            draft = Draft(new, self._new_id)
        # Behind the keys, as everywhere: two batches must not deadlock.
        profiles = await open_profiles(tx, new, self._clock())
        # After the waits: what was put on a list meanwhile counts.
        batch.learn(await look_up(tx, new, self._clock()))
        kept = draft.kept(batch.decide(rows, profiles))
        if profiles is not None:
            await close_profiles(tx, profiles)
        untidy = batch.untidy()
        if untidy:
            await tx.execute("rewrite_velocity", *key_columns(untidy))
        keeping = tx.execute("add_assessments", *draft.columns(kept), self._clock())
        _, decided = await meanwhile(
            keeping, lambda: {row.asked.request_key: _decided(*row) for row in kept}
        )
        return kept, decided

    async def list_assessments(
        self, member_id: str, action: int, before: UUID | None, limit: int
    ) -> list[Assessment]:
        """The assessments of a member, newest first; only those of an action unless it is 0."""
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch("list_assessments", member_id, action, before, limit)
        return [assessment_of(row) for row in rows]

    async def prune(self) -> None:
        """Forgets keys that no window can reach any more, in small steps."""
        last: Key | None = ("", 0)
        idle_since = self._clock() - IDLE_AGE
        while last is not None:
            async with self._database.transaction() as tx:
                row = await tx.fetchrow("prune_velocity", *last, idle_since, PRUNE_PAGE)
            last = tuple(row) if row is not None else None


def halves(unique: Sequence[Asked]) -> Sequence[Sequence[Asked]]:
    """A large batch in two, each with all operations of its members in their order; in one where
    they are few, or count for more than their members.
    """
    if len(unique) < HALVES_FROM or not all(one.scope.is_own for one in unique):
        return [unique]
    parts: tuple[list[Asked], list[Asked]] = ([], [])
    for one in unique:
        parts[hash(one.facts.member) & 1].append(one)
    return [part for part in parts if part]


async def _find(tx: Transaction, unique: Sequence[Asked]) -> dict[RequestKey, Decided]:
    asked = {one.request_key: one for one in unique}
    members, requests = zip(*asked, strict=True)
    found: dict[RequestKey, Decided] = {}
    for row in await tx.fetch("find_assessments", list(members), list(requests)):
        key = (row["member_id"], row["request_id"])
        action = Action(row["action"])
        if action is Action.ALLOW and not covers(row, asked[key].facts):
            action = Action.DENY
        found[key] = Decided(row["assessment_id"], action, row["score"], row["program_version"])
    return found


def _decided(asked: Asked, decision: FraudDecision, assessment_id: UUID) -> Decided:
    return Decided(assessment_id, decision.action, decision.score, asked.program.version)


def assessment_of(row: Any) -> Assessment:
    """A stored assessment."""
    return Assessment(
        assessment_id=row["assessment_id"],
        request_id=row["request_id"],
        member_id=row["member_id"],
        facts=facts_of(row),
        action=Action(row["action"]),
        score=row["score"],
        fired=fired_from_json(row["fired"]),
        program_version=row["program_version"],
        occurred_time=row["occurred_time"],
        create_time=row["create_time"],
    )
