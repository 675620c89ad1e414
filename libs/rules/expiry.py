"""When points become active and when they end."""

from datetime import datetime

from rules.calendar import add_days, add_months
from rules.compiled import CompiledProgram


def mature_time(earned_at: datetime, program: CompiledProgram) -> datetime | None:
    """Returns when earned points become active; None when they are at once (PT-05)."""
    if not program.pending_days:
        return None
    return add_days(earned_at, program.pending_days, program.zone)


def expire_time(earned_at: datetime, program: CompiledProgram) -> datetime | None:
    """Returns when earned points expire; None for never (PT-06)."""
    if not program.expiry.rolling_months:
        return None
    return add_months(earned_at, program.expiry.rolling_months, program.zone)


def restored_expire_time(
    expire_at: datetime | None, refunded_at: datetime, program: CompiledProgram
) -> datetime | None:
    """Returns when refunded points expire: as before, but not sooner than the program's floor."""
    if expire_at is None:
        return None
    floor = add_days(refunded_at, program.expiry.restored_days_min, program.zone)
    return max(expire_at, floor)
