"""The nouns of the obvious ledger."""

from dataclasses import dataclass, field
from datetime import datetime

from obvious_rules import Purchase, Rules


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

    @property
    def refundable(self) -> int:
        """What was spent and did not come back."""
        return self.total("captured") - self.total("refunded")


@dataclass(eq=False)
class Debt:
    """What one return made a member owe, and when that is given up."""

    left: int
    ends: datetime | None


@dataclass(frozen=True)
class Return:
    """What became of the points that a returned part had earned."""

    taken: int
    debt: int
    cash: int
    cash_cents: int
    forgiven: int


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
