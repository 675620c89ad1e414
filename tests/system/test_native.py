"""The native front: the same servicers without TLS, for a sidecar on the same host."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from cli.connect import Client
from cli.supervisor import Supervisor
from house import SAMPLE, refused, usd
from kit.native import IDENTITY_HEADER, KEY_HEADER, NativeMissing, NativeServer
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from laurel.program.v1.program_service_pb2 import ApplyProgramRequest

KEY = "a secret of the sidecar and the service"
ADMIN = ((KEY_HEADER, KEY), (IDENTITY_HEADER, "admin"))
CALLERS = 40


@pytest.fixture(scope="module")
def native_address() -> str:
    """A free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, native_address: str
) -> AsyncIterator[Supervisor]:
    """A house whose points have a native front beside the ordinary port."""
    async with Supervisor(
        tmp_path_factory.mktemp("native"),
        services=("program", "antifraud", "points"),
        extra_env={"LAUREL_POINTS_NATIVE_ADDR": native_address, "LAUREL_NATIVE_KEY": KEY},
    ) as house:
        async with Client(house.env) as client:
            request = ApplyProgramRequest(request_id="1", source_yaml=SAMPLE.read_text())
            await client.program.ApplyProgram(request)
        yield house


@pytest.fixture
async def points(house: Supervisor, native_address: str) -> AsyncIterator[PointsServiceStub]:
    """What a sidecar calls."""
    async with grpc.aio.insecure_channel(native_address) as channel:
        yield PointsServiceStub(channel)


def accrual(member: str, request_id: str, amount: str = "10") -> pb.AccruePointsRequest:
    """A purchase."""
    return pb.AccruePointsRequest(
        request_id=request_id,
        member_id=member,
        purchase=pb.Purchase(order_id=request_id, amount=usd(amount)),
    )


async def test_both_doors_lead_to_one_ledger(house: Supervisor, points: PointsServiceStub) -> None:
    """A request that was answered at one door is a repeat at the other."""
    booked = await points.AccruePoints(accrual("both", "both-1"), metadata=ADMIN)
    async with Client(house.env) as client:
        again = await client.points.AccruePoints(accrual("both", "both-1"))
        balance = await client.points.GetBalance(pb.GetBalanceRequest(member_id="both"))
    assert again.transaction.transaction_id == booked.transaction.transaction_id
    assert balance.balance.pending == 10


async def test_concurrent_callers_and_repeats_are_booked_once(points: PointsServiceStub) -> None:
    calls = [
        points.AccruePoints(accrual("crowd", f"crowd-{number % CALLERS}"), metadata=ADMIN)
        for number in range(2 * CALLERS)
    ]
    answers = await asyncio.gather(*calls)
    assert len({answer.transaction.transaction_id for answer in answers}) == CALLERS
    balance = await points.GetBalance(pb.GetBalanceRequest(member_id="crowd"), metadata=ADMIN)
    assert balance.balance.pending == 10 * CALLERS


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        ((IDENTITY_HEADER, "admin"),),
        ((KEY_HEADER, KEY),),
        ((KEY_HEADER, KEY), (IDENTITY_HEADER, "")),
        ((KEY_HEADER, KEY[:-1]), (IDENTITY_HEADER, "admin")),
        ((KEY_HEADER, KEY), (IDENTITY_HEADER, "dashboard"), (IDENTITY_HEADER, "admin")),
        ((KEY_HEADER, "guess"), *ADMIN),
    ],
    ids=["nothing", "no key", "no name", "empty name", "wrong key", "two names", "two keys"],
)
async def test_nobody_is_let_in_whom_the_sidecar_does_not_vouch_for(
    points: PointsServiceStub, metadata: tuple[tuple[str, str], ...]
) -> None:
    refusal = await refused(points.AccruePoints(accrual("nobody", "nobody-1"), metadata=metadata))
    assert (refusal.code, refusal.reason) == (StatusCode.UNAUTHENTICATED, "UNIDENTIFIED")
    balance = await points.GetBalance(pb.GetBalanceRequest(member_id="nobody"), metadata=ADMIN)
    assert balance.balance == pb.Balance()


async def test_the_policy_holds_for_whom_the_sidecar_names(points: PointsServiceStub) -> None:
    reader = ((KEY_HEADER, KEY), (IDENTITY_HEADER, "dashboard"))
    await points.GetBalance(pb.GetBalanceRequest(member_id="reader"), metadata=reader)
    refusal = await refused(points.AccruePoints(accrual("reader", "reader-1"), metadata=reader))
    assert (refusal.code, refusal.reason) == (StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")


async def test_refusals_are_as_rich_as_at_the_other_door(points: PointsServiceStub) -> None:
    refusal = await refused(points.AccruePoints(accrual("", "bad-1"), metadata=ADMIN))
    assert refusal.code is StatusCode.INVALID_ARGUMENT
    assert "member_id" in str(refusal.status)


async def test_a_watcher_is_told_of_changes(points: PointsServiceStub) -> None:
    call = points.WatchBalance(
        pb.WatchBalanceRequest(member_id="watched"), metadata=ADMIN, timeout=20
    )
    assert (await call.read()).balance.balance == pb.Balance()
    await points.AccruePoints(accrual("watched", "watched-1"), metadata=ADMIN)
    assert (await call.read()).balance.balance.pending == 10
    call.cancel()


async def test_streams_of_requests_are_left_to_the_other_door(points: PointsServiceStub) -> None:
    call = points.StreamAccruePoints(metadata=ADMIN, timeout=20)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call.read()
    assert error.value.code() is StatusCode.UNIMPLEMENTED


async def test_the_sidecar_can_ask_for_health(house: Supervisor, native_address: str) -> None:
    async with grpc.aio.insecure_channel(native_address) as channel:
        answer = await HealthStub(channel).Check(HealthCheckRequest(), metadata=ADMIN)
    assert answer.status == HealthCheckResponse.SERVING


async def test_calls_under_way_are_finished_when_the_service_stops(
    house: Supervisor, points: PointsServiceStub
) -> None:
    """What was acknowledged at the end is booked, and the front is there again afterwards."""
    calls = [
        asyncio.ensure_future(
            points.AccruePoints(accrual("last", f"last-{number}"), metadata=ADMIN, timeout=20)
        )
        for number in range(CALLERS)
    ]
    await asyncio.sleep(0.01)
    await house.stop_service("points")
    answers = await asyncio.gather(*calls, return_exceptions=True)
    booked = [answer for answer in answers if isinstance(answer, pb.AccruePointsResponse)]
    await house.start_service("points")
    await house.wait_ready()
    async with Client(house.env) as client:
        balance = await client.points.GetBalance(pb.GetBalanceRequest(member_id="last"))
    # One whose answer got lost may be booked as well.
    assert 10 * len(booked) <= balance.balance.pending <= 10 * CALLERS
    again = [accrual("last", f"last-{number}") for number in range(CALLERS)]
    await asyncio.gather(
        *(
            points.AccruePoints(one, metadata=ADMIN, wait_for_ready=True, timeout=20)
            for one in again
        )
    )
    balance = await points.GetBalance(pb.GetBalanceRequest(member_id="last"), metadata=ADMIN)
    assert balance.balance.pending == 10 * CALLERS


def test_the_extra_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygrpc_native.aio", None)
    with pytest.raises(NativeMissing, match=r"laurel\[native\]"):
        NativeServer("127.0.0.1:0", [])
