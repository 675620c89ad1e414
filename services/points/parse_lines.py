"""The lines of a purchase, from the contract."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kit.money import to_minor
from laurel.points.v1.activities_pb2 import PurchaseLine
from laurel.points.v1.points_service_pb2 import ReverseAccrualRequest
from points.errors import LinesInvalid
from points.values import Accrue, Amount
from rules.accrual_values import PURCHASE, Activity, OrderLine
from rules.compiled import CompiledProgram

if TYPE_CHECKING:
    from google.type.money_pb2 import Money


def parse_lines(
    lines: Iterable[PurchaseLine], amount_minor: int, program: CompiledProgram
) -> tuple[OrderLine, ...]:
    """Raises CurrencyMismatch, AmountInvalid or LinesInvalid."""
    parsed: dict[str, OrderLine] = {}
    for index, line in enumerate(lines):
        if line.line_id in parsed:
            problem = f"line {line.line_id} stands twice; give each its own id"
            raise LinesInvalid(field=f"purchase.lines[{index}].line_id", problem=problem)
        parsed[line.line_id] = _line(line, f"purchase.lines[{index}]", program)
    total = sum(line.amount_minor for line in parsed.values())
    if total > amount_minor:
        problem = (
            f"the lines sum up to {total} minor units, more than the {amount_minor} of the "
            "purchase; give what was paid for each"
        )
        raise LinesInvalid(problem=problem)
    return tuple(parsed.values())


def parse_returned_lines(request: ReverseAccrualRequest) -> tuple[tuple[str, Amount], ...]:
    """Lines with amounts of them, not yet read in any currency. Raises LinesInvalid."""
    if request.returned_lines and request.HasField("returned_amount"):
        problem = "stand beside returned_amount; give one of the two"
        raise LinesInvalid(field="returned_lines", problem=problem)
    return tuple((line.line_id, amount_of(line.amount)) for line in request.returned_lines)


def amount_of(money: "Money") -> Amount:
    """Money as it was written."""
    return Amount(money.currency_code, money.units, money.nanos)


def by_rules(command: Accrue, lines: tuple[OrderLine, ...]) -> Accrue:
    """A purchase for a program whose purchases take all the rules."""
    origin = command.origin
    activity = Activity(
        PURCHASE, command.occurred_time, command.amount_minor, command.categories, lines,
        origin.channel, origin.store,
    )  # fmt: skip
    return command._replace(activity=activity)


def _line(line: PurchaseLine, path: str, program: CompiledProgram) -> OrderLine:
    amount = to_minor(line.amount, program.currency, program.minor_digits, f"{path}.amount")
    price = amount // line.quantity
    if line.HasField("unit_price"):
        price = to_minor(
            line.unit_price, program.currency, program.minor_digits, f"{path}.unit_price"
        )
    return OrderLine(line.line_id, line.category, line.product_id, line.quantity, price, amount)
