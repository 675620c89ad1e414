"""The nouns of the ledger: accounts, lots, holds, postings and the commands that make them."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum
from typing import Any, NamedTuple
from uuid import UUID

from rules.accrual_values import Activity
from rules.compiled import CompiledProgram


class Account(IntEnum):
    """An account of the ledger; numbers as in the contract."""

    ACTIVE = 1
    PENDING = 2
    HELD = 3
    DEBT = 4
    ISSUED = 11
    REDEEMED = 12
    EXPIRED = 13
    REVERSED = 14
    FORFEITED = 15
    FEES = 16
    DONATED = 17
    TRANSFERRED_OUT = 18
    TRANSFERRED_IN = 19
    ADJUSTED = 20
    PARTNER = 21
    WRITTEN_OFF = 22


class Kind(IntEnum):
    """What a transaction is; numbers as in the contract."""

    ACCRUAL = 1
    MATURATION = 2
    HOLD = 3
    CAPTURE = 4
    RELEASE = 5
    REFUND = 6
    REVERSAL = 7
    EXPIRY = 8
    GIFT_SENT = 9
    GIFT_RECEIVED = 10
    DONATION = 11
    ADJUSTMENT = 12
    MERGE_OUT = 13
    MERGE_IN = 14
    CLOSURE = 15
    IMPORT = 16
    DEBT_WRITE_OFF = 17
    REDEMPTION = 18
    BONUS = 19
    POOL_OUT = 20
    POOL_IN = 21


class Standing(IntEnum):
    """Whether an account takes part; numbers as in the table."""

    OPEN = 0
    FROZEN = 1
    CLOSED = 2
    MERGED = 3
    POOL = 4


class HoldState(IntEnum):
    """Where a hold stands; numbers as in the contract."""

    OPEN = 1
    CLOSED = 2
    EXPIRED = 3


@dataclass(slots=True)
class AccountState:
    """A member's balances, as a batch works on them."""

    member_id: str
    active: int = 0
    pending: int = 0
    held: int = 0
    debt: int = 0
    state: int = Standing.OPEN
    merged_into: str | None = None
    restriction: int = 0
    """By anti-fraud, see `standing`."""
    frozen_time: datetime | None = None
    """Since when anti-fraud has frozen it; what would end after that does not end meanwhile."""

    def keeps(self, expire_time: datetime) -> bool:
        """Whether points that would end then do not, as anti-fraud has frozen the account."""
        return self.frozen_time is not None and expire_time > self.frozen_time

    def ends_stand_at(self, now: datetime) -> datetime:
        """The instant up to which its points may have ended."""
        return self.frozen_time or now


@dataclass(slots=True)
class LotState:
    """What is left of one accrual, as a batch works on it."""

    member_id: str
    lot_id: UUID
    transaction_id: UUID
    pending: bool
    points: int
    remaining: int
    expired: int
    mature_time: datetime | None
    expire_time: datetime | None
    due_time: datetime | None


@dataclass(slots=True)
class HoldLot:
    """What a hold drew from one lot."""

    ordinal: int
    lot_id: UUID
    points: int
    captured: int = 0
    released: int = 0
    refunded: int = 0


class WindowDay(NamedTuple):
    """A day of a promotion window, as one member uses it."""

    member_id: str
    window: str
    day: date


@dataclass(slots=True)
class HoldRecord:
    """A hold, as a batch works on it."""

    member_id: str
    hold_id: UUID
    points: int
    captured: int
    released: int
    refunded: int
    state: HoldState
    order_id: str
    program_version: int
    expire_time: datetime
    create_time: datetime
    lots: list[HoldLot] = field(default_factory=list)
    window_day: WindowDay | None = None
    """Where the points that are worth more are counted; for who spends, be it from a pool."""
    window_points: int = 0
    """Points that are worth more, by the promotion window."""
    window_counted: int = 0
    """Points that are counted there now."""

    @property
    def living(self) -> int:
        """Points that are held, or spent and not given back."""
        return self.points - self.released - self.refunded

    @property
    def window_used(self) -> int:
        """Points that are worth more and were neither released nor given back: they go last."""
        return min(self.window_points, self.living)

    @property
    def still_held(self) -> int:
        """Points that are neither captured nor released."""
        return self.points - self.captured - self.released


@dataclass(slots=True)
class AccrualRecord:
    """A booked accrual and how much of it was taken back."""

    member_id: str
    transaction_id: UUID
    kind: int
    order_id: str | None
    occurred_time: datetime
    program_version: int
    explanation: dict[str, Any]
    returned_minor: int
    reversed_points: int
    forgiven_points: int
    booked_member_id: str
    """Whose accrual it was when it was booked: another member's, who was merged since."""
    kept_lines: dict[str, int] | None = None
    """By line, minor units that were kept so far; None where nothing was returned, or no lines."""
    cash_points: int = 0
    """Points that were made up for in cash."""
    settled: bool = False
    """Whether it was under review and turned out to be legitimate: it counts like any other."""
    returned: bool = False
    """Whether anything of it was taken back before, be it nothing that counts."""


