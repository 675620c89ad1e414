"""Operations, from the contract."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from antifraud.scopes import scope_of, scope_of_nowhere
from antifraud.values import Asked
from kit.clock import parse_time
from kit.money import to_minor
from kit.validate import PLAIN_LENGTH_MAX, check, is_plain_text
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
        if not stamp.seconds and not operation.HasField("occurred_time"):
            check(operation, f"operations[{index}].")
        if instant is None:
            instant = instant_of(stamp, f"operations[{index}].occurred_time", history)
            instants[moment] = instant
        asked.append(_parse(operation, index, instant))
    return asked


class Instant(NamedTuple):
    """When operations happened, and the version of the program in force then."""

    time: datetime
    time_us: int
    program: CompiledProgram


def instant_of(stamp: Timestamp, field: str, history: ProgramHistory) -> Instant:
    """Raises TimeInvalid, which names the field."""
    time = parse_time(stamp, field)
    time_us = stamp.seconds * 1_000_000 + stamp.nanos // 1000
    return Instant(time, time_us, history.in_force(time))


def _parse(operation: pb.Operation, index: int, instant: Instant) -> Asked:
    request_id, member_id = operation.request_id, operation.member_id
    tier_id, points, type_ = operation.tier_id, operation.points, operation.type
    counterparty, order_id = operation.counterparty_member_id, operation.order_id
    kind_number = operation.kind
    places = _places(operation.origin) if operation.HasField("origin") else NOWHERE
    channel, store, device, ip, card, staff, latitude, longitude, is_short = places
    # One look at all texts costs a third of a look at each.
    texts = f"{request_id}{member_id}{tier_id}{type_}{order_id}{counterparty}"
    if places is not NOWHERE:
        texts = f"{texts}{channel}{store}{device}{ip}{card}{staff}"
    # Most operations are so plain that they surely break no rule of the contract; the full check of
    # one costs twice as much as all else that is parsed of it.
    if not (
        is_short
        and kind_number in KINDS
        and points >= 0
        and 0 < len(request_id) <= PLAIN_LENGTH_MAX
        and 0 < len(member_id) <= PLAIN_LENGTH_MAX
        and len(tier_id) <= LENGTHS_MAX
        and len(type_) <= LENGTHS_MAX
        and len(order_id) <= PLAIN_LENGTH_MAX
        and len(counterparty) <= PLAIN_LENGTH_MAX
        and texts.isascii()
        and texts.isprintable()
    ):
        check(operation, f"operations[{index}].")
    program = instant.program
    amount_minor = 0
    if operation.HasField("amount"):
        field = f"operations[{index}].amount"
        amount_minor = to_minor(operation.amount, program.currency, program.minor_digits, field)
    # Given by place, which is a third faster than by name.
    facts = FraudFacts(
        KINDS[kind_number], points, amount_minor, channel, store, device, ip, card, tier_id,
        order_id, type_, staff, counterparty, latitude, longitude, member_id,
    )  # fmt: skip
    if places is NOWHERE:
        scope = scope_of_nowhere(program, kind_number, type_, order_id != "", counterparty != "")
    else:
        scope = scope_of(program, facts)
    key = (member_id, request_id)
    return Asked(key, instant.time, instant.time_us, program, facts, scope)


class Places(NamedTuple):
    """An origin; `is_short` says that lengths, location and region do not break the contract."""

    channel: str
    store: str
    device: str
    ip: str
    card: str
    staff: str
    latitude: float | None
    longitude: float | None
    is_short: bool


NOWHERE = Places("", "", "", "", "", "", None, None, True)


def _places(origin: pb.Origin) -> Places:
    channel, store, device, ip = origin.channel, origin.store, origin.device, origin.ip
    card, staff = origin.card, origin.staff_member_id
    latitude = longitude = None
    is_short = (
        max(len(channel), len(store), len(device), len(card), len(staff)) <= PLAIN_LENGTH_MAX
        and len(ip) <= LENGTHS_MAX
        # No fact is made of the region.
        and is_plain_text(origin.region or "-")
    )
    if origin.HasField("location"):
        latitude = origin.location.latitude_degrees
        longitude = origin.location.longitude_degrees
        is_short = is_short and -90 <= latitude <= 90 and -180 <= longitude <= 180
    return Places(channel, store, device, ip, card, staff, latitude, longitude, is_short)
