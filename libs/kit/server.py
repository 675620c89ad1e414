"""Runs services: wires them, serves them, and drains them when it is time to leave."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from opentelemetry import trace

from kit import telemetry
from kit.admin import AdminServer
from kit.auth import Certificates, Policy, load_policy
from kit.client import MESSAGE_BYTES_MAX, open_channel
from kit.clock import Clock, NewId, make_clock, new_id
from kit.db import Database, open_database, why_unusable
from kit.errors import LaurelError
from kit.events import Broker, Consumer, Listener, Relay, tls_context
from kit.interceptor import Gate
from kit.migrate import missing
from kit.native import NativeServer, Sidecar
from kit.schedule import Schedule, run_schedule
from kit.settings import Settings

PING_SECONDS = 1.0
PENDING_CALLS_MAX = 20_000
# A server takes up one call in a turn of the event loop. Where processes share a port anyway, each
# listens with several servers, and single calls are taken up together.
DOORS = 8


# What is still at work when the drain's time is over; and each of what comes after it.
LEAVE_SECONDS_MIN, LEAVE_SECONDS_MAX = 1.0, 3.0


class CannotStart(Exception):
    """What a service needs at its start is not there: the text says what."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a service's `app.py` is given to wire it: settings, clock, ids, and openers that close
    by themselves.
    """

    name: str
    settings: Settings
    clock: Clock
    new_id: NewId
    tracer: trace.Tracer
    certificates: Certificates
    stack: AsyncExitStack

    async def database(self, constraints: dict[str, type[LaurelError]] | None = None) -> Database:
        """The service's database; `constraints` maps a violated one to its exception. Raises
        CannotStart.
        """
        opened = open_database(
            self.settings.database_url, self.name,
            pool_size=self.settings.pool_size, tracer=self.tracer, constraints=constraints or {},
        )  # fmt: skip
        try:
            return await self.stack.enter_async_context(opened)
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            why = why_unusable(error)
            raise CannotStart(f"{self.name}: the database cannot be used: {why}") from error

    async def channel(self, service: str) -> grpc.aio.Channel:
        """A channel to another service, under this service's identity."""
        return self._open(self.settings.addr(service))

    async def outer_channel(self, address: str | None) -> grpc.aio.Channel | None:
        """The same to somebody else's service; None without an address. Its certificate must be of
        Laurel's CA.
        """
        return None if address is None else self._open(address)

    def _open(self, address: str) -> grpc.aio.Channel:
        channel = open_channel(address, self.certificates)
        self.stack.push_async_callback(channel.close)
        return channel


@dataclass(slots=True)
class Service:
    """A wired service: what it serves, what it listens to, what it does by itself."""

    database: Database
    servicers: Sequence[tuple[Callable[[Any, Any], None], Any, str]]
    """(add_XServicer_to_server, servicer, full name of the proto service)"""
    consumer: Consumer | None = None
    schedules: Sequence[Schedule] = ()
    loops: Sequence[Callable[[asyncio.Event], Awaitable[None]]] = ()
    """Run beside the server until the event is set; each handles its own errors."""
    drains: Sequence[Callable[[], Awaitable[None]]] = ()
    """Called once no new call can come, before the database closes."""


Wire = Callable[[Runtime], Awaitable[Service]]


async def run_services(wires: dict[str, Wire], settings: Settings) -> None:
    """Runs services in this process until SIGTERM or SIGINT, then drains and leaves."""
    telemetry.set_up_logs(settings.log_level)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    policy = load_policy(settings.policy)
    try:
        async with asyncio.TaskGroup() as group:
            for name, wire in wires.items():
                group.create_task(_run_service(name, wire, settings, policy, stopping))
    finally:
        telemetry.flush_traces()


async def _run_service(
    name: str, wire: Wire, settings: Settings, policy: Policy, stopping: asyncio.Event
) -> None:
    try:
        running = await start_service(name, wire, settings, policy)
    except (OSError, RuntimeError) as error:
        raise CannotStart(f"{name} cannot start: {error}") from error
    await stopping.wait()
    await running.stop()


