"""One service of the house as a child process, seen through its admin address."""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cli.child import Child
from cli.ports import Ports

PROBE_S = 2.0
# What a service needs beyond its drain: to flush its outbox, close its pool and leave.
LEAVE_S = 5.0


class Service:
    """A service's process, the only one or one of several on a port; its environment is asked for
    at each start, as ports may have moved.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environ: Callable[[], Mapping[str, str]],
        *,
        ports: Ports,
        log: Path,
        drain_s: float,
        number: int = 1,
    ) -> None:
        self.service = name
        self.name = process_name(name, number)
        self.log = log
        self._command = command
        self._environ = environ
        self._ports = ports
        self._child = Child(log, [(signal.SIGTERM, drain_s + LEAVE_S)])

    @property
    def address(self) -> str:
        """host:port of its calls."""
        return self._ports.address(self.service)

    @property
    def admin_address(self) -> str:
        """host:port of its /readyz and /metrics."""
        return self._ports.address(f"{self.name}_admin")

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid

    async def start(self) -> None:
        """Starts the process; it is ready later."""
        own = {f"LAUREL_{self.service.upper()}_ADMIN_ADDR": self.admin_address}
        await self._child.start(self._command, {**self._environ(), **own})

    async def wait(self) -> int:
        """Waits for its end; the exit status, or minus the signal's number."""
        return await self._child.wait()

    async def stop(self) -> None:
        """Lets it drain and leave."""
        await self._child.stop()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, if it runs."""
        self._child.send(number)

    async def ready(self) -> bool:
        """Whether it says so."""
        return await says_ready(self.admin_address)


def process_name(service: str, number: int) -> str:
    """The name of a process: that of its service for the first, `points_2` for a second."""
    return service if number == 1 else f"{service}_{number}"


async def says_ready(address: str) -> bool:
    """Whether GET /readyz at host:port answers 200 within two seconds."""
    try:
        return await asyncio.wait_for(_get_readyz(address), PROBE_S)
    except (OSError, TimeoutError):
        return False


async def _get_readyz(address: str) -> bool:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET /readyz HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        return (await reader.readline()).split(b" ", 2)[1:2] == [b"200"]
    finally:
        writer.close()
