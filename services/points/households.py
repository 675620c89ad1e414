"""Who may do what in a household, and what becomes of points that go in and out; pure but for the
book.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum

from points import counter_errors as errors
from points.book import Book
from points.holds import set_aside
from points.merging import Moved, Parts, give_back, take_over
from points.moving import Amounts, Pair, draw, first_to_expire, hand_over, post_pair
from points.posting import Desk
from points.standing import check_may_spend
from points.values import AccountState, Hold, Kind, LotState, Posted
from rules.compiled import CompiledProgram
from rules.values import Households


class Role(IntEnum):
    """What a member may do; numbers as in the contract."""

    OWNER = 1
    ADULT = 2
    CHILD = 3


class HouseholdState(IntEnum):
    """Whether a household stands; numbers as in the contract."""

    OPEN = 1
    DISSOLVED = 2


class Change(IntEnum):
    """What was changed in a household."""

    CREATED = 1
    JOINED = 2
    CHANGED = 3
    LEFT = 4
    DISSOLVED = 5


@dataclass(frozen=True, slots=True)
class Companion:
    """A member of a household, with what they have used this month and what of theirs is in the
    pool.
    """

    member_id: str
    role: Role
    month_points_max: int
    join_time: datetime
    month_used: int = 0
    contributed: int = 0


@dataclass(frozen=True, slots=True)
class Household:
    """Members who share a pool, and the pool's points."""

    household_id: str
    name: str
    state: HouseholdState
    create_time: datetime
    active: int
    held: int
    members: tuple[Companion, ...]

    def find(self, member_id: str) -> Companion:
        """A member of it. Raises NotInHousehold."""
        for companion in self.members:
            if companion.member_id == member_id:
                return companion
        raise errors.NotInHousehold(member_id=member_id, household_id=self.household_id)


def allowed(program: CompiledProgram) -> Households:
    """What the program says of households. Raises HouseholdsNotAllowed."""
    if program.households is None:
        raise errors.HouseholdsNotAllowed(version=program.version)
    return program.households


def check_owner(household: Household, acting_id: str) -> None:
    """Raises NotHouseholdOwner."""
    if not any(m.member_id == acting_id and m.role is Role.OWNER for m in household.members):
        raise errors.NotHouseholdOwner(member_id=acting_id, household_id=household.household_id)


def check_limit(role: Role, points: int, limits: Households) -> None:
    """Raises ChildLimitInvalid where a limit does not go with the role or the program."""
    most = limits.child_month_points_max if role is Role.CHILD else 0
    if points > most:
        raise errors.ChildLimitInvalid(points=points, limit=limits.child_month_points_max)


def check_room(household: Household, limits: Households) -> None:
    """Raises HouseholdFull."""
    if len(household.members) >= limits.members_max:
        raise errors.HouseholdFull(
            household_id=household.household_id, members=len(household.members),
            limit=limits.members_max,
        )  # fmt: skip


def month_left(companion: Companion, limits: Households) -> int | None:
    """What a child may still spend this month; None for any other."""
    if companion.role is not Role.CHILD:
        return None
    limit = min(companion.month_points_max, limits.child_month_points_max)
    return max(0, limit - companion.month_used)


def hold_pool(
    command: Hold,
    companion: Companion,
    month: date,
    assessment_id: str,
    book: Book,
    desk: Desk,
) -> Posted:
    """Sets points of the pool aside; `command.member_id` is the pool.

    Raises ChildLimitExceeded, InsufficientPoints, and what the state of the member's account
    forbids.
    """
    check_may_spend(book.account(companion.member_id))
    limits = allowed(command.program)
    left = month_left(companion, limits)
    if left is not None and command.points > left:
        raise errors.ChildLimitExceeded(
            asked=command.points, member_id=companion.member_id, month=f"{month:%Y-%m}",
            limit=min(companion.month_points_max, limits.child_month_points_max),
            used=companion.month_used, left=left,
        )  # fmt: skip
    explanation = {"assessment": assessment_id, "counterpart": [companion.member_id, ""]}
    return set_aside(command, explanation, book, desk)


def contribute(
    member: AccountState, pool: AccountState, points: int, request_id: str, book: Book, desk: Desk
) -> Moved:
    """Moves points that expire first from a member to the pool, with their expiry.

    Raises InsufficientPoints, and what the state of the member's account forbids.
    """
    check_may_spend(member)
    parts = first_to_expire(member, points, desk.now, book)
    pair = Pair(
        (Kind.POOL_OUT, Kind.POOL_IN), desk.new_id(), desk.new_id(), "contribution",
        f"contributed to {pool.member_id}", f"contributed by {member.member_id}",
        left_request_id=request_id,
    )  # fmt: skip
    leaving = draw(parts, book)
    arrived = hand_over(parts, pool.member_id, pair.arrived_id, book, desk)
    amounts = Amounts(points)
    left, came = post_pair(member, pool, amounts, leaving, arrived, pair, book, desk)
    return Moved(left, came, arrived.origins, amounts, {})


def leave(
    pool: AccountState, member: AccountState, parts: Parts, request_id: str, book: Book, desk: Desk
) -> Moved | None:
    """Gives back what is left of what a member has brought, to the very lots; None for nothing."""
    if not parts.copies and not parts.restored:
        return None
    pair = Pair(
        (Kind.POOL_OUT, Kind.POOL_IN), desk.new_id(), desk.new_id(), "leaving",
        f"brought by {member.member_id}, who leaves", f"back from {pool.member_id}",
        arrived_request_id=request_id,
    )  # fmt: skip
    return give_back(pool, member, parts, pair, book, desk)


def dissolve(
    pool: AccountState, owner: AccountState, lots: Sequence[LotState], request_id: str, book: Book,
    desk: Desk,
) -> Moved | None:  # fmt: skip
    """Moves all that is left in the pool to its owner, holds included; None for nothing."""
    if not lots:
        return None
    pair = Pair(
        (Kind.POOL_OUT, Kind.POOL_IN), desk.new_id(), desk.new_id(), "dissolution",
        f"to {owner.member_id}, who was the last", f"left in {pool.member_id}",
        arrived_request_id=request_id,
    )  # fmt: skip
    return take_over(pool, owner, lots, pair, book, desk)
