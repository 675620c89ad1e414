"""Keeps refunds. Every method is one transaction, none makes a remote call."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from checkout.claims import Claim, take
from checkout.events import render_refunded
from checkout.pricing import Line
from checkout.refunding import (
    Paid,
    RefundSaga,
    Share,
    apply,
    arrive,
    returned_by_line,
    share,
    start,
)
from checkout.saga import State, in_state
from checkout.steps import Outcome
from checkout.store import LEASE, STALE, get_lines, get_steps, lock, note_survivors, set_marks
from kit.clock import Clock, NewId
from kit.db import Database, Transaction
from kit.events import publish


class RefundKey(NamedTuple):
    """A refund of a checkout, counted from 1."""

    checkout_id: UUID
    number: int


class RefundStore:
    """The refunds."""

    def __init__(self, database: Database, *, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id

    async def begin(
        self, claim: Claim, checkout_id: UUID, asked: Sequence[tuple[str, int]]
    ) -> bytes | RefundSaga:
        """Sets aside what goes back; where the request came before, its answer or how far it got.

        Raises CheckoutNotFound, CheckoutInState, RequestIdReused, LineNotFound, RefundExceeded,
        NothingLeft or TooManyRefunds; nothing has changed then.
        """
        async with self._database.transaction() as tx:
            claimed = await take(tx, claim)
            if claimed.answer is not None:
                return claimed.answer
            # From here on no other refund of this checkout can be decided.
            saga = await lock(tx, checkout_id)
            if not claimed.first:
                number = await tx.fetchval("find_refund", checkout_id, claim.request_id)
                return await _get(tx, RefundKey(checkout_id, number))
            if saga.state is not State.COMPLETED:
                raise in_state(saga, "COMPLETED")
            paid = await _get_paid(tx, checkout_id)
            key = RefundKey(checkout_id, paid.refund_count + 1)
            await self._insert(tx, claim, key, share(paid, asked))
            refund = await _get(tx, key)
            return await self._move(tx, refund, arrive(refund))

    async def get(self, key: RefundKey) -> RefundSaga:
        """A refund on its way."""
        async with self._database.transaction(readonly=True) as tx:
            return await _get(tx, key)

    async def record(self, key: RefundKey, outcome: Outcome) -> RefundSaga:
        """Notes what became of a step; returns where the refund stands then."""
        async with self._database.transaction() as tx:
            # The checkout first, as everywhere: a refund and its repeat must not deadlock.
            await lock(tx, key.checkout_id)
            saga = await _get(tx, key)
            return await self._move(tx, saga, apply(saga, outcome), outcome)

    async def take_due(self, now: datetime, count_max: int) -> list[RefundKey]:
        """Leases refunds that stand still, for a time that grows with every try."""
        async with self._database.transaction() as tx:
            return [
                RefundKey(*row) for row in await tx.fetch("take_due_refunds", now, count_max, LEASE)
            ]

    async def _insert(self, tx: Transaction, claim: Claim, key: RefundKey, part: Share) -> None:
        now = self._clock()
        places, counts = list(part.quantities), list(part.quantities.values())
        await tx.execute(
            "add_refund", *key, self._new_id(), claim.request_id, part.cash_minor, part.points,
            False, now, now + STALE,
        )  # fmt: skip
        await tx.execute("add_refund_lines", *key, places, counts)
        await tx.execute("note_refunded_lines", key.checkout_id, places, counts)
        await tx.execute(
            "note_refunded", key.checkout_id, part.lines_minor, part.cash_minor, part.points, now
        )

    async def _move(
        self, tx: Transaction, old: RefundSaga, new: RefundSaga, outcome: Outcome | None = None
    ) -> RefundSaga:
        new = start(new)
        if new == old:
            return old
        now = self._clock()
        key = RefundKey(new.checkout_id, new.number)
        changed = {step: mark for step, mark in new.marks.items() if old.marks.get(step) != mark}
        await set_marks(tx, key, changed, outcome, now)
        await note_survivors(tx, key, old.survivors, new.survivors)
        sweep = None if new.complete else now + STALE
        await tx.execute("set_refund", *key, new.points, new.reversed_points, new.complete, sweep)
        if new.complete and not old.complete:
            await tx.execute("touch_checkout", key.checkout_id, now)
            await publish(tx, self._new_id, [render_refunded(new, now, self._new_id)])
        return new


async def _get(tx: Transaction, key: RefundKey) -> RefundSaga:
    values = dict(await tx.fetchrow("get_refund", *key))
    paid_minor, earns_by_line = values.pop("paid_minor"), values.pop("earns_by_line")
    if earns_by_line:
        values["by_line"] = await _by_line(tx, key, paid_minor)
    marks, survivors = await get_steps(tx, *key)
    return RefundSaga(**values, marks=marks, survivors=survivors)


async def _by_line(tx: Transaction, key: RefundKey, paid_minor: int) -> tuple[tuple[int, int], ...]:
    lines, quantities = [], {}
    for place, *line, quantity in await tx.fetch("get_lines_before", *key):
        lines.append(Line(*line))
        quantities[place] = quantity
    return returned_by_line(lines, paid_minor, quantities)


async def _get_paid(tx: Transaction, checkout_id: UUID) -> Paid:
    row = await tx.fetchrow("get_paid", checkout_id)
    lines = await get_lines(tx, checkout_id)
    return Paid(checkout_id=checkout_id, lines=lines, **dict(row))
