"""Debts in Postgres: which of them stand, and what of each was repaid."""

from collections import defaultdict
from collections.abc import Collection

from kit.db import Transaction
from points.book import Book
from points.debts import OpenDebt, left_of
from points.values import Debt


async def find_owners(tx: Transaction, members: Collection[str]) -> set[str]:
    """Who owes the debts of members: they, or whoever their account was merged into."""
    rows = await tx.fetch("find_owners", sorted(set(members)))
    # The last step of each chain of merges comes last.
    return set({row["member_id"]: row["owner_id"] for row in rows}.values())


async def load_open_debts(tx: Transaction, members: Collection[str]) -> dict[str, list[OpenDebt]]:
    """By member, the debts that stand, the oldest first; with those of accounts merged into theirs.
    The accounts are locked.
    """
    standing: defaultdict[str, list[OpenDebt]] = defaultdict(list)
    for row in await tx.fetch("load_open_debts", list(members)):
        debt = Debt(row["owner_id"], row["transaction_id"], row["points"], row["expire_time"])
        standing[debt.member_id].append(OpenDebt(debt, row["member_id"], row["due_time"]))
    return standing


async def note_repaid(tx: Transaction, book: Book, members: Collection[str]) -> None:
    """Notes what members have repaid of each debt, the oldest first, as their accounts stand.

    For accounts that are about to be merged: what one has repaid is not of the other one's debts.
    """
    left: list[tuple[str, object, int]] = []
    for member_id, debts in (await load_open_debts(tx, members)).items():
        owed = book.account(member_id).debt
        for number, one in enumerate(debts):
            later = [other.debt for other in debts[number + 1 :]]
            points = left_of(one.debt, later, owed)
            left.append((one.booked_member_id, one.debt.transaction_id, points))
    if left:
        await tx.execute("note_repaid", *(list(column) for column in zip(*left, strict=True)))


async def sum_open_debts(tx: Transaction, member_id: str) -> int:
    """The most that is left of the debts that came with a member's account."""
    standing = await load_open_debts(tx, [member_id])
    return sum(one.debt.points for one in standing[member_id])
