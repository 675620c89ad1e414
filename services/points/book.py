"""The working set of a batch: what was loaded under the locks, and what of it has changed."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from points.counting import Counting
from points.values import (
    AccountState,
    AccrualRecord,
    Debt,
    HoldRecord,
    LotState,
    Posted,
    Replacement,
    Verdict,
    WindowDay,
)

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class WindowUse:
    """Points that a member uses of a day of a promotion window, and the most that may be."""

    points: int = 0
    points_max: int = 0


class Book:
    """Accounts, lots and holds by id.

    Decisions read and change it; the store writes what changed.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, AccountState] = {}
        self.holds: dict[UUID, HoldRecord] = {}
        self.accruals: dict[UUID, AccrualRecord] = {}
        self._lots: dict[UUID, LotState] = {}
        self._lots_of: defaultdict[str, list[LotState]] = defaultdict(list)
        self._merged_lots: defaultdict[tuple[str, UUID], dict[UUID, LotState]] = defaultdict(dict)
        self.changed_accounts: set[str] = set()
        self.new_lots: list[LotState] = []
        self.changed_lots: dict[UUID, LotState] = {}
        self.changed_holds: dict[UUID, HoldRecord] = {}
        self.changed_accruals: dict[UUID, AccrualRecord] = {}
        self.new_debts: list[Debt] = []
        self.replacements: list[Replacement] = []
        self._uses: dict[WindowDay, WindowUse] = {}
        self.changed_uses: set[WindowDay] = set()
        self.counting = Counting()
        self.verdicts: dict[str, Verdict] = {}
        """By request id, what was decided about accruals that are to wait for a review."""
        self.extensions: dict[UUID, timedelta] = {}
        """By lot, by how much its end was moved while its account was frozen."""
        self.bonuses: list[Posted] = []
        """Transactions beside those that answer the commands."""

    def account(self, member_id: str) -> AccountState:
        """The member's account; all zeros for one who has none."""
        account = self.accounts.get(member_id)
        if account is None:
            account = self.accounts[member_id] = AccountState(member_id)
        return account

    def add_loaded_lots(self, lots: Iterable[LotState]) -> None:
        """Puts lots in as they stand in the database; one that is here already stays."""
        for lot in lots:
            if lot.lot_id not in self._lots:
                self._add(lot)

    def add_lots_of_accruals(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Puts in lots of accruals as `load_accrual_lots` gives them: each with the member who was
        asked for, who has also those that members merged into them were left with.
        """
        for *columns, owner_id in rows:
            lot = LotState(*columns)
            self.add_loaded_lots([lot])
            if lot.member_id != owner_id:
                key = owner_id, lot.transaction_id
                self._merged_lots[key][lot.lot_id] = self._lots[lot.lot_id]

    def add_new_lot(self, lot: LotState) -> None:
        """Puts in a lot that the database does not have yet."""
        self._add(lot)
        self.new_lots.append(lot)

    def _add(self, lot: LotState) -> None:
        self._lots[lot.lot_id] = lot
        self._lots_of[lot.member_id].append(lot)

    def add_loaded_use(self, day: WindowDay, points: int, points_max: int) -> None:
        """Puts in what is used of a day of a promotion window; its row is locked."""
        self._uses[day] = WindowUse(points, points_max)

    def use(self, day: WindowDay) -> WindowUse:
        """What is used of a day of a promotion window."""
        return self._uses.setdefault(day, WindowUse())

    def lot(self, lot_id: UUID) -> LotState:
        """A lot that was loaded or made."""
        return self._lots[lot_id]

    def change_lot(self, lot: LotState) -> None:
        """Notes that a loaded lot has changed; a new one is written as it stands at the end."""
        self.changed_lots[lot.lot_id] = lot

    def spendable_lots(self, member_id: str, at: datetime) -> list[LotState]:
        """Active lots with points that have not expired at an instant, in the order they are spent:
        first to expire, then oldest.
        """
        lots = [
            lot
            for lot in self._lots_of.get(member_id, ())
            if lot.remaining
            and not lot.pending
            and (lot.expire_time is None or lot.expire_time > at)
        ]
        lots.sort(key=spending_order)
        return lots

    def active_lots(self, member_id: str) -> list[LotState]:
        """All active lots with points, expired or not, in the order they are spent."""
        lots = [
            lot for lot in self._lots_of.get(member_id, ()) if lot.remaining and not lot.pending
        ]
        lots.sort(key=spending_order)
        return lots

    def lots_of_accrual(self, member_id: str, transaction_id: UUID) -> list[LotState]:
        """The lots of a member, and of those merged into them, that stem from an accrual; what was
        given to somebody else is theirs.
        """
        own = [
            lot for lot in self._lots_of.get(member_id, ()) if lot.transaction_id == transaction_id
        ]
        return [*own, *self._merged_lots.get((member_id, transaction_id), {}).values()]

    def lots_to_update(self) -> list[LotState]:
        """Loaded lots that have changed."""
        new = {lot.lot_id for lot in self.new_lots}
        return [lot for lot_id, lot in self.changed_lots.items() if lot_id not in new]


def spending_order(lot: LotState) -> tuple[bool, datetime, UUID]:
    """First to expire first, those that never expire last; ties by age, which the id tells."""
    expire = lot.expire_time or _NEVER
    return (lot.expire_time is None, expire, lot.lot_id)
