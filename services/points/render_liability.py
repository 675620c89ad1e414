"""The liability report as a message of the contract."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from google.type.date_pb2 import Date

from kit.clock import to_timestamp
from kit.money import from_minor
from laurel.points.v1 import liability_pb2 as pb
from points.breakage import METHOD, Step
from points.liability import AGE_MONTHS, EXPIRY_DAYS, CohortLine, Period, Report
from points.values import Account
from rules.compiled import CompiledProgram

CAUSES = {
    Account.ISSUED: pb.MOVEMENT_CAUSE_ISSUED,
    Account.REDEEMED: pb.MOVEMENT_CAUSE_REDEEMED,
    Account.EXPIRED: pb.MOVEMENT_CAUSE_EXPIRED,
    Account.REVERSED: pb.MOVEMENT_CAUSE_REVERSED,
    Account.FORFEITED: pb.MOVEMENT_CAUSE_FORFEITED,
    Account.FEES: pb.MOVEMENT_CAUSE_FEES,
    Account.DONATED: pb.MOVEMENT_CAUSE_DONATED,
    Account.TRANSFERRED_OUT: pb.MOVEMENT_CAUSE_TRANSFERRED_OUT,
    Account.TRANSFERRED_IN: pb.MOVEMENT_CAUSE_TRANSFERRED_IN,
    Account.ADJUSTED: pb.MOVEMENT_CAUSE_ADJUSTED,
    Account.PARTNER: pb.MOVEMENT_CAUSE_BROUGHT_IN,
    Account.WRITTEN_OFF: pb.MOVEMENT_CAUSE_WRITTEN_OFF,
}


def render_report(report: Report) -> pb.LiabilityReport:
    """The report with every range, month and cohort."""
    program, balances = report.span.program, report.balances
    active, pending, held = (
        balances.get(account, 0) for account in (Account.ACTIVE, Account.PENDING, Account.HELD)
    )
    return pb.LiabilityReport(
        as_of_time=to_timestamp(report.span.as_of),
        program_version=program.version,
        active_points=active,
        pending_points=pending,
        held_points=held,
        debt_points=-balances.get(Account.DEBT, 0),
        outstanding_points=active + pending + held,
        expiry_buckets=_expiry_buckets(report),
        age_buckets=_ranges(AGE_MONTHS, report.age_points),
        roll_forward=map(_period, report.periods),
        cohorts=[_cohort(line, program) for line in report.cohorts],
        breakage_curve=map(_step, report.curve),
        expected_breakage_points=report.breakage_points,
        face_value=from_minor(report.face_minor, program.currency, program.minor_digits),
        deferred_revenue=from_minor(report.deferred_minor, program.currency, program.minor_digits),
        method=METHOD,
    )


def _expiry_buckets(report: Report) -> list[pb.AgeingBucket]:
    points = report.expiry_points
    ended = pb.AgeingBucket(kind=pb.BUCKET_KIND_ENDED, points=points.get(0, 0))
    never = pb.AgeingBucket(kind=pb.BUCKET_KIND_NEVER, points=points.get(None, 0))
    ranges = [points.get(number, 0) for number in range(1, len(EXPIRY_DAYS) + 1)]
    return [ended, *_ranges(EXPIRY_DAYS, ranges), never]


def _ranges(begins: Sequence[int], points: Sequence[int]) -> list[pb.AgeingBucket]:
    ends = (*begins[1:], 0)
    return [
        pb.AgeingBucket(**{"from": begin}, to=end, points=count)  # type: ignore[arg-type]
        for begin, end, count in zip(begins, ends, points, strict=True)
    ]


def _period(period: Period) -> pb.RollForward:
    message = pb.RollForward(
        start_time=to_timestamp(period.start),
        end_time=to_timestamp(period.end),
        opening_points=period.opening,
        closing_points=period.closing,
    )
    sums: dict[int, int] = {}
    for (account, gained), points in period.moved.items():
        refunded = gained and account is Account.REDEEMED
        cause = int(pb.MOVEMENT_CAUSE_REFUNDED if refunded else CAUSES[account])
        sums[cause] = sums.get(cause, 0) + points
    for cause, points in sorted(sums.items()):
        if points:
            message.movements.add(cause=cause, points=points)
    return message


def _cohort(line: CohortLine, program: CompiledProgram) -> pb.LiabilityCohort:
    return pb.LiabilityCohort(
        month=_date(line.month),
        issued_points=line.flows.issued,
        withdrawn_points=line.flows.withdrawn,
        used_points=line.flows.used,
        expired_points=line.flows.expired,
        remaining_points=line.remaining,
        expected_breakage_rate=_rate(line.rate),
        expected_breakage_points=line.breakage_points,
        deferred_revenue=from_minor(line.value_minor, program.currency, program.minor_digits),
    )


def _step(step: Step) -> pb.BreakageStep:
    return pb.BreakageStep(
        age_months=step.age_months,
        exposed_points=step.exposed,
        used_points=step.used,
        expired_points=step.expired,
        withdrawn_points=step.withdrawn,
        expected_breakage_rate=_rate(step.breakage),
    )


def _rate(rate: Fraction) -> str:
    units, rest = divmod(int(rate * 10**6), 10**6)
    return f"{units}.{rest:06d}".rstrip("0").rstrip(".")


def _date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)
