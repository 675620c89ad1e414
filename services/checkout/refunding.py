"""How much of a paid checkout goes back (CK-03), and the steps that bring it back.

What went back of the lines, before discounts, is a share of the whole: cash and points go back in
that share. Each refund is what the share comes to by now, rounded down, less what went back before.
So no sequence of refunds can exceed what was paid, discounts spread over the lines in proportion,
and the last refund returns exactly the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from checkout.errors import LineNotFound, NothingLeft, RefundExceeded, TooManyRefunds
from checkout.pricing import Line, paid_by_line
from checkout.steps import Mark, Outcome, Step, is_news

REFUND_COUNT_MAX = 100


@dataclass(frozen=True, slots=True)
class Paid:
    """What was paid for a checkout and what went back of it already; amounts in minor units."""

    checkout_id: UUID
    lines: tuple[Line, ...]
    lines_minor: int
    cash_minor: int
    points: int
    refunded_lines_minor: int
    refunded_cash_minor: int
    refunded_points: int
    refund_count: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one refund gives back: quantities by the line's place, cash and points for them."""

    quantities: Mapping[int, int]
    lines_minor: int
    cash_minor: int
    points: int


def share(paid: Paid, asked: Sequence[tuple[str, int]]) -> Share:
    """What goes back for the asked quantities, for all that is left when none are asked for.

    Raises LineNotFound, RefundExceeded, NothingLeft or TooManyRefunds.
    """
    quantities = _quantities(paid, asked) if asked else _rest(paid)
    lines_minor = sum(paid.lines[i].unit_price_minor * n for i, n in quantities.items())
    is_rest = all(
        line.refunded_quantity + quantities.get(i, 0) == line.quantity
        for i, line in enumerate(paid.lines)
    )
    # The last of the refunds that a checkout may have is kept for the rest.
    if paid.refund_count >= REFUND_COUNT_MAX - (0 if is_rest else 1):
        raise TooManyRefunds(checkout_id=paid.checkout_id, count=paid.refund_count)
    returned = paid.refunded_lines_minor + lines_minor
    return Share(
        quantities,
        lines_minor,
        _part(paid.cash_minor, returned, paid.lines_minor) - paid.refunded_cash_minor,
        _part(paid.points, returned, paid.lines_minor) - paid.refunded_points,
    )


def _part(whole: int, returned: int, of: int) -> int:
    return whole * returned // of if of else 0


def _quantities(paid: Paid, asked: Sequence[tuple[str, int]]) -> dict[int, int]:
    places = {line.line_id: place for place, line in enumerate(paid.lines)}
    quantities: dict[int, int] = {}
    for line_id, quantity in asked:
        if line_id not in places:
            raise LineNotFound(checkout_id=paid.checkout_id, line_id=line_id)
        line = paid.lines[places[line_id]]
        left = line.quantity - line.refunded_quantity
        if quantity > left:
            raise RefundExceeded(line_id=line_id, asked=quantity, left=left)
        quantities[places[line_id]] = quantity
    return quantities


def _rest(paid: Paid) -> dict[int, int]:
    quantities = {
        place: line.quantity - line.refunded_quantity
        for place, line in enumerate(paid.lines)
        if line.quantity > line.refunded_quantity
    }
    if not quantities:
        raise NothingLeft(checkout_id=paid.checkout_id)
    return quantities


def returned_by_line(
    lines: Sequence[Line], paid_minor: int, quantities: Mapping[int, int]
) -> tuple[tuple[int, int], ...]:
    """What a refund returns of the cash that each line has earned with, by the line's place.

    `lines` stand as they were before it. As with the whole, each is what the line's share comes to
    by now, less what was returned before.
    """
    returned = []
    for place, minor in enumerate(paid_by_line(lines, paid_minor)):
        line = lines[place]
        upto = line.refunded_quantity + quantities.get(place, 0)
        part = minor * upto // line.quantity - minor * line.refunded_quantity // line.quantity
        if part:
            returned.append((place, part))
    return tuple(returned)


@dataclass(frozen=True, slots=True)
class RefundSaga:
    """A refund on its way."""

    checkout_id: UUID
    number: int
    member_id: str
    order_id: str
    hold_id: str
    accrual_id: str
    currency: str
    digits: int
    program_version: int
    cash_minor: int
    points: int
    reversed_points: int
    complete: bool
    accrual_member_id: str
    """For whom the accrual was booked."""
    marks: Mapping[Step, Mark]
    survivors: Mapping[Step, str]
    """Who they were merged into since, by the step that has to be asked for them."""
    by_line: tuple[tuple[int, int], ...] | None = None
    """What is returned of which line; None where the cash has earned as a whole."""

    @property
    def returns_cash(self) -> bool:
        """Whether cash that has earned is returned."""
        return bool(self.cash_minor if self.by_line is None else self.by_line)

    def account_of(self, step: Step) -> str:
        """For whom a step is asked: who has the accrual, or who they were merged into."""
        return self.survivors.get(step, self.accrual_member_id)


def next_step(saga: RefundSaga) -> Step | None:
    """What is to be done next; None once all is done."""
    if saga.complete:
        return None
    # A refund of 0 points would mean all of them to the points service: so it is left out.
    if saga.points and not _settled(saga, Step.REFUND_POINTS):
        return Step.REFUND_POINTS
    if saga.returns_cash and saga.accrual_id and not _settled(saga, Step.REVERSE_ACCRUAL):
        return Step.REVERSE_ACCRUAL
    return None


def _settled(saga: RefundSaga, step: Step) -> bool:
    return saga.marks.get(step) in (Mark.DONE, Mark.REFUSED)


def apply(saga: RefundSaga, outcome: Outcome) -> RefundSaga:
    """The refund after a step. A refused step gave nothing back: the refund says so and ends."""
    if not is_news(saga.marks.get(outcome.step), outcome.mark):
        return saga
    if outcome.is_outdated(saga.account_of(outcome.step)):
        return saga
    if outcome.survivor_id:
        return replace(saga, survivors={**saga.survivors, outcome.step: outcome.survivor_id})
    saga = replace(saga, marks={**saga.marks, outcome.step: outcome.mark})
    if outcome.step is Step.REVERSE_ACCRUAL and outcome.mark is Mark.DONE:
        saga = replace(saga, reversed_points=outcome.points)
    if outcome.step is Step.REFUND_POINTS and outcome.mark is Mark.REFUSED:
        saga = replace(saga, points=0)
    return arrive(saga)


def arrive(saga: RefundSaga) -> RefundSaga:
    """The refund, complete once no step is left."""
    return saga if next_step(saga) else replace(saga, complete=True)


def start(saga: RefundSaga) -> RefundSaga:
    """The refund with its next step marked as started; to be kept before the step is tried."""
    step = next_step(saga)
    if step is None or step in saga.marks:
        return saga
    return replace(saga, marks={**saga.marks, step: Mark.STARTED})
