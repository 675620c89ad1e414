"""The calls about actions and appeals."""

from typing import Any

import grpc

from antifraud.action_errors import ActionNeedsMember, ActionPointsInvalid, ActionTierInvalid
from antifraud.action_render import render_action
from antifraud.action_store import ActionStore
from antifraud.actions import Decider, Wish
from antifraud.appeal_store import AppealStore
from kit.auth import identity_of
from kit.paging import decode_id, encode_token, page_size
from laurel.antifraud.v1 import actions_pb2 as pb
from rules.compiled import CompiledProgram
from rules.feed import ProgramFeed
from rules.values import FraudKey, ReactionKind

Context = grpc.aio.ServicerContext[Any, Any]
TIER_OF_DEMOTE = "is the tier of a demotion, which this is not; leave it out"
_LISTS = (ReactionKind.DENY_LIST, ReactionKind.WATCH_LIST)


class ActionCalls:
    """Actions by hand, the audit trail, appeals."""

    _feed: ProgramFeed
    _actions: ActionStore
    _appeals: AppealStore

    async def TakeAction(
        self, request: pb.TakeActionRequest, context: Context
    ) -> pb.TakeActionResponse:
        """See the contract."""
        kind, key_kind = ReactionKind(request.kind), FraudKey(request.key.kind)
        if kind not in _LISTS and key_kind is not FraudKey.MEMBER:
            raise ActionNeedsMember(kind=kind.name, key_kind=key_kind.name.lower())
        is_cap = kind is ReactionKind.CAP_POINTS
        if request.points and not is_cap:
            raise ActionPointsInvalid(kind=kind.name, points=request.points)
        history = await self._feed.ensure() if kind is ReactionKind.DEMOTE else None
        program = None if history is None else history.in_force(self._actions.clock())
        value = request.key.value
        wish = Wish(
            kind, key_kind, value, value if key_kind is FraudKey.MEMBER else "",
            request.points if is_cap else None, None, None, request.reason, None,
            request.tier_id, program.version if program is not None else 0,
        )  # fmt: skip
        refusal = _tier_refusal(request.tier_id, program)
        return await self._actions.take(wish, _decider(request, context), request, refusal)

    async def LiftAction(
        self, request: pb.LiftActionRequest, context: Context
    ) -> pb.LiftActionResponse:
        """See the contract."""
        return await self._actions.lift(_decider(request, context), request)

    async def ListActions(
        self, request: pb.ListActionsRequest, context: Context
    ) -> pb.ListActionsResponse:
        """See the contract."""
        size = page_size(request.page_size)
        before = decode_id(request.page_token)
        found = await self._actions.list_actions(request, before, size + 1)
        token = encode_token(str(found[size - 1].action_id)) if len(found) > size else ""
        return pb.ListActionsResponse(
            actions=[render_action(action) for action in found[:size]], next_page_token=token
        )

    async def AppealAction(
        self, request: pb.AppealActionRequest, context: Context
    ) -> pb.AppealActionResponse:
        """See the contract."""
        return await self._appeals.file(request)

    async def DecideAppeal(
        self, request: pb.DecideAppealRequest, context: Context
    ) -> pb.DecideAppealResponse:
        """See the contract."""
        return await self._appeals.decide(_decider(request, context), request)

    async def ListAppeals(
        self, request: pb.ListAppealsRequest, context: Context
    ) -> pb.ListAppealsResponse:
        """See the contract."""
        size = page_size(request.page_size)
        after = decode_id(request.page_token)
        found = await self._appeals.list_appeals(request, after, size + 1)
        token = encode_token(found[size - 1].appeal_id) if len(found) > size else ""
        return pb.ListAppealsResponse(appeals=found[:size], next_page_token=token)


def _tier_refusal(tier_id: str, program: CompiledProgram | None) -> ActionTierInvalid | None:
    """What is wrong with the tier of an action; there is a program where that is a demotion."""
    if not tier_id:
        return None
    if program is None:
        return ActionTierInvalid(tier_id=tier_id, problem=TIER_OF_DEMOTE)
    below_top = [tier.id for tier in program.ladder][:-1]
    if tier_id in below_top:
        return None
    problem = f"is no tier below the top of the ladder; name one of {', '.join(below_top)}"
    return ActionTierInvalid(tier_id=tier_id, problem=problem)


def _decider(
    request: pb.TakeActionRequest | pb.LiftActionRequest | pb.DecideAppealRequest, context: Context
) -> Decider:
    return Decider(request.operator, identity_of(context) or "")
