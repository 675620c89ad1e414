"""What anti-fraud forbids accounts, as its events tell, beside what operators decide (AF-04).

Events come twice and in any order: an action that was lifted stays lifted, whichever was heard of
first. An account frozen by anti-fraud keeps its points: their ends are moved by as long as it was
frozen, once nothing freezes it any more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from kit.clock import Clock, NewId, from_timestamp
from kit.db import Transaction
from kit.events import publish
from laurel.event.v1.event_pb2 import Event
from points.accounts import Action
from points.book import Book
from points.events import account_event
from points.standing import Restriction
from points.store import lock_accounts
from points.values import AccountState, Standing
from rules.feed import ProgramFeed

NAME = "antifraud"
"""Who decides, in the trail of an account."""
_KINDS = {"FREEZE_ACCOUNT": Restriction.FROZEN, "EARN_ONLY": Restriction.EARN_ONLY}
_NUMBERS = {Restriction.FROZEN: 1, Restriction.EARN_ONLY: 2}
_RESTRICTIONS = {number: restriction for restriction, number in _NUMBERS.items()}
_TAKEN = {
    Restriction.FROZEN: Action.ANTIFRAUD_FREEZE,
    Restriction.EARN_ONLY: Action.ANTIFRAUD_EARN_ONLY,
}


@dataclass(slots=True)
class Noted:
    """An action of anti-fraud, as far as it was heard of."""

    member_id: str
    action_id: UUID
    restriction: Restriction
    take_time: datetime | None = None
    lift_time: datetime | None = None

    @property
    def in_force(self) -> bool:
        """Whether it was taken and not lifted."""
        return self.take_time is not None and self.lift_time is None


@dataclass(frozen=True, slots=True)
class Change:
    """What an event changed: for the trail of the account."""

    noted: Noted
    kind: Action
    reason: str


def hear(known: dict[tuple[str, UUID], Noted], events: Iterable[Event]) -> list[Change]:
    """Notes what events tell; the changes that take effect, in their order."""
    changes = []
    for event in events:
        told = event.fraud_action_taken
        restriction = _KINDS[told.kind]
        key = (event.member_id, UUID(told.action_id))
        noted = known.setdefault(key, Noted(*key, restriction))
        at, before = from_timestamp(event.occurred_time), noted.in_force
        if told.lifted and noted.lift_time is None:
            noted.lift_time = at
        elif not told.lifted and noted.take_time is None:
            noted.take_time = at
        if before != noted.in_force:
            kind = Action.ANTIFRAUD_LIFT if before else _TAKEN[restriction]
            changes.append(Change(noted, kind, told.reason))
    return changes


class RestrictionDesk:
    """Restricts accounts as anti-fraud's events say."""

    def __init__(self, feed: ProgramFeed, clock: Clock, new_id: NewId) -> None:
        self._feed = feed
        self._clock = clock
        self._new_id = new_id

    async def take_events(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Takes up what events tell of accounts, in the transaction that claims them."""
        told = [
            event for event in events
            if event.HasField("fraud_action_taken") and event.fraud_action_taken.kind in _KINDS
        ]  # fmt: skip
        if not told:
            return
        members = sorted({event.member_id for event in told})
        book = Book()
        await lock_accounts(tx, book, members, members)
        ids = [UUID(event.fraud_action_taken.action_id) for event in told]
        known = {
            (row["member_id"], row["action_id"]): _noted(row)
            for row in await tx.fetch("load_antifraud_actions", members, ids)
        }
        changes = hear(known, told)
        await tx.execute("note_antifraud_actions", *_columns(list(known.values())))
        for member_id in members:
            own = [noted for noted in known.values() if noted.member_id == member_id]
            mine = [change for change in changes if change.noted.member_id == member_id]
            await self._restrict(tx, book.account(member_id), own, mine)

    async def _restrict(
        self, tx: Transaction, account: AccountState, own: list[Noted], changes: list[Change]
    ) -> None:
        """Brings an account to what stands on it, and its lots to their ends."""
        in_force = [noted for noted in own if noted.in_force]
        restriction = max((n.restriction for n in in_force), default=Restriction.NONE)
        was_frozen = account.restriction == Restriction.FROZEN
        is_frozen = restriction is Restriction.FROZEN
        moved = ""
        if was_frozen and not is_frozen:
            moved = await self._give_time_back(tx, account, changes)
        if restriction != account.restriction:
            frozen_time = _since(in_force) if is_frozen else None
            await tx.execute("set_restriction", account.member_id, restriction, frozen_time)
        now = self._clock()
        for change in changes:
            is_last = change is changes[-1]
            reason = f"{change.reason} (action {change.noted.action_id}){moved if is_last else ''}"
            await tx.execute(
                "add_account_action", account.member_id, self._new_id(), change.kind, NAME, NAME,
                reason, None, now,
            )  # fmt: skip
        # To others an account is frozen or not, by whomever.
        if was_frozen != is_frozen and account.state == Standing.OPEN:
            action = Action.FREEZE if is_frozen else Action.UNFREEZE
            event = account_event(account.member_id, action, "", now, self._new_id())
            await publish(tx, self._new_id, [event])

    async def _give_time_back(
        self, tx: Transaction, account: AccountState, changes: list[Change]
    ) -> str:
        since = account.frozen_time
        assert since is not None
        lifted = [(c.noted.lift_time, c.noted.action_id) for c in changes if c.noted.lift_time]
        lift_time, action_id = max(lifted)
        if lift_time <= since:
            return ""
        program = (await self._feed.ensure()).in_force(self._clock())
        days = program.expiry.warning_days
        count = await tx.fetchval(
            "extend_lots", account.member_id, since, lift_time, action_id,
            timedelta(days=days[0] if days else 0),
        )  # fmt: skip
        return f"; the ends of {count} lots moved by {lift_time - since}" if count else ""


def _since(in_force: list[Noted]) -> datetime:
    return min(
        noted.take_time
        for noted in in_force
        if noted.take_time is not None and noted.restriction is Restriction.FROZEN
    )


def _noted(row: Any) -> Noted:
    return Noted(
        row["member_id"], row["action_id"], _RESTRICTIONS[row["kind"]], row["take_time"],
        row["lift_time"],
    )  # fmt: skip


def _columns(noted: list[Noted]) -> list[list[Any]]:
    return [
        [one.member_id for one in noted],
        [one.action_id for one in noted],
        [_NUMBERS[one.restriction] for one in noted],
        [one.take_time for one in noted],
        [one.lift_time for one in noted],
    ]
