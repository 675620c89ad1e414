"""`make bench-growth`: the same bench on ledgers of 100 thousand and of 10 million lots. Prints how
much slower the large one is, with the spread; fails only when an invariant is broken.

Each size is a house of its own, and they take turns load by load, in this order and in that, so
that a slow minute of the machine hits both. At the end `laurel check` looks at each.
"""

import argparse
import asyncio
import logging
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import orjson
import uvloop
from rich.console import Console
from rich.table import Table
from tests.bench.growth_fill import COHORTS, Size, fill
from tests.bench.growth_load import (
    ROUNDS,
    Ledger,
    batch_accrue,
    get_balance,
    hold_capture,
    list_transactions,
    run_expiry,
)
from tests.bench.load import Lines
from tests.bench.wire import Wire

from cli.check import run_checks
from cli.connect import Client
from cli.files import resource
from cli.supervisor import Supervisor
from laurel.program.v1.program_service_pb2 import ApplyProgramRequest

DATA = Path(".laurel/growth")
RESULT = Path(".laurel/bench_growth.json")
SERVICES = ("program", "antifraud", "points")
SIZES = "100000,10000000"
BOUND_SECONDS = 2 * 3600
CONNECTIONS = 4
WARM_UP_SHARE = 0.1
SLOWER_MAX = 1.3

LOADS = {
    "batch_accrue": batch_accrue,
    "hold_capture": hold_capture,
    "get_balance": get_balance,
    "list_transactions": list_transactions,
}
# Of each load the rate in every round, by size.
Rates = Mapping[str, Mapping[int, list[float]]]


async def bench(console: Console, sizes: Sequence[int]) -> dict[str, object]:
    """The results, ready for bench_growth.json."""
    shutil.rmtree(DATA, ignore_errors=True)
    try:
        async with asyncio.timeout(BOUND_SECONDS), AsyncExitStack() as stack:
            facts: dict[str, dict[int, float]] = {"fill_seconds": {}, "check_seconds": {}}
            houses: dict[int, tuple[str, Ledger]] = {}
            for lots in sizes:
                began = time.perf_counter()
                houses[lots] = await stack.enter_async_context(_house(Size.of(lots)))
                facts["fill_seconds"][lots] = time.perf_counter() - began
                console.print(f"{lots:,} lots stand after {facts['fill_seconds'][lots]:,.0f} s")
            rates = await _rounds(console, {lots: ledger for lots, (_, ledger) in houses.items()})
            for lots, (url, _) in houses.items():
                facts["check_seconds"][lots] = await _check(url)
                console.print(f"{lots:,} lots checked in {facts['check_seconds'][lots]:,.1f} s")
            facts["database_bytes"] = {lots: await _bytes(url) for lots, (url, _) in houses.items()}
    finally:
        shutil.rmtree(DATA, ignore_errors=True)
    return _summary(sizes, rates, facts)


def patient_program() -> str:
    """The sample program with limits that payers who pay time and again do not reach."""
    source = resource("programs/sample.yaml").read_text()
    for limit in ("member_1h.count > 10", "member_1d.count > 2", "member_1d.points >= 500"):
        assert f"when: velocity.{limit}" in source, limit
        source = source.replace(f"when: velocity.{limit}", f"when: velocity.{limit}000000")
    return source


@asynccontextmanager
async def _house(size: Size) -> AsyncIterator[tuple[str, Ledger]]:
    """A house with a ledger of that size: the URL of its database, and the ledger to load."""
    extra_env = {"LAUREL_SCHEDULER": "false"}
    folder = DATA / str(size.lots)
    async with Supervisor(folder, services=SERVICES, extra_env=extra_env) as house:
        url = house.env["LAUREL_DATABASE_URL"]
        async with Client(house.env) as client:
            request = ApplyProgramRequest(request_id="bench", source_yaml=patient_program())
            await client.program.ApplyProgram(request)
            await fill(url, size)
            address = house.env["LAUREL_POINTS_ADDR"]
            wires = [await Wire.connect(house.env, address) for _ in range(CONNECTIONS)]
            try:
                yield url, Ledger(size, client.points, Lines(wires))
            finally:
                for wire in wires:
                    wire.close()


