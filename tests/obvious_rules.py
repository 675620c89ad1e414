"""What a purchase earns and when its points end, once more: slow and obvious, no code of ours."""

import calendar
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("America/New_York")
NEVER = datetime.max.replace(tzinfo=UTC)
CHECK_IN, CHECK_INS_OF_A_DAY = 10, 25
BABY = Fraction(3, 2)
LADDER_CENTS, LADDER_POINTS = 10_000, 10
DAILY_RATE, DAILY_MAX = Fraction(1, 10), 15


class Refusal(Exception):
    """What the ledger does not do, by its reason."""


@dataclass(frozen=True)
class Rules:
    """A version of the program, and since when it decides."""

    begins: datetime
    rate: int
    imports_rate: Fraction = Fraction(0)
    silver: Fraction = Fraction(1)
    """What the tier of that name multiplies the rate with."""
    many: bool = False
    """Whether there are rules beside the rates: of a category, of a ladder, with a cap a day."""
    pending_days: int = 0
    ends: str = "months"
    """When points end: `months` after, or with the year: `same_year` or `next_year`."""
    months: int = 0
    restored: str = "floor"
    floor_days: int = 0
    cash: bool = False
    debt_max: int = 0
    debt_days: int = 0

    def earned(self, basket: "Basket", tier: str, room: int) -> tuple[int, int]:
        """Points of a purchase, rounded half up once, and how many of them took up room for a
        day's points.
        """
        exact = Fraction(0)
        for category, cents in basket.parts():
            rate = self.rate * (self.silver if tier == "silver" else Fraction(1))
            if self.many and category == "baby":
                rate *= BABY
            exact += rate * cents / 100
        if basket.imports:
            exact += self.imports_rate * basket.cents / 100
        daily = 0
        if self.many:
            exact += basket.cents // LADDER_CENTS * LADDER_POINTS
            daily = min(half_up(DAILY_RATE * basket.cents / 100), room)
        return half_up(exact + daily), daily

    def matures(self, at: datetime) -> datetime | None:
        """When points become active; None for at once."""
        return wall(at, days=self.pending_days) if self.pending_days else None

    def expires(self, at: datetime) -> datetime | None:
        """When points end; None for never."""
        if self.ends != "months":
            year = at.astimezone(ZONE).year + (1 if self.ends == "same_year" else 2)
            return datetime(year, 1, 1, tzinfo=ZONE).astimezone(UTC)
        return wall(at, months=self.months) if self.months else None

    def restores(self, expires: datetime | None, now: datetime) -> datetime | None:
        """When points end that come back now; never sooner than they would have."""
        if expires is None or self.restored == "original":
            return expires
        floor = wall(now, days=self.floor_days)
        if self.restored == "fresh":
            floor = self.expires(now) or NEVER
        later = max(expires, floor)
        return None if later == NEVER else later


NO_RULES = Rules(datetime(1, 1, 1, tzinfo=UTC), 0)


def half_up(exact: Fraction) -> int:
    """A whole number, a half up."""
    return int(exact + Fraction(1, 2))


def wall(at: datetime, *, days: int = 0, months: int = 0) -> datetime:
    """The same time on the program's clock, days or months later."""
    local = at.astimezone(ZONE) + timedelta(days=days)
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day, fold=0).astimezone(UTC)


def day_of(at: datetime) -> str:
    """The day on the program's clock."""
    return f"{at.astimezone(ZONE):%Y-%m-%d}"


@dataclass
class Basket:
    """What was bought, or what is kept of it."""

    cents: int
    imports: bool = False
    lines: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By id of the line: its category, and what was paid for it."""

    def parts(self) -> list[tuple[str, int]]:
        """Categories with amounts, and the rest that no line is for."""
        rest = self.cents - sum(cents for _, cents in self.lines.values())
        return [*self.lines.values(), ("", rest)]

    def without(self, cents: int) -> "Basket":
        """What is kept when an amount comes back: it is taken from all lines in proportion, which
        is done with sums, so that the parts add up.
        """
        kept, lines, before, after = self.cents - cents, {}, 0, 0
        for name, (category, paid) in self.lines.items():
            before += paid
            left = before * kept // self.cents - after
            after += left
            lines[name] = (category, left)
        return Basket(kept, self.imports, lines)

    def without_lines(self, returned: dict[str, int]) -> "Basket":
        """What is kept when parts of lines come back."""
        cents, lines = self.cents - sum(returned.values()), dict(self.lines)
        if cents < 0:
            raise Refusal("RETURN_EXCEEDED")
        for name, part in returned.items():
            if name not in lines:
                raise Refusal("LINE_NOT_FOUND")
            category, paid = lines[name]
            if part > paid:
                raise Refusal("RETURN_EXCEEDED")
            lines[name] = (category, paid - part)
        return Basket(cents, self.imports, lines)


@dataclass(eq=False)
class Purchase:
    """A booked accrual: of a purchase, or of anything else that brought points."""

    transaction_id: str
    rules: Rules
    basket: Basket
    points: int
    tier: str = ""
    cap: tuple[str, str] = ("", "")
    """The counter that some of its points took up room of: rule and day."""
    room: int = 0
    counted: int = 0
    taken_back: int = 0
    forgiven: int = 0
    cash: int = 0
    is_returned: bool = False
    """Wholly or in part."""

    def give_back(self, kept: Basket, counted: Counter[tuple[str, str]]) -> int:
        """What the part that comes back had earned; it leaves room for the day's other points."""
        points, daily = self.rules.earned(kept, self.tier, self.room) if kept.cents else (0, 0)
        if self.counted > daily:
            counted[self.cap] = max(0, counted[self.cap] - (self.counted - daily))
            self.counted = daily
        due = max(0, self.points - points - self.taken_back)
        self.basket = kept
        self.taken_back += due
        self.is_returned = True
        return due
