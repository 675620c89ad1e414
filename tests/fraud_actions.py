"""Calls about lists, actions and appeals in a few words."""

from datetime import UTC, datetime, timedelta
from typing import Any

from house import House, new_id
from laurel.antifraud.v1 import actions_pb2 as actions
from laurel.antifraud.v1 import lists_pb2 as lists
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.program.v1 import program_pb2

MEMBER = program_pb2.FRAUD_KEY_MEMBER
DEVICE = program_pb2.FRAUD_KEY_DEVICE
IP = program_pb2.FRAUD_KEY_IP
FREEZE = program_pb2.FRAUD_REACTION_KIND_FREEZE_ACCOUNT
EARN_ONLY = program_pb2.FRAUD_REACTION_KIND_EARN_ONLY
DENY_LIST = program_pb2.FRAUD_REACTION_KIND_DENY_LIST
WATCH_LIST = program_pb2.FRAUD_REACTION_KIND_WATCH_LIST
CAP = program_pb2.FRAUD_REACTION_KIND_CAP_POINTS
DEMOTE = program_pb2.FRAUD_REACTION_KIND_DEMOTE
ALLOWED, DENIED, WATCHED = lists.LIST_KIND_ALLOW, lists.LIST_KIND_DENY, lists.LIST_KIND_WATCH
GRANTED, REJECTED = actions.APPEAL_STATE_GRANTED, actions.APPEAL_STATE_REJECTED


def key(value: str, kind: int = MEMBER) -> lists.ListKey:
    """A member, or another kind of key."""
    return lists.ListKey(kind=kind, value=value)  # type: ignore[arg-type]


def entry(
    value: str, kind: int = MEMBER, on: "lists.ListKind.ValueType" = DENIED, **fields: Any
) -> lists.ListEntry:
    """An entry of a list."""
    return lists.ListEntry(list=on, key=key(value, kind), **{"reason": "for a test", **fields})


class Time:
    """A clock that a test may set forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class ActionDesk:
    """Lists, actions and appeals as their callers see them."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.stub: AntifraudServiceStub = house.stub(AntifraudServiceStub, "antifraud")

    async def put(self, *entries: lists.ListEntry, request_id: str = "") -> int:
        """Puts entries on lists; how many are new."""
        request = lists.BatchPutListEntriesRequest(
            request_id=request_id or new_id(), entries=entries, operator="anna"
        )
        return (await self.stub.BatchPutListEntries(request)).added_count

    async def remove(self, *entries: lists.ListEntry, request_id: str = "") -> int:
        """Takes entries off lists; how many were there."""
        places = [lists.ListPlace(list=one.list, key=one.key) for one in entries]
        request = lists.RemoveListEntriesRequest(request_id=request_id or new_id(), places=places)
        return (await self.stub.RemoveListEntries(request)).removed_count

    async def entries(self, **fields: Any) -> list[lists.ListEntry]:
        """A page of entries."""
        request = lists.ListListEntriesRequest(**fields)
        return list((await self.stub.ListListEntries(request)).entries)

    def taking(self, value: str, kind: int, **fields: Any) -> actions.TakeActionRequest:
        """A request to take an action."""
        fields = {
            "request_id": new_id(), "key": key(value), "operator": "anna", "reason": "for a test",
            **fields,
        }  # fmt: skip
        return actions.TakeActionRequest(kind=kind, **fields)  # type: ignore[arg-type]

    async def take(self, value: str, kind: int, **fields: Any) -> actions.Action:
        """Takes an action by hand."""
        return (await self.stub.TakeAction(self.taking(value, kind, **fields))).action

    async def lift(self, action: actions.Action, **fields: Any) -> actions.Action:
        """Lifts an action."""
        fields = {"request_id": new_id(), "operator": "piet", "reason": "a mistake", **fields}
        request = actions.LiftActionRequest(action_id=action.action_id, **fields)
        return (await self.stub.LiftAction(request)).action

    async def taken(self, member: str, **fields: Any) -> list[actions.Action]:
        """A page of the actions about a member, newest first."""
        request = actions.ListActionsRequest(member_id=member, **fields)
        return list((await self.stub.ListActions(request)).actions)

    async def appeal(self, member: str, action_id: str = "", **fields: Any) -> str:
        """Files an appeal; its id."""
        fields = {"request_id": new_id(), "text": "it was not me", **fields}
        request = actions.AppealActionRequest(member_id=member, action_id=action_id, **fields)
        return (await self.stub.AppealAction(request)).appeal_id

    async def decide(self, appeal_id: str, decision: int, **fields: Any) -> actions.Appeal:
        """Decides an appeal."""
        fields = {"request_id": new_id(), "operator": "piet", "reason": "we looked", **fields}
        request = actions.DecideAppealRequest(
            appeal_id=appeal_id,
            decision=decision,  # type: ignore[arg-type]
            **fields,
        )
        return (await self.stub.DecideAppeal(request)).appeal

    async def appeals(self, member: str, **fields: Any) -> list[actions.Appeal]:
        """A page of a member's appeals, oldest first."""
        request = actions.ListAppealsRequest(member_id=member, **fields)
        return list((await self.stub.ListAppeals(request)).appeals)

    async def run(self, schedule: str) -> None:
        """Runs what the service does by the clock."""
        schedules = self.house.running["antifraud"].service.schedules
        await next(one for one in schedules if one.name == schedule).run()