async def _rounds(console: Console, ledgers: Mapping[int, Ledger]) -> Rates:
    rates: dict[str, dict[int, list[float]]] = {
        name: {lots: [] for lots in ledgers} for name in (*LOADS, "run_expiry")
    }
    for ledger in ledgers.values():
        for load in LOADS.values():
            await load(ledger, WARM_UP_SHARE)
    for number in range(ROUNDS):
        turns = list(ledgers.items())[:: -1 if number % 2 else 1]
        for name, load in LOADS.items():
            for lots, ledger in turns:
                rates[name][lots].append(await load(ledger))
        measured = list(LOADS)
        # There are not as many lots to expire as there are rounds.
        cohort, is_over = divmod(number, ROUNDS // COHORTS)
        if not is_over:
            measured.append("run_expiry")
            for lots, ledger in turns[:: -1 if cohort % 2 else 1]:
                rates["run_expiry"][lots].append(await run_expiry(ledger, cohort))
        shown = "; ".join(_last(name, rates[name]) for name in measured)
        console.print(f"round {number + 1} of {ROUNDS}: {shown}", highlight=False)
    return rates


def _last(name: str, of_load: Mapping[int, list[float]]) -> str:
    return f"{name} " + ", ".join(f"{of_size[-1]:,.0f}/s" for of_size in of_load.values())


async def _check(url: str) -> float:
    """Seconds that `laurel check` took. Raises RuntimeError when an invariant is broken."""
    began = time.perf_counter()
    broken = [outcome for outcome in await run_checks(url) if outcome.violations]
    if broken:
        raise RuntimeError(f"an invariant is broken after the load: {broken}")
    return time.perf_counter() - began


async def _bytes(url: str) -> int:
    connection = await asyncpg.connect(url)
    size: int = await connection.fetchval("SELECT pg_database_size(current_database())")
    await connection.close()
    return size


def _summary(
    sizes: Sequence[int], rates: Rates, facts: Mapping[str, Mapping[int, float]]
) -> dict[str, object]:
    summary: dict[str, object] = {
        "measured_time": datetime.now(UTC).isoformat(timespec="seconds"),
        "lots": list(sizes),
        **{name: [round(of_size[lots]) for lots in sizes] for name, of_size in facts.items()},
    }
    for name, of_load in rates.items():
        small, large = of_load[sizes[0]], of_load[sizes[-1]]
        slower = sorted(one / other for one, other in zip(small, large, strict=True))
        summary[name] = {
            "slower": round(statistics.median(slower), 2),
            "slower_min": round(slower[0], 2),
            "slower_max": round(slower[-1], 2),
            "per_second": [round(statistics.median(of_load[lots])) for lots in sizes],
            "rounds": [[round(rate) for rate in of_load[lots]] for lots in sizes],
        }
    return summary


def _table(sizes: Sequence[int], summary: Mapping[str, object]) -> Table:
    title = f"{sizes[-1]:,} lots: so many times slower than {sizes[0]:,} ({SLOWER_MAX} at most)"
    table = Table(title=title, title_justify="left")
    rates = ("a second", *("with more" for _ in sizes[1:]))
    for name in ("what", "slower", "lowest", "highest", *rates):
        table.add_column(name, justify="left" if name == "what" else "right", no_wrap=True)
    for name in (*LOADS, "run_expiry"):
        row = summary[name]
        assert isinstance(row, dict)
        spread = (f"{row[key]:.2f}" for key in ("slower", "slower_min", "slower_max"))
        table.add_row(name, *spread, *(f"{rate:,}" for rate in row["per_second"]))
    return table


def main() -> None:
    """Runs the bench, prints a table, writes bench_growth.json."""
    parser = argparse.ArgumentParser(prog="make bench-growth ARGS=...")
    parser.add_argument("--lots", default=SIZES, help="sizes, the smallest first")
    sizes = [int(size) for size in parser.parse_args().lots.split(",")]
    # What the loop says about connections that end is nothing about speed.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    console = Console()
    summary = uvloop.run(bench(console, sizes))
    RESULT.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2) + b"\n")
    console.print(_table(sizes, summary))
    console.print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
