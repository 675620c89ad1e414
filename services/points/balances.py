"""Reads balances: now, at a past instant, and the days on which they will change by themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from kit.clock import Clock
from kit.db import Database
from points.values import AccountState

DAYS_MAX = 400


@dataclass(frozen=True, slots=True)
class BalanceView:
    """A member's balances and the next points to expire."""

    account: AccountState
    next_expire_time: datetime | None = None
    next_expire_points: int = 0


@dataclass(frozen=True, slots=True)
class DatedPoints:
    """Points for which something happens on a day, from `first_time` on."""

    day: date
    first_time: datetime
    points: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """What happens by itself to points of one kind: the first days, and what is beyond them."""

    days: tuple[DatedPoints, ...]
    later_points: int
    undated_points: int


class BalanceReader:
    """Answers for balances; changes nothing."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get_balances(self, members: Sequence[str]) -> list[BalanceView]:
        """The balances of members, in their order, as one statement saw them; all zeros for a
        member without an account.
        """
        asked = list(dict.fromkeys(members))
        async with self._database.statements() as tx:
            rows = await tx.fetch("get_balances", asked, self._clock())
        found = {row["member_id"]: _view(row) for row in rows}
        return [found.get(member) or BalanceView(AccountState(member)) for member in members]

    async def get_balance_at(self, member_id: str, at: datetime) -> BalanceView:
        """What the ledger had booked for a member by an instant."""
        async with self._database.statements() as tx:
            row = await tx.fetchrow("get_balance_at", member_id, at)
        return BalanceView(AccountState(member_id, *(row or ())))

    async def get_dates(self, member_id: str, zone: str) -> tuple[BalanceView, Outlook, Outlook]:
        """The balance, when active points expire and when pending ones become active, by days of a
        time zone, as one snapshot.
        """
        now = self._clock()
        async with self._database.transaction(readonly=True) as tx:
            await tx.execute("take_snapshot")
            row = await tx.fetchrow("get_balances", [member_id], now)
            days = await tx.fetch("list_dates", member_id, zone, now)
        view = _view(row) if row is not None else BalanceView(AccountState(member_id))
        return view, _outlook(days, pending=False), _outlook(days, pending=True)


def _view(row: Any) -> BalanceView:
    account = AccountState(
        row["member_id"], row["active"], row["pending"], row["held"], row["debt"]
    )
    return BalanceView(account, row["expire_time"], row["points"] or 0)


def _outlook(rows: Sequence[Any], *, pending: bool) -> Outlook:
    own = [row for row in rows if row["pending"] is pending]
    dated = [
        DatedPoints(row["day"], row["first_time"], row["points"])
        for row in own
        if row["day"] is not None
    ]
    return Outlook(
        days=tuple(dated[:DAYS_MAX]),
        later_points=sum(one.points for one in dated[DAYS_MAX:]),
        undated_points=sum(row["points"] for row in own if row["day"] is None),
    )
