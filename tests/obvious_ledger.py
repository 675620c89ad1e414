"""The ledger once more, slow and obvious: lists of lots, a loop for everything, no code of ours.

What the contract and the README of points promise, written down by itself; the model test holds it
against the service. Times are handed in; ids are those that the service gave.
"""

import calendar
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("America/New_York")
NEVER = datetime.max.replace(tzinfo=UTC)
HOLD_TIME = timedelta(minutes=30)


class Refusal(Exception):
    """What the ledger does not do, by its reason."""


@dataclass(frozen=True)
class Rules:
    """A version of the program, and since when it decides."""

    begins: datetime
    rate: int
    imports_rate: Fraction
    pending_days: int
    months: int
    floor_days: int

    def earned(self, cents: int, *, imports: bool) -> int:
        """Points of a purchase, rounded half up once."""
        rate = self.rate + (self.imports_rate if imports else 0)
        return int(rate * cents / 100 + Fraction(1, 2))

    def matures(self, at: datetime) -> datetime | None:
        """When points become active; None for at once."""
        return wall(at, days=self.pending_days) if self.pending_days else None

    def expires(self, at: datetime) -> datetime | None:
        """When points end; None for never."""
        return wall(at, months=self.months) if self.months else None


NO_RULES = Rules(datetime(1, 1, 1, tzinfo=UTC), 0, Fraction(0), 0, 0, 0)


def wall(at: datetime, *, days: int = 0, months: int = 0) -> datetime:
    """The same time on the program's clock, days or months later."""
    local = at.astimezone(ZONE) + timedelta(days=days)
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day, fold=0).astimezone(UTC)


@dataclass(eq=False)
class Purchase:
    """A booked accrual."""

    transaction_id: str
    rules: Rules
    cents: int
    imports: bool
    points: int
    returned: int = 0
    taken_back: int = 0
    forgiven: int = 0


@dataclass(eq=False)
class Lot:
    """Points of one accrual with one end."""

    purchase: Purchase
    points: int
    left: int
    pending: bool
    matures: datetime | None
    expires: datetime | None
    expired: int = 0


@dataclass(eq=False)
class Part:
    """What a hold drew from a lot."""

    lot: Lot
    points: int
    captured: int = 0
    released: int = 0
    refunded: int = 0


@dataclass(eq=False)
class Hold:
    """Points set aside."""

    hold_id: str
    rules: Rules
    ends: datetime
    parts: list[Part] = field(default_factory=list)

    def total(self, what: str) -> int:
        """Points, captured, released or refunded of all parts."""
        return sum(getattr(part, what) for part in self.parts)

    @property
    def held(self) -> int:
        """What is still set aside."""
        return self.total("points") - self.total("captured") - self.total("released")


@dataclass(frozen=True)
class Booking:
    """A transaction: what moved between accounts, in which lots, and the balance after it."""

    kind: str
    entries: dict[str, int]
    moves: tuple[tuple[str, int, datetime | None], ...]
    """Accrual of the lot, points, end of the lot."""
    active: int
    pending: int
    held: int
    debt: int


