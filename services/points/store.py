"""The write path of the ledger: one transaction for a whole batch, a few set-based statements."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from kit.clock import NewId
from kit.db import Database, Transaction, packed_texts
from kit.errors import LaurelError, RequestIdReused
from kit.events import publish
from kit.requests import is_repeat
from points import accruals, holds, metrics, returns, rule_accruals
from points.book import Book
from points.errors import BalanceExceeded, HoldMoved, NotPlain, RequestRaced
from points.events import render_badges, render_events
from points.plain import Allowed, PlainAccrual, explain, is_short
from points.plain_store import book_plain
from points.posting import Desk
from points.progress_store import load_counters, save_counters
from points.promotions import days_of
from points.reading import load_origins, posted_from_row
from points.reviews import by_verdict
from points.rule_accruals import RuleGrant
from points.saving import save_commands
from points.unassessed import note_unassessed
from points.undoing import bonus_points
from points.values import (
    AccountState,
    AccrualRecord,
    Accrue,
    Capture,
    Command,
    Grant,
    Hold,
    HoldLot,
    HoldRecord,
    HoldState,
    LotState,
    Posted,
    Redeem,
    Refund,
    Release,
    Reverse,
    Unassessed,
    Verdict,
    WindowDay,
)
from rules.compiled import ProgramHistory

CONSTRAINTS: dict[str, type[LaurelError]] = {
    "request_pkey": RequestRaced,
    "account_is_plain": NotPlain,
    "account_balance_max": BalanceExceeded,
}

Answer = Posted | PlainAccrual | Exception


@dataclass(frozen=True, slots=True)
class Known:
    """What was known about a batch before it was decided, read without a lock."""

    done: Mapping[str, Answer]
    """By request id, the answer to requests that took effect before."""
    special: Set[str]
    """Members whose account owes something or is not open."""
    tiers: Mapping[str, str | None]
    """By member, the id of the tier; None where it was not asked for yet.

    A member without an account is not in it.
    """
    holders: Mapping[UUID, str]
    """By hold, the member."""
    hold_version: int
    """The newest version of the program that a hold was made under; 0 without holds."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A command with what was decided about it before it is booked."""

    command: Command
    grant: Grant | RuleGrant | None = None
    assessment_id: str = ""
    operation: bytes = b""
    """What anti-fraud is to be asked afterwards, where it gave no answer."""


