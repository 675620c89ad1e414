"""Adjustments in Postgres: asked for, booked, approved, rejected."""

from dataclasses import astuple, replace
from typing import Any
from uuid import UUID

from points.adjusting import (
    Adjustment,
    AdjustmentState,
    book_adjustment,
    check_decidable,
    decided,
    needs_approval,
)
from points.counter_errors import AdjustmentNotFound
from points.moving_events import adjustment_event
from points.office import Call, Office, R, Render, Session
from points.standing import check_may_spend
from points.values import Operator, Posted


class AdjustmentStore:
    """Each method is one transaction."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def adjust(
        self,
        member_id: str,
        points: int,
        operator: Operator,
        call: Call[R],
        render: Render[Adjustment, R],
    ) -> R:
        """Books an adjustment, or keeps it until another operator has decided.

        Raises InsufficientPoints, and what the state of the account forbids.
        """

        async def act(session: Session) -> R:
            desk = session.desk
            adjustment = Adjustment(
                member_id, desk.new_id(), points, AdjustmentState.PENDING_APPROVAL, operator.name,
                operator.identity, operator.reason, desk.now,
            )  # fmt: skip
            check_may_spend(session.book.account(member_id))
            if not needs_approval(points, desk.program):
                posted = await _book(adjustment, call.request_id, session)
                adjustment = replace(
                    adjustment, state=AdjustmentState.BOOKED, decide_time=desk.now,
                    transaction_id=posted.transaction_id,
                )  # fmt: skip
            await session.tx.execute("add_adjustment", *astuple(adjustment))
            return render(adjustment)

        return await self._office.carry_out(call, [member_id], act, opened=[member_id])

    async def approve(
        self, adjustment_id: UUID, operator: Operator, call: Call[R], render: Render[Adjustment, R]
    ) -> R:
        """Books what was asked for.

        Raises AdjustmentNotFound, AdjustmentNotPending, SameOperator, InsufficientPoints, and what
        the state of the account forbids.
        """

        async def act(session: Session) -> R:
            adjustment = await _get(session.tx, adjustment_id)
            check_decidable(adjustment, operator, approving=True)
            posted = await _book(adjustment, call.request_id, session)
            now = session.desk.now
            done = decided(adjustment, AdjustmentState.BOOKED, operator, now, posted)
            await _write_decision(done, session)
            return render(done)

        return await self._office.carry_out(call, [await self._member_of(adjustment_id)], act)

    async def reject(
        self, adjustment_id: UUID, operator: Operator, call: Call[R], render: Render[Adjustment, R]
    ) -> R:
        """Ends what was asked for without booking it.

        Raises AdjustmentNotFound or AdjustmentNotPending.
        """

        async def act(session: Session) -> R:
            adjustment = await _get(session.tx, adjustment_id)
            check_decidable(adjustment, operator, approving=False)
            done = decided(adjustment, AdjustmentState.REJECTED, operator, session.desk.now)
            await _write_decision(done, session)
            return render(done)

        return await self._office.carry_out(call, [await self._member_of(adjustment_id)], act)

    async def list(
        self, state: int, member_id: str, before: UUID | None, count: int
    ) -> list[Adjustment]:
        """Up to `count` adjustments older than `before`, newest first; of any state for 0, of any
        member for an empty id.
        """
        async with self._office.database.transaction(readonly=True) as tx:
            rows = await tx.fetch("list_adjustments", state, member_id, before, count)
        return [_adjustment(row) for row in rows]

    async def _member_of(self, adjustment_id: UUID) -> str:
        """Whose it is, which never changes: the account is locked before it is looked at again."""
        async with self._office.database.statements() as tx:
            return (await _get(tx, adjustment_id)).member_id


async def _book(adjustment: Adjustment, request_id: str, session: Session) -> Posted:
    if adjustment.points < 0:
        await session.load_spendable_lots(adjustment.member_id, -adjustment.points)
    posted = book_adjustment(adjustment, request_id, session.book, session.desk)
    session.posted.append(posted)
    session.events.append(adjustment_event(posted, adjustment))
    return posted


async def _write_decision(done: Adjustment, session: Session) -> None:
    await session.tx.execute(
        "decide_adjustment", done.member_id, done.adjustment_id, done.state, done.decider,
        done.decider_identity, done.decision_reason, done.decide_time, done.transaction_id,
    )  # fmt: skip


async def _get(tx: Any, adjustment_id: UUID) -> Adjustment:
    row = await tx.fetchrow("get_adjustment", adjustment_id)
    if row is None:
        raise AdjustmentNotFound(adjustment_id=adjustment_id)
    return _adjustment(row)


def _adjustment(row: Any) -> Adjustment:
    found = Adjustment(*row)
    return replace(found, state=AdjustmentState(found.state))
