"""What points pay (PT-10), in whole numbers only."""

from dataclasses import dataclass
from enum import IntEnum

from rules.compiled import CompiledProgram
from rules.money import decimal_text
from rules.values import PromotionWindow

_E4 = 10**4


@dataclass(frozen=True, slots=True)
class Boost:
    """How many points a promotion window still makes worth more for a member and day, and by what
    factor. The first points to be spent are those.
    """

    points: int
    factor_e4: int
    window: str


NO_BOOST = Boost(0, _E4, "")


@dataclass(frozen=True, slots=True)
class RedemptionQuote:
    """What of an order points pay; `points_max` is the most that this member could use, `boosted`
    are those of the points that are worth more.
    """

    points: int
    points_minor: int
    cash_minor: int
    points_max: int
    reason: str
    boosted: int


class LimitKind(IntEnum):
    """What bounds how many points pay an order; numbers as in the contract."""

    BALANCE = 1
    SHARE = 2
    MINIMUM = 3
    STEP = 4
    WINDOW = 5


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound: the most points, the fewest, the multiple, or those that are worth more."""

    kind: LimitKind
    points: int
    reason: str


def boost_of(window: PromotionWindow | None, used_points: int) -> Boost:
    """Returns what a window makes worth more, of whose day a member has used so many points."""
    if window is None:
        return NO_BOOST
    left = max(0, window.member_day_points_max - used_points)
    return Boost(left, window.factor_e4, window.name)


def limits(
    order_minor: int, balance_points: int, program: CompiledProgram, boost: Boost = NO_BOOST
) -> tuple[Limit, ...]:
    """Returns all that bounds how many points a member can spend on an order, with the reason."""
    redemption = program.redemption
    share = f"points pay at most {redemption.share_max} of an order; the rest is cash"
    found = [
        Limit(LimitKind.BALANCE, balance_points, "all that the member can spend now"),
        Limit(LimitKind.SHARE, points_max(order_minor, program, boost), share),
    ]
    if redemption.points_min:
        reason = f"fewer than {redemption.points_min} points cannot be spent"
        found.append(Limit(LimitKind.MINIMUM, redemption.points_min, reason))
    if redemption.points_step > 1:
        reason = f"only multiples of {redemption.points_step} points can be spent"
        found.append(Limit(LimitKind.STEP, redemption.points_step, reason))
    if boost.window:
        factor = decimal_text(boost.factor_e4, 4)
        reason = f"so many more points of this day are worth {factor} times as much"
        found.append(Limit(LimitKind.WINDOW, boost.points, f"{boost.window}: {reason}"))
    return tuple(found)


def points_value_minor(points: int, program: CompiledProgram, boost: Boost = NO_BOOST) -> int:
    """Returns what points pay, in minor units, rounded down once over all of them:
    (ordinary + boosted * factor) / points_per_unit.
    """
    boosted = min(points, boost.points)
    weight_e4 = (points - boosted) * _E4 + boosted * boost.factor_e4
    value: int = weight_e4 * 10**program.minor_digits // (program.redemption.per_unit * _E4)
    return value


def points_max(order_minor: int, program: CompiledProgram, boost: Boost = NO_BOOST) -> int:
    """Returns the most points that an order takes, rounded down: what they pay is at most
    order * share, whether or not they are worth more.
    """
    redemption = program.redemption
    weight_e4: int = (
        order_minor
        * redemption.share_max_e6
        * redemption.per_unit
        * _E4
        // (10**6 * 10**program.minor_digits)
    )
    boosted_e4 = boost.points * boost.factor_e4
    if weight_e4 < boosted_e4:
        return weight_e4 // boost.factor_e4
    return boost.points + (weight_e4 - boosted_e4) // _E4


def points_for_minor(value_minor: int, program: CompiledProgram, boost: Boost = NO_BOOST) -> int:
    """Returns the fewest points that pay at least a value in minor units."""
    per_unit_e4 = program.redemption.per_unit * _E4
    weight_e4: int = -(-value_minor * per_unit_e4 // 10**program.minor_digits)
    boosted_e4 = boost.points * boost.factor_e4
    if weight_e4 <= boosted_e4:
        return -(-weight_e4 // boost.factor_e4)
    return boost.points - (boosted_e4 - weight_e4) // _E4


def quote(
    order_minor: int,
    points_wanted: int,
    balance_points: int,
    program: CompiledProgram,
    boost: Boost = NO_BOOST,
) -> RedemptionQuote:
    """Splits an order into points and cash, taking no point that would pay nothing, but for those
    that the minimum asks for.
    """
    most = min(points_max(order_minor, program, boost), balance_points)
    points_min, step = program.redemption.points_min, program.redemption.points_step
    most -= most % step
    if most < points_min:
        most = 0
    taken = min(points_wanted, most)
    taken -= taken % step
    value = points_value_minor(taken, program, boost)
    points = -(-points_for_minor(value, program, boost) // step) * step
    if value and taken >= points_min:
        # A multiple of the step, too: the program is refused otherwise.
        points = max(points, points_min)
    reason = _reason(points, points_wanted, most, balance_points, step)
    if points < points_min:
        if points_wanted and taken < points_min:
            reason = f"fewer than {points_min} points cannot be spent"
        points = value = 0
    boosted = min(points, boost.points)
    if boosted:
        factor = decimal_text(boost.factor_e4, 4)
        reason += f"; {boosted} of them are worth {factor} times as much ({boost.window})"
    return RedemptionQuote(points, value, order_minor - value, most, reason, boosted)


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
