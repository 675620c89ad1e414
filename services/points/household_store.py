"""Households in Postgres: every method is one transaction, with the accounts of the pool and of the
member locked.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from points import counter_errors as errors
from points import households
from points.clearance import Clearance
from points.holds import check_redemption
from points.households import (
    Change,
    Companion,
    Household,
    HouseholdState,
    Role,
    allowed,
    check_limit,
    check_owner,
    check_room,
    month_left,
)
from points.merges import (
    living_holds,
    load_copies,
    load_restored,
    lots_with_holds,
    move_holds,
    take_note,
)
from points.merging import Moved, Parts
from points.moving_events import household_event
from points.office import Call, Office, R, Render, Session
from points.posting import Desk
from points.promotions import days_of
from points.standing import check_may_spend
from points.store import load_uses
from points.values import Hold, Posted
from rules.gifts import month_of

NO_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Wish:
    """Who asks for a change of a household, about whom, and who vouches for it."""

    household_id: str
    member_id: str
    acting_id: str
    identity: str
    role: Role = Role.ADULT
    month_points_max: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """A household after somebody has left it, and what went back to them."""

    household: Household
    moved: Moved | None


@dataclass(frozen=True, slots=True)
class PoolHold:
    """A hold of a pool's points, and what the spender may still spend this month."""

    posted: Posted
    month_left: int | None


Act = Callable[[Household, Session], Awaitable[R]]