@dataclass(frozen=True, slots=True)
class Debt:
    """What a return made a member owe, and when it is written off."""

    member_id: str
    transaction_id: UUID
    points: int
    expire_time: datetime | None


class Posting(NamedTuple):
    """Points that move from one account to another."""

    source: Account
    target: Account
    points: int


class LotMove(NamedTuple):
    """Points that a transaction put into a lot, or drew from it where negative."""

    lot_id: UUID
    points: int
    expire_time: datetime | None
    accrual_transaction_id: UUID


class Unassessed(NamedTuple):
    """A booked accrual that anti-fraud has yet to be asked about, and the question."""

    member_id: str
    request_id: str
    transaction_id: UUID
    operation: bytes


class Verdict(NamedTuple):
    """What was decided about the operation of a request, and why in words for its explanation."""

    member_id: str
    request_id: str
    is_legitimate: bool
    cause: str


class Operator(NamedTuple):
    """Who decided, the identity of the certificate that vouches for the name, and why."""

    name: str
    identity: str
    reason: str


class LotOrigin(NamedTuple):
    """A lot that came out of another one, of another account, and the transaction that moved it."""

    member_id: str
    lot_id: UUID
    source_member_id: str
    source_lot_id: UUID
    transaction_id: UUID


class Replacement(NamedTuple):
    """A lot that was opened in place of another one of its account, which ends too soon for what
    came back to it.
    """

    member_id: str
    lot_id: UUID
    replaced_lot_id: UUID


@dataclass(slots=True)
class Posted:
    """A transaction, as it is booked and as it is answered."""

    member_id: str
    transaction_id: UUID
    kind: Kind
    postings: tuple[Posting, ...]
    moves: tuple[LotMove, ...]
    active_after: int
    pending_after: int
    held_after: int
    debt_after: int
    program_version: int
    request_id: str | None
    order_id: str | None
    hold_id: UUID | None
    reversed_transaction_id: UUID | None
    occurred_time: datetime
    record_time: datetime
    explanation: dict[str, Any] | None

    @property
    def debt_made(self) -> int:
        """Points that the member went into debt by it."""
        return sum(posting.points for posting in self.postings if posting.source is Account.DEBT)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an operation comes from."""

    channel: str = ""
    store: str = ""
    device: str = ""
    ip: str = ""
    card: str = ""
    region: str = ""
    staff: str = ""
    """The employee who serves, by the id that the employee has as a member."""
    location: tuple[float, float] | None = None
    """Degrees north and east."""


NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class Request:
    """What every command has: the caller's id and a digest of all that was asked."""

    request_id: str
    digest: bytes


class Accrue(NamedTuple):
    """Book the points of a purchase; a plain tuple, since batches make thousands of them.

    With an activity it takes all the rules, see `rule_accruals`, and may be something else.
    """

    request_id: str
    digest: bytes
    member_id: str
    order_id: str
    amount_minor: int
    categories: tuple[str, ...]
    origin: Origin
    occurred_time: datetime
    program: CompiledProgram
    activity: Activity | None = None


@dataclass(frozen=True, slots=True)
class Hold(Request):
    """Set points aside."""

    member_id: str
    points: int
    order_id: str
    order_minor: int | None
    origin: Origin
    occurred_time: datetime
    program: CompiledProgram
    expected_minor: int | None = None
    """What the points must pay, in minor units; None for whatever they do."""
    spender_id: str = ""
    """Who spends, where that is not the member whose points they are."""
    type: str = "order"
    """What they are spent on, as anti-fraud is told: an order, pool, gift or donation."""
    receiver_id: str = ""
    """Who receives a gift."""


@dataclass(frozen=True, slots=True)
class Redeem(Hold):
    """Spend points at once."""


@dataclass(frozen=True, slots=True)
class Capture(Request):
    """Spend held points; 0 stands for all."""

    hold_id: UUID
    points: int
    release_rest: bool


@dataclass(frozen=True, slots=True)
class Release(Request):
    """End a hold; `timed_out` when nobody asked for it."""

    hold_id: UUID
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Refund(Request):
    """Give captured points back; 0 stands for all."""

    hold_id: UUID
    points: int


class Amount(NamedTuple):
    """An amount as the caller wrote it; what it is worth is read once its currency is known."""

    currency_code: str
    units: int
    nanos: int


@dataclass(frozen=True, slots=True)
class Reverse(Request):
    """Take an accrual back; None stands for all that is left of it."""

    member_id: str
    transaction_id: UUID
    returned: Amount | None
    returned_lines: tuple[tuple[str, Amount], ...] = ()
    """Lines and amounts of them, which add up to what is returned."""


Command = Accrue | Hold | Capture | Release | Refund | Reverse


@dataclass(frozen=True, slots=True)
class Grant:
    """What was decided about an accrual before it is booked."""

    points: int
    explanation: dict[str, Any]
    under_review: bool
