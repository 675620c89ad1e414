"""The world of the model: a house that goes by a clock in the machine's hand, the versions of its
program, and what the service says in the words of the obvious ledger.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, TypeVar

from house import House
from kit.clock import from_timestamp, to_timestamp
from laurel.points.v1 import accounts_pb2 as accounts
from laurel.points.v1 import adjustments_pb2 as adjustments
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1 import transfers_pb2 as transfers
from obvious_nouns import Booking, Lot
from obvious_rules import Rules
from points_moving import Counter
from rules.feed import ProgramFeed

ALONE_POINTS = 70
VARIANTS: list[dict[str, Any]] = [
    {"rate": 1, "months": 12, "floor_days": 30},
    {"rate": 2, "months": 12, "floor_days": 30, "pending_days": 7, "silver": Fraction(6, 5)},
    {"rate": 1, "months": 3, "pending_days": 14, "restored": "original", "debt_max": 40},
    {"rate": 3, "restored": "fresh", "silver": Fraction(3, 2), "cash": True},
    {"rate": 5, "months": 1, "floor_days": 45, "pending_days": 3, "debt_days": 40},
    {"rate": 2, "ends": "same_year", "restored": "fresh", "pending_days": 7, "many": True},
    {"rate": 1, "ends": "next_year", "floor_days": 300, "debt_max": 60, "debt_days": 9},
    {"rate": 1, "months": 12, "floor_days": 30, "silver": Fraction(5, 4), "many": True},
    {"rate": 2, "months": 2, "restored": "fresh", "many": True, "cash": True},
]
MANY = """
      coefficients: [{name: baby, factor: 1.5, categories: [baby]}]
    - {name: ladder, ladder: {per_amount: 100, points: 10}}
    - {name: daily, points_per_unit: 0.1, caps: {day: 15}}"""
PROGRAM = """
name: A model of a program
time_zone: America/New_York
currency: USD
earning:
  rules:
    - name: spend
      points_per_unit: %(rate)s
      tier_multiplier: true%(many)s
    - name: imports
      when: '"imports" in order.categories'
      points_per_unit: 0.5
    - {name: check_in, event: check_in, fixed_points: 10, caps: {day: 25}}
  pending_days: %(pending_days)s
  rounding: half_up
expiry:
  %(ends)s
  warning_days: [30, 7]
  %(restored)s
redemption:
  points_per_unit: 300
  points_share_max: 0.5
  points_min: 1
  hold_minutes: 30
  quote_minutes: 15
returns:
  shortfall: %(shortfall)s
gifts:
  share_max: "0.5"
  month_points_max: 1000000000000
  fee_share: "0.1"
adjustments:
  alone_points_max: 70
tiers:
  window_months: 12
  validity_months: 12
  ladder:
    - {id: member, name: Member, qualify_spend: 0, retain_spend: 0, points_multiplier: 1}
    - {id: silver, name: Silver, qualify_spend: 1, retain_spend: 1, points_multiplier: %(silver)s}
antifraud:
  deadline_ms: 2000
  fallback_accrual_points_max: 0
  rules: []