@dataclass(eq=False)
class Member:
    """All that one member has, and what became of it."""

    lots: list[Lot] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    debt: int = 0
    frozen: bool = False
    history: list[Booking] = field(default_factory=list)

    def sum_of(self, *, pending: bool) -> int:
        """Active or pending points, counted lot by lot."""
        return sum(lot.left for lot in self.lots if lot.pending == pending)

    def book(
        self, kind: str, moved: list[tuple[str, str, int]], moves: list[tuple[Lot, int]]
    ) -> Booking:
        """Notes what was done."""
        entries: Counter[str] = Counter()
        for source, target, points in moved:
            entries[source] -= points
            entries[target] += points
        booking = Booking(
            kind,
            {account: points for account, points in entries.items() if points},
            tuple((lot.purchase.transaction_id, points, lot.expires) for lot, points in moves),
            self.sum_of(pending=False),
            self.sum_of(pending=True),
            sum(hold.held for hold in self.holds),
            self.debt,
        )
        self.history.append(booking)
        return booking

    def by_end(self, lots: list[Lot]) -> list[Lot]:
        """First to expire first; the older first where two expire together."""
        return sorted(lots, key=lambda lot: (lot.expires or NEVER, self.lots.index(lot)))

    # What callers ask for

    def accrue(
        self,
        rules: Rules,
        cents: int,
        at: datetime,
        now: datetime,
        transaction_id: str,
        *,
        imports: bool,
    ) -> Booking:
        """A purchase earns; a debt is paid first."""
        points = rules.earned(cents, imports=imports)
        purchase = Purchase(transaction_id, rules, cents, imports, points)
        self.purchases.append(purchase)
        repaid = min(self.debt, points)
        self.debt -= repaid
        moved, moves = [("ISSUED", "DEBT", repaid)], []
        if points > repaid:
            matures = rules.matures(at)
            pending = matures is not None and matures > now
            lot = Lot(
                purchase, points - repaid, points - repaid, pending, matures, rules.expires(at)
            )
            self.lots.append(lot)
            moves.append((lot, lot.points))
            moved.append(("ISSUED", "PENDING" if pending else "ACTIVE", lot.points))
        return self.book("ACCRUAL", moved, moves)

    def hold(self, rules: Rules, points: int, now: datetime, hold_id: str) -> Booking:
        """Sets active points aside, those that expire first."""
        self._check_not_frozen()
        hold = Hold(hold_id, rules, now + HOLD_TIME)
        hold.parts += [Part(lot, taken) for lot, taken in self._draw(points, now)]
        self.holds.append(hold)
        moves = [(part.lot, -part.points) for part in hold.parts]
        return self.book("HOLD", [("ACTIVE", "HELD", points)], moves)

    def _draw(self, points: int, now: datetime | None) -> list[tuple[Lot, int]]:
        """Takes active points that have not ended at an instant, or any, those that end first."""
        usable = [
            lot
            for lot in self.lots
            if not lot.pending and lot.left and (now is None or (lot.expires or NEVER) > now)
        ]
        if sum(lot.left for lot in usable) < points:
            raise Refusal("INSUFFICIENT_POINTS")
        drawn = []
        for lot in self.by_end(usable):
            taken = min(lot.left, points)
            if taken:
                lot.left -= taken
                points -= taken
                drawn.append((lot, taken))
        return drawn

    def _check_not_frozen(self) -> None:
        if self.frozen:
            raise Refusal("ACCOUNT_FROZEN")

    def put(
        self,
        kind: str,
        account: str,
        points: int,
        expires: datetime | None,
        transaction_id: str,
        usable_after: datetime | None = None,
    ) -> Booking:
        """Points from or, negative, to an account of the program."""
        if points < 0:
            drawn = self._draw(-points, usable_after)
            moves = [(lot, -taken) for lot, taken in drawn]
            return self.book(kind, [("ACTIVE", account, -points)], moves)
        origin = Purchase(transaction_id, NO_RULES, 0, False, points)
        lot = Lot(origin, points, points, False, None, expires)
        self.lots.append(lot)
        return self.book(kind, [(account, "ACTIVE", points)], [(lot, points)])

    def adjust(self, rules: Rules, points: int, now: datetime, transaction_id: str) -> Booking:
        """An operator gives or takes points."""
        self._check_not_frozen()
        expires = rules.expires(now)
        return self.put("ADJUSTMENT", "ADJUSTED", points, expires, transaction_id, now)

    def give(self, receiver: "Member", points: int, now: datetime) -> Booking:
        """Half of the active points at most, to another member; a tenth of it is a fee, paid by
        what expires first.
        """
        self._check_not_frozen()
        receiver._check_not_frozen()
        if points > self.sum_of(pending=False) // 2:
            raise Refusal("GIFT_ABOVE_SHARE")
        fee = (points + 5) // 10
        drawn = self._draw(points, now)
        moves = [(lot, -taken) for lot, taken in drawn]
        moved = [("ACTIVE", "TRANSFERRED_OUT", points - fee), ("ACTIVE", "FEES", fee)]
        sent = self.book("GIFT_SENT", moved, moves)
        arrived = []
        for lot, taken in drawn:
            kept = min(taken, fee)
            fee -= kept
            if taken > kept:
                new = Lot(lot.purchase, taken - kept, taken - kept, False, lot.matures, lot.expires)
                arrived.append((new, new.points))
        receiver.lots += [lot for lot, _ in arrived]
        got = sum(gained for _, gained in arrived)
        receiver.book("GIFT_RECEIVED", [("TRANSFERRED_IN", "ACTIVE", got)], arrived)
        return sent

    def capture(self, hold: Hold, points: int, now: datetime, *, release_rest: bool) -> Booking:
        """Spends held points, in the order they were drawn."""
        self._check_known(hold)
        if not hold.held or hold.ends <= now:
            raise Refusal("HOLD_NOT_OPEN")
        points = points or hold.held
        if points > hold.held:
            raise Refusal("HOLD_EXCEEDED")
        moved, left = [("HELD", "REDEEMED", points)], points
        for part in hold.parts:
            taken = min(part.points - part.captured - part.released, left)
            part.captured += taken
            left -= taken
        moves: list[tuple[Lot, int]] = []
        if release_rest:
            moved.append(("HELD", "ACTIVE", hold.held))
            moves = self._give_back_held(hold)
        return self.book("CAPTURE", moved, moves)

    def release(self, hold: Hold) -> Booking:
        """What is still held goes back to its lots."""
        self._check_known(hold)
        if not hold.held:
            raise Refusal("HOLD_NOT_OPEN")
        moved = [("HELD", "ACTIVE", hold.held)]
        return self.book("RELEASE", moved, self._give_back_held(hold))

    def _check_known(self, hold: Hold) -> None:
        if hold not in self.holds:
            raise Refusal("HOLD_NOT_FOUND")

    def _give_back_held(self, hold: Hold) -> list[tuple[Lot, int]]:
        moves = []
        for part in hold.parts:
            back = part.points - part.captured - part.released
            if back:
                part.released += back
                part.lot.left += back
                moves.append((part.lot, back))
        return moves

    def refund(self, hold: Hold, points: int, now: datetime) -> Booking:
        """Spent points come back, the last drawn first, and live for a while at least."""
        self._check_known(hold)
        refundable = hold.total("captured") - hold.total("refunded")
        points = points or refundable
        if not points or points > refundable:
            raise Refusal("REFUND_EXCEEDED")
        floor, moves, left = wall(now, days=hold.rules.floor_days), [], points
        for part in reversed(hold.parts):
            back = min(part.captured - part.refunded, left)
            if not back:
                continue
            part.refunded += back
            left -= back
            lot = part.lot
            if (lot.expires or NEVER) >= floor:
                lot.left += back
            else:
                lot = Lot(lot.purchase, back, back, False, None, floor)
                self.lots.append(lot)
            moves.append((lot, back))
        return self.book("REFUND", [("REDEEMED", "ACTIVE", points)], moves)

    def take_back(self, purchase: Purchase, cents: int | None) -> Booking:
        """A return: the purchase's own points first, then others, then a debt."""
        if purchase not in self.purchases:
            raise Refusal("TRANSACTION_NOT_FOUND")
        left = purchase.cents - purchase.returned
        cents = left if cents is None else cents
        if not left or cents > left:
            raise Refusal("RETURN_EXCEEDED")
        kept = left - cents
        due = purchase.points - purchase.rules.earned(kept, imports=purchase.imports)
        due -= purchase.taken_back
        own = [lot for lot in self.lots if lot.purchase is purchase]
        forgiven = min(due, sum(lot.expired for lot in own) - purchase.forgiven)
        purchase.returned += cents
        purchase.taken_back += due
        purchase.forgiven += forgiven
        due -= forgiven
        others = [lot for lot in self.lots if lot.purchase is not purchase and not lot.pending]
        moved, moves = [], []
        for lot in [*self.by_end(own), *self.by_end(others)]:
            taken = min(lot.left, due)
            if taken:
                lot.left -= taken
                due -= taken
                moved.append(("PENDING" if lot.pending else "ACTIVE", "REVERSED", taken))
                moves.append((lot, -taken))
        self.debt += due
        moved.append(("DEBT", "REVERSED", due))
        return self.book("REVERSAL", moved, moves)

    # What the calendar does

    def expire(self, as_of: datetime) -> None:
        """Holds past their time are released, then lots past their end expire."""
        for hold in self.holds:
            if hold.held and hold.ends <= as_of:
                self.release(hold)
        for lot in self.lots:
            if lot.left and lot.expires is not None and lot.expires <= as_of:
                points, lot.left = lot.left, 0
                lot.expired += points
                account = "PENDING" if lot.pending else "ACTIVE"
                self.book("EXPIRY", [(account, "EXPIRED", points)], [(lot, -points)])

    def mature(self, as_of: datetime) -> None:
        """Pending points whose time has come become active."""
        for lot in self.lots:
            if lot.left and lot.pending and lot.matures is not None and lot.matures <= as_of:
                lot.pending = False
                self.book("MATURATION", [("PENDING", "ACTIVE", lot.left)], [])
