"""The ledger once more, slow and obvious: lists of lots, a loop for everything, no code of ours.

What the contract and the README of points promise, written down by itself; the model test holds it
against the service. Times are handed in; ids are those that the service gave.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from obvious_nouns import Booking, Debt, Hold, Lot, Part, Return
from obvious_rules import (
    CHECK_IN,
    CHECK_INS_OF_A_DAY,
    DAILY_MAX,
    NEVER,
    NO_RULES,
    Basket,
    Purchase,
    Refusal,
    Rules,
    day_of,
    wall,
)

HOLD_TIME = timedelta(minutes=30)
POINTS_OF_A_CENT = 3


@dataclass(eq=False)
class Member:
    """All that one member has, and what became of it."""

    tier: str = ""
    lots: list[Lot] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    debts: list[Debt] = field(default_factory=list)
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By rule and day: points that were given under its cap."""
    state: str = "OPEN"
    decided: set[str] = field(default_factory=set)
    """Ids of adjustments that somebody has approved or rejected."""
    history: list[Booking] = field(default_factory=list)
    last_return: Return = Return(0, 0, 0, 0, 0)

    @property
    def debt(self) -> int:
        """All that is owed."""
        return sum(debt.left for debt in self.debts)

    def sum_of(self, *, pending: bool) -> int:
        """Active or pending points, counted lot by lot."""
        return sum(lot.left for lot in self.lots if lot.pending == pending)

    def part(self, share: int) -> int:
        """A part of the active points, in percent; 1 at least."""
        return max(1, self.sum_of(pending=False) * share // 100)

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
        self, rules: Rules, basket: Basket, at: datetime, now: datetime, transaction_id: str
    ) -> Booking:
        """A purchase earns; a debt is paid first."""
        self._check_not_closed()
        cap = ("daily", day_of(at))
        room = max(0, DAILY_MAX - self.counted[cap])
        points, daily = rules.earned(basket, self.tier, room)
        self.counted[cap] += daily
        purchase = Purchase(
            transaction_id, rules, basket, points, self.tier, cap, room, counted=daily
        )
        return self._earn(purchase, at, now)

    def check_in(self, rules: Rules, at: datetime, now: datetime, transaction_id: str) -> Booking:
        """Fixed points, as long as there is room for them on that day."""
        self._check_not_closed()
        cap = ("check_in", day_of(at))
        points = min(CHECK_IN, CHECK_INS_OF_A_DAY - self.counted[cap])
        self.counted[cap] += points
        purchase = Purchase(transaction_id, rules, Basket(0), points, cap=cap, counted=points)
        return self._earn(purchase, at, now)

    def _earn(self, purchase: Purchase, at: datetime, now: datetime) -> Booking:
        self.purchases.append(purchase)
        rules, left = purchase.rules, purchase.points
        for debt in self.debts:
            paid = min(debt.left, left)
            debt.left -= paid
            left -= paid
        moved, moves = [("ISSUED", "DEBT", purchase.points - left)], []
        if left:
            matures = rules.matures(at)
            pending = matures is not None and matures > now
            lot = Lot(purchase, left, left, pending, matures, rules.expires(at))
            self.lots.append(lot)
            moves.append((lot, left))
            moved.append(("ISSUED", "PENDING" if pending else "ACTIVE", left))
        return self.book("ACCRUAL", moved, moves)

    def hold(self, rules: Rules, points: int, now: datetime, hold_id: str) -> Booking:
        """Sets active points aside, those that expire first."""
        hold = self._set_aside(rules, points, now, hold_id, now + HOLD_TIME)
        moves = [(part.lot, -part.points) for part in hold.parts]
        return self.book("HOLD", [("ACTIVE", "HELD", points)], moves)

    def redeem(self, rules: Rules, points: int, now: datetime, hold_id: str) -> Booking:
        """Spends active points at once; they can be refunded like those of a hold."""
        hold = self._set_aside(rules, points, now, hold_id, now)
        for part in hold.parts:
            part.captured = part.points
        moves = [(part.lot, -part.points) for part in hold.parts]
        return self.book("REDEMPTION", [("ACTIVE", "REDEEMED", points)], moves)

    def _set_aside(
        self, rules: Rules, points: int, now: datetime, hold_id: str, ends: datetime
    ) -> Hold:
        self._check_open()
        hold = Hold(hold_id, rules, ends)
        hold.parts += [Part(lot, taken) for lot, taken in self._draw(points, now)]
        self.holds.append(hold)
        return hold

    def _draw(self, points: int, now: datetime | None) -> list[tuple[Lot, int]]:
        """Takes active points that have not ended at an instant, or any, those that end first."""
        usable = self._usable(now)
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

    def _usable(self, now: datetime | None) -> list[Lot]:
        """Active points that have not ended at an instant, or all of them."""
        return [
            lot
            for lot in self.lots
            if not lot.pending and lot.left and (now is None or (lot.expires or NEVER) > now)
        ]

    def _check_open(self) -> None:
        if self.state != "OPEN":
            raise Refusal(f"ACCOUNT_{self.state}")

    def _check_not_closed(self) -> None:
        if self.state == "CLOSED":
            raise Refusal("ACCOUNT_CLOSED")

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
        self._check_not_closed()
        if points < 0:
            drawn = self._draw(-points, usable_after)
            moves = [(lot, -taken) for lot, taken in drawn]
            return self.book(kind, [("ACTIVE", account, -points)], moves)
        origin = Purchase(transaction_id, NO_RULES, Basket(0), points)
        lot = Lot(origin, points, points, False, None, expires)
        self.lots.append(lot)
        return self.book(kind, [(account, "ACTIVE", points)], [(lot, points)])

    def ask(self) -> None:
        """An operator asks for more than they may give or take alone."""
        self._check_open()

    def adjust(self, rules: Rules, points: int, now: datetime, transaction_id: str) -> Booking:
        """An operator gives or takes points."""
        self._check_open()
        expires = rules.expires(now)
        return self.put("ADJUSTMENT", "ADJUSTED", points, expires, transaction_id, now)

    def give(self, receiver: "Member", points: int, now: datetime) -> Booking:
        """Half of what can be spent at most, to another member; a tenth of it is a fee, paid by
        what expires first.
        """
        self._check_open()
        receiver._check_open()
        if points > sum(lot.left for lot in self._usable(now)) // 2:
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
        points = points or hold.refundable
        if not points or points > hold.refundable:
            raise Refusal("REFUND_EXCEEDED")
        moves, left = [], points
        for part in reversed(hold.parts):
            back = min(part.captured - part.refunded, left)
            if not back:
                continue
            part.refunded += back
            left -= back
            lot, ends = part.lot, hold.rules.restores(part.lot.expires, now)
            if ends == lot.expires:
                lot.left += back
            else:
                lot = Lot(lot.purchase, back, back, False, None, ends)
                self.lots.append(lot)
            moves.append((lot, back))
        moved = [("REDEEMED", "ACTIVE", points)]
        if self.state == "CLOSED":
            moved.append(("ACTIVE", "FORFEITED", points))
            for lot, back in list(moves):
                lot.left -= back
                moves.append((lot, -back))
        return self.book("REFUND", moved, moves)

    def take_back(
        self, purchase: Purchase, cents: int | None, lines: dict[str, int], now: datetime
    ) -> Booking:
        """A return: the purchase's own points first, then others that have not ended, then a debt
        or cash.
        """
        if purchase not in self.purchases:
            raise Refusal("TRANSACTION_NOT_FOUND")
        bought = purchase.basket
        if lines:
            kept = bought.without_lines(lines)
        else:
            cents = bought.cents if cents is None else cents
            nothing = purchase.is_returned and not bought.cents
            if nothing or cents > bought.cents:
                raise Refusal("RETURN_EXCEEDED")
            kept = bought.without(cents)
        asked = purchase.give_back(kept, self.counted)
        own = self.by_end([lot for lot in self.lots if lot.purchase is purchase])
        forgiven = min(asked, sum(lot.expired for lot in own) - purchase.forgiven)
        purchase.forgiven += forgiven
        others = [
            lot
            for lot in self.lots
            if lot.purchase is not purchase and not lot.pending and (lot.expires or NEVER) > now
        ]
        moved, moves, short = [], [], asked - forgiven
        for lot in [*own, *self.by_end(others)]:
            taken = min(lot.left, short)
            if taken:
                lot.left -= taken
                short -= taken
                moved.append(("PENDING" if lot.pending else "ACTIVE", "REVERSED", taken))
                moves.append((lot, -taken))
        debt = self._owe(purchase.rules, short, now)
        moved.append(("DEBT", "REVERSED", debt))
        cash, before = short - debt, purchase.cash // POINTS_OF_A_CENT
        purchase.cash += cash
        withheld = purchase.cash // POINTS_OF_A_CENT - before
        self.last_return = Return(asked - forgiven - short, debt, cash, withheld, forgiven)
        return self.book("REVERSAL", moved, moves)

    def _owe(self, rules: Rules, points: int, now: datetime) -> int:
        """What of missing points becomes a debt; the rest is withheld in cash."""
        if rules.cash:
            points = 0
        elif rules.debt_max:
            points = min(points, max(0, rules.debt_max - self.debt))
        if points:
            ends = wall(now, days=rules.debt_days) if rules.debt_days else None
            self.debts.append(Debt(points, ends))
        return points

    def close(self) -> Booking | None:
        """All points are forfeited and all debts given up; None where there was neither."""
        self._check_not_closed()
        if any(hold.held for hold in self.holds):
            raise Refusal("HOLDS_OPEN")
        moved = [
            ("ACTIVE", "FORFEITED", self.sum_of(pending=False)),
            ("PENDING", "FORFEITED", self.sum_of(pending=True)),
            ("WRITTEN_OFF", "DEBT", self.debt),
        ]
        self.state = "CLOSED"
        moves = [(lot, -lot.left) for lot in self.by_end(self.lots) if lot.left]
        for lot in self.lots:
            lot.left = 0
        for debt in self.debts:
            debt.left = 0
        return self.book("CLOSURE", moved, moves) if any(points for *_, points in moved) else None

    # What the calendar does

    def expire(self, as_of: datetime) -> None:
        """Holds past their time are released, then lots past their end expire, then debts are
        given up whose time has come.
        """
        for hold in self.holds:
            if hold.held and hold.ends <= as_of:
                self.release(hold)
        for lot in self.lots:
            if lot.left and lot.expires is not None and lot.expires <= as_of:
                points, lot.left = lot.left, 0
                lot.expired += points
                account = "PENDING" if lot.pending else "ACTIVE"
                self.book("EXPIRY", [(account, "EXPIRED", points)], [(lot, -points)])

        for debt in self.debts:
            if debt.left and debt.ends is not None and debt.ends <= as_of:
                points, debt.left = debt.left, 0
                self.book("DEBT_WRITE_OFF", [("WRITTEN_OFF", "DEBT", points)], [])

    def mature(self, as_of: datetime) -> None:
        """Pending points whose time has come become active."""
        for lot in self.lots:
            if lot.left and lot.pending and lot.matures is not None and lot.matures <= as_of:
                lot.pending = False
                self.book("MATURATION", [("PENDING", "ACTIVE", lot.left)], [])
