"""When points become active and when they end."""

from datetime import datetime
from typing import assert_never

from rules.calendar import add_days, add_months, year_end
from rules.compiled import CompiledProgram
from rules.values import ExpiryPolicy, Never, Restored, RollingMonths, YearEnd


def mature_time(
    earned_at: datetime, program: CompiledProgram, pending_days: int | None = None
) -> datetime | None:
    """Returns when earned points become active after so many days, the program's own when None;
    None when they are at once (PT-05).
    """
    days = program.pending_days if pending_days is None else pending_days
    return add_days(earned_at, days, program.zone) if days else None


def expire_time(
    earned_at: datetime, program: CompiledProgram, policy: ExpiryPolicy | None = None
) -> datetime | None:
    """Returns when earned points expire by a policy, the program's own when None; None for never
    (PT-06).
    """
    match policy or program.expiry.policy:
        case RollingMonths(months):
            return add_months(earned_at, months, program.zone)
        case YearEnd(years_later):
            return year_end(earned_at, years_later, program.zone)
        case Never():
            return None
        case other:
            assert_never(other)


def restored_expire_time(
    expire_at: datetime | None, refunded_at: datetime, program: CompiledProgram
) -> datetime | None:
    """Returns when refunded points expire (PT-08): never sooner than they would have."""
    if expire_at is None:
        return None
    match program.expiry.restored:
        case Restored.ORIGINAL:
            return expire_at
        case Restored.ORIGINAL_OR_FLOOR:
            floor = add_days(refunded_at, program.expiry.restored_days_min, program.zone)
            return max(expire_at, floor)
        case Restored.FRESH:
            fresh = expire_time(refunded_at, program)
            return None if fresh is None else max(expire_at, fresh)
        case other:
            assert_never(other)
