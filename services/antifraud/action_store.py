"""Actions in Postgres: taken once, lifted once, told of in the same transaction."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from antifraud.action_errors import ActionInForce, ActionNotFound, ActionNotInForce
from antifraud.action_render import render_action
from antifraud.actions import NOBODY, Action, Decider, Lift, Wish, action_event, end_of, wishes_of
from antifraud.values import Asked
from kit.clock import Clock, NewId
from kit.db import Database, Transaction
from kit.errors import LaurelError
from kit.events import publish
from kit.requests import once
from laurel.antifraud.v1 import actions_pb2 as pb
from rules.fraud import FraudDecision
from rules.values import FraudKey, ReactionKind

END_PAGE = 500
TIME_HAS_ENDED = "its time has ended"


class ActionStore:
    """Takes, lifts, ends and lists actions."""

    def __init__(self, database: Database, *, clock: Clock, new_id: NewId) -> None:
        self.database = database
        self.clock = clock
        self.new_id = new_id

    async def take(
        self,
        wish: Wish,
        decider: Decider,
        request: pb.TakeActionRequest,
        refusal: LaurelError | None,
    ) -> pb.TakeActionResponse:
        """By hand, for as many days as were asked for. Raises ActionInForce, or the refusal unless
        it is a repeat of what was taken.
        """
        now = self.clock()
        wish = replace(wish, end_time=end_of(now, request.duration_days))
        async with self.database.transaction() as tx:

            async def act() -> pb.TakeActionResponse:
                if refusal is not None:
                    raise refusal
                taken = await self._take(tx, [wish], decider, now)
                if not taken:
                    action_id = await tx.fetchval("find_action_in_force", *wish.place)
                    raise ActionInForce(action_id=str(action_id), value=wish.value)
                action = await _get(tx, taken.pop())
                assert action is not None
                return pb.TakeActionResponse(action=render_action(action))

            return await once(tx, request.request_id, request, act, pb.TakeActionResponse)

    async def lift(self, decider: Decider, request: pb.LiftActionRequest) -> pb.LiftActionResponse:
        """Raises ActionNotFound or ActionNotInForce."""
        action_id = UUID(request.action_id)
        async with self.database.transaction() as tx:

            async def act() -> pb.LiftActionResponse:
                await self._check_exists(tx, action_id)
                if not await self.lift_in(tx, [action_id], decider, request.reason):
                    raise ActionNotInForce(action_id=request.action_id)
                action = await _get(tx, action_id)
                assert action is not None
                return pb.LiftActionResponse(action=render_action(action))

            return await once(tx, request.request_id, request, act, pb.LiftActionResponse)

    async def react(
        self, tx: Transaction, rows: Collection[tuple[Asked, FraudDecision, UUID]]
    ) -> None:
        """Does what the rules that fired ask for, in the transaction that keeps the decisions."""
        now = self.clock()
        wishes = wishes_of(rows, now)
        if wishes:
            await self._take(tx, wishes, NOBODY, now)

    async def end_due(self) -> None:
        """Lifts the actions whose time has ended, in small steps."""
        now = self.clock()
        found = END_PAGE
        while found == END_PAGE:
            async with self.database.transaction() as tx:
                rows = await tx.fetch("find_ended_actions", now, END_PAGE)
                found = len(rows)
                if rows:
                    await self.lift_in(tx, [row["action_id"] for row in rows], NOBODY)

    async def list_actions(
        self, request: pb.ListActionsRequest, before: UUID | None, limit: int
    ) -> list[Action]:
        """Actions, newest first, older than one of them."""
        async with self.database.transaction(readonly=True) as tx:
            rows = await tx.fetch(
                "list_actions", request.member_id, request.kind, request.in_force, before, limit
            )
        return [_action(row) for row in rows]

    async def lift_in(
        self,
        tx: Transaction,
        action_ids: Sequence[UUID],
        decider: Decider,
        reason: str = TIME_HAS_ENDED,
    ) -> int:
        """Lifts those of some actions that are in force, and tells of it; how many."""
        rows = await tx.fetch("lock_actions", list(action_ids))
        ids = [row["action_id"] for row in rows]
        if not ids:
            return 0
        lifted = await tx.fetch(
            "lift_actions", ids, [self.new_id() for _ in ids], *decider, reason, self.clock()
        )
        events = [
            action_event(
                row["lifts_action_id"], row["action_id"], ReactionKind(row["kind"]),
                row["member_id"], reason, row["create_time"], lifted=True,
                tier_id=row["tier_id"],
            )
            for row in lifted
        ]  # fmt: skip
        await publish(tx, self.new_id, events)
        return len(ids)

    async def _take(
        self, tx: Transaction, wishes: Sequence[Wish], decider: Decider, now: datetime
    ) -> set[UUID]:
        """Takes what is not in force yet, and tells of it; `wishes` are in the order of locking."""
        places = [list(column) for column in zip(*(w.place for w in wishes), strict=True)]
        ended = await tx.fetch("find_ended_actions_on", *places, now)
        if ended:
            await self.lift_in(tx, [row["action_id"] for row in ended], NOBODY)
        by_id = {self.new_id(): wish for wish in wishes}
        rows = await tx.fetch("take_actions", *_columns(by_id), *decider, now)
        taken = {row["action_id"] for row in rows}
        events = [
            action_event(
                action_id, action_id, wish.kind, wish.member_id, wish.told_reason, now,
                lifted=False, end_time=wish.end_time, tier_id=wish.tier_id,
                program_version=wish.program_version,
            )
            for action_id, wish in by_id.items() if action_id in taken
        ]  # fmt: skip
        if events:
            await publish(tx, self.new_id, events)
        return taken

    async def _check_exists(self, tx: Transaction, action_id: UUID) -> None:
        if await _get(tx, action_id) is None:
            raise ActionNotFound(action_id=str(action_id))


async def _get(tx: Transaction, action_id: UUID) -> Action | None:
    row = await tx.fetchrow("get_action", action_id)
    return _action(row) if row is not None else None


def _columns(by_id: dict[UUID, Wish]) -> list[list[Any]]:
    wishes = list(by_id.values())
    return [
        list(by_id),
        [wish.kind for wish in wishes],
        [wish.key_kind for wish in wishes],
        [wish.value for wish in wishes],
        [wish.member_id for wish in wishes],
        [wish.points for wish in wishes],
        [wish.rule for wish in wishes],
        [wish.assessment_id for wish in wishes],
        [wish.reason for wish in wishes],
        [wish.end_time for wish in wishes],
        [wish.tier_id for wish in wishes],
    ]


def _action(row: Any) -> Action:
    lift = None
    if row["lift_id"] is not None:
        lift = Lift(
            row["lift_id"], row["lift_operator"], row["lift_identity"], row["lift_reason"],
            row["lift_time"],
        )  # fmt: skip
    wish = Wish(
        ReactionKind(row["kind"]), FraudKey(row["key_kind"]), row["value"], row["member_id"],
        row["points"], row["rule"], row["assessment_id"], row["reason"], row["end_time"],
        row["tier_id"],
    )  # fmt: skip
    decider = Decider(row["operator"], row["identity"])
    return Action(row["action_id"], wish, decider, row["create_time"], lift)