class HouseholdStore:
    """Creates, changes and dissolves households, and moves points in and out of their pools."""

    def __init__(self, office: Office, clearance: Clearance) -> None:
        self._office = office
        self._clearance = clearance

    async def create(
        self, owner_id: str, name: str, identity: str, call: Call[R], render: Render[Household, R]
    ) -> R:
        """Makes a household with an empty pool.

        Raises HouseholdsNotAllowed, InHousehold, and what the state of the account forbids.
        """

        async def act(session: Session) -> R:
            tx, desk = session.tx, session.desk
            allowed(desk.program)
            check_may_spend(session.book.account(owner_id))
            await session.check_in_no_household(owner_id)
            household_id = f"household-{desk.new_id()}"
            await tx.execute("add_household", household_id, name, desk.now)
            await tx.execute("open_pool", household_id)
            wish = Wish(household_id, owner_id, owner_id, identity, Role.OWNER)
            await _join(wish, Change.CREATED, session)
            return render(await _load(household_id, session))

        return await self._office.carry_out(call, [owner_id], act, opened=[owner_id])

    async def add(self, wish: Wish, call: Call[R], render: Render[Household, R]) -> R:
        """Takes a member in.

        Raises HouseholdNotFound, HouseholdDissolved, NotHouseholdOwner, HouseholdFull, InHousehold,
        ChildLimitInvalid, and what the state of the account forbids.
        """

        async def act(household: Household, session: Session) -> R:
            limits = allowed(session.desk.program)
            check_owner(household, wish.acting_id)
            check_limit(wish.role, wish.month_points_max, limits)
            check_may_spend(session.book.account(wish.member_id))
            await session.check_in_no_household(wish.member_id)
            check_room(household, limits)
            await _join(wish, Change.JOINED, session)
            return render(await _load(wish.household_id, session))

        return await self._within(wish.household_id, wish.member_id, call, act, opened=True)

    async def update(self, wish: Wish, call: Call[R], render: Render[Household, R]) -> R:
        """Changes the role and the limit of a member.

        Raises HouseholdNotFound, HouseholdDissolved, NotHouseholdOwner, NotInHousehold,
        HouseholdOwnerStays or ChildLimitInvalid.
        """

        async def act(household: Household, session: Session) -> R:
            check_owner(household, wish.acting_id)
            check_limit(wish.role, wish.month_points_max, allowed(session.desk.program))
            if household.find(wish.member_id).role is Role.OWNER:
                raise errors.HouseholdOwnerStays(member_id=wish.member_id)
            await _join(wish, Change.CHANGED, session)
            return render(await _load(wish.household_id, session))

        return await self._within(wish.household_id, wish.member_id, call, act)

    async def remove(self, wish: Wish, call: Call[R], render: Render[Left, R]) -> R:
        """Lets a member go, with what is left of what they brought; dissolves it with its owner.

        Raises HouseholdNotFound, HouseholdDissolved, NotInHousehold, NotHouseholdOwner,
        HouseholdNotEmpty or PoolHoldsOpen.
        """

        async def act(household: Household, session: Session) -> R:
            companion = household.find(wish.member_id)
            if wish.acting_id != wish.member_id:
                check_owner(household, wish.acting_id)
            leaver = replace(wish, role=companion.role, month_points_max=companion.month_points_max)
            if companion.role is Role.OWNER:
                moved = await _dissolve(household, leaver, call.request_id, session)
            else:
                moved = await _leave(leaver, call.request_id, session)
            await session.tx.execute(
                "end_household_member", wish.household_id, wish.member_id, session.desk.now
            )
            after = await _load(wish.household_id, session)
            pool = session.book.account(wish.household_id)
            gone = _living(moved, session.desk.now) if moved else 0
            after = replace(after, active=after.active - gone, held=pool.held)
            return render(Left(after, moved))

        return await self._within(wish.household_id, wish.member_id, call, act)

    async def contribute(
        self,
        household_id: str,
        member_id: str,
        points: int,
        call: Call[R],
        render: Render[tuple[Household, Moved], R],
    ) -> R:
        """Moves points of a member to the pool.

        Raises HouseholdNotFound, HouseholdDissolved, NotInHousehold, InsufficientPoints, and what
        the state of the account forbids.
        """

        async def act(household: Household, session: Session) -> R:
            companion = household.find(member_id)
            await session.load_spendable_lots(member_id, points)
            book, desk = session.book, session.desk
            member, pool = book.account(member_id), book.account(household_id)
            moved = households.contribute(member, pool, points, call.request_id, book, desk)
            take_note(moved, session)
            await _note_move(household_id, member_id, moved, points, session)
            members = tuple(
                replace(one, contributed=one.contributed + points) if one is companion else one
                for one in household.members
            )
            after = replace(household, active=household.active + points, members=members)
            return render((after, moved))

        return await self._within(household_id, member_id, call, act)

    async def hold(
        self, asked: Hold, household_id: str, call: Call[R], render: Render[PoolHold, R]
    ) -> R:
        """Sets points of the pool aside; `asked` names the member who spends.

        Raises HouseholdNotFound, HouseholdDissolved, NotInHousehold, ChildLimitExceeded,
        InsufficientPoints, what the state of the account forbids and what anti-fraud says.
        """
        assessment_id = ""
        if not await self._office.is_done(call):
            check_redemption(asked)
            assessment_id = await self._clearance.clear(replace(asked, type="pool"))

        async def act(household: Household, session: Session) -> R:
            book, desk, member_id = session.book, session.desk, asked.member_id
            companion = household.find(member_id)
            month = month_of(desk.now, asked.program.zone)
            await session.load_spendable_lots(household_id, asked.points)
            command = replace(
                asked, member_id=household_id, occurred_time=desk.now, spender_id=member_id
            )
            await load_uses(session.tx, book, days_of([command], ()))
            posted = households.hold_pool(command, companion, month, assessment_id, book, desk)
            session.posted.append(posted)
            await session.tx.execute(
                "add_pool_hold", household_id, posted.hold_id, member_id, month
            )
            left = month_left(companion, allowed(asked.program))
            return render(PoolHold(posted, None if left is None else left - asked.points))

        return await self._within(household_id, asked.member_id, call, act)

    async def get(self, household_id: str) -> Household:
        """A household. Raises HouseholdNotFound."""
        desk = await self._office.desk()
        async with self._office.database.transaction(readonly=True) as tx:
            return await _read(tx, household_id, desk)

    async def get_of(self, member_id: str) -> Household:
        """The household that a member is in. Raises NotInHousehold."""
        async with self._office.database.statements() as tx:
            household_id = await tx.fetchval("find_household_of", member_id)
        if household_id is None:
            raise errors.NotInHousehold(member_id=member_id, household_id="at all")
        return await self.get(household_id)

    async def _within(
        self, household_id: str, member_id: str, call: Call[R], act: Act[R], *, opened: bool = False
    ) -> R:
        """What is done in a household that stands, once.

        Raises HouseholdNotFound or HouseholdDissolved.
        """

        async def answer(session: Session) -> R:
            household = await _load(household_id, session)
            if household.state is HouseholdState.DISSOLVED:
                raise errors.HouseholdDissolved(household_id=household_id)
            return await act(household, session)

        new = [member_id] if opened else []
        return await self._office.carry_out(call, (household_id, member_id), answer, opened=new)


