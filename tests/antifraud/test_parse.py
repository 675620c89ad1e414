"""Operations are checked quickly where they are plain, and by the contract in any case (AF-01)."""

from datetime import UTC, datetime
from typing import Any

import pytest
from fraud_desk import NOON
from hypothesis import given
from hypothesis import strategies as st

from antifraud.parse import parse_operations
from house import SAMPLE, usd
from kit.clock import to_timestamp
from kit.errors import LaurelError
from kit.validate import check
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from rules.compiled import ProgramHistory, compile_program
from rules.document import load

TEXTS = st.one_of(
    st.sampled_from(["", "a", "m-1", "ü", "\0", "\n", "~ ~"]),
    st.builds(
        str.__mul__, st.sampled_from(["a", "ß"]), st.sampled_from([32, 33, 64, 65, 128, 129])
    ),
)
DEGREES = st.sampled_from([0.0, -90.0, 90.0, 90.1, -180.0, 180.5, float("nan"), float("inf")])


@pytest.fixture(scope="module")
def history() -> ProgramHistory:
    program = compile_program(1, load(SAMPLE.read_text()).program, datetime(1990, 1, 1, tzinfo=UTC))
    return ProgramHistory([program])


def one(**fields: Any) -> pb.Operation:
    values: dict[str, Any] = {"request_id": "r", "member_id": "m", "kind": 1, **fields}
    return pb.Operation(amount=usd("1.00"), occurred_time=to_timestamp(NOON), **values)


def is_refused(operation: pb.Operation) -> bool:
    try:
        check(operation)
    except LaurelError:
        return True
    return False


NAMES = ["request_id", "member_id", "tier_id", "order_id", "type", "counterparty_member_id"]
PLACES = ["channel", "store", "device", "ip", "card", "staff_member_id", "region"]


@given(
    st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=2),
    st.dictionaries(st.sampled_from(PLACES), TEXTS, max_size=2),
    st.one_of(st.none(), st.tuples(DEGREES, DEGREES)),
    st.sampled_from([0, 1, 2, 7]), st.sampled_from([-1, 0, 5]),
)  # fmt: skip
def test_the_quick_look_refuses_just_what_the_contract_does(
    history: ProgramHistory, fields: dict[str, str], places: dict[str, str],
    location: tuple[float, float] | None, kind: int, points: int,
) -> None:  # fmt: skip
    operation = one(**{**fields, "kind": kind, "points": points})
    if places:
        operation.origin.CopyFrom(pb.Origin(**places))
    if location is not None:
        operation.origin.location.latitude_degrees = location[0]
        operation.origin.location.longitude_degrees = location[1]
    # The first of an instant is checked by the contract anyway.
    batch = [one(), operation]
    if is_refused(operation):
        with pytest.raises(LaurelError):
            parse_operations(batch, history)
    else:
        parse_operations(batch, history)


def test_every_field_arrives_as_its_fact(history: ProgramHistory) -> None:
    origin = pb.Origin(
        channel="web", store="s", device="d", ip="i", card="c", staff_member_id="e",
        location=pb.Location(latitude_degrees=1.5, longitude_degrees=-2.5), region="north",
    )  # fmt: skip
    operation = one(
        points=7, origin=origin, tier_id="gold", order_id="o", type="gift",
        counterparty_member_id="r2",
    )  # fmt: skip
    [asked] = parse_operations([operation], history)
    assert asked.request_key == ("m", "r")
    assert asked.facts == (
        1, 7, 100, "web", "s", "d", "i", "c", "gold", "o", "gift", "e", "r2", 1.5, -2.5, "m",
        -1, (),
    )  # fmt: skip