class LedgerStore:
    """Looks up, locks, loads, decides and writes."""

    def __init__(self, database: Database, new_id: NewId) -> None:
        self._database = database
        self._new_id = new_id

    async def look_up(
        self, commands: Sequence[Command], programs: ProgramHistory, *, repeats: bool
    ) -> Known:
        """What is known about commands: the tiers of their members, the members of their holds and,
        with `repeats`, those done before.
        """
        members = sorted({c.member_id for c in commands if isinstance(c, Accrue | Hold | Reverse)})
        holds = list({c.hold_id for c in commands if isinstance(c, Capture | Release | Refund)})
        async with self._database.statements() as tx:
            done = await self._find_done(tx, commands, programs) if repeats else {}
            accounts = await tx.fetch("find_accounts", packed_texts(members)) if members else []
            holders = await tx.fetch("find_holds", holds) if holds else []
        return Known(
            done=done,
            special={m for _, is_special, found in accounts if is_special for m in found},
            tiers={m: tier_id for tier_id, _, found in accounts for m in found},
            holders={row["hold_id"]: row["member_id"] for row in holders},
            hold_version=max((row["program_version"] for row in holders), default=0),
        )

    async def find_done(
        self, commands: Sequence[Command], programs: ProgramHistory
    ) -> dict[str, Answer]:
        """By request id, the answers of those commands that took effect."""
        async with self._database.statements() as tx:
            return await self._find_done(tx, commands, programs)

    async def _find_done(
        self, tx: Transaction, commands: Sequence[Command], programs: ProgramHistory
    ) -> dict[str, Answer]:
        rows = await tx.fetch("find_requests", [command.request_id for command in commands])
        if not rows:
            return {}
        asked = {command.request_id: command for command in commands}
        keys = {
            row["request_id"]: (row["response"][16:].decode(), UUID(bytes=row["response"][:16]))
            for row in rows
            if _is_repeat(row, asked[row["request_id"]])
        }
        columns = [list(column) for column in zip(*keys.values(), strict=True)] or [[], []]
        found = await tx.fetch("get_transactions", *columns)
        origins = await load_origins(tx, found)
        posted = {row["transaction_id"]: posted_from_row(row, origins, programs) for row in found}
        done: dict[str, Answer] = {}
        for row in rows:
            request_id = row["request_id"]
            if request_id in keys:
                done[request_id] = posted[keys[request_id][1]]
            else:
                done[request_id] = RequestIdReused(request_id=request_id)
        return done

    async def write_plain(self, allowed: Sequence[Allowed], now: datetime) -> list[PlainAccrual]:
        """Books plain accruals in one transaction of one statement, all of them or none.

        Raises RequestRaced when one of the requests was booked before, NotPlain when an account is
        not plain any more.
        """
        async with self._database.statements() as tx:
            return await book_plain(tx, allowed, now, self._new_id)

    async def write(self, entries: Sequence[Ready], known: Known, desk: Desk) -> list[Answer]:
        """Books what can be booked, in one transaction, and says of each command what became of it.

        Raises RequestRaced when one of the requests was booked before.
        """
        async with self._database.transaction() as tx:
            book = await self._load(tx, entries, known, desk)
            answers = [_decide(entry, book, desk) for entry in entries]
            booked = [
                (entry.command, answer)
                for entry, answer in zip(entries, answers, strict=True)
                if isinstance(answer, Posted)
            ]
            if booked:
                await save_commands(tx, book, booked, desk.now)
                await save_counters(tx, book.counting)
                events = render_events([*(posted for _, posted in booked), *book.bonuses])
                events += render_badges(book.counting.badges, desk)
                await publish(tx, self._new_id, events)
                if unassessed := _unassessed(entries, answers):
                    await note_unassessed(tx, unassessed, desk)
        metrics.count(book.bonuses)
        return answers

    async def _load(
        self, tx: Transaction, entries: Sequence[Ready], known: Known, desk: Desk
    ) -> Book:
        book, holders = Book(), known.holders
        commands = [entry.command for entry in entries]
        members = sorted({_member_of(command, holders) for command in commands} - {""})
        earners = {c.member_id for c in commands if isinstance(c, Accrue)}
        await lock_accounts(tx, book, members, sorted(earners - known.tiers.keys()))
        holds = {c.hold_id for c in commands if isinstance(c, Capture | Release | Refund)}
        if keys := [(holders[hold_id], hold_id) for hold_id in holds if hold_id in holders]:
            await load_holds(tx, book, keys)
            if len(book.holds) < len(keys):
                raise HoldMoved
        await load_uses(tx, book, days_of(commands, book.holds.values()))
        if reversals := [c for c in commands if isinstance(c, Reverse)]:
            await load_accruals(tx, book, reversals, desk.programs)
        plans = [one.grant.plan for one in entries if isinstance(one.grant, RuleGrant)]
        await load_counters(tx, book, plans)
        await load_open_lots(tx, book, commands, desk)
        await _load_verdicts(tx, book, entries)
        return book


def _unassessed(entries: Sequence[Ready], answers: Sequence[Answer]) -> list[Unassessed]:
    """Accruals that were booked pending because anti-fraud gave no answer."""
    return [
        Unassessed(
            answer.member_id, entry.command.request_id, answer.transaction_id, entry.operation
        )
        for entry, answer in zip(entries, answers, strict=True)
        if entry.operation and isinstance(answer, Posted)
        # Not where a verdict had come before it was booked.
        if answer.explanation is not None and answer.explanation["review"]
    ]


def _is_repeat(kept: Mapping[str, Any], command: Command) -> bool:
    return is_repeat(kept, type(command).__name__, command.digest)


def _member_of(command: Command, holders: Mapping[UUID, str]) -> str:
    if isinstance(command, Accrue | Hold | Reverse):
        return command.member_id
    return holders.get(command.hold_id, "")


def _decide(entry: Ready, book: Book, desk: Desk) -> Answer:
    command = entry.command
    try:
        match command:
            case Accrue():
                assert entry.grant is not None
                grant = by_verdict(entry.grant, command, book)
                if isinstance(grant, RuleGrant):
                    return rule_accruals.accrue(command, grant, book, desk)
                return accruals.accrue(command, grant, book, desk)
            case Redeem():
                return holds.redeem(command, entry.assessment_id, book, desk)
            case Hold():
                return holds.hold(command, entry.assessment_id, book, desk)
            case Capture():
                return holds.capture(command, book, desk)
            case Release():
                return holds.release(command, book, desk)
            case Refund():
                return holds.refund(command, book, desk)
            case Reverse():
                return returns.reverse(command, book, desk)
    except LaurelError as refusal:
        return refusal


