"""Settles accruals that wait for a review, inside of a transaction of the caller's.

Once for each request, whoever calls it and however often. A verdict on what is not booked yet is
kept: whoever books it finds the verdict under the lock of the account.
"""

from collections.abc import Sequence
from uuid import UUID

from kit.clock import NewId
from kit.db import Transaction
from kit.events import publish
from points import metrics, reviews
from points.book import Book
from points.errors import ReviewMoved
from points.events import render_events, review_settled_event
from points.posting import Desk
from points.progress_store import load_counters, save_counters
from points.reviews import Settled, Waiting, bonus_ids
from points.saving import save
from points.store import load_accruals, load_open_lots, lock_accounts
from points.values import Kind, Posted, Reverse, Verdict


async def settle_reviews(
    tx: Transaction, verdicts: Sequence[Verdict], desk: Desk, new_id: NewId
) -> list[Posted]:
    """Matures or takes back each accrual under review that a verdict is about, and tells others.

    What is not booked yet, was not under review or is settled already stays as it is. Locks
    accounts; the caller must hold no lock on any. Raises ReviewMoved when an account is merged or
    taken apart at this moment: nothing is changed then, and the caller tries again.
    """
    first = {(one.member_id, one.request_id): one for one in reversed(verdicts)}
    if not first:
        return []
    told = list(first.values())
    book = Book()
    owners = await _lock(tx, book, told)
    await tx.execute("note_verdicts", *_columns(told), desk.now)
    waiting = await _load(tx, book, told, owners, desk)
    if not waiting:
        return []
    settled = [reviews.settle(one, book, desk) for one in waiting]
    posted = [posted for one in settled for posted in one.posted]
    await save(tx, book, posted, desk.now)
    await save_counters(tx, book.counting)
    await _close(tx, settled, desk)
    told_events = [review_settled_event(one, desk) for one in settled]
    await publish(tx, new_id, [*render_events(posted), *told_events])
    metrics.count(posted)
    return posted


async def _lock(tx: Transaction, book: Book, told: Sequence[Verdict]) -> dict[str, str]:
    """Locks the accounts of members and of those they were merged into; by member, the last."""
    members = sorted({one.member_id for one in told})
    chain = [tuple(row) for row in await tx.fetch("find_owners", members)]
    await lock_accounts(tx, book, sorted({owner for _, owner in chain}), members)
    if [tuple(row) for row in await tx.fetch("find_owners", members)] != chain:
        raise ReviewMoved
    return dict(chain)


async def _load(
    tx: Transaction, book: Book, told: Sequence[Verdict], owners: dict[str, str], desk: Desk
) -> list[Waiting]:
    """Accruals that verdicts are about and that wait, with all that settling them needs."""
    keys = [[one.member_id for one in told], [one.request_id for one in told]]
    found = {}
    for row in await tx.fetch("load_unsettled", *keys):
        if row["response"][16:].decode() == row["member_id"]:
            found[UUID(bytes=row["response"][:16])] = Verdict(*tuple(row)[:4])
    if not found:
        return []
    commands = [
        Reverse("", b"", owners[verdict.member_id], transaction_id, None)
        for transaction_id, verdict in found.items()
    ]
    await load_accruals(tx, book, commands, desk.programs)
    book.accruals = {
        transaction_id: record
        for transaction_id, record in book.accruals.items()
        if record.kind == Kind.ACCRUAL and record.explanation.get("review", False)
    }
    bonuses = [(r.member_id, one) for r in book.accruals.values() for one in bonus_ids(r)]
    if bonuses:
        columns = [list(column) for column in zip(*bonuses, strict=True)]
        rows = await tx.fetch("load_accrual_lots", *columns)
        book.add_lots_of_accruals(map(tuple, rows))
    if not all(verdict.is_legitimate for verdict in found.values()):
        await load_counters(tx, book, ())
        fraudulent = [c for c in commands if not found[c.transaction_id].is_legitimate]
        await load_open_lots(tx, book, fraudulent, desk)
    lost_points = await _lost_points(tx, book)
    first_lots = await _first_lots(tx, book)
    return [
        Waiting(record, found[id_], lost_points[id_], first_lots)
        for id_, record in book.accruals.items()
    ]


async def _lost_points(tx: Transaction, book: Book) -> dict[UUID, int]:
    """By accrual, what returns took back of its bonuses before; of accruals without bonuses, 0."""
    of = {one: r.transaction_id for r in book.accruals.values() for one in bonus_ids(r)}
    lost = dict.fromkeys(book.accruals, 0)
    if of:
        members = sorted({record.booked_member_id for record in book.accruals.values()})
        for row in await tx.fetch("sum_lost_bonuses", members, list(of)):
            lost[of[row["bonus_id"]]] += row["points"]
    return lost


async def _first_lots(tx: Transaction, book: Book) -> dict[UUID, UUID]:
    """Only where a lot has a wait of its own and lies with another member now."""
    keys = [
        (lot.member_id, lot.lot_id)
        for record in book.accruals.values()
        if record.member_id != record.booked_member_id and "waits" in record.explanation
        for lot in reviews.lots_under_review(record, book)
    ]
    if not keys:
        return {}
    rows = await tx.fetch("find_first_lots", *(list(column) for column in zip(*keys, strict=True)))
    return {row["lot_id"]: row["first_lot_id"] for row in rows}


async def _close(tx: Transaction, settled: Sequence[Settled], desk: Desk) -> None:
    verdicts = [one.waiting.verdict for one in settled]
    await tx.execute(
        "close_verdicts",
        [verdict.member_id for verdict in verdicts],
        [verdict.request_id for verdict in verdicts],
        [one.waiting.record.transaction_id for one in settled],
        [one.posted[0].transaction_id if one.posted else None for one in settled],
        desk.now,
    )


def _columns(told: Sequence[Verdict]) -> list[list[object]]:
    return [list(column) for column in zip(*told, strict=True)]
