"""Keeps one part of the house running: whatever ends it, it is started again, ever more slowly."""

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from cli.errors import UserError

logger = logging.getLogger("laurel.house")

DELAY_S_MIN, DELAY_S_MAX = 0.1, 10.0
# A part that lived so long has recovered: its next end is news again, not one more of a series.
STEADY_S = 20.0


class Part(Protocol):
    """A process of the house: Postgres, the broker or a service."""

    name: str
    log: Path

    @property
    def address(self) -> str:
        """host:port it listens on."""

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""

    async def start(self) -> None:
        """Starts it; raises when it ends before it could be of use."""

    async def wait(self) -> int:
        """Waits for its end; the exit status, or minus the signal's number."""

    async def stop(self) -> None:
        """Ends it and returns when it is gone."""

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, if it runs."""

    async def ready(self) -> bool:
        """Whether it does its work now."""


class Keeper:
    """One part and the task that starts it again; `on_end` hears of each unwanted end."""

    def __init__(self, part: Part, on_end: Callable[[Part], None]) -> None:
        self.part = part
        self.failures = 0
        self._on_end = on_end
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Keeps the part running from now on."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=f"keep {self.part.name}")

    async def stop(self) -> None:
        """Ends the part and keeps it so."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.part.stop()

    async def restart(self) -> None:
        """Ends a part that is kept and starts it again; one that was stopped stays so."""
        if self._task is not None:
            await self.stop()
            self.start()

    async def ready(self) -> bool:
        """Whether the part runs and does its work; raises what ended the keeping itself."""
        if self._task is not None and self._task.done():
            await self._task
        return self.part.pid is not None and await self.part.ready()

    @property
    def kept(self) -> bool:
        """Whether the part is meant to run."""
        return self._task is not None

    async def _keep(self) -> None:
        while True:
            began = time.monotonic()
            reason = await self._live()
            steady = time.monotonic() - began > STEADY_S
            self.failures = 1 if steady else self.failures + 1
            delay_s = delay_after(self.failures) * random.uniform(0.5, 1)
            logger.error(
                "%s ENDED: %s. It starts again in %.1f s; its log: %s",
                self.part.name, reason, delay_s, self.part.log,
            )  # fmt: skip
            self._on_end(self.part)
            await asyncio.sleep(delay_s)

    async def _live(self) -> str:
        """Lets the part live once; why it ended."""
        try:
            await self.part.start()
            return _describe(await self.part.wait())
        except (UserError, OSError) as error:
            return str(error).splitlines()[0]


def delay_after(failures: int) -> float:
    """Seconds at most before the next start, after so many ends in a row."""
    return float(min(DELAY_S_MAX, DELAY_S_MIN * 2 ** min(failures - 1, 20)))


def _describe(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
