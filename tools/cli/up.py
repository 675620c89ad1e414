"""`laurel up` and `laurel down`: the house in the foreground or on its own."""

import asyncio
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import uvloop

from cli.console import open_console
from cli.errors import InUse, UserError
from cli.files import make_private, rotate
from cli.state import DEFAULT_DATA, read_state, supervisor_of
from kit.settings import SERVICES

PROCESSES_MAX = 64
DETACH_S = 300.0
DOWN_S = 120.0
POLL_S = 0.1


def up(
    *,
    data: Path = DEFAULT_DATA,
    detach: bool = False,
    processes: dict[str, int] | None = None,
) -> None:
    """Run Postgres, the broker and every service, until Ctrl-C.

    LAUREL_DATABASE_URL and LAUREL_NATS_URL name servers to use instead of starting some.

    Parameters
    ----------
    data
        Folder for everything that lasts: data, certificates, logs.
    detach
        Return once all is ready and leave it running; `laurel down` ends it.
    processes
        How many processes of a service share its port, such as `--processes.points 2`: one unless
        given.
    """
    counts = processes or {}
    _check(counts)
    if detach:
        _detach(data, counts)
        return
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    # Broken connections are what a supervisor's probes live on; they are no news.
    for name in ("asyncio", "nats"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    uvloop.run(_run(data, counts))


def _check(processes: Mapping[str, int]) -> None:
    for name, count in processes.items():
        if name not in SERVICES:
            raise UserError(f"--processes.{name}: name one of {', '.join(SERVICES)}")
        if not 1 <= count <= PROCESSES_MAX:
            raise UserError(f"--processes.{name} {count}: give 1 to {PROCESSES_MAX}")


def down(*, data: Path = DEFAULT_DATA) -> None:
    """End the house that runs on the data folder and wait until it is gone.

    Parameters
    ----------
    data
        Data folder of the house.
    """
    pid = supervisor_of(data)
    if pid is None:
        print(f"nothing runs on {data}")
        return
    os.kill(pid, signal.SIGTERM)
    for _ in range(int(DOWN_S / POLL_S)):
        if supervisor_of(data) is None:
            print(f"the house on {data} has ended")
            return
        time.sleep(POLL_S)
    raise UserError(f"process {pid} still runs {DOWN_S:.0f} s after SIGTERM; see {data / 'logs'}")


async def _run(data: Path, processes: Mapping[str, int]) -> None:
    task = asyncio.ensure_future(_live(data, processes))

    def end() -> None:
        # Once: what ends already must not be cut short by an impatient second Ctrl-C.
        if not task.cancelling():
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end)
    with suppress(asyncio.CancelledError):
        await task


async def _live(data: Path, processes: Mapping[str, int]) -> None:
    from cli.supervisor import Supervisor

    async with Supervisor(data, processes=processes) as house:
        await _announce(house.data)
        await asyncio.Event().wait()


async def _announce(data: Path) -> None:
    from cli.status import find, table

    console = open_console()
    console.print(table(await find(data)))
    console.print(f"for clients: . {shlex.quote(str(data / 'env'))}", soft_wrap=True)
    sys.stdout.flush()


def _detach(data: Path, processes: Mapping[str, int]) -> None:
    if holder := supervisor_of(data):
        raise InUse(f"the data folder {data} is already in use by process {holder}")
    log = make_private(make_private(data) / "logs") / "up.log"
    rotate(log)
    with log.open("ab") as file:
        begin = file.tell()
        process = subprocess.Popen(
            [
                sys.executable, "-m", "cli.main", "up", "--data", str(data),
                *(f"--processes.{name}={count}" for name, count in processes.items()),
            ],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        came_up = _await_ready(data, process)
    except BaseException:
        process.terminate()
        raise
    if not came_up:
        with log.open("rb") as file:
            file.seek(begin)
            print(file.read().decode(errors="replace"), file=sys.stderr)
        sys.exit(1)
    # The house publishes itself before it prints: what it is about to say is said here.
    asyncio.run(_announce(data))


def _await_ready(data: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether the house came up; ends it when that takes too long."""
    for _ in range(int(DETACH_S / POLL_S)):
        if process.poll() is not None:
            return False
        state = read_state(data)
        if state is not None and state.pid == process.pid and state.ready:
            return True
        time.sleep(POLL_S)
    process.terminate()
    process.wait()
    return False
