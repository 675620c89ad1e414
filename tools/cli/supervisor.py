"""The house: Postgres, the broker and every service, started in order and kept running."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from cli.authority import ensure_certificates
from cli.broker import Broker
from cli.errors import PartFailed, UserError
from cli.files import make_private, resource, tail
from cli.keeper import Keeper, Part
from cli.ports import Ports
from cli.postgres import Postgres
from cli.service import Service, process_name
from cli.state import (
    HouseState,
    PartState,
    code_key,
    house_claim,
    remove_traces,
    write_env,
    write_state,
)
from kit.migrate import bootstrap as bootstrap_schemas
from kit.settings import SERVICES

logger = logging.getLogger("laurel.house")

CLIENT_IDENTITY = "admin"
DRAIN_S = 10.0
READY_S = 120.0
POLL_S = 0.1
ATTEND_S = 0.5
GONE_S = 30.0
# A part that ends so often before the house has once been ready will not come up by waiting.
FAILURES_MAX = 3
FATAL = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT)

HOUSE_KEYS = ("DATABASE_URL", "NATS_URL", "CERT_DIR", "POLICY", "CA", "CERT", "KEY", "HOUSE")

CommandFactory = Callable[[str], Sequence[str]]
Bootstrap = Callable[[str], Awaitable[object]]


def serve_command(service: str) -> Sequence[str]:
    """Command that serves one service."""
    return (sys.executable, "-m", "cli.main", "serve", service)


async def migrate(database_url: str) -> list[str]:
    """Makes schemas, roles and tables of all services; the migrations that ran."""
    try:
        return await bootstrap_schemas(database_url)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        text = f"the database could not be prepared: {error or type(error).__name__}"
        raise UserError(text) from error


class Supervisor:
    """Everything running on one data folder, from `__aenter__` (all ready) to `__aexit__` (gone).

    `processes` says how many processes share the port of a service, one unless it does.
    `environ` decides as the process environment does: LAUREL_DATABASE_URL and LAUREL_NATS_URL name
    servers that are used instead of our own, LAUREL_CERT_DIR and LAUREL_POLICY files instead of
    ours. `extra_env` is for the services alone and wins over everything. Enter it on the main
    thread: the kernel ends the children when that thread ends.
    """

    def __init__(
        self,
        data: Path,
        *,
        environ: Mapping[str, str] | None = None,
        services: Sequence[str] = SERVICES,
        processes: Mapping[str, int] | None = None,
        extra_env: Mapping[str, str] | None = None,
        command: CommandFactory = serve_command,
        bootstrap: Bootstrap = migrate,
    ) -> None:
        self.data = make_private(data)
        self.logs = make_private(self.data / "logs")
        self._environ = _without_house(os.environ if environ is None else environ)
        self._services = services
        self._processes = {name: (processes or {}).get(name, 1) for name in services}
        self._extra_env = dict(extra_env or {})
        self._command = command
        self._bootstrap = bootstrap
        self._claim = house_claim(self.data)
        self._keepers: dict[str, Keeper] = {}
        self._moved = False
        self._attendant: asyncio.Task[None] | None = None
        self._published: tuple[HouseState, dict[str, str]] | None = None
        self._been_ready = False
        self._certificates = Path(self._given("CERT_DIR") or self.data / "certificates").absolute()
        self._postgres: Postgres | None = None
        self._broker: Broker | None = None
        self._ports: Ports

    async def __aenter__(self) -> Self:
        self._claim.take()
        try:
            await self._prepare()
            await self._start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    @property
    def env(self) -> dict[str, str]:
        """LAUREL_* variables for services and clients of this house; they change if ports must."""
        values = {
            f"{name.upper()}_ADDR": self._ports.address(name) for name in _port_names(SERVICES)
        }
        postgres, broker = self._postgres, self._broker
        values["DATABASE_URL"] = postgres.url if postgres else self._given("DATABASE_URL")
        values["NATS_URL"] = broker.url if broker else self._given("NATS_URL")
        values["CERT_DIR"] = str(self._certificates)
        values["POLICY"] = self._given("POLICY") or str(resource("policy.yaml"))
        values["CA"] = str(self._certificates / "ca.crt")
        values["CERT"] = str(self._certificates / f"{CLIENT_IDENTITY}.crt")
        values["KEY"] = str(self._certificates / f"{CLIENT_IDENTITY}.key")
        values["HOUSE"] = str(self.data)
        return {f"LAUREL_{key}": value for key, value in values.items()}

    @property
    def state(self) -> HouseState:
        """What `laurel status` is told."""
        parts = [
            PartState(
                name=part.name,
                pid=part.pid,
                address=part.address,
                admin_address=part.admin_address if isinstance(part, Service) else None,
                log=str(part.log),
            )
            for part in (keeper.part for keeper in self._keepers.values())
        ]
        return HouseState(os.getpid(), self._been_ready, parts)

    def pid_of(self, name: str) -> int | None:
        """Process id of a part while it runs."""
        return self._keepers[name].part.pid

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to a part and, if it is a deadly one, waits until that process is gone.

        The part is started again by itself; `wait_ready` tells when.
        """
        part = self._keepers[name].part
        pid = part.pid
        part.send(number)
        if number not in FATAL:
            return
        for _ in range(int(GONE_S / POLL_S)):
            if pid is None or part.pid != pid:
                return
            await asyncio.sleep(POLL_S)
        raise PartFailed(f"{name} still runs {GONE_S:.0f} s after {number.name}")

    async def stop_service(self, name: str) -> None:
        """Ends a part as at the end of the house, and leaves it so."""
        await self._keepers[name].stop()
        self._publish()

    async def start_service(self, name: str) -> None:
        """Starts a part that was stopped; `wait_ready` tells when it is ready."""
        self._keepers[name].start()

    async def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Returns once every part that is meant to run is ready; else `PartFailed`."""
        await self._wait(list(self._keepers.values()), timeout_s)

    async def _prepare(self) -> None:
        if not self._given("CERT_DIR"):
            ensure_certificates(self._certificates)
        if not self._given("DATABASE_URL"):
            self._postgres = Postgres(self.data / "postgres", 0, self.logs / "postgres.log")
            # Before ports are chosen: a server on its way out still holds the one it had.
            await self._postgres.settle()
        more = [f"{name}_admin" for name in self._process_names() if name not in SERVICES]
        names = ["postgres", "nats", *_port_names(SERVICES), *more]
        self._ports = Ports(self.data / "ports.json", names)
        if self._postgres:
            self._postgres.port = self._ports["postgres"]
            self._keep(self._postgres)
        if not self._given("NATS_URL"):
            folder, log = self.data / "nats", self.logs / "nats.log"
            self._broker = Broker(folder, self._ports["nats"], self._certificates, log)
            self._keep(self._broker)

    async def _start(self) -> None:
        self._attendant = asyncio.create_task(self._attend(), name="attend")
        grounds = list(self._keepers.values())
        for keeper in grounds:
            keeper.start()
        await self._wait(grounds, READY_S)
        self._publish()
        await self._bootstrap(self.env["LAUREL_DATABASE_URL"])
        for name, count in self._processes.items():
            for number in range(1, count + 1):
                self._keep(self._new_service(name, number)).start()
        await self.wait_ready()
        self._been_ready = True
        self._publish()

    def _process_names(self) -> list[str]:
        return [
            process_name(name, number)
            for name, count in self._processes.items()
            for number in range(1, count + 1)
        ]

    def _new_service(self, name: str, number: int) -> Service:
        drain_s = _seconds("LAUREL_DRAIN_SECONDS", self._service_environ())
        shares = {"LAUREL_SHARE_PORT": "true"} if self._processes[name] > 1 else {}
        return Service(
            name, self._command(name), lambda: {**self._service_environ(), **shares},
            ports=self._ports, log=self.logs / f"{process_name(name, number)}.log",
            drain_s=drain_s, number=number,
        )  # fmt: skip

    def _service_environ(self) -> dict[str, str]:
        ours = {"LAUREL_DRAIN_SECONDS": str(DRAIN_S), "LAUREL_CODE_KEY": code_key(self.data)}
        return {**ours, **self._environ, **self.env, **self._extra_env}

    def _keep(self, part: Part) -> Keeper:
        self._keepers[part.name] = Keeper(part, self._on_end)
        return self._keepers[part.name]

    def _on_end(self, part: Part) -> None:
        """Moves a part whose port was taken by another process while it did not run."""
        names = self._ports_of(part)
        if not self._ports.renew_busy(names):
            return
        logger.error("the port of %s was taken by another process; it moves", part.name)
        if isinstance(part, Postgres | Broker):
            part.port = self._ports[part.name]
        self._moved = True

    def _ports_of(self, part: Part) -> list[str]:
        if not isinstance(part, Service):
            return [part.name]
        # A port that others of its processes listen on is not somebody else's.
        shared = self._processes[part.service] > 1
        return [f"{part.name}_admin"] if shared else _port_names([part.service])

    async def _attend(self) -> None:
        # In a task of its own: a keeper that restarted others might be stopped by one of them.
        while True:
            await asyncio.sleep(ATTEND_S)
            if self._moved:
                self._moved = False
                services = [k for k in self._keepers.values() if isinstance(k.part, Service)]
                await asyncio.gather(*[keeper.restart() for keeper in services])
            self._publish()

    async def _wait(self, keepers: Sequence[Keeper], timeout_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        waiting = list(keepers)
        while True:
            # Those found ready are not asked again: each question costs a connection with TLS.
            waiting = [k for k in waiting if k.kept and not await k.ready()]
            if not waiting:
                return
            for keeper in waiting:
                if keeper.failures >= FAILURES_MAX and not self._been_ready:
                    raise _failed(keeper.part, f"ended {keeper.failures} times in a row")
            if asyncio.get_running_loop().time() > deadline:
                raise _failed(waiting[0].part, f"is not ready after {timeout_s:.0f} s")
            await asyncio.sleep(POLL_S)

    def _publish(self) -> None:
        state, env = self.state, self.env
        if (state, env) != self._published:
            write_env(self.data, env)
            write_state(self.data, state)
            self._published = (state, env)

    async def _close(self) -> None:
        if self._attendant:
            self._attendant.cancel()
            await asyncio.gather(self._attendant, return_exceptions=True)
        grounds = {"postgres", "nats"}
        services = [keeper for name, keeper in self._keepers.items() if name not in grounds]
        await asyncio.gather(*[keeper.stop() for keeper in services])
        for name in ("nats", "postgres"):
            if name in self._keepers:
                await self._keepers[name].stop()
        remove_traces(self.data)
        self._claim.free()

    def _given(self, name: str) -> str:
        return self._environ.get(f"LAUREL_{name}", "")


def _port_names(services: Sequence[str]) -> list[str]:
    return [name for service in services for name in (service, f"{service}_admin")]


def _seconds(name: str, environ: Mapping[str, str]) -> float:
    try:
        return float(environ[name])
    except ValueError:
        raise UserError(f"{name}: expected a number of seconds, got {environ[name]!r}") from None


def _failed(part: Part, what: str) -> PartFailed:
    return PartFailed(f"{part.name} {what}; the end of {part.log}:\n{tail(part.log)}")


def _without_house(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment less what the `env` file of a house put into it.

    Whoever has sourced that file and starts a house wants servers of its own, not those again.
    """
    if "LAUREL_HOUSE" not in environ:
        return dict(environ)
    addresses = (f"{name.upper()}_ADDR" for name in _port_names(SERVICES))
    names = {f"LAUREL_{key}" for key in (*HOUSE_KEYS, *addresses)}
    return {k: v for k, v in environ.items() if k not in names}
