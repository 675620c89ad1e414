"""The liability report: what is owed in points, how it moved, and what it is worth."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

from points.breakage import Cohort, Flows, Step, breakage_curve, breakage_rate
from points.errors import LedgerDoesNotTie
from points.values import Account, Kind
from rules.compiled import CompiledProgram
from rules.redemption import points_value_minor

COHORTS_MAX = 120
EXPIRY_DAYS = (0, 30, 90, 180, 365)
AGE_MONTHS = (0, 1, 3, 6, 12, 24)

USES = (Kind.HOLD, Kind.CAPTURE, Kind.RELEASE, Kind.REFUND, Kind.REDEMPTION, Kind.DONATION)
ENDS = (Kind.EXPIRY, Kind.CLOSURE)
FORFEITS = (Kind.REFUND,)
"""Kinds whose draws end points: what is refunded to a closed account is forfeited at once."""
ISSUED, USED, EXPIRED, WITHDRAWN = 1, 2, 3, 4


class Move(NamedTuple):
    """Points that went from account to account in a month; None for before the report begins."""

    month: date | None
    source: Account
    target: Account
    points: int


class LotFlow(NamedTuple):
    """Points that came into lots, or left them where negative."""

    earn_month: date
    month: date
    days_range: int | None
    flow: int
    points: int


@dataclass(frozen=True, slots=True)
class Span:
    """What the report is about, in the program then in force."""

    from_time: datetime
    as_of: datetime
    program: CompiledProgram

    @property
    def zone(self) -> ZoneInfo:
        """The program's time zone."""
        return self.program.zone

    @property
    def months(self) -> list[date]:
        """The first days of all months that it touches."""
        first, last = month_of(self.from_time, self.zone), month_of(self.as_of, self.zone)
        return [_add_months(first, n) for n in range(months_between(first, last) + 1)]


@dataclass(frozen=True, slots=True)
class Period:
    """How what members have changed in one month; `moved` by program account and direction."""

    start: datetime
    end: datetime
    opening: int
    moved: Mapping[tuple[Account, bool], int]
    closing: int


