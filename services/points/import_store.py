"""Books rows of an import, many in one transaction."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from kit.db import Transaction
from kit.errors import LaurelError, RequestIdReused
from kit.requests import is_repeat
from points import metrics
from points.book import Book
from points.errors import RequestRaced
from points.importing import Import, bring
from points.office import Office
from points.posting import Desk
from points.saving import save
from points.store import lock_accounts
from points.values import LotState, Posted

ATTEMPTS_MAX = 5
METHOD = "Import"
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


class Imported(NamedTuple):
    """A booked row, and the member's active points right after it."""

    transaction_id: UUID
    active: int
    repeated: bool = False
    """Whether it was booked before, by an earlier call or an earlier row of this one."""


Outcome = Imported | LaurelError


class ImportStore:
    """Each row answers for itself; a row that was booked before gets its first answer."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def bring(self, rows: Sequence[Import]) -> list[Outcome]:
        """Books rows, in their order. A request id that comes twice takes effect once."""
        if not rows:
            return []
        firsts: dict[str, Import] = {}
        for row in rows:
            firsts.setdefault(row.request_id, row)
        outcomes = await self._settle_races(list(firsts.values()))
        return [_answer(row, firsts[row.request_id], outcomes[row.request_id]) for row in rows]

    async def _settle_races(self, rows: Sequence[Import]) -> dict[str, Outcome]:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return await self._once(rows, await self._office.desk())
            except RequestRaced:
                if attempt == ATTEMPTS_MAX:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(self, rows: Sequence[Import], desk: Desk) -> dict[str, Outcome]:
        booked: list[tuple[Import, Posted]] = []
        async with self._office.database.transaction() as tx:
            outcomes = await _find_done(tx, rows)
            fresh = [row for row in rows if row.request_id not in outcomes]
            book = await _load(tx, fresh)
            for row in fresh:
                try:
                    posted = bring(row, book, desk)
                except LaurelError as refusal:
                    outcomes[row.request_id] = refusal
                else:
                    booked.append((row, posted))
                    outcomes[row.request_id] = Imported(posted.transaction_id, posted.active_after)
            if booked:
                await _save(tx, book, booked, desk.now)
        metrics.count([posted for _, posted in booked])
        return outcomes


def _answer(row: Import, first: Import, outcome: Outcome) -> Outcome:
    """What a row is told, given the first row of its request id and what came of that one."""
    if row.digest != first.digest:
        return RequestIdReused(request_id=row.request_id)
    if row is not first and isinstance(outcome, Imported):
        return outcome._replace(repeated=True)
    return outcome


async def _find_done(tx: Transaction, rows: Sequence[Import]) -> dict[str, Outcome]:
    digests = {row.request_id: row.digest for row in rows}
    done: dict[str, Outcome] = {}
    for found in await tx.fetch("find_imported", list(digests)):
        request_id = found["request_id"]
        if is_repeat(found, METHOD, digests[request_id]):
            done[request_id] = Imported(found["transaction_id"], found["active_after"], True)
        else:
            done[request_id] = RequestIdReused(request_id=request_id)
    return done


async def _load(tx: Transaction, rows: Sequence[Import]) -> Book:
    book = Book()
    members = sorted({row.member_id for row in rows})
    gainers = sorted({row.member_id for row in rows if row.points > 0})
    await lock_accounts(tx, book, members, gainers)
    lost: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        lost[row.member_id] -= min(row.points, 0)
    losers = {member_id: points for member_id, points in lost.items() if points}
    if losers:
        since = [_LONG_AGO] * len(losers)
        found = await tx.fetch("load_open_lots", list(losers), list(losers.values()), since, since)
        book.add_loaded_lots(LotState(*tuple(row)[:10]) for row in found)
    return book


async def _save(
    tx: Transaction, book: Book, booked: Sequence[tuple[Import, Posted]], now: datetime
) -> None:
    await tx.execute(
        "insert_requests",
        [row.request_id for row, _ in booked],
        [METHOD] * len(booked),
        [row.digest for row, _ in booked],
        [posted.transaction_id.bytes + posted.member_id.encode() for _, posted in booked],
    )
    await save(tx, book, [posted for _, posted in booked], now)