"""
R = TypeVar("R")


def text_of(rules: Rules) -> str:
    """A version of the program as an operator writes it."""
    ends = f"rolling_months: {rules.months}"
    if rules.ends != "months":
        ends = f"policy: {{year_end: {rules.ends}}}"
    restored = f"restored: {rules.restored}"
    if rules.restored == "floor":
        restored = f"restored_days_min: {rules.floor_days}"
    shortfall = "cash"
    if not rules.cash:
        shortfall = "debt"
        shortfall += f"\n  debt_points_max: {rules.debt_max}" if rules.debt_max else ""
        shortfall += f"\n  debt_days: {rules.debt_days}" if rules.debt_days else ""
    return PROGRAM % {
        "rate": rules.rate, "many": MANY if rules.many else "", "ends": ends,
        "pending_days": rules.pending_days, "restored": restored, "shortfall": shortfall,
        "silver": float(rules.silver),
    }  # fmt: skip


class World:
    """The house, its clock and the versions of its program: one for all runs."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        self.house = house
        self.ledger = Counter(house)
        self.loop = loop
        self.now = datetime(2026, 1, 5, 14, 0, tzinfo=UTC)
        self.versions: list[Rules] = []
        self.variant = -1

    def wait(self, call: Coroutine[Any, Any, R]) -> R:
        """What a coroutine on the loop of the house gives."""
        return asyncio.run_coroutine_threadsafe(call, self.loop).result(60)

    async def begin(self, variant: int) -> None:
        """A new time, of which all that a run can reach is decided by one version: what one run has
        found another finds again.
        """
        self.now = datetime(self.now.year + 2, 1, 10, 14, tzinfo=UTC)
        await self.apply(variant, self.now - timedelta(days=360))

    async def apply(self, variant: int, begins: datetime | None = None) -> None:
        """Changes the program; points knows it at once."""
        rules = Rules(begins or self.now, imports_rate=Fraction(1, 2), **VARIANTS[variant])
        stamp = to_timestamp(rules.begins)
        version = await self.house.apply(text_of(rules), effective_time=stamp)
        assert from_timestamp(version.effective_time) == rules.begins
        self.versions.append(rules)
        self.variant = variant
        for loop in self.house.running["points"].service.loops:
            if isinstance(feed := getattr(loop, "__self__", None), ProgramFeed):
                await feed.refresh()

    async def open_accounts(self, tiers: dict[str, str]) -> None:
        """Accounts of whom the tier service, which does not run, knows nothing; points knows of the
        tiers of some.
        """
        await self.house.fetch(
            "WITH fact AS (INSERT INTO points.member_fact SELECT unnest($1::text[]), 0)"
            " INSERT INTO points.account (member_id, tier_id)"
            " SELECT * FROM unnest($1::text[], $2::text[])",
            list(tiers), list(tiers.values()),
        )  # fmt: skip

    def rules_at(self, at: datetime) -> Rules:
        """The version in force at an instant."""
        begun = [rules for rules in self.versions if rules.begins <= at]
        return begun[-1] if begun else self.versions[0]


def told(transaction: pb.Transaction) -> Booking:
    """A transaction in the words of the model."""
    after = transaction.balance_after
    return Booking(
        pb.TransactionKind.Name(transaction.kind).removeprefix("TRANSACTION_KIND_"),
        {
            pb.Account.Name(entry.account).removeprefix("ACCOUNT_"): entry.points
            for entry in transaction.entries
            # What only passes through an account, as does a refund to a closed one, is none.
            if entry.points
        },
        tuple(
            (move.accrual_transaction_id, move.points, end_of(move))
            for move in transaction.lot_movements
        ),
        after.active,
        after.pending,
        after.held,
        after.debt,
    )


def end_of(thing: pb.LotMovement | pb.Lot) -> datetime | None:
    """When a lot expires."""
    return from_timestamp(thing.expire_time) if thing.HasField("expire_time") else None


def booked_by(response: Any) -> str:
    """The id of the transaction behind an answer that names it; empty where nothing was booked."""
    match response:
        case adjustments.AdjustPointsResponse() | adjustments.ApproveAdjustmentResponse():
            return response.adjustment.transaction_id
        case adjustments.RejectAdjustmentResponse():
            return response.adjustment.transaction_id
        case transfers.TransferPointsResponse():
            return response.gift.transaction_id
        case accounts.CloseAccountResponse():
            return response.account.last_action.transaction_id
        case None:
            return ""
        case _:
            return response.transaction.transaction_id


def without_order(booking: Booking) -> str:
    """A booking without the balance after it, which tells the order of bookings made at once."""
    entries = sorted(booking.entries.items())
    return repr((entries, replace(booking, entries={}, active=0, pending=0, held=0, debt=0)))


def line_of_lot(lot: pb.Lot) -> tuple[object, ...]:
    """A lot as the service tells of it."""
    left = (lot.points, lot.remaining_points, lot.expired_points)
    return (lot.accrual_transaction_id, left, end_of(lot))


def line_of_model(lot: Lot) -> tuple[object, ...]:
    """A lot as the model has it."""
    left = (lot.points, lot.left, lot.expired)
    return (lot.purchase.transaction_id, left, lot.expires)