@dataclass(frozen=True, slots=True)
class CohortLine:
    """A cohort with what is expected of it and what it is worth."""

    month: date
    flows: Flows
    remaining: int
    rate: Fraction
    breakage_points: int
    value_minor: int


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report."""

    span: Span
    balances: Mapping[Account, int]
    expiry_points: Mapping[int | None, int]
    age_points: Sequence[int]
    periods: Sequence[Period]
    cohorts: Sequence[CohortLine]
    curve: Sequence[Step]
    breakage_points: int
    face_minor: int
    deferred_minor: int


@dataclass(slots=True)
class Sums:
    """What the steps have added up so far."""

    moved: defaultdict[tuple[date | None, Account, Account], int] = field(
        default_factory=lambda: defaultdict(int)
    )
    flows: defaultdict[tuple[date, date, int], int] = field(
        default_factory=lambda: defaultdict(int)
    )
    by_days: defaultdict[int | None, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, moves: Iterable[Move], flows: Iterable[LotFlow]) -> None:
        """Adds the rows of one step."""
        for move in moves:
            self.moved[move.month, Account(move.source), Account(move.target)] += move.points
        for flow in flows:
            self.flows[flow.earn_month, flow.month, flow.flow] += flow.points
            self.by_days[flow.days_range] += flow.points


def make_report(sums: Sums, span: Span) -> Report:
    """The report of all sums. Raises LedgerDoesNotTie when lots and balances differ."""
    balances: defaultdict[Account, int] = defaultdict(int)
    for (_, source, target), points in sums.moved.items():
        balances[source] -= points
        balances[target] += points
    unspent = balances[Account.ACTIVE] + balances[Account.PENDING]
    in_lots = sum(sums.by_days.values())
    if unspent != in_lots:
        raise LedgerDoesNotTie(balances=unspent, lots=in_lots)
    by_month = _cohorts(sums, month_of(span.as_of, span.zone))
    curve = breakage_curve([cohort for _, cohort in by_month])
    lines, deferred = _value(by_month, curve, balances[Account.HELD], span.program)
    ages = [0] * len(AGE_MONTHS)
    for _, cohort in by_month:
        index = max(i for i, months in enumerate(AGE_MONTHS) if months <= cohort.age_months)
        ages[index] += cohort.remaining
    outstanding = unspent + balances[Account.HELD]
    return Report(
        span, balances, sums.by_days, ages, _periods(sums, span), lines, curve,
        sum(line.breakage_points for line in lines),
        points_value_minor(outstanding, span.program), deferred,
    )  # fmt: skip


def _cohorts(sums: Sums, now_month: date) -> list[tuple[date, Cohort]]:
    """By month, oldest first; what is older than the oldest is counted into it."""
    oldest = _add_months(now_month, 1 - COHORTS_MAX)
    flows: defaultdict[date, defaultdict[int, Flows]] = defaultdict(lambda: defaultdict(Flows))
    for (earned, moved, kind), points in sums.flows.items():
        # What was booked ahead of its time happens now.
        month = min(max(earned, oldest), now_month)
        age = min(max(months_between(month, moved), 0), months_between(month, now_month))
        flow = flows[month][age]
        if kind == ISSUED:
            flow.issued += points
        elif kind == USED:
            flow.used -= points
        elif kind == EXPIRED:
            flow.expired -= points
        else:
            flow.withdrawn -= points
    return [
        (month, Cohort(months_between(month, now_month), by_age))
        for month, by_age in sorted(flows.items())
    ]


def _value(
    by_month: Sequence[tuple[date, Cohort]],
    curve: Sequence[Step],
    held: int,
    program: CompiledProgram,
) -> tuple[list[CohortLine], int]:
    """Each cohort with its share of the deferred revenue. A share is the difference that it makes
    to the sum, so that all of them add up to the minor unit.
    """
    lines, kept, value = [], 0, 0
    for month, cohort in by_month:
        rate = breakage_rate(curve, cohort.age_months)
        breakage = int(cohort.remaining * rate)
        kept += cohort.remaining - breakage
        value_then = points_value_minor(kept, program)
        total = Flows()
        for flow in cohort.flows.values():
            total.issued += flow.issued
            total.used += flow.used
            total.expired += flow.expired
            total.withdrawn += flow.withdrawn
        lines.append(CohortLine(month, total, cohort.remaining, rate, breakage, value_then - value))
        value = value_then
    # What is held is about to be spent: all of it counts.
    return lines, points_value_minor(kept + held, program)


def _periods(sums: Sums, span: Span) -> list[Period]:
    opening = 0
    moved: defaultdict[date | None, defaultdict[tuple[Account, bool], int]]
    moved = defaultdict(lambda: defaultdict(int))
    for (month, source, target), points in sums.moved.items():
        if source >= Account.ISSUED:
            moved[month][source, True] += points
        if target >= Account.ISSUED:
            moved[month][target, False] -= points
    opening = sum(moved[None].values())
    periods, months = [], span.months
    for number, month in enumerate(months):
        closing = opening + sum(moved[month].values())
        start = span.from_time if number == 0 else start_of(month, span.zone)
        end = span.as_of if month == months[-1] else start_of(months[number + 1], span.zone)
        periods.append(Period(start, end, opening, moved[month], closing))
        opening = closing
    return periods


def month_of(instant: datetime, zone: ZoneInfo) -> date:
    """The first day of the month of an instant."""
    return instant.astimezone(zone).date().replace(day=1)


def start_of(month: date, zone: ZoneInfo) -> datetime:
    """The instant at which a day begins."""
    return datetime.combine(month, time(), zone).astimezone(UTC)


def months_between(first: date, last: date) -> int:
    """Whole months from one first day to another."""
    return (last.year - first.year) * 12 + last.month - first.month


def _add_months(month: date, months: int) -> date:
    years, month0 = divmod(month.month - 1 + months, 12)
    return date(month.year + years, month0 + 1, 1)
