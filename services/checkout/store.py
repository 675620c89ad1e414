"""Keeps checkouts and their steps. Every method is one transaction, none makes a remote call."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from checkout.claims import Claim, keep, look_up, take
from checkout.errors import CheckoutNotFound
from checkout.events import render_completed
from checkout.pricing import Cart, Effect, Line, Price
from checkout.saga import MOVING, Saga, State, apply, start, wake
from checkout.steps import Mark, Outcome, Step, step_request_id
from checkout.values import Checkout, Quote, Refund
from kit.clock import Clock, NewId
from kit.db import Database, Transaction
from kit.events import publish

# Longer than a call that goes well: the sweeper leaves alone what somebody is working on.
STALE = timedelta(seconds=10)
LEASE = timedelta(seconds=30)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Begin = Callable[[Saga, datetime], Saga]
Render = Callable[[Checkout], bytes]


class CheckoutStore:
    """The checkouts."""

    def __init__(self, database: Database, *, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id

    async def find_answer(self, claim: Claim) -> bytes | None:
        """The answer that a request got already. Raises RequestIdReused."""
        async with self._database.transaction(readonly=True) as tx:
            return await look_up(tx, claim)

    async def add(
        self, claim: Claim, quote: Quote, cart: Cart, price: Price, render: Render
    ) -> bytes:
        """Keeps a quote, once for each request; returns the answer."""
        async with self._database.transaction() as tx:
            claimed = await take(tx, claim)
            if claimed.answer is not None:
                return claimed.answer
            await _insert(tx, quote, cart, price)
            return await keep(tx, claim, render(await _load(tx, quote.checkout_id)))

    async def get(self, checkout_id: UUID) -> Checkout:
        """A checkout. Raises CheckoutNotFound."""
        async with self._database.transaction(readonly=True) as tx:
            return await _load(tx, checkout_id)

    async def begin(self, claim: Claim, checkout_id: UUID, begin: Begin) -> bytes | Saga:
        """Moves a checkout on for a request; where that came before, its answer or how far it got.

        Raises CheckoutNotFound, RequestIdReused and what `begin` raises; nothing has changed then.
        """
        async with self._database.transaction() as tx:
            claimed = await take(tx, claim)
            if claimed.answer is not None:
                return claimed.answer
            saga = await lock(tx, checkout_id)
            # One that came before and stands where it began had to wait for a challenge.
            if not claimed.first and saga.state is not State.QUOTED:
                return saga
            return await self._move(tx, saga, begin(saga, self._clock()))

    async def record(self, checkout_id: UUID, outcome: Outcome) -> Saga:
        """Notes what became of a step; returns where the checkout stands then."""
        async with self._database.transaction() as tx:
            saga = await lock(tx, checkout_id)
            return await self._move(tx, saga, apply(saga, outcome, self._clock()), outcome)

    async def wake(self, checkout_id: UUID, now: datetime) -> Saga:
        """A checkout that the sweeper took: begins to undo it where its time is up."""
        async with self._database.transaction() as tx:
            saga = await lock(tx, checkout_id)
            return await self._move(tx, saga, wake(saga, now))

    async def answer(self, claim: Claim, checkout_id: UUID, render: Render) -> bytes:
        """Keeps the answer to a request whose work is done; the first one stands."""
        async with self._database.transaction() as tx:
            return await keep(tx, claim, render(await _load(tx, checkout_id)))

    async def take_due(self, now: datetime, count_max: int) -> list[UUID]:
        """Leases checkouts that stand still, for a time that grows with every try."""
        async with self._database.transaction() as tx:
            rows = await tx.fetch("take_due_checkouts", now, count_max, LEASE)
            return [row["checkout_id"] for row in rows]

    async def _move(
        self, tx: Transaction, old: Saga, new: Saga, outcome: Outcome | None = None
    ) -> Saga:
        new = start(new)
        if new == old:
            return old
        now = self._clock()
        changed = {step: mark for step, mark in new.marks.items() if old.marks.get(step) != mark}
        await set_marks(tx, (new.checkout_id, 0), changed, outcome, now)
        await note_survivors(tx, (new.checkout_id, 0), old.survivors, new.survivors)
        await _save(tx, new, now)
        if new.state is State.COMPLETED and old.state is not State.COMPLETED:
            await publish(tx, self._new_id, [render_completed(new, now, self._new_id)])
        return new


async def lock(tx: Transaction, checkout_id: UUID) -> Saga:
    """A checkout as its steps need it, locked. Raises CheckoutNotFound."""
    row = await tx.fetchrow("lock_checkout", checkout_id)
    if row is None:
        raise CheckoutNotFound(checkout_id=checkout_id)
    values = dict(row)
    values["state"] = State[row["state"]]
    values["categories"] = tuple(row["categories"])
    values["coupon_ids"] = tuple(row["coupon_ids"])
    if values.pop("earns_by_line"):
        values["lines"] = await get_lines(tx, checkout_id)
    marks, survivors = await get_steps(tx, checkout_id, 0)
    return Saga(**values, marks=marks, survivors=survivors)


async def get_lines(tx: Transaction, checkout_id: UUID) -> tuple[Line, ...]:
    """The lines of a checkout, in their order."""
    return tuple(Line(*line) for line in await tx.fetch("get_lines", checkout_id))


async def get_steps(
    tx: Transaction, checkout_id: UUID, refund_number: int
) -> tuple[dict[Step, Mark], dict[Step, str]]:
    """How far the steps of a checkout, or of a refund, are, and whose survivor is asked for."""
    rows = await tx.fetch("get_steps", checkout_id, refund_number)
    marks = {Step(row["step"]): Mark(row["mark"]) for row in rows}
    survivors = {Step(row["step"]): row["survivor_id"] for row in rows if row["survivor_id"]}
    return marks, survivors


async def set_marks(
    tx: Transaction,
    of: tuple[UUID, int],
    marks: Mapping[Step, Mark],
    outcome: Outcome | None,
    now: datetime,
) -> None:
    """Notes in the log how far the steps of a checkout (refund 0) or of a refund are."""
    if not marks:
        return
    known = outcome or Outcome(Step.HOLD, Mark.STARTED)
    own = [step is known.step for step in marks]
    await tx.execute(
        "set_marks",
        *of,
        [step.value for step in marks],
        [mark.value for mark in marks.values()],
        [step_request_id(*of, step) for step in marks],
        [known.made_id if here else "" for here in own],
        [known.reason if here else "" for here in own],
        [known.text if here else "" for here in own],
        now,
    )


async def note_survivors(
    tx: Transaction, of: tuple[UUID, int], before: Mapping[Step, str], now: Mapping[Step, str]
) -> None:
    """Notes for whom steps are to be asked from now on, before they are."""
    changed = {step: who for step, who in now.items() if before.get(step) != who}
    for step, survivor_id in changed.items():
        await tx.execute("note_survivor", *of, step.value, survivor_id)


async def _insert(tx: Transaction, quote: Quote, cart: Cart, price: Price) -> None:
    key = quote.checkout_id
    await tx.execute(
        "add_checkout", key, cart.member_id, cart.order_id, quote.currency, quote.currency_digits,
        price.program_version, price.lines_minor, price.discount_minor, price.points_max,
        price.points, price.points_minor, price.cash_minor, price.points_to_earn,
        list(cart.categories), list(price.coupon_ids), cart.origin, quote.hold_minutes,
        quote.create_time, quote.expire_time, price.boosted_points, price.promotion_window,
        price.earns_by_line,
    )  # fmt: skip
    lines = [(x.line_id, x.category, x.quantity, x.unit_price_minor) for x in cart.lines]
    await tx.execute("add_lines", key, *(list(column) for column in zip(*lines, strict=True)))
    effects = [
        (x.entitlement_id, x.benefit_id, x.name, x.applies, x.discount_minor, x.reason)
        for x in price.discounts
    ]
    if effects:
        columns = zip(*effects, strict=True)
        await tx.execute("add_discounts", key, *(list(column) for column in columns))


async def _save(tx: Transaction, saga: Saga, now: datetime) -> None:
    sweep = now + STALE if saga.state in MOVING else None
    if saga.state is State.AUTHORIZED or (saga.state is State.QUOTED and saga.origin):
        sweep = saga.expire_time
    await tx.execute(
        "set_checkout", saga.checkout_id, saga.state.name, saga.origin, saga.hold_id,
        saga.reservation_id, saga.accrual_id, saga.expire_time, saga.good_until_time,
        saga.complete_time, saga.failure_reason, saga.failure_text, now, sweep,
    )  # fmt: skip


async def _load(tx: Transaction, checkout_id: UUID) -> Checkout:
    row = await tx.fetchrow("get_checkout", checkout_id)
    if row is None:
        raise CheckoutNotFound(checkout_id=checkout_id)
    values = dict(row)
    values["state"] = State[row["state"]]
    values["lines"] = tuple(Line(*line) for line in row["lines"])
    values["discounts"] = tuple(Effect(*effect) for effect in row["discounts"])
    values["refunds"] = tuple(_refund(refund) for refund in row["refunds"])
    return Checkout(**values)


def _refund(values: list[Any]) -> Refund:
    number, refund_id, cash, points, reversed_points, complete, micros, quantities = values
    pairs = tuple((place, quantity) for place, quantity in quantities)
    time = _EPOCH + timedelta(microseconds=micros)
    return Refund(number, UUID(refund_id), cash, points, reversed_points, complete, time, pairs)
