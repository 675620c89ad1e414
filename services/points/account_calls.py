"""The calls of PointsService about accounts as such."""

from typing import Any

import grpc

from kit.auth import identity_of
from kit.clock import to_timestamp
from kit.paging import decode_id, encode_token, page_size
from laurel.points.v1 import accounts_pb2 as pb
from points.accounts import AccountAction, AccountView
from points.counter import Counter
from points.office import Call
from points.standing import Restriction
from points.values import Operator, Standing

Context = grpc.aio.ServicerContext[Any, Any]


class AccountCalls:
    """Frozen, unfrozen, closed."""

    _counter: Counter

    async def FreezeAccount(
        self, request: pb.FreezeAccountRequest, context: Context
    ) -> pb.FreezeAccountResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.FreezeAccountResponse)
        operator = Operator(request.operator, identity_of(context) or "", request.reason)
        return await self._counter.accounts.freeze(
            request.member_id,
            operator,
            call,
            lambda view: pb.FreezeAccountResponse(account=render_account(view)),
        )

    async def UnfreezeAccount(
        self, request: pb.UnfreezeAccountRequest, context: Context
    ) -> pb.UnfreezeAccountResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.UnfreezeAccountResponse)
        operator = Operator(request.operator, identity_of(context) or "", request.reason)
        return await self._counter.accounts.unfreeze(
            request.member_id,
            operator,
            call,
            lambda view: pb.UnfreezeAccountResponse(account=render_account(view)),
        )

    async def CloseAccount(
        self, request: pb.CloseAccountRequest, context: Context
    ) -> pb.CloseAccountResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.CloseAccountResponse)
        operator = Operator(request.operator, identity_of(context) or "", request.reason)
        return await self._counter.accounts.close(
            request.member_id,
            operator,
            call,
            lambda view: pb.CloseAccountResponse(account=render_account(view)),
        )

    async def GetAccount(
        self, request: pb.GetAccountRequest, context: Context
    ) -> pb.GetAccountResponse:
        """See the contract."""
        view = await self._counter.accounts.get(request.member_id)
        return pb.GetAccountResponse(account=render_account(view))

    async def ListAccountActions(
        self, request: pb.ListAccountActionsRequest, context: Context
    ) -> pb.ListAccountActionsResponse:
        """See the contract."""
        size = page_size(request.page_size)
        before = decode_id(request.page_token)
        found = await self._counter.accounts.list_actions(request.member_id, before, size + 1)
        page = found[:size]
        more = len(found) > size
        return pb.ListAccountActionsResponse(
            actions=[render_action(action) for action in page],
            next_page_token=encode_token(str(page[-1].action_id)) if more else "",
        )


def render_account(view: AccountView) -> pb.AccountStanding:
    """How an account stands."""
    account, state = view.account, view.account.state
    if state == Standing.OPEN and account.restriction == Restriction.FROZEN:
        state = Standing.FROZEN
    return pb.AccountStanding(
        member_id=account.member_id,
        state=state + 1,  # type: ignore[arg-type]  # 0 is for "not stated" there
        merged_into_member_id=account.merged_into or "",
        last_action=render_action(view.last_action) if view.last_action else None,
        restriction=account.restriction,  # type: ignore[arg-type]
    )


def render_action(action: AccountAction) -> pb.AccountAction:
    """A decision about an account."""
    return pb.AccountAction(
        action_id=str(action.action_id),
        member_id=action.member_id,
        kind=int(action.kind),  # type: ignore[arg-type]
        operator=action.operator,
        identity=action.identity,
        reason=action.reason,
        transaction_id=str(action.transaction_id or ""),
        create_time=to_timestamp(action.create_time),
    )
