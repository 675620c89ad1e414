"""OP-05: several processes of one service behind one port."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from cli.connect import Client
from cli.serve import GRPC_EXPERIMENTS
from cli.state import read_state
from cli.supervisor import Supervisor
from house import SAMPLE, usd
from kit.auth import Certificates
from kit.server import DOORS
from laurel.points.v1.points_service_pb2 import (
    AccruePointsRequest,
    GetBalanceRequest,
    Purchase,
)
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from laurel.program.v1.program_service_pb2 import ApplyProgramRequest

CONNECTIONS = 16
ACCRUALS = re.compile(
    r'^laurel_rpc_seconds_count\{.*method="AccruePoints".*\} ([0-9.]+)', re.MULTILINE
)

MAKE_A_SERVER = """
import asyncio, grpc
async def main():
    grpc.aio.server()
asyncio.run(main())
"""
# Tells what gRPC finds in the environment when it is imported, and that it was not before.
SERVE_NOTHING = """
import os, sys, cli.serve, cli.errors
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == "grpc":
            print(os.environ["GRPC_EXPERIMENTS"])
assert "grpc" not in sys.modules
sys.meta_path.insert(0, Spy())
try:
    cli.serve.serve()
except cli.errors.UserError:
    pass
"""


async def test_processes_of_a_service_share_its_port_and_its_ledger(tmp_path: Path) -> None:
    services = ("program", "antifraud", "points")
    async with Supervisor(tmp_path, services=services, processes={"points": 2}) as house:
        async with Client(house.env) as client:
            request = ApplyProgramRequest(request_id="1", source_yaml=SAMPLE.read_text())
            await client.program.ApplyProgram(request)
        await _accrue_over_many_connections(house, 1)
        state = read_state(tmp_path)
        assert state is not None
        processes = [part for part in state.parts if part.name.startswith("points")]
        assert [part.name for part in processes] == ["points", "points_2"]
        assert len({part.address for part in processes}) == 1
        # Every one of their doors is open.
        port = int(processes[0].address.rpartition(":")[2])
        assert _listening(port) == len(processes) * DOORS
        served = [_accruals_of(str(part.admin_address)) for part in processes]
        assert all(served)
        assert sum(served) == CONNECTIONS
        # One that dies leaves the port to the other, and comes back to it.
        await house.kill("points_2")
        await _accrue_over_many_connections(house, 2)
        await house.wait_ready()
        assert house.env["LAUREL_POINTS_ADDR"] == processes[0].address


async def _accrue_over_many_connections(house: Supervisor, turn: int) -> None:
    """One accrual over each; the ledger says that all came about, whoever booked them."""
    names = ("LAUREL_CA", "LAUREL_CERT", "LAUREL_KEY")
    certificates = Certificates.read(*(Path(house.env[name]) for name in names))
    for number in range(CONNECTIONS):
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(
            house.env["LAUREL_POINTS_ADDR"], certificates.for_client(), options=options
        ) as channel:
            request = AccruePointsRequest(
                request_id=f"{turn}-{number}",
                member_id="m",
                purchase=Purchase(order_id=f"{turn}-{number}", amount=usd("1")),
            )
            asked = HealthCheckRequest(service="laurel.points.v1.PointsService")
            health = await HealthStub(channel).Check(asked, timeout=10, wait_for_ready=True)
            assert health.status == HealthCheckResponse.SERVING
            points = PointsServiceStub(channel)
            await points.AccruePoints(request, timeout=10, wait_for_ready=True)
    async with Client(house.env) as client:
        balance = await client.points.GetBalance(GetBalanceRequest(member_id="m"))
    assert balance.balance.pending == turn * CONNECTIONS


def _listening(port: int) -> int:
    """Sockets of this machine that listen on a port."""
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    lines = [line.split() for t in tables if t.exists() for line in t.read_text().splitlines()]
    places = [(line[1], line[3]) for line in lines]
    return sum(place.endswith(f":{port:04X}") and state == "0A" for place, state in places)


def _accruals_of(admin_address: str) -> int:
    with urlopen(f"http://{admin_address}/metrics") as response:
        return int(sum(float(count) for count in ACCRUALS.findall(response.read().decode())))


def test_grpc_knows_what_serve_asks_of_it() -> None:
    """A version that has lost the switch would say so in the log, and be slower."""

    def complaints(experiments: str) -> str:
        environ = {**os.environ, "GRPC_EXPERIMENTS": experiments}
        command = [sys.executable, "-c", MAKE_A_SERVER]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        return ended.stderr

    assert "Unknown experiment" in complaints("no_such_thing")
    assert complaints(GRPC_EXPERIMENTS) == ""


def test_serve_asks_before_grpc_is_there() -> None:
    """It reads the environment once."""
    environ = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    command = [sys.executable, "-c", SERVE_NOTHING]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [GRPC_EXPERIMENTS]
