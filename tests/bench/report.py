"""`make bench-report`: a table and a chart for docs from what the benches have measured.

Reads .laurel/bench.json and, where there is one, .laurel/bench_growth.json; writes docs/speed.md
and docs/speed.svg. Nothing in them is written by hand, so they say what was measured and no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from tests.bench.speed_chart import Bar, Panel, draw

BENCH = Path(".laurel/bench.json")
GROWTH = Path(".laurel/bench_growth.json")
TABLE = Path("docs/speed.md")
CHART = Path("docs/speed.svg")
SLOWER_MAX = 1.3


@dataclass(frozen=True, slots=True)
class Load:
    """What a load is called, what it is compared with, and the least that the project aims at."""

    key: str
    title: str
    base: str
    least: float | None = None


YARDSTICK = "the yardstick"
LOADS = (
    Load("batch_accrue", "BatchAccruePoints, 500 a call", YARDSTICK, 3.0),
    Load("stream_accrue", "StreamAccruePoints, 100 a message", YARDSTICK, 1.0),
    Load("unary_accrue", "AccruePoints, 256 callers", YARDSTICK, 0.6),
    Load("unary_accrue_native", "AccruePoints, native front", YARDSTICK, 1.3),
    Load("hold_capture", "HoldPoints and CapturePoints", YARDSTICK, 0.3),
    Load("hot_member", "AccruePoints, one member", "the same without batches", 6.0),
    Load("get_balance", "GetBalance, 256 callers", "a bare grpc.aio echo", 0.7),
)
GROWTH_LOADS = {
    "batch_accrue": "BatchAccruePoints, 500 a call",
    "hold_capture": "HoldPoints and CapturePoints",
    "get_balance": "GetBalance",
    "list_transactions": "ListTransactions, first page",
    "run_expiry": "RunExpiry, for each lot that is due",
}

INTRO = """# How fast

Made by `make bench-report` from what `make bench` and `make bench-growth` have measured; not to be
edited.

![The figures below as bars](speed.svg)
"""
BENCH_TEXT = """
## Against the yardstick

Measured at {time}. The yardstick is what pgbench reaches with the least that an
accrual could be, in the same run: {bases} a second. A ratio is the median of
{rounds} rounds. "At least" is what the project aims at.

| what | compared with | ratio | lowest to highest | per second | at least |
|---|---|---|---|---|---|
"""
COSTS_TEXT = """
## What a decision of anti-fraud costs

| what | median | lowest to highest | at most |
|---|---|---|---|
"""
ALONE_MS_MAX = 10.0
COSTS = {
    "assess_share": ("BatchAssess of 500, as a share of the time of BatchAccruePoints", 0.35),
    "assess_alone_p99_ms": ("one assessment at 100 a second, 99th percentile, ms", ALONE_MS_MAX),
    "echo_p99_ms": ("a bare grpc.aio echo at 100 a second, the same, ms", None),
}
GROWTH_TEXT = """
## With a larger ledger

Measured at {time}: the same loads on {small} and on {large} lots, in turn. No
load on the large ledger is to be more than {most} times slower; expiry of 1 % of the lots is
counted by lot. `laurel check` took {check_small} s and {check_large} s.

| what | times slower | lowest to highest | per second at {small} | at {large} |
|---|---|---|---|---|
"""


def bench_text(bench: Mapping[str, Any]) -> str:
    """The table of `make bench`."""
    bases = bench["base_per_second"]
    text = BENCH_TEXT.format(
        time=bench["measured_time"],
        bases=f"{min(bases):,} to {max(bases):,}",
        rounds=len(bases),
    )
    for load in _measured(bench):
        row = bench[load.key]
        text += (
            f"| {load.title} | {load.base} | {row['ratio']:.2f}"
            f" | {row['ratio_min']:.2f} to {row['ratio_max']:.2f} | {row['per_second']:,}"
            f" | {_goal(row['ratio'], load.least)} |\n"
        )
    return text + costs_text(bench)


def costs_text(bench: Mapping[str, Any]) -> str:
    """What decisions cost, where it was measured."""
    text = ""
    for key, (title, most) in COSTS.items():
        if row := bench.get(key):
            goal = "" if most is None else f"{most}" + (", missed" if row["median"] > most else "")
            spread = f"{row['lowest']:.2f} to {row['highest']:.2f}"
            text += f"| {title} | {row['median']:.2f} | {spread} | {goal} |\n"
    return text and COSTS_TEXT + text


def growth_text(growth: Mapping[str, Any]) -> str:
    """The table of `make bench-growth`."""
    small, large = (f"{lots:,}" for lots in (growth["lots"][0], growth["lots"][-1]))
    checks = growth["check_seconds"]
    text = GROWTH_TEXT.format(
        time=growth["measured_time"], small=small, large=large, most=SLOWER_MAX,
        check_small=checks[0], check_large=checks[-1],
    )  # fmt: skip
    for key, title in GROWTH_LOADS.items():
        row = growth[key]
        rates = row["per_second"]
        text += (
            f"| {title} | {row['slower']:.2f} | {row['slower_min']:.2f} to {row['slower_max']:.2f}"
            f" | {rates[0]:,} | {rates[-1]:,} |\n"
        )
    return text


def panels(bench: Mapping[str, Any], growth: Mapping[str, Any] | None) -> list[Panel]:
    """The bars of both, those with one base beside each other."""
    bases = list(dict.fromkeys(load.base for load in LOADS))
    drawn = [
        Panel(
            f"Times {base}",
            [
                _bar(load.title, bench[load.key], "ratio", load.least)
                for load in _measured(bench)
                if load.base == base
            ],
        )
        for base in bases
    ]
    if growth is not None:
        title = f"Times slower with {growth['lots'][-1]:,} lots than with {growth['lots'][0]:,}"
        bars = [
            _bar(title, growth[key], "slower", SLOWER_MAX) for key, title in GROWTH_LOADS.items()
        ]
        drawn.append(Panel(title, bars, is_less_better=True))
    return [panel for panel in drawn if panel.bars]


def _measured(bench: Mapping[str, Any]) -> Sequence[Load]:
    return [load for load in LOADS if load.key in bench]


def _bar(title: str, row: Mapping[str, Any], key: str, mark: float | None) -> Bar:
    return Bar(title, row[key], row[f"{key}_min"], row[f"{key}_max"], row["per_second"], mark)


def _goal(ratio: float, least: float | None) -> str:
    if least is None:
        return ""
    return f"{least:.1f}" if ratio >= least else f"{least:.1f}, missed"


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    found: dict[str, Any] = orjson.loads(path.read_bytes())
    return found


def main() -> None:
    """Writes the table and the chart."""
    bench, growth = _read(BENCH), _read(GROWTH)
    if bench is None:
        raise SystemExit(f"{BENCH} is not there: run `make bench` first")
    TABLE.write_text(INTRO + bench_text(bench) + (growth_text(growth) if growth else ""))
    CHART.write_text(draw(panels(bench, growth)))
    print(f"written to {TABLE} and {CHART}")


if __name__ == "__main__":
    main()