async def _load_verdicts(tx: Transaction, book: Book, entries: Sequence[Ready]) -> None:
    """What was decided meanwhile about accruals that are to wait for a review."""
    commands = [one.command for one in entries if one.grant is not None and one.grant.under_review]
    accruals_ = [command for command in commands if isinstance(command, Accrue)]
    if accruals_:
        members, requests = [c.member_id for c in accruals_], [c.request_id for c in accruals_]
        for row in await tx.fetch("load_verdicts", members, requests):
            book.verdicts[row["request_id"]] = Verdict(*row)


async def lock_accounts(
    tx: Transaction, book: Book, members: Sequence[str], earners: Sequence[str] = ()
) -> None:
    """Locks accounts in the order of members, and opens those of earners who may have none."""
    if earners:
        await tx.execute("open_accounts", earners)
    for row in await tx.fetch("lock_accounts", members):
        book.accounts[row["member_id"]] = AccountState(*row)


async def load_holds(tx: Transaction, book: Book, keys: Sequence[tuple[str, UUID]]) -> None:
    """Loads holds with the lots they drew from; their accounts are locked."""
    columns = [list(column) for column in zip(*keys, strict=True)]
    for row in await tx.fetch("load_holds", *columns):
        record = HoldRecord(*tuple(row)[:11])
        record.state = HoldState(record.state)
        if row["window_name"] is not None:
            record.window_day = WindowDay(*tuple(row)[11:14])
            record.window_points = row["window_points"]
            record.window_counted = record.window_used
        book.holds[record.hold_id] = record
    parts = await tx.fetch("load_hold_lots", *columns)
    for row in parts:
        book.holds[row["hold_id"]].lots.append(HoldLot(*tuple(row)[2:]))
    await load_lots(tx, book, {(row["member_id"], row["lot_id"]) for row in parts})


async def load_uses(tx: Transaction, book: Book, days: Collection[WindowDay]) -> None:
    """Locks and loads what is used of days of promotion windows; accounts are locked before."""
    if days:
        columns = [list(column) for column in zip(*days, strict=True)]
        for row in await tx.fetch("load_promotion_uses", *columns):
            book.add_loaded_use(WindowDay(*tuple(row)[:3]), row["points"], row["points_max"])


async def load_lots(tx: Transaction, book: Book, keys: Iterable[tuple[str, UUID]]) -> None:
    """Loads lots by id; their accounts are locked."""
    columns = [list(column) for column in zip(*keys, strict=True)]
    if columns:
        rows = await tx.fetch("load_lots", *columns)
        book.add_loaded_lots(LotState(*row) for row in rows)


async def load_accruals(
    tx: Transaction, book: Book, reversals: Sequence[Reverse], programs: ProgramHistory
) -> None:
    """Loads accruals that are taken back, with their lots; the accounts are locked."""
    columns = [[c.member_id for c in reversals], [c.transaction_id for c in reversals]]
    for row in await tx.fetch("load_accruals", *columns):
        record = AccrualRecord(*row)
        if is_short(record.explanation):
            program = programs.version(record.program_version)
            record.explanation = explain(record.explanation, program)
        book.accruals[record.transaction_id] = record
    rows = await tx.fetch("load_accrual_lots", *columns)
    book.add_lots_of_accruals(map(tuple, rows))


async def load_open_lots(
    tx: Transaction, book: Book, commands: Sequence[Command], desk: Desk
) -> None:
    """Enough open lots for all that the batch may draw from each member, and no more."""
    asked: defaultdict[str, int] = defaultdict(int)
    since: dict[str, datetime] = {}
    until: defaultdict[str, datetime] = defaultdict(lambda: _LONG_AGO)
    for command in commands:
        if isinstance(command, Hold):
            asked[command.member_id] += command.points
            first = since.get(command.member_id, command.occurred_time)
            since[command.member_id] = min(first, command.occurred_time)
            until[command.member_id] = max(until[command.member_id], command.occurred_time)
        elif isinstance(command, Reverse) and command.transaction_id in book.accruals:
            record = book.accruals[command.transaction_id]
            bonuses = bonus_points(record, book, desk.programs)
            points = record.explanation.get("points", 0) + bonuses
            asked[command.member_id] += points
            at = book.account(command.member_id).ends_stand_at(desk.now)
            since[command.member_id] = min(since.get(command.member_id, at), at)
            until[command.member_id] = max(until[command.member_id], at)
    if asked:
        limits = [min(points, 2**62) for points in asked.values()]
        times = ([since[member] for member in asked], [until[member] for member in asked])
        rows = await tx.fetch("load_open_lots", list(asked), limits, *times)
        book.add_loaded_lots(LotState(*tuple(row)[:10]) for row in rows)


_LONG_AGO = datetime.fromisoformat("0001-01-01T00:00:00+00:00")
