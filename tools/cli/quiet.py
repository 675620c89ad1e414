"""Waits until no event is on its way any more: for replays, and for checks across services."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import nats
from nats.js.errors import NotFoundError

from cli.errors import UserError
from kit.events import STREAM, tls_context
from kit.settings import SERVICES

POLL_SECONDS = 0.1
QUIET_IN_A_ROW = 2
_OUTBOXES = " UNION ALL ".join(f"SELECT 1 FROM {name}.outbox" for name in SERVICES)


class Settler:
    """Looks at every outbox and at every consumer of the broker."""

    def __init__(self, connection: Any, client: Any) -> None:
        self._connection = connection
        self._client = client

    @classmethod
    async def open(cls, environ: Mapping[str, str]) -> "Settler":
        """Connects to the database and the broker that the environment names."""
        folder = Path(environ["LAUREL_CERT_DIR"])
        own = (str(folder / "admin.crt"), str(folder / "admin.key"))
        url = environ["LAUREL_NATS_URL"]
        tls = tls_context(str(folder / "ca.crt"), *own) if url.startswith("tls:") else None
        connection = await asyncpg.connect(environ["LAUREL_DATABASE_URL"])
        return cls(connection, await nats.connect(url, tls=tls, connect_timeout=5))

    async def close(self) -> None:
        """Closes both connections."""
        await self._connection.close()
        await self._client.close()

    async def settle(self, seconds_max: float = 120) -> None:
        """Returns once all is quiet. Raises UserError when it does not become so in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds_max
        quiet = 0
        while quiet < QUIET_IN_A_ROW:
            quiet = quiet + 1 if await self._is_quiet() else 0
            if loop.time() > deadline:
                raise UserError(f"events are still on their way after {seconds_max:.0f} s")
            await asyncio.sleep(POLL_SECONDS)

    async def _is_quiet(self) -> bool:
        if await self._connection.fetchval(f"SELECT EXISTS ({_OUTBOXES})"):
            return False
        js = self._client.jetstream()
        try:
            consumers = await js.consumers_info(STREAM)
        except NotFoundError:
            return True
        return not any(info.num_pending or info.num_ack_pending for info in consumers)
