"""Appeals in Postgres: filed by members, decided by operators; one that is granted lifts."""

from typing import Any
from uuid import UUID

from antifraud.action_errors import (
    ActionNotFound,
    ActionNotInForce,
    AppealDecided,
    AppealNotFound,
    AppealOpen,
    AppealsUsedUp,
    NothingToAppeal,
)
from antifraud.action_store import ActionStore
from antifraud.actions import Decider
from kit.clock import to_timestamp
from kit.db import Transaction
from kit.requests import once
from laurel.antifraud.v1 import actions_pb2 as pb

APPEALS_MAX = 3
"""Appeals against one action."""


class AppealStore:
    """Files, decides and lists appeals."""

    def __init__(self, actions: ActionStore) -> None:
        self._actions = actions

    async def file(self, request: pb.AppealActionRequest) -> pb.AppealActionResponse:
        """Raises ActionNotFound, ActionNotInForce, AppealOpen or AppealsUsedUp."""
        async with self._actions.database.transaction() as tx:

            async def act() -> pb.AppealActionResponse:
                action_id = await _find(tx, request)
                # Under the lock of what is in force: appeals against one action come one by one.
                if not await tx.fetch("lock_actions", [action_id]):
                    raise ActionNotInForce(action_id=str(action_id))
                known = await tx.fetchrow("count_appeals", action_id)
                if known["has_open"]:
                    raise AppealOpen(action_id=str(action_id))
                if known["all_count"] >= APPEALS_MAX:
                    raise AppealsUsedUp(action_id=str(action_id), count_max=APPEALS_MAX)
                appeal_id, now = self._actions.new_id(), self._actions.clock()
                await tx.execute(
                    "add_appeal", appeal_id, action_id, request.member_id, request.text, now
                )
                return pb.AppealActionResponse(
                    appeal_id=str(appeal_id), create_time=to_timestamp(now)
                )

            return await once(tx, request.request_id, request, act, pb.AppealActionResponse)

    async def decide(
        self, decider: Decider, request: pb.DecideAppealRequest
    ) -> pb.DecideAppealResponse:
        """Raises AppealNotFound or AppealDecided."""
        appeal_id = UUID(request.appeal_id)
        async with self._actions.database.transaction() as tx:

            async def act() -> pb.DecideAppealResponse:
                row = await tx.fetchrow("lock_appeal", appeal_id)
                if row is None:
                    raise AppealNotFound(appeal_id=request.appeal_id)
                if row["state"] != pb.APPEAL_STATE_OPEN:
                    state = pb.AppealState.Name(row["state"]).removeprefix("APPEAL_STATE_")
                    raise AppealDecided(appeal_id=request.appeal_id, state=state)
                now = self._actions.clock()
                await tx.execute(
                    "decide_appeal", appeal_id, request.decision, *decider, request.reason, now
                )
                if request.decision == pb.APPEAL_STATE_GRANTED:
                    # Where it was lifted meanwhile, nothing is left to lift.
                    await self._actions.lift_in(tx, [row["action_id"]], decider, request.reason)
                decided = await tx.fetchrow("lock_appeal", appeal_id)
                return pb.DecideAppealResponse(appeal=render_appeal(decided))

            return await once(tx, request.request_id, request, act, pb.DecideAppealResponse)

    async def list_appeals(
        self, request: pb.ListAppealsRequest, after: UUID | None, limit: int
    ) -> list[pb.Appeal]:
        """Appeals, oldest first, younger than one of them."""
        async with self._actions.database.transaction(readonly=True) as tx:
            rows = await tx.fetch("list_appeals", request.member_id, request.state, after, limit)
        return [render_appeal(row) for row in rows]


def render_appeal(row: Any) -> pb.Appeal:
    """An appeal as it stands."""
    return pb.Appeal(
        appeal_id=str(row["appeal_id"]),
        action_id=str(row["action_id"]),
        member_id=row["member_id"],
        text=row["text"],
        state=row["state"],
        create_time=to_timestamp(row["create_time"]),
        operator=row["operator"] or "",
        identity=row["identity"] or "",
        reason=row["reason"] or "",
        decide_time=to_timestamp(row["decide_time"]) if row["decide_time"] else None,
    )


async def _find(tx: Transaction, request: pb.AppealActionRequest) -> UUID:
    """The action that a member appeals against. Raises ActionNotFound."""
    if not request.action_id:
        heaviest: UUID | None = await tx.fetchval("find_heaviest_action", request.member_id)
        if heaviest is None:
            raise NothingToAppeal(member_id=request.member_id)
        return heaviest
    action_id = UUID(request.action_id)
    row = await tx.fetchrow("get_action", action_id)
    # What is about others is not for this member to know of.
    if row is None or row["member_id"] != request.member_id:
        raise ActionNotFound(action_id=request.action_id)
    return action_id
