"""Keeps what members hold, and its use for orders, exactly once."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from benefits.entitlements import Entitlement, Kind, State
from benefits.errors import ReservationNotFound, ReservationNotOpen
from benefits.events import render_redeemed
from benefits.reservations import (
    Item,
    Order,
    Reservation,
    ReservationState,
    evaluate,
    parse_uuid,
    promise,
    wanted_uuids,
)
from kit.clock import Clock, NewId
from kit.db import Database, Transaction
from kit.events import publish
from kit.requests import once
from rules.benefits import Priced

HELD_MAX = 500
SWEEP_STEP = 500
SWEEP_STEPS_MAX = 200

R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """A write as it was called: its repeats get the same answer, put in words by `render`."""

    request_id: str
    request: Message
    response_type: type[R]
    render: Callable[[Reservation], R]


class BenefitsStore:
    """What members hold. Every method is one transaction."""

    def __init__(self, database: Database, *, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id

    async def list_entitlements(
        self, member_id: str, after: tuple[datetime, UUID] | None, limit: int
    ) -> list[Entitlement]:
        """The entitlements of a member, newest first, those after a key."""
        create_time, entitlement_id = after or (None, None)
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch(
                "list_entitlements", member_id, create_time, entitlement_id, limit
            )
        return [_entitlement(row) for row in rows]

    async def evaluate(self, order: Order) -> Priced:
        """Prices an order with what its member can use now; changes nothing."""
        now = self._clock()
        named = wanted_uuids(order)
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch("get_usable", order.member_id, now, named, HELD_MAX)
        return evaluate(order, [_entitlement(row) for row in rows], now)

    async def reserve(self, order: Order, call: Call[R]) -> R:
        """Sets entitlements aside for an order, all of them or none."""

        async def act(tx: Transaction) -> Reservation:
            now = self._clock()
            rows = await tx.fetch("lock_entitlements", order.member_id, wanted_uuids(order))
            rows += await tx.fetch("get_standing_discounts", order.member_id)
            held = {row["entitlement_id"]: _entitlement(row) for row in rows}
            reservation = self._reservation(order, promise(order, list(held.values()), now), now)
            await _add(tx, reservation, now)
            return reservation

        return await self._once(call, act)

    async def redeem(self, reservation_id: str, call: Call[R]) -> R:
        """Uses what a reservation set aside, and says so to the others."""

        async def act(tx: Transaction) -> Reservation:
            now = self._clock()
            reservation = await _lock(tx, reservation_id)
            await _end(tx, [reservation], ReservationState.REDEEMED, now)
            used = [item.entitlement_id for item in reservation.items if item.single_use]
            await tx.execute("use_entitlements", reservation.member_id, used)
            await publish(tx, self._new_id, render_redeemed(reservation, now, self._new_id))
            return replace(reservation, state=ReservationState.REDEEMED)

        return await self._once(call, act)

    async def release(self, reservation_id: str, call: Call[R]) -> R:
        """Gives back what a reservation set aside; a coupon that ran out meanwhile has ended."""

        async def act(tx: Transaction) -> Reservation:
            reservation = await _lock(tx, reservation_id)
            await _release(tx, [reservation], self._clock())
            return replace(reservation, state=ReservationState.RELEASED)

        return await self._once(call, act)

    async def release_expired(self) -> int:
        """Releases every reservation whose time is over, step by step; says how many."""
        return await self._sweep(self._release_step)

    async def expire_coupons(self) -> int:
        """Ends every coupon whose time is over, step by step; says how many."""
        return await self._sweep(self._expire_step)

    async def _sweep(self, step: Callable[[], Awaitable[int]]) -> int:
        total = 0
        for _ in range(SWEEP_STEPS_MAX):
            count = await step()
            total += count
            if count < SWEEP_STEP:
                break
        return total

    async def _release_step(self) -> int:
        now = self._clock()
        async with self._database.transaction() as tx:
            rows = await tx.fetch("lock_expired_reservations", now, SWEEP_STEP)
            await _release(tx, [_reservation(row, ()) for row in rows], now)
        return len(rows)

    async def _expire_step(self) -> int:
        async with self._database.transaction() as tx:
            return len(await tx.fetch("expire_entitlements", self._clock(), SWEEP_STEP))

    async def _once(self, call: Call[R], act: Callable[[Transaction], Awaitable[Reservation]]) -> R:
        async with self._database.transaction() as tx:

            async def answer() -> R:
                return call.render(await act(tx))

            return await once(tx, call.request_id, call.request, answer, call.response_type)

    def _reservation(self, order: Order, items: tuple[Item, ...], now: datetime) -> Reservation:
        program = order.program
        return Reservation(
            member_id=order.member_id,
            reservation_id=self._new_id(),
            order_id=order.order_id,
            state=ReservationState.OPEN,
            order_amount_minor=order.amount_minor,
            currency=program.currency,
            currency_digits=program.minor_digits,
            expire_time=now + timedelta(minutes=program.redemption.hold_minutes),
            program_version=program.version,
            items=items,
        )


async def _add(tx: Transaction, new: Reservation, now: datetime) -> None:
    await tx.execute(
        "add_reservation", new.member_id, new.reservation_id, new.order_id, new.order_amount_minor,
        new.currency, new.currency_digits, now, new.expire_time, new.program_version,
    )  # fmt: skip
    await tx.execute(
        "add_reservation_items",
        new.member_id,
        new.reservation_id,
        [item.entitlement_id for item in new.items],
        list(range(len(new.items))),
        [item.benefit_id for item in new.items],
        [item.single_use for item in new.items],
        [item.discount_minor for item in new.items],
    )
    single = [item.entitlement_id for item in new.items if item.single_use]
    await tx.execute("set_aside", new.member_id, single, new.order_id)


async def _lock(tx: Transaction, reservation_id: str) -> Reservation:
    """The open reservation, locked. Raises ReservationNotFound or ReservationNotOpen."""
    known = parse_uuid(reservation_id)
    row = await tx.fetchrow("lock_reservation", known) if known is not None else None
    if row is None:
        raise ReservationNotFound(reservation_id=reservation_id)
    if row["state"] != ReservationState.OPEN.value:
        raise ReservationNotOpen(reservation_id=reservation_id, state=row["state"].lower())
    items = await tx.fetch("get_reservation_items", row["member_id"], row["reservation_id"])
    return _reservation(row, tuple(Item(*item) for item in items))


async def _release(tx: Transaction, open_: Sequence[Reservation], now: datetime) -> None:
    await _end(tx, open_, ReservationState.RELEASED, now)
    keys = [one.member_id for one in open_], [one.reservation_id for one in open_]
    await tx.execute("give_back", *keys, now)


async def _end(
    tx: Transaction, open_: Sequence[Reservation], state: ReservationState, now: datetime
) -> None:
    keys = [one.member_id for one in open_], [one.reservation_id for one in open_]
    await tx.execute("end_reservations", *keys, state.value, now)


def _entitlement(row: Any) -> Entitlement:
    values = dict(row)
    return Entitlement(**{**values, "kind": Kind(row["kind"]), "state": State(row["state"])})


def _reservation(row: Any, items: tuple[Item, ...]) -> Reservation:
    return Reservation(**{**dict(row), "state": ReservationState(row["state"]), "items": items})
