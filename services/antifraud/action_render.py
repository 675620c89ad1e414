"""Lists, actions and appeals, into the contract."""

from antifraud.actions import Action
from antifraud.list_store import BY_HAND, Entry
from kit.clock import to_timestamp
from laurel.antifraud.v1 import actions_pb2, lists_pb2


def render_key(kind: int, value: str) -> lists_pb2.ListKey:
    """What an entry or an action is about."""
    return lists_pb2.ListKey(kind=kind, value=value)  # type: ignore[arg-type]


def render_entry(entry: Entry) -> lists_pb2.ListEntry:
    """An entry of a list."""
    return lists_pb2.ListEntry(
        list=int(entry.list),  # type: ignore[arg-type]
        key=render_key(int(entry.key_kind), entry.value),
        expire_time=to_timestamp(entry.expire_time) if entry.expire_time else None,
        reason=entry.reason,
        operator=entry.operator,
        identity=entry.identity,
        action_id="" if entry.action_id == BY_HAND else str(entry.action_id),
        create_time=to_timestamp(entry.create_time),
    )


def render_action(action: Action) -> actions_pb2.Action:
    """An action, with its end."""
    wish, lift = action.wish, action.lift
    shown = actions_pb2.Action(
        action_id=str(action.action_id),
        kind=int(wish.kind),  # type: ignore[arg-type]
        key=render_key(int(wish.key_kind), wish.value),
        member_id=wish.member_id,
        points=wish.points or 0,
        rule=wish.rule or "",
        assessment_id=str(wish.assessment_id or ""),
        operator=action.decider.operator,
        identity=action.decider.identity,
        reason=wish.reason,
        create_time=to_timestamp(action.create_time),
        end_time=to_timestamp(wish.end_time) if wish.end_time else None,
        tier_id=wish.tier_id,
    )
    if lift is not None:
        shown.lift.CopyFrom(
            actions_pb2.Lift(
                action_id=str(lift.lift_id),
                operator=lift.operator,
                identity=lift.identity,
                reason=lift.reason,
                create_time=to_timestamp(lift.create_time),
            )
        )
    return shown
