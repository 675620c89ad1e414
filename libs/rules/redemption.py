"""What points pay (PT-10), in whole numbers only."""

from dataclasses import dataclass
from enum import IntEnum

from rules.compiled import CompiledProgram


@dataclass(frozen=True, slots=True)
class RedemptionQuote:
    """What of an order points pay; `points_max` is the most that this member could use."""

    points: int
    points_minor: int
    cash_minor: int
    points_max: int
    reason: str


class LimitKind(IntEnum):
    """What bounds how many points pay an order; numbers as in the contract."""

    BALANCE = 1
    SHARE = 2
    MINIMUM = 3
    STEP = 4


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound: the most points, the fewest, or the multiple."""

    kind: LimitKind
    points: int
    reason: str


def limits(order_minor: int, balance_points: int, program: CompiledProgram) -> tuple[Limit, ...]:
    """Returns all that bounds how many points a member can spend on an order, with the reason."""
    redemption = program.redemption
    share = f"points pay at most {redemption.share_max} of an order; the rest is cash"
    found = [
        Limit(LimitKind.BALANCE, balance_points, "all that the member can spend now"),
        Limit(LimitKind.SHARE, points_max(order_minor, program), share),
    ]
    if redemption.points_min:
        reason = f"fewer than {redemption.points_min} points cannot be spent"
        found.append(Limit(LimitKind.MINIMUM, redemption.points_min, reason))
    if redemption.points_step > 1:
        reason = f"only multiples of {redemption.points_step} points can be spent"
        found.append(Limit(LimitKind.STEP, redemption.points_step, reason))
    return tuple(found)


def points_value_minor(points: int, program: CompiledProgram) -> int:
    """Returns what points pay, in minor units rounded down: points / points_per_unit."""
    value: int = points * 10**program.minor_digits // program.redemption.per_unit
    return value


def points_max(order_minor: int, program: CompiledProgram) -> int:
    """Returns the most points that an order takes, rounded down: order * share * per_unit."""
    redemption = program.redemption
    points: int = (
        order_minor
        * redemption.share_max_e6
        * redemption.per_unit
        // (10**6 * 10**program.minor_digits)
    )
    return points


def points_for_minor(value_minor: int, program: CompiledProgram) -> int:
    """Returns the fewest points that pay at least a value in minor units."""
    points: int = -(-value_minor * program.redemption.per_unit // 10**program.minor_digits)
    return points


def quote(
    order_minor: int, points_wanted: int, balance_points: int, program: CompiledProgram
) -> RedemptionQuote:
    """Splits an order into points and cash, taking no point that would pay nothing."""
    most = min(points_max(order_minor, program), balance_points)
    points_min, step = program.redemption.points_min, program.redemption.points_step
    most -= most % step
    if most < points_min:
        most = 0
    taken = min(points_wanted, most)
    taken -= taken % step
    value = points_value_minor(taken, program)
    points = -(-points_for_minor(value, program) // step) * step
    reason = _reason(points, points_wanted, most, balance_points, step)
    if points < points_min:
        reason = f"fewer than {points_min} points cannot be spent" if points_wanted else reason
        points = value = 0
    return RedemptionQuote(points, value, order_minor - value, most, reason)


def _reason(points: int, wanted: int, most: int, balance: int, step: int) -> str:
    if points == wanted:
        return "as wanted"
    if wanted <= most and wanted % step:
        return f"only multiples of {step} points can be spent"
    if wanted <= most:
        return "the rest would pay less than the smallest coin"
    if most == balance:
        return "all that the member has"
    return "the most that points may pay of this order"
