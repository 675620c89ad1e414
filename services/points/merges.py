"""Merges in Postgres: made, undone, listed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from points import merging
from points.accounts import Action, decide
from points.counter_errors import (
    AccountTooLarge,
    MergeNotFound,
    MergeUndone,
    MergeWithOneself,
)
from points.debt_rows import note_repaid, sum_open_debts
from points.merging import Moved, Parts
from points.moving import Amounts
from points.office import Call, Office, R, Render, Session
from points.standing import check_may_spend
from points.values import LotState, Operator, Standing

HOLDS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Undoing:
    """How a merge was undone."""

    amounts: Amounts
    transaction_id: UUID
    merged_transaction_id: UUID
    operator: Operator
    time: datetime


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge of one account into another."""

    survivor_id: str
    merge_id: UUID
    merged_id: str
    transaction_id: UUID
    merged_transaction_id: UUID
    amounts: Amounts
    hold_count: int
    operator: Operator
    create_time: datetime
    undoing: Undoing | None = None


class MergeStore:
    """Each method is one transaction."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def merge(
        self,
        survivor_id: str,
        merged_id: str,
        operator: Operator,
        call: Call[R],
        render: Render[Merge, R],
    ) -> R:
        """Moves all of one account to another. Raises what the states of both forbid."""
        if survivor_id == merged_id:
            raise MergeWithOneself(member_id=survivor_id)

        async def act(session: Session) -> R:
            return render(await _merge(survivor_id, merged_id, operator, call.request_id, session))

        members = (survivor_id, merged_id)
        return await self._office.carry_out(call, members, act, opened=members)

    async def undo(
        self, merge_id: UUID, operator: Operator, call: Call[R], render: Render[Merge, R]
    ) -> R:
        """Gives back what is left. Raises MergeNotFound, MergeUndone and what the state of the
        survivor forbids.
        """
        async with self._office.database.statements() as tx:
            found = await _get(tx, merge_id)

        async def act(session: Session) -> R:
            # Read again, now that its accounts are locked.
            merge = await _get(session.tx, merge_id)
            if merge.undoing is not None:
                raise MergeUndone(merge_id=merge_id)
            return render(await _undo(merge, operator, call.request_id, session))

        return await self._office.carry_out(call, (found.survivor_id, found.merged_id), act)

    async def list(self, member_id: str, before: UUID | None, count: int) -> list[Merge]:
        """Up to `count` merges of a member older than `before`, newest first."""
        async with self._office.database.transaction(readonly=True) as tx:
            rows = await tx.fetch("list_merges", member_id, before, count)
        return [_read(row) for row in rows]


async def _merge(
    survivor_id: str, merged_id: str, operator: Operator, request_id: str, session: Session
) -> Merge:
    tx, book, desk = session.tx, session.book, session.desk
    merged, survivor = book.account(merged_id), book.account(survivor_id)
    check_may_spend(merged)
    check_may_spend(survivor)
    await session.check_in_no_household(merged_id)
    await note_repaid(tx, book, (survivor_id, merged_id))
    # Made before the lots that it opens: ids rise, so that it tells them from those before it.
    merge_id = desk.new_id()
    holds = await living_holds(merged_id, session)
    lots = await lots_with_holds(merged_id, holds, session)
    moved = merging.merge(merged, survivor, lots, request_id, book, desk)
    take_note(moved, session)
    await move_holds(merged_id, survivor_id, holds, moved, session)
    merged.state, merged.merged_into = Standing.MERGED, survivor_id
    await decide(session, merged, Action.MERGE, operator, moved.left.transaction_id)
    merge = Merge(
        survivor_id, merge_id, merged_id, moved.arrived.transaction_id, moved.left.transaction_id,
        moved.amounts, len(holds), operator, desk.now,
    )  # fmt: skip
    await tx.execute(
        "add_merge", survivor_id, merge_id, merged_id, merge.transaction_id,
        merge.merged_transaction_id, *merge.amounts, len(holds), *operator, desk.now,
    )  # fmt: skip
    await tx.execute("add_merge_holds", survivor_id, merge_id, holds)
    return merge


async def _undo(merge: Merge, operator: Operator, request_id: str, session: Session) -> Merge:
    tx, book, desk = session.tx, session.book, session.desk
    survivor, merged = book.account(merge.survivor_id), book.account(merge.merged_id)
    rows = await tx.fetch("list_merge_holds", merge.survivor_id, merge.merge_id)
    holds = [row["hold_id"] for row in rows]
    parts = await _parts_of(merge, holds, session)
    moved = merging.undo(survivor, merged, parts, request_id, book, desk)
    take_note(moved, session)
    await move_holds(merge.survivor_id, merge.merged_id, holds, moved, session)
    merged.state, merged.merged_into = Standing.OPEN, None
    await decide(session, merged, Action.UNDO_MERGE, operator, moved.arrived.transaction_id)
    undoing = Undoing(
        moved.amounts, moved.left.transaction_id, moved.arrived.transaction_id, operator, desk.now
    )
    await tx.execute(
        "undo_merge", merge.survivor_id, merge.merge_id, *undoing.amounts, undoing.transaction_id,
        undoing.merged_transaction_id, *operator, desk.now,
    )  # fmt: skip
    return replace(merge, undoing=undoing)


async def _parts_of(merge: Merge, holds: Sequence[UUID], session: Session) -> Parts:
    tx = session.tx
    rows = await tx.fetch("load_lots_by_origin", merge.survivor_id, merge.transaction_id)
    copies = await load_copies(rows, merge.survivor_id, merge.merged_id, session)
    held = await tx.fetchval("sum_held", merge.survivor_id, holds)
    return Parts(
        copies=copies,
        restored=await load_restored(
            merge.survivor_id, merge.merged_id, merge.transaction_id, merge.merge_id, session
        ),
        held=held,
        debt=min(merge.amounts.debt, await sum_open_debts(tx, merge.merged_id)),
    )


async def load_copies(
    rows: Sequence[Any], holder_id: str, owner_id: str, session: Session
) -> list[tuple[LotState, LotState]]:
    """Lots of a holder that were read, each with the lot of the owner that it came out of.

    Those of the owner end as late as they do: what anti-fraud gave back to the holder stays given.
    """
    tx, book = session.tx, session.book
    book.add_loaded_lots(LotState(*tuple(row)[:10]) for row in rows)
    if rows:
        moved = [row["lot_id"] for row in rows]
        await tx.execute("take_extensions_home", holder_id, moved, owner_id)
        ids = [row["source_lot_id"] for row in rows]
        originals = await tx.fetch("load_lots", [owner_id] * len(ids), ids)
        book.add_loaded_lots(LotState(*row) for row in originals)
    return [(book.lot(row["lot_id"]), book.lot(row["source_lot_id"])) for row in rows]


async def load_restored(
    holder_id: str, owner_id: str, transaction_id: UUID | None, since: UUID, session: Session
) -> list[tuple[LotState, LotState | None]]:
    """Lots that refunds have opened in place of those that came from an owner, each with the lot of
    the owner that it stems from: by a transaction, or by any.

    What was refunded before that was written down is told by its accrual, of lots opened `since`.
    """
    tx, book = session.tx, session.book
    rows = await tx.fetch("load_replacements", holder_id, owner_id, transaction_id)
    restored: list[tuple[LotState, LotState | None]] = []
    restored += await load_copies(rows, holder_id, owner_id, session)
    rows = await tx.fetch("load_restored_lots", holder_id, owner_id, since)
    book.add_loaded_lots(LotState(*row) for row in rows)
    restored += [(book.lot(row["lot_id"]), None) for row in rows]
    return restored


async def living_holds(member_id: str, session: Session) -> list[UUID]:
    """The holds of a member that something may still happen to. Raises AccountTooLarge."""
    rows = await session.tx.fetch("find_living_holds", member_id, HOLDS_MAX + 1)
    if len(rows) > HOLDS_MAX:
        raise AccountTooLarge(member_id=member_id, count_max=HOLDS_MAX, things="holds")
    return [row["hold_id"] for row in rows]


async def lots_with_holds(
    member_id: str, holds: Sequence[UUID], session: Session
) -> list[LotState]:
    """All lots of a member with points, and those that holds may give back to."""
    lots = {lot.lot_id: lot for lot in await session.load_all_lots(member_id)}
    rows = await session.tx.fetch("load_lots_of_holds", member_id, holds)
    session.book.add_loaded_lots(LotState(*row) for row in rows)
    for row in rows:
        lots.setdefault(row["lot_id"], session.book.lot(row["lot_id"]))
    return list(lots.values())


async def move_holds(
    source_id: str, target_id: str, holds: Sequence[UUID], moved: Moved, session: Session
) -> None:
    """Holds go to another member, with the lots that took the place of those they drew from."""
    if holds:
        await session.tx.execute(
            "move_hold_lots", source_id, target_id, holds, list(moved.lots),
            list(moved.lots.values()),
        )  # fmt: skip
        await session.tx.execute("move_holds", source_id, target_id, holds)


def take_note(moved: Moved, session: Session) -> None:
    """Both transactions and the origins of lots are written at the end of the operation."""
    session.posted += [moved.left, moved.arrived]
    session.origins += moved.origins


async def _get(tx: Any, merge_id: UUID) -> Merge:
    row = await tx.fetchrow("get_merge", merge_id)
    if row is None:
        raise MergeNotFound(merge_id=merge_id)
    return _read(row)


def _read(row: Any) -> Merge:
    undoing = None
    if row["undo_time"] is not None:
        undoing = Undoing(
            Amounts(*tuple(row)[14:18]), row["undo_transaction_id"],
            row["undo_merged_transaction_id"], Operator(*tuple(row)[20:23]), row["undo_time"],
        )  # fmt: skip
    return Merge(
        row["member_id"], row["merge_id"], row["merged_member_id"], row["transaction_id"],
        row["merged_transaction_id"], Amounts(*tuple(row)[5:9]), row["hold_count"],
        Operator(*tuple(row)[10:13]), row["create_time"], undoing,
    )  # fmt: skip
