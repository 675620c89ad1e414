"""`make bench`: how fast, against the yardstick in the same run. Prints ratios with their spread;
asserts nothing.

The house runs program, anti-fraud and points as processes of their own, points twice on one port,
with durable commits, the sample program and its anti-fraud rules; this process is the load. Base
and loads take turns, so that a slow minute of the machine hits both.
"""

import asyncio
import os
import secrets
import shutil
import socket
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import orjson
import uvloop
from rich.console import Console
from rich.table import Table
from tests.bench.assess import Costs, measure_round
from tests.bench.echo import Say, echo
from tests.bench.load import (
    MEMBERS,
    PAYER_POINTS,
    PAYERS,
    Lines,
    batch_accrue,
    echo_balance,
    get_balance,
    hold_capture,
    hot_member,
    stream_accrue,
    unary_accrue,
    unary_accrue_native,
)
from tests.bench.wire import Wire
from tests.bench.yardstick import Yardstick

from cli.check import run_checks
from cli.connect import Client
from cli.files import resource
from cli.supervisor import Supervisor, serve_command
from kit.auth import Certificates
from kit.native import IDENTITY_HEADER, KEY_HEADER
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from laurel.program.v1.program_service_pb2 import ApplyProgramRequest

DATA = Path(".laurel/bench")
RESULT = Path(".laurel/bench.json")
ROUNDS = 3
SECONDS = 5
WARM_UP_SECONDS = 2.0
SERVICES = ("program", "antifraud", "points")

LOADS: dict[str, Callable[[Any, float], Awaitable[float]]] = {
    "batch_accrue": batch_accrue,
    "stream_accrue": stream_accrue,
    "unary_accrue": unary_accrue,
    "unary_accrue_native": unary_accrue_native,
    "hold_capture": hold_capture,
    "hot_member": hot_member,
    "get_balance": get_balance,
}
# What comes by a channel of grpc.aio that sends and receives bytes.
RAW = frozenset({"batch_accrue", "stream_accrue"})
# What comes over several lean connections, and so to all processes of points; the others have one
# channel of grpc.aio, and so one process.
LEAN = frozenset({"unary_accrue", "hold_capture"})
# What comes by the native front, without TLS, as from a sidecar.
NATIVE = frozenset({"unary_accrue_native"})
# Eight callers share one. Of a few connections the kernel gives most to one process now and then.
CONNECTIONS = 32
PROCESSES = {"points": 2}
# What is compared with something else than the yardstick, and with what.
BASES = {"hot_member": "hot_member_alone", "get_balance": "echo"}
COSTS = {
    "assess_share": "BatchAssess of 500, as a share of the time of BatchAccruePoints of them",
    "assess_alone_p99_ms": "one assessment at 100 a second, 99th percentile in ms",
    "echo_p99_ms": "an echo at 100 a second, the same",
}


PAYERS_SQL = """
WITH payer AS (
    INSERT INTO points.account (member_id, tier_id, active)
    SELECT 'p' || g, 'member', {points} FROM generate_series(1, {payers}) AS g
    RETURNING member_id
),
brought AS (
    INSERT INTO points.transaction (
        member_id, transaction_id, kind, sources, targets, points, lot_ids, lot_points,
        active_after, pending_after, held_after, debt_after, program_version, occurred_time,
        record_time
    )
    SELECT
        p.member_id, l.id, 16, ARRAY[21], ARRAY[1], ARRAY[{points}], ARRAY[l.id], ARRAY[{points}],
        {points}, 0, 0, 0, 0, now(), now()
    FROM payer AS p CROSS JOIN LATERAL (SELECT uuidv7(), p.member_id) AS l (id)
    RETURNING member_id, transaction_id
)
INSERT INTO points.lot (member_id, lot_id, transaction_id, pending, points, remaining)
SELECT member_id, transaction_id, transaction_id, false, {points}, {points} FROM brought
"""


