"""`make bench`: how fast, against the yardstick in the same run. Prints ratios with their spread;
asserts nothing.

The house runs program, anti-fraud and points as processes of their own with durable commits, the
sample program and its anti-fraud rules; this process is the load. Base and loads take turns, so
that a slow minute of the machine hits both.
"""

import shutil
import statistics
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import grpc
import orjson
import uvloop
from rich.console import Console
from rich.table import Table
from tests.bench.load import MEMBERS, batch_accrue, unary_accrue
from tests.bench.yardstick import Yardstick

from cli.check import run_checks
from cli.connect import Client
from cli.files import resource
from cli.supervisor import Supervisor
from kit.auth import Certificates
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from laurel.program.v1.program_service_pb2 import ApplyProgramRequest

DATA = Path(".laurel/bench")
RESULT = Path(".laurel/bench.json")
ROUNDS = 3
SECONDS = 5
WARM_UP_SECONDS = 2.0
SERVICES = ("program", "antifraud", "points")

Load = Callable[[PointsServiceStub, float], Awaitable[float]]
LOADS: dict[str, Load] = {"batch_accrue": batch_accrue, "unary_accrue": unary_accrue}


async def bench(console: Console) -> dict[str, object]:
    """The results, ready for bench.json."""
    shutil.rmtree(DATA, ignore_errors=True)
    async with Supervisor(
        DATA, services=SERVICES, extra_env={"LAUREL_SCHEDULER": "false"}
    ) as house:
        url = house.env["LAUREL_DATABASE_URL"]
        yardstick = Yardstick(url)
        await yardstick.prepare()
        async with Client(house.env) as client:
            request = ApplyProgramRequest(
                request_id="bench", source_yaml=resource("programs/sample.yaml").read_text()
            )
            await client.program.ApplyProgram(request)
            await _open_accounts(url)
        async with _channel(house.env) as channel:
            points = PointsServiceStub(channel)
            for load in LOADS.values():
                await load(points, WARM_UP_SECONDS)
            rates = await _rounds(console, yardstick, points)
        await _check(url)
    return _summary(rates)


def _channel(environ: Mapping[str, str]) -> grpc.aio.Channel:
    """What any caller would open: mTLS, nothing of ours around the calls."""
    names = ("LAUREL_CA", "LAUREL_CERT", "LAUREL_KEY")
    certificates = Certificates.read(*(Path(environ[name]) for name in names))
    return grpc.aio.secure_channel(environ["LAUREL_POINTS_ADDR"], certificates.for_client())


async def _rounds(
    console: Console, yardstick: Yardstick, points: PointsServiceStub
) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in ("base", *LOADS)}
    for number in range(1, ROUNDS + 1):
        rates["base"].append(await yardstick.measure(SECONDS))
        for name, load in LOADS.items():
            rates[name].append(await load(points, SECONDS))
        shown = ", ".join(f"{name} {values[-1]:,.0f}/s" for name, values in rates.items())
        console.print(f"round {number} of {ROUNDS}: {shown}", highlight=False)
    return rates


async def _open_accounts(url: str) -> None:
    """Members whose tier is known already, as the yardstick's have their balance rows already."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO points.account (member_id, tier_id) "
        "SELECT g::text, 'member' FROM generate_series(1, $1::int) AS g",
        MEMBERS,
    )
    await connection.execute("VACUUM ANALYZE points.account")
    await connection.close()


async def _check(url: str) -> None:
    broken = [outcome for outcome in await run_checks(url) if outcome.violations]
    if broken:
        raise RuntimeError(f"an invariant is broken after the load: {broken}")


def _summary(rates: dict[str, list[float]]) -> dict[str, object]:
    base = rates.pop("base")
    summary: dict[str, object] = {
        "measured_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "base_per_second": [round(rate) for rate in base],
    }
    for name, values in rates.items():
        ratios = sorted(value / one for value, one in zip(values, base, strict=True))
        summary[name] = {
            "ratio": round(statistics.median(ratios), 2),
            "ratio_min": round(ratios[0], 2),
            "ratio_max": round(ratios[-1], 2),
            "per_second": round(statistics.median(values)),
        }
    return summary


def main() -> None:
    """Runs the bench, prints a table, writes bench.json."""
    console = Console()
    summary = uvloop.run(bench(console))
    RESULT.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2) + b"\n")
    table = Table(title="Against the yardstick (base = 1)", title_justify="left")
    for name in ("what", "ratio", "lowest", "highest", "per second"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for name in LOADS:
        row = summary[name]
        assert isinstance(row, dict)
        table.add_row(
            name, *(f"{row[key]:,}" for key in ("ratio", "ratio_min", "ratio_max", "per_second"))
        )
    console.print(table)
    console.print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