def _living(moved: Moved, at: datetime) -> int:
    """What left of points that had not ended."""
    moves = moved.left.moves
    return -sum(one.points for one in moves if one.expire_time is None or one.expire_time > at)


async def _leave(wish: Wish, request_id: str, session: Session) -> Moved | None:
    tx, book = session.tx, session.book
    held = await tx.fetchval("sum_held_of_contributor", wish.household_id, wish.member_id)
    if held:
        raise errors.PoolHoldsOpen(held=held, member_id=wish.member_id)
    rows = await tx.fetch("load_contributed_lots", wish.household_id, wish.member_id)
    copies = await load_copies(rows, wish.household_id, wish.member_id, session)
    restored = await load_restored(wish.household_id, wish.member_id, None, NO_ID, session)
    parts = Parts(
        copies=copies,
        restored=[pair for pair in restored if pair[0].remaining],
    )
    pool, member = book.account(wish.household_id), book.account(wish.member_id)
    moved = households.leave(pool, member, parts, request_id, book, session.desk)
    if moved is not None:
        take_note(moved, session)
        await _note_move(wish.household_id, wish.member_id, moved, -moved.amounts.active, session)
    await _note_change(wish, Change.LEFT, session)
    return moved


async def _dissolve(
    household: Household, wish: Wish, request_id: str, session: Session
) -> Moved | None:
    others = len(household.members) - 1
    if others:
        raise errors.HouseholdNotEmpty(household_id=household.household_id, members=others)
    book, pool_id = session.book, household.household_id
    holds = await living_holds(pool_id, session)
    lots = await lots_with_holds(pool_id, holds, session)
    pool, owner = book.account(pool_id), book.account(wish.member_id)
    moved = households.dissolve(pool, owner, lots, request_id, book, session.desk)
    if moved is not None:
        take_note(moved, session)
        await move_holds(pool_id, wish.member_id, holds, moved, session)
        points = -moved.amounts.active - moved.amounts.held
        await _note_move(pool_id, wish.member_id, moved, points, session)
    await session.tx.execute("dissolve_household", pool_id)
    await _note_change(wish, Change.DISSOLVED, session)
    return moved


async def _note_move(
    household_id: str, member_id: str, moved: Moved, points: int, session: Session
) -> None:
    own, others = moved.left, moved.arrived
    pool, member = (own, others) if own.member_id == household_id else (others, own)
    await session.tx.execute(
        "add_pool_move", household_id, pool.transaction_id, member_id, member.transaction_id,
        points, session.desk.now,
    )  # fmt: skip


async def _join(wish: Wish, change: Change, session: Session) -> None:
    await session.tx.execute(
        "put_household_member", wish.household_id, wish.member_id, wish.role, wish.month_points_max,
        session.desk.now,
    )  # fmt: skip
    await _note_change(wish, change, session)


async def _note_change(wish: Wish, change: Change, session: Session) -> None:
    action_id, now = session.desk.new_id(), session.desk.now
    await session.tx.execute(
        "add_household_action", wish.household_id, action_id, change, wish.member_id, wish.role,
        wish.month_points_max, wish.acting_id, wish.identity, now,
    )  # fmt: skip
    session.events.append(
        household_event(wish.member_id, wish.household_id, change, wish.role, now, action_id)
    )


async def _load(household_id: str, session: Session) -> Household:
    return await _read(session.tx, household_id, session.desk)


async def _read(tx: Any, household_id: str, desk: Desk) -> Household:
    row = await tx.fetchrow("get_household", household_id, desk.now)
    if row is None:
        raise errors.HouseholdNotFound(household_id=household_id)
    month = month_of(desk.now, desk.program.zone)
    rows = await tx.fetch("list_household_members", household_id, month, desk.now)
    members = tuple(Companion(one[0], Role(one[1]), *tuple(one)[2:]) for one in rows)
    return Household(
        household_id, row["name"], HouseholdState(row["state"]), row["create_time"], row["active"],
        row["held"], members,
    )  # fmt: skip