async def start_service(
    name: str, wire: Wire, settings: Settings, policy: Policy, clock: Clock | None = None
) -> "RunningService":
    """A service that is wired and serves, in this process; by the clock of the settings unless one
    is given.
    """
    async with AsyncExitStack() as stack:
        certificates = Certificates.load(settings.cert_dir, name)
        tracer = telemetry.tracer(name, settings.otlp_endpoint)
        clock = clock or make_clock(settings.clock_start)
        runtime = Runtime(name, settings, clock, new_id, tracer, certificates, stack)
        running = RunningService(runtime, await wire(runtime), policy)
        stack.push_async_callback(running.drain)
        await running.start()
        running.closing = stack.pop_all()
    return running


@dataclass(slots=True)
class RunningService:
    """A service while it runs."""

    runtime: Runtime
    service: Service
    policy: Policy
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _servers: list[Any] = field(default_factory=list)
    _native: NativeServer | None = None
    _health: Any = None
    _admin: AdminServer | None = None
    _relay: Relay | None = None
    broker: Broker | None = None

    async def start(self) -> None:
        """Opens the doors once everything behind them works."""
        runtime, settings = self.runtime, self.runtime.settings
        self._health = health.aio.HealthServicer()
        port = settings.addr(runtime.name).rpartition(":")[2]
        for _ in range(_doors(settings)):
            server = _make_server(runtime, self.service, self.policy, self._stopping, self._health)
            server.add_secure_port(
                f"{settings.listen_host}:{port}", runtime.certificates.for_server()
            )
            self._servers.append(server)
        if (address := settings.admin_addr(runtime.name)) is not None:
            port = address.rpartition(":")[2]
            self._admin = AdminServer(settings.listen_host, int(port))
            self._admin.start()
        self._native = _make_native(
            runtime, self.service, self.policy, self._stopping, self._health
        )
        # Whoever asks before the database has been asked is told so: unset, health says it serves.
        await self._set_ready(False)
        for server in self._servers:
            await server.start()
        if self._native is not None:
            await self._native.start()
        self._start_tasks()
        # What lives as long as the process need not be looked at again by the collector.
        gc.collect()
        gc.freeze()
        # Batches make many objects and few cycles: look for those less often.
        gc.set_threshold(50_000, 20, 50)
        telemetry.log(runtime.name).info("service.started", address=settings.addr(runtime.name))

    def _start_tasks(self) -> None:
        runtime, service = self.runtime, self.service
        folder = runtime.settings.cert_dir
        own = (str(folder / f"{runtime.name}.crt"), str(folder / f"{runtime.name}.key"))
        tls = tls_context(str(folder / "ca.crt"), *own)
        self.broker = broker = Broker(runtime.settings.nats_url, tls)
        self._relay = relay = Relay(runtime.name, service.database, broker)
        loops = [
            relay.run,
            self._watch_database,
            *service.loops,
        ]
        if service.consumer is not None:
            listener = Listener(runtime.name, service.consumer, service.database, broker)
            prune = Schedule("prune_inbox", 3600, listener.prune)
            loops += [listener.run, self._repeat(prune)]
        if runtime.settings.scheduler:
            loops += [self._repeat(schedule) for schedule in service.schedules]
        self._tasks = [
            asyncio.create_task(_guard(runtime.name, loop(self._stopping))) for loop in loops
        ]

    def _repeat(self, schedule: Schedule) -> Callable[[asyncio.Event], Awaitable[None]]:
        return lambda stop: run_schedule(schedule, self.runtime.name, self.service.database, stop)

    async def _watch_database(self, stopping: asyncio.Event) -> None:
        """Ready while the database answers, once every migration that this version needs has
        run: before that its statements would fail.
        """
        is_current = False
        while not stopping.is_set():
            is_current = is_current or await self._is_current()
            await self._set_ready(is_current and await self.service.database.ping())
            try:
                await asyncio.wait_for(stopping.wait(), PING_SECONDS)
            except TimeoutError:
                continue

    async def _is_current(self) -> bool:
        name, database = self.runtime.name, self.service.database
        behind = await database.answers(missing(database.pool, name))
        if behind is None and await database.ping():
            # What tells of migrations cannot be read: `bootstrap` of an older version ran last.
            behind = ["all that this version brings"]
        if behind:
            telemetry.log(name).warning("schema.behind", missing=behind)
        return behind == []

    async def _set_ready(self, ready: bool) -> None:
        # A question to the database that was asked before is answered while the server leaves.
        ready = ready and not self._stopping.is_set()
        telemetry.UP.labels(self.runtime.name).set(ready)
        if self._admin is not None:
            self._admin.ready = ready
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if ready
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in ("", *(full_name for _, _, full_name in self.service.servicers)):
            await self._health.set(name, status)

    async def stop(self) -> None:
        """Drains, then closes what the service had opened."""
        await self.closing.aclose()

    async def drain(self) -> None:
        """Stop accepting, finish, flush, leave."""
        self._stopping.set()
        await self._set_ready(False)
        grace, now = self.runtime.settings.drain_seconds, asyncio.get_running_loop().time
        end = now() + grace
        doors = [*self._servers, *([self._native] if self._native is not None else [])]
        await asyncio.gather(*(door.stop(grace) for door in doors))
        drains = [asyncio.ensure_future(drain()) for drain in self.service.drains]
        has_ended = await self._end([*drains, *self._tasks], max(LEAVE_SECONDS_MIN, end - now()))
        if has_ended and self._relay is not None:
            # What the last calls have told: they ended after the relay did.
            await self._end([asyncio.ensure_future(self._relay.flush())], LEAVE_SECONDS_MAX)
        if self.broker is not None:
            await self._end([asyncio.ensure_future(self.broker.close())], LEAVE_SECONDS_MAX)
        if self._admin is not None:
            self._admin.stop()
        telemetry.log(self.runtime.name).info("service.stopped")

    async def _end(self, work: Sequence[asyncio.Future[None]], seconds: float) -> bool:
        """Waits for work to end, but not for ever: a database or a broker may stand still, and what
        waits for it may not hear that it is cancelled. Whether all has ended by itself.
        """
        if not work:
            return True
        ended, late = await asyncio.wait(work, timeout=seconds)
        for one in late:
            # As a kill would: what has not committed is undone.
            one.cancel()
        for one in ended:
            if not one.cancelled() and (error := one.exception()):
                telemetry.log(self.runtime.name).error("drain.failed", error=repr(error))
        return not late


