"""Accounts as operators decide about them: frozen, unfrozen, closed, with who, why and when."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any
from uuid import UUID

from points.closing import close
from points.events import account_event
from points.office import Call, Office, R, Render, Session
from points.standing import Restriction, check_frozen, check_open
from points.values import AccountState, Operator, Standing


class Action(IntEnum):
    """What was decided about an account; numbers as in the contract."""

    FREEZE = 1
    UNFREEZE = 2
    CLOSE = 3
    MERGE = 4
    UNDO_MERGE = 5
    ANTIFRAUD_FREEZE = 6
    ANTIFRAUD_EARN_ONLY = 7
    ANTIFRAUD_LIFT = 8


@dataclass(frozen=True, slots=True)
class AccountAction:
    """One decision about an account."""

    member_id: str
    action_id: UUID
    kind: Action
    operator: str
    identity: str
    reason: str
    transaction_id: UUID | None
    create_time: datetime


@dataclass(frozen=True, slots=True)
class AccountView:
    """How an account stands, with the last decision about it."""

    account: AccountState
    last_action: AccountAction | None


class AccountStore:
    """Freezes, unfreezes, closes; each in one transaction."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def freeze(
        self, member_id: str, operator: Operator, call: Call[R], render: Render[AccountView, R]
    ) -> R:
        """Nothing can be spent from then on. Raises what the state of the account forbids."""

        async def act(session: Session) -> R:
            account = session.book.account(member_id)
            check_open(account)
            account.state = Standing.FROZEN
            return render(await decide(session, account, Action.FREEZE, operator))

        return await self._office.carry_out(call, [member_id], act, opened=[member_id])

    async def unfreeze(
        self, member_id: str, operator: Operator, call: Call[R], render: Render[AccountView, R]
    ) -> R:
        """Raises AccountNotFrozen, FrozenByAntifraud, and what else the state forbids."""

        async def act(session: Session) -> R:
            account = session.book.account(member_id)
            check_frozen(account)
            account.state = Standing.OPEN
            return render(await decide(session, account, Action.UNFREEZE, operator))

        return await self._office.carry_out(call, [member_id], act)

    async def close(
        self, member_id: str, operator: Operator, call: Call[R], render: Render[AccountView, R]
    ) -> R:
        """Forfeits all points, for good.

        Raises InHousehold, HoldsOpen, and what the state of the account forbids.
        """

        async def act(session: Session) -> R:
            account = session.book.account(member_id)
            await session.check_in_no_household(member_id)
            lots = await session.load_all_lots(member_id)
            posted = close(account, lots, call.request_id, session.book, session.desk)
            if posted:
                session.posted.append(posted)
            account.state = Standing.CLOSED
            transaction_id = posted.transaction_id if posted else None
            return render(await decide(session, account, Action.CLOSE, operator, transaction_id))

        return await self._office.carry_out(call, [member_id], act, opened=[member_id])

    async def get(self, member_id: str) -> AccountView:
        """How an account stands; open and without points for a member who has none."""
        async with self._office.database.transaction(readonly=True) as tx:
            row = await tx.fetchrow("get_account", member_id)
            actions = await tx.fetch("list_account_actions", member_id, None, 1)
        account = AccountState(*row) if row else AccountState(member_id)
        return AccountView(account, _action(actions[0]) if actions else None)

    async def list_actions(
        self, member_id: str, before: UUID | None, count: int
    ) -> list[AccountAction]:
        """Up to `count` decisions older than `before`, newest first."""
        async with self._office.database.transaction(readonly=True) as tx:
            rows = await tx.fetch("list_account_actions", member_id, before, count)
        return [_action(row) for row in rows]


async def decide(
    session: Session,
    account: AccountState,
    kind: Action,
    operator: Operator,
    transaction_id: UUID | None = None,
) -> AccountView:
    """Writes the state of an account with the decision that made it, and tells the others."""
    desk = session.desk
    action = AccountAction(
        account.member_id, desk.new_id(), kind, operator.name, operator.identity, operator.reason,
        transaction_id, desk.now,
    )  # fmt: skip
    await session.tx.execute(
        "set_account_state", account.member_id, account.state, account.merged_into
    )
    await session.tx.execute(
        "add_account_action", action.member_id, action.action_id, kind, action.operator,
        action.identity, action.reason, transaction_id, action.create_time,
    )  # fmt: skip
    if kind in (Action.FREEZE, Action.UNFREEZE) and account.restriction == Restriction.FROZEN:
        # To others it is frozen before and after, by anti-fraud.
        return AccountView(account, action)
    survivor = account.merged_into or ""
    session.events.append(
        account_event(account.member_id, kind, survivor, desk.now, action.action_id)
    )
    return AccountView(account, action)


def _action(row: Any) -> AccountAction:
    return AccountAction(
        row["member_id"], row["action_id"], Action(row["kind"]), row["operator"], row["identity"],
        row["reason"], row["transaction_id"], row["create_time"],
    )  # fmt: skip
