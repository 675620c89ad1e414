"""Operations in columns, from the contract: several hundred cost a third of as many messages."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from antifraud.parse import KINDS, LENGTHS_MAX, Instant, instant_of
from antifraud.scopes import scope_of_nowhere
from antifraud.values import Asked
from kit.errors import AmountInvalid, CurrencyMismatch, InvalidArgument, Violation
from kit.money import MINOR_MAX, from_minor
from kit.validate import PLAIN_LENGTH_MAX, check
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from rules.compiled import ProgramHistory
from rules.fraud_rules import FraudFacts
from rules.money import MINOR_UNITS

_SECOND_US = 1_000_000


def parse_plain(plain: pb.PlainOperations, history: ProgramHistory) -> list[Asked]:
    """The operations, each with the version of the program in force when it happened.

    Raises InvalidArgument or a kind of it, which names the operation and the field.
    """
    count = len(plain.request_ids)
    _check_lengths(plain, count)
    if not count:
        return []
    columns = _Columns(plain, count)
    if not columns.break_no_rule():
        for index in range(count):
            check(operation_at(plain, index), f"plain[{index}].")
    instants = _instants(plain, history)
    amounts = _amounts(plain, instants, count)
    number, type_ = plain.kind, plain.type
    kind = KINDS[number]
    asked = []
    for request_id, member_id, points, amount_minor, tier_id, order_id, instant in zip(
        columns.request_ids, columns.member_ids, columns.points, amounts, columns.tier_ids,
        columns.order_ids, instants * count if len(instants) == 1 else instants, strict=True,
    ):  # fmt: skip
        # Given by place, which is a third faster than by name.
        facts = FraudFacts(
            kind, points, amount_minor, "", "", "", "", "", tier_id, order_id, type_, "", "",
            None, None, member_id,
        )  # fmt: skip
        scope = scope_of_nowhere(instant.program, number, type_, order_id != "", False)
        key = (member_id, request_id)
        asked.append(Asked(key, instant.time, instant.time_us, instant.program, facts, scope))
    return asked


def operation_at(plain: pb.PlainOperations, index: int) -> pb.Operation:
    """One of the operations as a message of its own."""

    def at(column: Sequence[Any], without: Any) -> Any:
        return column[index if len(column) > 1 else 0] if column else without

    operation = pb.Operation(
        request_id=plain.request_ids[index], kind=plain.kind, member_id=plain.member_ids[index],
        points=plain.points[index], tier_id=at(plain.tier_ids, ""),
        order_id=at(plain.order_ids, ""), type=plain.type,
        occurred_time=_stamp(at(plain.occurred_micros, 0)),
    )  # fmt: skip
    if plain.amounts_minor:
        currency = plain.currency_code
        digits = MINOR_UNITS.get(currency, 0)
        operation.amount.CopyFrom(from_minor(plain.amounts_minor[index], currency, digits))
    return operation


class _Columns:
    """The texts and points, each as many as there are operations."""

    def __init__(self, plain: pb.PlainOperations, count: int) -> None:
        self.request_ids, self.member_ids = list(plain.request_ids), list(plain.member_ids)
        self.points = list(plain.points)
        self.order_ids = list(plain.order_ids) or [""] * count
        self._tiers = list(plain.tier_ids) or [""]
        self.tier_ids = self._tiers if len(self._tiers) == count else self._tiers * count
        self._plain = plain

    def break_no_rule(self) -> bool:
        """Whether they surely keep to the rules of the contract: a full check of each operation
        costs many times as much as all else that is done with it here.
        """
        ids = self.request_ids + self.member_ids
        texts = "".join((*ids, *self.order_ids, *self._tiers, self._plain.type))
        return (
            self._plain.kind in KINDS
            and min(self.points) >= 0
            and min(map(len, ids)) > 0
            and max(map(len, ids)) <= PLAIN_LENGTH_MAX
            and max(map(len, self.order_ids)) <= PLAIN_LENGTH_MAX
            and max(map(len, self._tiers)) <= LENGTHS_MAX
            and len(self._plain.type) <= LENGTHS_MAX
            and texts.isascii()
            and texts.isprintable()
        )


def _check_lengths(plain: pb.PlainOperations, count: int) -> None:
    allowed = {
        "member_ids": (count,), "points": (count,), "amounts_minor": (count, 0),
        "occurred_micros": (count, 1), "tier_ids": (count, 1, 0), "order_ids": (count, 0),
    }  # fmt: skip
    if not count:
        allowed = dict.fromkeys(allowed, (0,))
    wrong = [
        Violation(
            f"plain.{name}",
            f"has {found} items; give {' or '.join(map(str, lengths))}, for {count} request ids",
        )
        for name, lengths in allowed.items()
        if (found := len(getattr(plain, name))) not in lengths
    ]
    if wrong:
        raise InvalidArgument(*wrong)


def _instants(plain: pb.PlainOperations, history: ProgramHistory) -> list[Instant]:
    """When the operations happened, each or all; equal ones are the same object."""
    known: dict[int, Instant] = {}
    for index, micros in enumerate(plain.occurred_micros):
        if micros not in known:
            field = f"plain[{index}].occurred_time"
            known[micros] = instant_of(_stamp(micros), field, history)
    return [known[micros] for micros in plain.occurred_micros]


def _stamp(micros: int) -> Timestamp:
    seconds, rest = divmod(micros, _SECOND_US)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def _amounts(plain: pb.PlainOperations, instants: Sequence[Instant], count: int) -> Sequence[int]:
    """Raises CurrencyMismatch or AmountInvalid."""
    amounts = list(plain.amounts_minor)
    if not amounts:
        return [0] * count
    for currency in {instant.program.currency for instant in instants}:
        if plain.currency_code != currency:
            code = plain.currency_code or "none"
            raise CurrencyMismatch("plain.currency_code", expected=currency, currency=code)
    if min(amounts) < 0 or max(amounts) > MINOR_MAX:
        index = next(i for i, amount in enumerate(amounts) if not 0 <= amount <= MINOR_MAX)
        problem = f"{amounts[index]} is out of range; give 0 to {MINOR_MAX} of the smallest unit"
        raise AmountInvalid(f"plain[{index}].amount", problem=problem)
    return amounts
