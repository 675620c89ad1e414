"""What callers are told of an error reaches them whole, whatever was at fault."""

import grpc
import pytest

from house import House, refused
from kit.errors import InvalidArgument, LaurelError, Relayed, Violation, relay, status_of, to_status
from laurel.points.v1 import activities_pb2 as activities
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub

SIGN = "\u6f22"


async def test_a_thousand_mistakes_are_refused_as_one_is(house: House) -> None:
    """SC-05: what does not fit into the trailers is counted, and the reason stays."""
    await house.start("antifraud", "points")
    ids = [f"{number} {SIGN * 100}" for number in range(1000)]
    request = pb.BatchGetBalancesRequest(member_ids=ids)
    told = await refused(house.stub(PointsServiceStub, "points").BatchGetBalances(request))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"), told
    assert "member_ids[0]" in (told.message or "")
    assert (told.message or "").endswith("; and 995 more")


@pytest.mark.parametrize("key", ["K" * 100_000, SIGN * 30_000])
async def test_a_key_of_any_length_is_refused_and_not_repeated(house: House, key: str) -> None:
    await house.start("antifraud", "points")
    activity = activities.Activity(
        event_type="check_in", attributes={f"{key}{number}": SIGN * 200 for number in range(20)}
    )
    request = pb.AccrueActivityRequest(request_id="", member_id="m", activity=activity)
    told = await refused(house.stub(PointsServiceStub, "points").AccrueActivity(request))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"), told
    assert "request_id" in (told.message or "")
    assert len(told.message or "") < 2000


async def test_a_refusal_that_is_passed_on_says_all_that_was_said(house: House) -> None:
    """CK-01: its whole text, its fields and its time to come again."""
    await house.start("antifraud", "points")
    stub = house.stub(PointsServiceStub, "points")
    request = pb.HoldPointsRequest(member_id="m" * 200, points=-1, order_id="o" * 200)
    with pytest.raises(grpc.aio.AioRpcError) as said:
        await stub.HoldPoints(request)
    with pytest.raises(Relayed) as passed_on:
        relay(said.value)
    assert to_status(passed_on.value) == status_of(said.value)


class Busy(LaurelError):
    """Come again."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "BUSY"
    text = "come again in a while"


def test_a_time_to_come_again_is_passed_on() -> None:
    status = to_status(Busy(retry_after_ms=2500))
    assert to_status(Relayed(status)) == status


def test_the_text_of_a_refusal_names_five_fields_and_counts_the_rest() -> None:
    error = InvalidArgument(*(Violation(f"field_{n}", "is wrong, " * 9) for n in range(30)))
    assert all(f"field_{n}: " in str(error) for n in range(5))
    assert str(error).endswith("; and 25 more")