def _options(settings: Settings) -> list[tuple[str, Any]]:
    pending_max = PENDING_CALLS_MAX // _doors(settings)
    return [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.so_reuseport", int(settings.share_port)),
        # A burst of calls is for our queues to refuse, with a reason and a time to come again: from
        # 1,000 calls on that no handler has taken yet gRPC would cancel some of them without.
        ("grpc.server.max_pending_requests", pending_max),
        ("grpc.server.max_pending_requests_hard_limit", 2 * pending_max),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ]


def _doors(settings: Settings) -> int:
    return DOORS if settings.share_port else 1


def _make_server(
    runtime: Runtime,
    service: Service,
    policy: Policy,
    stopping: asyncio.Event,
    health_servicer: Any,
) -> Any:
    server = grpc.aio.server(options=_options(runtime.settings))
    gate = Gate(runtime.name, policy, runtime.tracer, server, stopping)
    for add, servicer, _ in service.servicers:
        add(servicer, gate)
    _add_standard_services(gate, service, health_servicer, runtime.settings.reflection)
    return server


def _make_native(
    runtime: Runtime,
    service: Service,
    policy: Policy,
    stopping: asyncio.Event,
    health_servicer: Any,
) -> NativeServer | None:
    """The native front, where the settings ask for one: the same servicers, identified by the
    sidecar in front.
    """
    settings = runtime.settings
    address = settings.native_addr(runtime.name)
    if address is None or settings.native_key is None:
        return None
    server = NativeServer(address, _options(settings))
    sidecar = Sidecar(settings.native_key.get_secret_value())
    gate = Gate(runtime.name, policy, runtime.tracer, server, stopping, sidecar.identity_of)
    for add, servicer, _ in service.servicers:
        add(servicer, gate)
    door: Any = gate
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, door)
    return server


def _add_standard_services(
    gate: Gate, service: Service, health_servicer: Any, with_reflection: bool
) -> None:
    door: Any = gate
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, door)
    if with_reflection:
        names = [full_name for _, _, full_name in service.servicers]
        described = reflection.aio.ReflectionServicer(
            [*names, health.SERVICE_NAME, reflection.SERVICE_NAME]
        )
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(described, door)  # type: ignore[no-untyped-call]


async def _guard(service: str, loop: Awaitable[None]) -> None:
    try:
        await loop
    except Exception as error:
        telemetry.log(service).error("loop.died", error=repr(error), exc_info=error)
        # Half a service is worse than none: the supervisor starts it anew.
        signal.raise_signal(signal.SIGTERM)
        raise
