"""One child process: its log, its own session, its end with ours."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.files import rotate

LAUNCH = Path(__file__).with_name("launch.py")
KILL_PATIENCE_S = 10.0


class Child:
    """A command that is started, watched and ended; started anew after each end, if wanted.

    `stops` are the signals of a clean end, each with the seconds it is given; SIGKILL comes last.
    """

    def __init__(
        self,
        log: Path,
        stops: Sequence[tuple[signal.Signals, float]],
        *,
        prefix: Sequence[str] = (),
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.log = log
        self._stops = stops
        self._prefix = prefix
        self._death_signal = death_signal
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Starts the command. Call it from the main thread: it dies with the calling thread."""
        if self.pid is not None:
            raise RuntimeError(f"{self.log.stem} runs already")
        launch = [sys.executable, "-I", "-S", str(LAUNCH)]
        tie = [str(int(self._death_signal)), str(os.getpid())]
        rotate(self.log)
        with self.log.open("ab") as log:
            # A session of its own: the terminal's Ctrl-C must not reach it before the supervisor.
            self._process = await asyncio.create_subprocess_exec(
                *self._prefix, *launch, *tie, *command,
                env=dict(environ), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    async def wait(self) -> int:
        """Waits for the end; the exit status, or minus the signal's number."""
        return await self._process.wait() if self._process else 0

    def send(self, number: signal.Signals) -> None:
        """Sends a signal, if it still runs."""
        if self._process and self.pid is not None:
            self._process.send_signal(number)

    async def stop(self) -> None:
        """Ends it, the gentle way first; returns when it is gone."""
        for number, patience_s in (*self._stops, (signal.SIGKILL, KILL_PATIENCE_S)):
            if self.pid is None:
                return
            self.send(number)
            try:
                await asyncio.wait_for(self.wait(), patience_s)
            except TimeoutError:
                continue