async def bench(console: Console) -> dict[str, object]:
    """The results, ready for bench.json."""
    shutil.rmtree(DATA, ignore_errors=True)
    native = {
        "LAUREL_POINTS_NATIVE_ADDR": f"127.0.0.1:{_free_port()}",
        "LAUREL_NATIVE_KEY": secrets.token_hex(),
    }
    extra_env = {"LAUREL_SCHEDULER": "false", **native}
    async with Supervisor(
        DATA, services=SERVICES, processes=PROCESSES, extra_env=extra_env
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
        async with (
            _unbatched(house) as alone,
            echo(house.env) as say,
            _channel(house.env) as channel,
            _lines(house.env) as lines,
            _native_lines(native) as native_lines,
        ):
            points: dict[str, Any] = dict.fromkeys(LOADS, PointsServiceStub(channel))
            points |= dict.fromkeys(RAW, channel) | dict.fromkeys(LEAN, lines)
            points |= dict.fromkeys(NATIVE, native_lines)
            for name, load in LOADS.items():
                await load(points[name], WARM_UP_SECONDS)
            rates = await _rounds(console, yardstick, points, alone, say)
            costs = await _costs(house.env, channel, say)
        await _check(url)
    return _summary(rates) | costs.summary()


async def _costs(environ: Mapping[str, str], points: grpc.aio.Channel, say: Say) -> Costs:
    costs = Costs([], [], [])
    async with _channel(environ, "LAUREL_ANTIFRAUD_ADDR") as channel:
        for _ in range(ROUNDS):
            await measure_round(costs, channel, points, say)
    return costs


def _channel(environ: Mapping[str, str], address: str = "LAUREL_POINTS_ADDR") -> grpc.aio.Channel:
    """What any caller would open: mTLS, nothing of ours around the calls."""
    names = ("LAUREL_CA", "LAUREL_CERT", "LAUREL_KEY")
    certificates = Certificates.read(*(Path(environ[name]) for name in names))
    return grpc.aio.secure_channel(environ[address], certificates.for_client())


@asynccontextmanager
async def _lines(environ: Mapping[str, str]) -> AsyncIterator[Lines]:
    address = environ["LAUREL_POINTS_ADDR"]
    async with _open(lambda: Wire.connect(environ, address)) as lines:
        yield lines


@asynccontextmanager
async def _native_lines(environ: Mapping[str, str]) -> AsyncIterator[Lines]:
    address = environ["LAUREL_POINTS_NATIVE_ADDR"]
    headers = {KEY_HEADER: environ["LAUREL_NATIVE_KEY"], IDENTITY_HEADER: "admin"}
    async with _open(lambda: Wire.connect_beside(address, headers)) as lines:
        yield lines


@asynccontextmanager
async def _open(connect: Callable[[], Awaitable[Wire]]) -> AsyncIterator[Lines]:
    wires = [await connect() for _ in range(CONNECTIONS)]
    try:
        yield Lines(wires)
    finally:
        for wire in wires:
            wire.close()


@asynccontextmanager
async def _unbatched(house: Supervisor) -> AsyncIterator[PointsServiceStub]:
    """A second process of points on the same ledger, in which every request is a batch of its
    own.
    """
    own = {
        name: f"127.0.0.1:{_free_port()}"
        for name in ("LAUREL_POINTS_ADDR", "LAUREL_POINTS_ADMIN_ADDR")
    }
    environ = {**os.environ, **house.env, **own, "LAUREL_BATCH_SIZE": "1"}
    environ["LAUREL_SCHEDULER"] = "false"
    process = await asyncio.create_subprocess_exec(
        *serve_command("points"), env=environ, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with _channel(environ) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
            yield PointsServiceStub(channel)
    finally:
        process.terminate()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _rounds(
    console: Console,
    yardstick: Yardstick,
    points: Mapping[str, Any],
    alone: PointsServiceStub,
    say: Say,
) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in ("base", *BASES.values(), *LOADS)}
    for number in range(1, ROUNDS + 1):
        rates["base"].append(await yardstick.measure(SECONDS))
        rates["hot_member_alone"].append(await hot_member(alone, SECONDS))
        rates["echo"].append(await echo_balance(say, SECONDS))
        for name, load in LOADS.items():
            rates[name].append(await load(points[name], SECONDS))
        shown = ", ".join(f"{name} {values[-1]:,.0f}/s" for name, values in rates.items())
        console.print(f"round {number} of {ROUNDS}: {shown}", highlight=False)
    return rates


async def _open_accounts(url: str) -> None:
    """Members whose tier is known already, as the yardstick's have their balance rows already;
    and members who have points to pay with.
    """
    connection = await asyncpg.connect(url)
    await connection.execute(PAYERS_SQL.format(payers=PAYERS, points=PAYER_POINTS))
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
    bases = {name: rates.pop(name) for name in ("base", *BASES.values())}
    summary: dict[str, object] = {
        "measured_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "base_per_second": [round(rate) for rate in bases["base"]],
    }
    for name, values in rates.items():
        base = bases[BASES.get(name, "base")]
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
    for name, text in COSTS.items():
        cost = summary[name]
        assert isinstance(cost, dict)
        console.print(f"{text}: {cost['median']} ({cost['lowest']} to {cost['highest']})")
    console.print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
