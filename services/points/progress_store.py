"""Loads and saves what rules count, for a batch at a time."""

from collections.abc import Collection, Iterable, Sequence

from kit.db import Transaction
from points.book import Book
from points.counting import BookedBonus, Counting, Slot, slot_of
from points.rule_accruals import Plan
from points.undoing import slots_of
from rules.accrual_facts import ORDERS
from rules.accrual_values import Counter, Key


async def load_counters(tx: Transaction, book: Book, plans: Sequence[Plan]) -> None:
    """Loads the counters that plans look at, and that returns of accruals in the book take back
    from, under the locks of accounts and teams; with the lots of bonuses that may be lost.
    """
    slots = {
        slot_of(key, plan.command.member_id, plan.member.team_id)
        for plan in plans
        for key in plan.keys
    }
    returned = {
        slot: record.member_id for record in book.accruals.values() for slot in slots_of(record)
    }
    if not slots and not returned:
        return
    await load_slots(tx, book.counting, slots | returned.keys(), locked=True)
    ids = book.counting.bonus_ids
    keys = [(member_id, ids[slot]) for slot, member_id in returned.items() if slot in ids]
    if keys:
        columns = [list(column) for column in zip(*keys, strict=True)]
        rows = await tx.fetch("load_accrual_lots", *columns)
        book.add_lots_of_accruals(map(tuple, rows))
        bonuses = [[s.owner for s in returned if s in ids], [ids[s] for s in returned if s in ids]]
        for row in await tx.fetch("load_bonuses", *bonuses):
            book.counting.bonuses[row["transaction_id"]] = BookedBonus(*row)


async def load_slots(
    tx: Transaction, counting: Counting, slots: Collection[Slot], *, locked: bool
) -> None:
    """Loads counters; the accounts of members are locked already where `locked`."""
    of_teams = [slot for slot in slots if slot.key.team]
    of_members = [slot for slot in slots if not slot.key.team]
    if of_teams:
        if locked:
            await tx.execute("lock_teams", sorted({slot.owner for slot in of_teams}))
        for row in await tx.fetch("load_team_progress", *_columns(of_teams)):
            slot = Slot(row["team_id"], Key(True, row["name"], row["period"]))
            counting.add_loaded(slot, Counter(row["amount"], row["day"], row["reached"]))
    if not of_members:
        return
    found = set()
    for row in await tx.fetch("load_progress", *_columns(of_members)):
        slot = Slot(row["member_id"], Key(False, row["name"], row["period"]))
        found.add(slot)
        counter = Counter(row["amount"], row["day"], row["reached"])
        counting.add_loaded(slot, counter, row["bonus_transaction_id"])
    uncounted = [s.owner for s in of_members if s.key == ORDERS and s not in found]
    if uncounted:
        # Purchases from before anybody counted them.
        for row in await tx.fetch("count_orders", uncounted):
            counting.add_loaded(Slot(row["member_id"], ORDERS), Counter(amount=row["orders"]))


async def save_counters(tx: Transaction, counting: Counting) -> None:
    """Writes counters that changed, and what teams have reached."""
    of_members = [(slot, c) for slot, c in counting.changed.items() if not slot.key.team]
    of_teams = [(slot, c) for slot, c in counting.changed.items() if slot.key.team]
    if of_members:
        bonus_ids = [counting.bonus_ids.get(slot) for slot, _ in of_members]
        await tx.execute("save_progress", *_values(of_members), bonus_ids)
    if of_teams:
        await tx.execute("save_team_progress", *_values(of_teams))
    if reached := counting.team_bonuses:
        await tx.execute(
            "grant_team_bonuses",
            [bonus.team_id for bonus in reached],
            [bonus.name for bonus in reached],
            [bonus.period for bonus in reached],
            [bonus.points for bonus in reached],
            [bonus.badge for bonus in reached],
            [bonus.reason for bonus in reached],
            [bonus.program_version for bonus in reached],
            [bonus.occurred_time for bonus in reached],
            [bonus.cause_transaction_id for bonus in reached],
        )


def _columns(slots: Iterable[Slot]) -> list[list[str]]:
    rows = [(slot.owner, slot.key.name, slot.key.period) for slot in slots]
    return [list(column) for column in zip(*rows, strict=True)]


def _values(changed: Sequence[tuple[Slot, Counter]]) -> list[list[object]]:
    rows = [(slot.owner, slot.key.name, slot.key.period, *counter) for slot, counter in changed]
    return [list(column) for column in zip(*rows, strict=True)]
