"""An obvious ledger of what moves between accounts: lists of lots, one rule after the other.

It knows nothing of the service but its rules: what expires first is spent first, what moves keeps
its end and its purchase, what goes back goes back to where it came from.
"""

from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

SHARE, FEE, MONTH, ALONE = 5, 10, 5_000, 1_000
_number = count()


class Refusal(Exception):
    """The reason for which a call is refused."""


@dataclass(eq=False)
class Lot:
    """Points of one purchase in one account; `source` is the lot they came out of."""

    accrual: str
    left: int
    expires: datetime
    source: "Lot | None" = None
    number: int = field(default_factory=lambda: next(_number))


@dataclass(eq=False)
class Account:
    """What one member or one pool has."""

    name: str
    lots: list[Lot] = field(default_factory=list)
    state: str = "OPEN"
    home: "Account | None" = None
    given: int = 0

    @property
    def active(self) -> int:
        """What can be spent."""
        return sum(lot.left for lot in self.lots)

    def in_order(self) -> list[Lot]:
        """First to expire first, then oldest."""
        return sorted(self.lots, key=lambda lot: (lot.expires, lot.number))


@dataclass(eq=False)
class Merge:
    """A merge, with the lots that it moved."""

    survivor: Account
    merged: Account
    moved: list[Lot]
    undone: bool = False


def must_be_open(*accounts: Account) -> None:
    """Only open accounts spend, receive and are merged."""
    for account in accounts:
        if account.state != "OPEN":
            raise Refusal(f"ACCOUNT_{account.state}")


def take(account: Account, points: int) -> list[tuple[Lot, int]]:
    """Takes points out of the lots that expire first."""
    if account.active < points:
        raise Refusal("INSUFFICIENT_POINTS")
    taken = []
    for lot in account.in_order():
        part = min(lot.left, points)
        if part:
            lot.left -= part
            points -= part
            taken.append((lot, part))
    return taken


def put(account: Account, parts: list[tuple[Lot, int]]) -> list[Lot]:
    """Each part in a lot of its own, that ends when it would have ended."""
    new = [Lot(lot.accrual, points, lot.expires, lot) for lot, points in parts]
    account.lots += new
    return new


def accrue(account: Account, accrual: str, points: int, expires: datetime) -> None:
    """A purchase; a frozen account earns."""
    if account.state == "MERGED":
        raise Refusal("ACCOUNT_MERGED")
    account.lots.append(Lot(accrual, points, expires))


def give(giver: Account, receiver: Account, points: int) -> None:
    """A tenth is kept, half a point up: of what expires first."""
    fee = (points + FEE // 2) // FEE
    must_be_open(giver, receiver)
    if points > giver.active // SHARE:
        raise Refusal("GIFT_ABOVE_SHARE")
    if giver.given + points > MONTH:
        raise Refusal("GIFT_ABOVE_MONTH")
    parts, rest = [], fee
    for lot, part in take(giver, points):
        kept = min(part, rest)
        rest -= kept
        if part > kept:
            parts.append((lot, part - kept))
    put(receiver, parts)
    giver.given += points


def donate(account: Account, points: int) -> None:
    """Whole cents only."""
    if points % 10:
        raise Refusal("DONATION_NOT_WHOLE")
    must_be_open(account)
    take(account, points)


def adjust(account: Account, points: int) -> None:
    """Takes points by hand; giving is a purchase to this ledger."""
    must_be_open(account)
    take(account, points)


def contribute(member: Account, pool: Account, points: int) -> None:
    """Into the pool."""
    if member.home is not pool:
        raise Refusal("NOT_IN_HOUSEHOLD")
    must_be_open(member)
    put(pool, take(member, points))


def leave(member: Account, pool: Account) -> int:
    """Out of the household, with what is left of one's own."""
    if member.home is not pool:
        raise Refusal("NOT_IN_HOUSEHOLD")
    member.home = None
    return give_back(pool, member, [lot for lot in pool.lots if lot.source in member.lots])


def join(member: Account, pool: Account) -> None:
    """Into the household."""
    must_be_open(member)
    if member.home is not None:
        raise Refusal("IN_HOUSEHOLD")
    member.home = pool


def give_back(source: Account, target: Account, lots: list[Lot]) -> int:
    """What is left of lots goes back to the lots that they came out of."""
    total = 0
    for lot in lots:
        assert lot.source is not None
        assert lot in source.lots
        assert lot.source in target.lots
        lot.source.left += lot.left
        total += lot.left
        lot.left = 0
    return total


def merge(survivor: Account, merged: Account) -> Merge:
    """All of one account into another."""
    must_be_open(merged, survivor)
    if merged.home is not None:
        raise Refusal("IN_HOUSEHOLD")
    parts = [(lot, lot.left) for lot in merged.in_order() if lot.left]
    for lot, _ in parts:
        lot.left = 0
    merged.state = "MERGED"
    return Merge(survivor, merged, put(survivor, parts))


def undo(done: Merge) -> int:
    """Apart again."""
    if done.undone:
        raise Refusal("MERGE_UNDONE")
    if done.survivor.state == "MERGED":
        raise Refusal("ACCOUNT_MERGED")
    done.undone = True
    done.merged.state = "OPEN"
    return give_back(done.survivor, done.merged, done.moved)
