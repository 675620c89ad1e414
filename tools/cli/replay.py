"""`laurel replay`: real orders become points, tiers, benefits and messages, in the order of their
time.
"""

import asyncio
import hashlib
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
import uvloop
from cyclopts import Parameter
from google.type.money_pb2 import Money
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from cli.connect import Client
from cli.console import open_console
from cli.env import client_env
from cli.orders import BadLine, Columns, Order, read_orders
from cli.quiet import Settler
from cli.state import DEFAULT_DATA
from kit.clock import to_timestamp
from kit.errors import info_of
from laurel.points.v1 import points_service_pb2 as points_pb
from laurel.program.v1.program_service_pb2 import GetProgramRequest
from laurel.tier.v1 import member_service_pb2 as member_pb
from laurel.tier.v1.tier_service_pb2 import RunReviewRequest

ROWS_PER_CALL = 500
LANES = 2
CALL_SECONDS = 30
SHOWN_MAX = 20


@dataclass(slots=True)
class Totals:
    """What came of a replay."""

    orders: int = 0
    members: int = 0
    enrolled: int = 0
    accrued: int = 0
    under_review: int = 0
    points: int = 0
    spend: dict[str, int] = field(default_factory=lambda: {"units": 0, "nanos": 0})
    refused: Counter[str] = field(default_factory=Counter)
    bad_lines: int = 0
    expired_points: int = 0
    demoted: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: counts, points, spend as a decimal, refusals by reason, seconds by stage."""
        nanos = self.spend["units"] * 10**9 + self.spend["nanos"]
        rate = self.orders / self.seconds["orders"] if self.seconds.get("orders") else 0.0
        return {
            "orders": self.orders,
            "members": self.members,
            "enrolled": self.enrolled,
            "accrued": self.accrued,
            "under_review": self.under_review,
            "refused": sum(self.refused.values()),
            "refused_by_reason": dict(self.refused),
            "bad_lines": self.bad_lines,
            "points": self.points,
            "spend": f"{nanos // 10**9}.{nanos % 10**9 // 10**7:02d}",
            "expired_points": self.expired_points,
            "demoted": self.demoted,
            "orders_per_second": round(rate, 1),
            "seconds": {stage: round(spent, 2) for stage, spent in self.seconds.items()},
        }


class Replay:
    """Enrols the members of a list of orders, then books the orders month by month.

    After each month it waits until all events have taken effect and runs the scheduled work as of
    the month's end, so that tiers rise, fall and multiply as they would have done then. A month
    that has not ended closes as of now: nobody's points end before their time.
    """

    def __init__(self, client: Client, settler: Settler | None, progress: Progress) -> None:
        self._client = client
        self._settler = settler
        self._progress = progress
        self.totals = Totals()

    async def run(self, orders: Sequence[Order], zone: ZoneInfo, currency: str) -> Totals:
        """Replays orders that are in the order of time."""
        self.totals.orders = len(orders)
        now = await self._client.now()
        await self._enrol(orders)
        bar = self._progress.add_task("orders", total=len(orders))
        for month in _months(orders, zone):
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for lane in _lanes(month):
                    group.create_task(self._replay_lane(lane, currency, bar))
            self._spent("orders", began)
            await self._close_month(min(_month_end(month[-1].time, zone), now))
        return self.totals

    async def _replay_lane(self, lane: Sequence[Order], currency: str, bar: TaskID) -> None:
        for start in range(0, len(lane), ROWS_PER_CALL):
            part = lane[start : start + ROWS_PER_CALL]
            await self._accrue(part, currency)
            self._progress.advance(bar, len(part))

    async def _enrol(self, orders: Sequence[Order]) -> None:
        began = time.perf_counter()
        first: dict[str, datetime] = {}
        for order in orders:
            first.setdefault(order.member_id, order.time)
        self.totals.members = len(first)
        bar = self._progress.add_task("members", total=len(first))
        members = list(first.items())
        for start in range(0, len(members), ROWS_PER_CALL):
            part = members[start : start + ROWS_PER_CALL]
            rows = [
                member_pb.EnrolMemberRequest(
                    request_id=_enrol_id(member_id), member_id=member_id,
                    enrol_time=to_timestamp(instant), channel="replay",
                )
                for member_id, instant in part
            ]  # fmt: skip
            request = member_pb.BatchEnrolMembersRequest(requests=rows)
            response = await self._client.members.BatchEnrolMembers(request, timeout=CALL_SECONDS)
            self.totals.enrolled += sum(row.HasField("member") for row in response.results)
            self._progress.advance(bar, len(part))
        await self._settle()
        self._spent("members", began)

    async def _accrue(self, orders: Sequence[Order], currency: str) -> None:
        request = points_pb.BatchAccruePointsRequest(
            requests=[_accrual(order, currency) for order in orders]
        )
        response = await self._client.points.BatchAccruePoints(request, timeout=CALL_SECONDS)
        totals = self.totals
        for order, result in zip(orders, response.results, strict=True):
            if result.HasField("error"):
                totals.refused[info_of(result.error).reason] += 1
                continue
            totals.accrued += 1
            totals.points += result.accrued.points
            totals.under_review += result.accrued.under_review
            totals.spend["units"] += order.units
            totals.spend["nanos"] += order.nanos

    async def _close_month(self, end: datetime) -> None:
        began = time.perf_counter()
        await self._settle()
        self._spent("events", began)
        began = time.perf_counter()
        as_of = to_timestamp(end)
        client, timeout = self._client, 10 * CALL_SECONDS
        await client.points.RunMaturation(
            points_pb.RunMaturationRequest(as_of_time=as_of), timeout=timeout
        )
        expiry = await client.points.RunExpiry(
            points_pb.RunExpiryRequest(as_of_time=as_of), timeout=timeout
        )
        review = await client.tiers.RunReview(RunReviewRequest(as_of_time=as_of), timeout=timeout)
        await self._settle()
        self.totals.expired_points += expiry.expired_points
        self.totals.demoted += review.demoted_count
        self._spent("scheduled work", began)

    async def _settle(self) -> None:
        if self._settler is not None:
            await self._settler.settle()

    def _spent(self, stage: str, began: float) -> None:
        spent = self.totals.seconds.get(stage, 0.0) + time.perf_counter() - began
        self.totals.seconds[stage] = spent


def _enrol_id(member_id: str) -> str:
    digest = hashlib.blake2b(member_id.encode(), digest_size=16).hexdigest()
    return f"replay:enrol:{digest}"


def _accrual(order: Order, currency: str) -> points_pb.AccruePointsRequest:
    return points_pb.AccruePointsRequest(
        request_id=f"replay:{order.key}",
        member_id=order.member_id,
        purchase=points_pb.Purchase(
            order_id=order.order_id,
            amount=Money(currency_code=currency, units=order.units, nanos=order.nanos),
            categories=[order.category] if order.category else [],
        ),
        occurred_time=to_timestamp(order.time),
    )


def _months(orders: Sequence[Order], zone: ZoneInfo) -> Iterator[list[Order]]:
    month: list[Order] = []
    for order in orders:
        if month and order.time >= _month_end(month[0].time, zone):
            yield month
            month = []
        month.append(order)
    if month:
        yield month


def _lanes(orders: Sequence[Order]) -> list[list[Order]]:
    """Orders of one member stay in one lane, in their order; lanes go side by side."""
    lanes: list[list[Order]] = [[] for _ in range(LANES)]
    for order in orders:
        lanes[zlib.crc32(order.member_id.encode()) % LANES].append(order)
    return lanes


def _month_end(instant: datetime, zone: ZoneInfo) -> datetime:
    first = instant.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1).astimezone(UTC)


async def _replay(
    environ: Mapping[str, str], file: Path, columns: Columns, console: Console
) -> tuple[Totals, list[BadLine]]:
    async with Client(environ) as client:
        response = await client.program.GetProgram(GetProgramRequest())
        program = response.program_version.program
        zone = ZoneInfo(program.time_zone)
        orders, bad = read_orders(file, columns, zone)
        settler = await _settler(environ, console)
        try:
            with make_progress(console) as progress:
                totals = await Replay(client, settler, progress).run(orders, zone, program.currency)
        finally:
            if settler is not None:
                await settler.close()
    totals.bad_lines = len(bad)
    return totals, bad


async def _settler(environ: Mapping[str, str], console: Console) -> Settler | None:
    if {"LAUREL_DATABASE_URL", "LAUREL_NATS_URL", "LAUREL_CERT_DIR"} <= set(environ):
        return await Settler.open(environ)
    console.print(
        "LAUREL_DATABASE_URL and LAUREL_NATS_URL are not set: "
        "months are not waited for, so a tier may rise a little late"
    )
    return None


def make_progress(console: Console) -> Progress:
    """A progress bar with counts and a rate."""
    return Progress(
        TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), _Rate(),
        TimeElapsedColumn(), console=console,
    )  # fmt: skip


class _Rate(ProgressColumn):
    """Rows a second, over the whole of the task."""

    def render(self, task: Task) -> Text:
        """The rate so far."""
        speed = task.completed / task.elapsed if task.elapsed else 0
        return Text(f"{speed:,.0f}/s")


def replay(
    file: Path,
    *,
    member: str,
    time: str,
    amount: str,
    order: str | None = None,
    category: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data: Path = DEFAULT_DATA,
) -> None:
    """Replay a CSV file of orders; run again, it changes nothing.

    Enrols the members, books the orders in the order of their time, and runs the scheduled work
    (maturing, expiry, tier reviews) as of the end of each month, or as of now in one that has not
    ended.

    Parameters
    ----------
    file
        CSV file with a header line.
    member
        Column with the member's id.
    time
        Column with a date or an ISO 8601 time; without a zone, in the program's.
    amount
        Column with the amount, in units of the program's currency.
    order
        Column with the order's id; made from the line's content where there is none.
    category
        Column with the category of what was bought.
    as_json
        Print the totals as JSON.
    data
        Folder of the house, where LAUREL_*_ADDR are not set.

    Exits 1 when lines of the file were no orders; all others are booked all the same.
    """
    columns = Columns(member, time, amount, order, category)
    console = open_console(stderr=True)
    totals, bad = uvloop.run(_replay(client_env(data), file, columns, console))
    for line in bad[:SHOWN_MAX]:
        console.print(f"{file}: {line}", highlight=False)
    if as_json:
        print(orjson.dumps(totals.as_dict(), option=orjson.OPT_INDENT_2).decode())
    else:
        show_totals(totals, open_console())
    if bad:
        sys.exit(1)


def show_totals(totals: Totals, console: Console) -> None:
    """The totals, for people."""
    for name, value in totals.as_dict().items():
        console.print(f"  {name:<18} {value}", highlight=False)
