"""Real parts for tests: one Postgres for a session, and houses, each with a database, a broker and
services of its own.

Services run in the test's own process and speak gRPC with mTLS over loopback, as they do
everywhere. Tests use members
of their own instead of deleting what others left: so `check` can look at all that a session wrote,
at its end.
"""

import asyncio
import importlib
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import grpc
from google.type.money_pb2 import Money

from cli.authority import ensure_certificates
from cli.broker import Broker
from cli.ports import Ports
from cli.postgres import Postgres
from kit.auth import Certificates, load_policy
from kit.client import open_channel
from kit.clock import Clock
from kit.errors import info_of, status_of
from kit.events import STREAM
from kit.migrate import bootstrap
from kit.server import RunningService, start_service
from kit.settings import SERVICES, Settings
from laurel.program.v1 import program_service_pb2 as program_pb
from laurel.program.v1.program_service_pb2_grpc import ProgramServiceStub

REPOSITORY = Path(__file__).resolve().parents[1]
SAMPLE = REPOSITORY / "deploy" / "programs" / "sample.yaml"
S = TypeVar("S")


class House:
    """A database, a broker and the services that a test asked for."""

    def __init__(self, settings: Settings, broker: Broker) -> None:
        self.settings = settings
        self.broker = broker
        self.running: dict[str, RunningService] = {}
        self.clock: Clock | None = None
        """What services that are started from now on go by, instead of the real time."""
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}

    async def start(self, *names: str) -> "House":
        """Starts services that do not run yet."""
        policy = load_policy(self.settings.policy)
        for name in names:
            if name not in self.running:
                wire = importlib.import_module(f"{name}.app").wire
                self.running[name] = await start_service(
                    name, wire, self.settings, policy, self.clock
                )
        return self

    async def stop(self, *names: str) -> None:
        """Stops services as SIGTERM would; all of them when none is named."""
        for name in names or tuple(reversed(self.running)):
            await self.running.pop(name).stop()

    @asynccontextmanager
    async def twin(self, service: str) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to one more process of a service that runs already."""
        addresses = {f"{service}_addr": free_address(), f"{service}_admin_addr": free_address()}
        settings = self.settings.model_copy(update=addresses)
        wire = importlib.import_module(f"{service}.app").wire
        policy = load_policy(settings.policy)
        running = await start_service(service, wire, settings, policy, self.clock)
        certificates = Certificates.load(settings.cert_dir, "admin")
        try:
            async with open_channel(settings.addr(service), certificates) as channel:
                yield channel
        finally:
            await running.stop()

    def channel(self, service: str, identity: str = "admin") -> grpc.aio.Channel:
        """A channel to a service under an identity."""
        if (service, identity) not in self._channels:
            certificates = Certificates.load(self.settings.cert_dir, identity)
            self._channels[service, identity] = open_channel(
                self.settings.addr(service), certificates
            )
        return self._channels[service, identity]

    def stub(
        self, kind: Callable[[grpc.aio.Channel], S], service: str, identity: str = "admin"
    ) -> S:
        """The stub of a service under an identity."""
        return kind(self.channel(service, identity))

    async def apply(self, source_yaml: str, **fields: Any) -> program_pb.ProgramVersion:
        """Applies a program."""
        await self.start("program")
        request = program_pb.ApplyProgramRequest(
            request_id=new_id(), source_yaml=source_yaml, reason="for a test", **fields
        )
        response = await self.stub(ProgramServiceStub, "program").ApplyProgram(request)
        return response.program_version

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        """Rows of a statement, run by the owner of the database."""
        connection = await asyncpg.connect(self.settings.database_url)
        try:
            return await connection.fetch(sql, *args)
        finally:
            await connection.close()

    async def settle(self, seconds_max: float = 30) -> None:
        """Waits until no event is on its way any more."""
        deadline = asyncio.get_running_loop().time() + seconds_max
        quiet = 0
        while quiet < 2:
            quiet = quiet + 1 if await self._is_quiet() else 0
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError("events are still on their way")
            await asyncio.sleep(0.05)

    async def _is_quiet(self) -> bool:
        outboxes = " UNION ALL ".join(f"SELECT 1 FROM {name}.outbox" for name in SERVICES)
        if await self.fetch(f"SELECT 1 FROM ({outboxes}) AS waiting LIMIT 1"):
            return False
        for running in self.running.values():
            if running.service.consumer is not None and running.broker is not None:
                js = await running.broker.jetstream()
                info = await js.consumer_info(STREAM, running.runtime.name)
                if info.num_pending or info.num_ack_pending:
                    return False
        return True

    async def close(self) -> None:
        """Stops everything."""
        for channel in self._channels.values():
            await channel.close()
        await self.stop()
        await self.broker.stop()


class Ground:
    """What the houses of a session stand on: one Postgres and one CA."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificates = folder / "certificates"
        self.postgres: Postgres | None = None
        self._count = 0

    async def open(self) -> None:
        """Makes the certificates and starts Postgres."""
        ensure_certificates(self.certificates)
        ports = Ports(self.folder / "ports.json", ["postgres"])
        self.postgres = Postgres(self.folder / "postgres", ports["postgres"])
        await self.postgres.start()

    async def close(self) -> None:
        """Stops Postgres."""
        if self.postgres is not None:
            await self.postgres.stop()

    @asynccontextmanager
    async def house(self, **settings: Any) -> AsyncIterator[House]:
        """A house of its own, empty: no program is applied and no service runs yet."""
        assert self.postgres is not None
        self._count += 1
        name = f"house_{self._count}"
        connection = await asyncpg.connect(self.postgres.url)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        url = self.postgres.url.rpartition("/")[0] + f"/{name}"
        await bootstrap(url)
        folder = self.folder / name
        folder.mkdir()
        ports = Ports(folder / "ports.json", ["nats", *SERVICES, *(f"{s}_admin" for s in SERVICES)])
        broker = Broker(folder / "nats", ports["nats"], self.certificates)
        await broker.start()
        house = House(_settings(url, broker.url, self.certificates, ports, settings), broker)
        try:
            yield house
        finally:
            await house.close()


def _settings(
    url: str, nats_url: str, certificates: Path, ports: Ports, more: dict[str, Any]
) -> Settings:
    values: dict[str, Any] = {
        "database_url": url,
        "nats_url": nats_url,
        "cert_dir": certificates,
        "policy": REPOSITORY / "deploy" / "policy.yaml",
        "log_level": "error",
        "scheduler": False,
        "drain_seconds": 2,
        "code_key": "a secret of the tests, of some length",
    }
    for name in SERVICES:
        values[f"{name}_addr"] = ports.address(name)
        values[f"{name}_admin_addr"] = ports.address(f"{name}_admin")
    return Settings(**{**values, **more})


def free_address() -> str:
    """An address that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def new_id() -> str:
    """An id that no other test uses."""
    return uuid.uuid4().hex


def usd(amount: str) -> Money:
    """Money of an amount such as `12.34`."""
    units, _, cents = amount.partition(".")
    return Money(currency_code="USD", units=int(units), nanos=int((cents or "0").ljust(9, "0")))


class Refused:
    """What a refused call said."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.status = status_of(error)
        self.reason = info_of(self.status).reason if self.status else ""
        self.metadata = dict(info_of(self.status).metadata) if self.status else {}
        self.message = error.details()

    def __repr__(self) -> str:
        return f"{self.code} {self.reason} {self.message}"


async def refused(call: Any) -> Refused:
    """How a call was refused; fails when it was not."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return Refused(error)
    raise AssertionError(f"expected a refusal, got {answer}")
