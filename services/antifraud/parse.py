"""Operations, from the contract."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from antifraud.values import Asked
from kit.clock import parse_time
from kit.money import to_minor
from kit.validate import check, is_plain_text
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from rules.compiled import CompiledProgram, ProgramHistory
from rules.fraud_rules import FraudFacts
from rules.values import Operation

LENGTHS_MAX = 64
KINDS = {operation.value: operation for operation in Operation}


def parse_operations(operations: Sequence[pb.Operation], history: ProgramHistory) -> list[Asked]:
    """The operations, each with the version of the program in force when it happened.

    Raises InvalidArgument or a kind of it, which names the operation and the field.
    """
    instants: dict[tuple[int, int], Instant] = {}
    asked = []
    for index, operation in enumerate(operations):
        stamp = operation.occurred_time
        moment = (stamp.seconds, stamp.nanos)
        # Those of a batch have often happened at one instant: now.
        instant = instants.get(moment)
        if instant is None:
            check(operation, f"operations[{index}].")
            instant = _instant(stamp, f"operations[{index}].occurred_time", history)
            instants[moment] = instant
        asked.append(_parse(operation, index, instant))
    return asked


class Instant(NamedTuple):
    """When operations happened, and the version of the program in force then."""

    time: datetime
    time_us: int
    program: CompiledProgram


def _instant(stamp: Timestamp, field: str, history: ProgramHistory) -> Instant:
    time = parse_time(stamp, field)
    time_us = stamp.seconds * 1_000_000 + stamp.nanos // 1000
    return Instant(time, time_us, history.in_force(time))


def _parse(operation: pb.Operation, index: int, instant: Instant) -> Asked:
    request_id, member_id = operation.request_id, operation.member_id
    tier_id, points, type_ = operation.tier_id, operation.points, operation.type
    counterparty = operation.counterparty_member_id
    kind = KINDS.get(operation.kind)
    has_origin = operation.HasField("origin")
    # Most operations are so plain that they surely break no rule of the contract; the full check of
    # one costs as much as all else that is parsed of it.
    if (
        kind is None
        or has_origin
        or counterparty
        or points < 0
        or len(tier_id) > LENGTHS_MAX
        or len(type_) > LENGTHS_MAX
        or not is_plain_text(request_id)
        or not is_plain_text(member_id)
        or not is_plain_text(tier_id or "-")
        or not is_plain_text(type_ or "-")
        or not is_plain_text(operation.order_id or "-")
    ):
        check(operation, f"operations[{index}].")
    program = instant.program
    amount_minor = 0
    if operation.HasField("amount"):
        field = f"operations[{index}].amount"
        amount_minor = to_minor(operation.amount, program.currency, program.minor_digits, field)
    order_id = operation.order_id
    if has_origin:
        facts = FraudFacts(
            KINDS[operation.kind], points, amount_minor, tier=tier_id, order_id=order_id,
            type=type_, counterparty=counterparty, member=member_id, **_places(operation.origin),
        )  # fmt: skip
    else:
        # Given by place, which is a third faster than by name.
        facts = FraudFacts(
            KINDS[operation.kind], points, amount_minor, "", "", "", "", "", tier_id, order_id,
            type_, "", counterparty, None, None, member_id,
        )  # fmt: skip
    return Asked((member_id, request_id), instant.time, instant.time_us, program, facts)


def _places(origin: pb.Origin) -> dict[str, Any]:
    places: dict[str, Any] = {
        "channel": origin.channel, "store": origin.store, "device": origin.device,
        "ip": origin.ip, "card": origin.card, "staff": origin.staff_member_id,
    }  # fmt: skip
    if origin.HasField("location"):
        places["latitude"] = origin.location.latitude_degrees
        places["longitude"] = origin.location.longitude_degrees
    return places
