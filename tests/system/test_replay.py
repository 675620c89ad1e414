"""OP-01, PG-02: the command line on a real house: replay, member, check, status, program."""

import asyncio
import csv
import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from cli.connect import Client
from cli.errors import UserError
from cli.orders import Columns, read_orders
from cli.supervisor import Supervisor
from house import REPOSITORY, SAMPLE
from kit.settings import SERVICES
from laurel.points.v1.points_service_pb2 import GetBalanceRequest

ORDERS = REPOSITORY / "deploy" / "data" / "cdnow_orders.csv"
ORDER_COUNT = 300
COLUMNS = ("--member", "customer_id", "--time", "order_date", "--amount", "amount_usd")
# The sample's ladder, from the top: what 12 months of spend reach, and what it multiplies.
LADDER = [(560, "2"), (260, "1.5"), (100, "1.2"), (0, "1")]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


async def laurel(house: Supervisor, *arguments: str) -> Ended:
    """Runs a command against the house, as a user would."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", *arguments, "--data", str(house.data),
        env={"PATH": os.environ["PATH"], "COLUMNS": "200"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert "Traceback" not in err.decode(), err.decode()
    return Ended(process.returncode or 0, out.decode(), err.decode())


def sample_orders() -> list[dict[str, str]]:
    """300 orders of 1997 by the first customers with five or more: enough for every tier."""
    by_customer = defaultdict(list)
    with ORDERS.open() as file:
        for row in csv.DictReader(file):
            if row["order_date"] < "1998":
                by_customer[row["customer_id"]].append(row)
    frequent = (orders for orders in by_customer.values() if len(orders) >= 5)
    return [row for orders in frequent for row in orders][:ORDER_COUNT]


def points_of(orders: Sequence[dict[str, str]]) -> int:
    """What the sample program gives: the tier in a month is what the months before have made."""
    total = 0
    spent: dict[str, Decimal] = defaultdict(Decimal)
    months = defaultdict(list)
    for row in orders:
        months[row["order_date"][:7]].append(row)
    for _, month in sorted(months.items()):
        before = dict(spent)
        for row in month:
            member, amount = row["customer_id"], Decimal(row["amount_usd"])
            reached = before.get(member, Decimal(0))
            factor = next(Decimal(times) for spend, times in LADDER if reached >= spend)
            total += int((amount * factor).quantize(Decimal(1), ROUND_HALF_UP))
            spent[member] += amount
    return total


def write_csv(file: Path, rows: Sequence[dict[str, str]]) -> Path:
    with file.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, ["customer_id", "order_date", "units", "amount_usd"])
        writer.writeheader()
        writer.writerows(rows)
    return file


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Supervisor]:
    """A house of processes under the sample program, which the command line applied."""
    data = tmp_path_factory.mktemp("replay")
    async with Supervisor(data, extra_env={"LAUREL_SCHEDULER": "false"}) as house:
        before = await laurel(house, "program", "show")
        assert (before.status, "PROGRAM_NOT_FOUND" in before.err) == (2, True), before
        for command in (("replay", str(ORDERS), *COLUMNS), ("import", "balances", str(ORDERS))):
            early = await laurel(house, *command)
            assert "apply one with `laurel program apply FILE`" in early.err, early
        ended = await laurel(house, "program", "apply", str(SAMPLE), "--reason", "the first")
        assert ended.status == 0, ended
        assert "version 1 decides from" in ended.out
        yield house


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replay that has run once."""

    file: Path
    orders: list[dict[str, str]]
    totals: dict[str, Any]


@pytest.fixture(scope="module")
async def replayed(house: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """300 orders, replayed."""
    orders = sample_orders()
    file = write_csv(tmp_path_factory.mktemp("orders") / "orders.csv", orders)
    ended = await laurel(house, "replay", str(file), *COLUMNS, "--json")
    assert ended.status == 0, ended
    return Replayed(file, orders, json.loads(ended.out))


async def fetch(house: Supervisor, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Rows of a statement, run by the owner of the database."""
    connection = await asyncpg.connect(house.env["LAUREL_DATABASE_URL"])
    try:
        return [tuple(row) for row in await connection.fetch(sql, *arguments)]
    finally:
        await connection.close()


async def books(house: Supervisor) -> list[Any]:
    """Balances, tiers and the number of postings: all that a second run must leave as it is."""
    return [
        await fetch(house, "SELECT member_id, active, pending, held, debt FROM points.account "
                           "ORDER BY member_id"),
        await fetch(house, "SELECT member_id, tier_id FROM tier.member ORDER BY member_id"),
        await fetch(house, "SELECT count(*), sum(active_after) FROM points.transaction"),
        await fetch(house, "SELECT count(*), sum(spend_minor) FROM tier.growth"),
        await fetch(house, "SELECT count(*) FROM benefits.entitlement"),
        await fetch(house, "SELECT count(*) FROM notification.message"),
    ]  # fmt: skip


async def test_a_replay_books_each_order_as_the_program_says(
    house: Supervisor, replayed: Replayed
) -> None:
    totals, orders = replayed.totals, replayed.orders
    members = {row["customer_id"] for row in orders}
    assert (totals["orders"], totals["accrued"]) == (ORDER_COUNT, ORDER_COUNT)
    assert (totals["members"], totals["enrolled"]) == (len(members), len(members))
    assert (totals["refused"], totals["under_review"], totals["bad_lines"]) == (0, 0, 0)
    spend = sum(Decimal(row["amount_usd"]) for row in orders)
    assert Decimal(totals["spend"]) == spend
    assert totals["points"] == points_of(orders)
    assert totals["points"] > spend * Decimal("1.1"), "tiers multiplied"
    grown = await fetch(house, "SELECT sum(spend_minor)::bigint FROM tier.growth")
    assert grown == [(int(spend * 100),)]


async def test_a_second_replay_changes_nothing(house: Supervisor, replayed: Replayed) -> None:
    before = await books(house)
    ended = await laurel(house, "replay", str(replayed.file), *COLUMNS, "--json")
    assert ended.status == 0
    again = json.loads(ended.out)
    for name in ("orders", "members", "accrued", "points", "spend", "refused"):
        assert again[name] == replayed.totals[name]
    assert await books(house) == before


async def test_lines_that_are_no_orders_are_named_and_the_others_booked(
    house: Supervisor, replayed: Replayed, tmp_path: Path
) -> None:
    good = {"customer_id": "bad-1", "order_date": "1997-12-30", "units": "1", "amount_usd": "7.00"}
    wrong = [
        {**good, "amount_usd": "seven"},
        {**good, "order_date": "31.12.1997"},
        {**good, "customer_id": ""},
        {**good, "amount_usd": "-1"},
        {**good, "units": "1\n2"},
    ]
    file = write_csv(tmp_path / "bad.csv", [wrong[0], good, *wrong[1:]])
    with file.open("a") as handle:
        handle.write('bad-1,1997-12-30,"1,7.00\nbad-1,1997-12-30,1,7.00\n')
    ended = await laurel(house, "replay", str(file), *COLUMNS, "--json")
    assert ended.status == 1
    said = ended.err.replace("\n", " ")
    for line, value in (
        (2, "'seven'"),
        (4, "'31.12.1997'"),
        (5, "''"),
        (6, "'-1'"),
        (7, "closed on line 8"),
        (9, "line 10, the last"),
    ):
        assert f"line {line}: " in said
        assert value in said
    totals = json.loads(ended.out)
    assert (totals["bad_lines"], totals["accrued"], totals["points"]) == (6, 1, 7)


def test_an_order_is_refused_rather_than_read_by_guess(tmp_path: Path) -> None:
    """An amount of 1,234.50 without quotes is two fields; times at the ends are nobody's orders."""
    good = {"1998-01-05": 12, "9998-12-31": 13, "1900-01-02T03:04:05-12:00": 14}
    bad = [
        "m,1998-01-05,1,234.50",
        "m,9999-12-31,5.00",
        "m,9999-12-31T23:59:59-12:00,5.00",
        "m,0001-01-01,5.00",
        "m,0001-01-01T00:00:00+14:00,5.00",
        "m,1998-13-01,5.00",
    ]
    file = tmp_path / "orders.csv"
    # Some systems end each line with a comma.
    lines = [f"m,{time},{amount}," for time, amount in good.items()]
    file.write_text("\n".join(["who,day,spent", *bad, *lines]) + "\n")
    for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"):
        orders, refused = read_orders(file, Columns("who", "day", "spent"), ZoneInfo(zone))
        assert sorted(order.units for order in orders) == sorted(good.values())
        assert [line.line for line in refused] == [2, 3, 4, 5, 6, 7]


async def test_a_file_without_the_column_is_refused_with_the_columns_it_has(
    house: Supervisor, replayed: Replayed
) -> None:
    columns = ("--member", "customer", *COLUMNS[2:])
    ended = await laurel(house, "replay", str(replayed.file), *columns)
    assert ended.status == 2
    assert "there is no column customer; its columns are customer_id, order_date" in ended.err
    missing = await laurel(house, "replay", str(replayed.file) + ".no", *COLUMNS)
    assert (missing.status, "cannot be read" in missing.err) == (2, True)


async def test_a_member_is_shown_with_all_that_is_known(
    house: Supervisor, replayed: Replayed
) -> None:
    spent: dict[str, Decimal] = defaultdict(Decimal)
    for row in replayed.orders:
        spent[row["customer_id"]] += Decimal(row["amount_usd"])
    best = max(spent, key=lambda member: spent[member])
    ended = await laurel(house, "member", "show", best, "--json")
    assert ended.status == 0, ended
    shown = json.loads(ended.out)
    # Orders of long ago: their points have ended, whether or not anybody has booked it.
    stored = await fetch(
        house,
        "SELECT coalesce(sum(remaining), 0)::bigint FROM points.lot "
        "WHERE member_id = $1 AND NOT pending AND (expire_time IS NULL OR expire_time > now())",
        best,
    )
    assert shown["member"]["member_id"] == best
    assert [(int(shown["balance"]["active"]),)] == stored
    assert shown["tier_status"]["tier_id"] == "diamond"
    assert shown["tier_decisions"][0]["to_tier_id"] == "diamond"
    assert shown["entitlements"]
    assert shown["messages"]
    accruals = [t for t in shown["transactions"] if t["kind"] == "TRANSACTION_KIND_ACCRUAL"]
    assert all(entry["explanation"]["lines"] for entry in accruals)

    page = await laurel(house, "member", "show", best)
    assert (page.status, f"Member {best}: Diamond" in page.out) == (0, True)
    nobody = await laurel(house, "member", "show", "nobody")
    assert (nobody.status, "there is no member nobody" in nobody.err) == (2, True)


async def test_what_looks_like_markup_is_shown_as_it_is(
    house: Supervisor, replayed: Replayed, tmp_path: Path
) -> None:
    """Ids and texts of others are no orders to the terminal."""
    who = "mk[red]3"
    row = {"customer_id": who, "order_date": "1997-12-30", "units": "1", "amount_usd": "7.00"}
    orders = write_csv(tmp_path / "orders.csv", [{**row, "units": "A[/7]"}])
    assert (await laurel(house, "replay", str(orders), *COLUMNS, "--order", "units")).status == 0
    history = tmp_path / "history.csv"
    history.write_text(
        f"member_id,points,occurred_time,description\n{who},5,1997-12-31,fix [/bug] of :cat:\n"
    )
    assert (await laurel(house, "import", "history", str(history))).status == 0
    page = (await laurel(house, "member", "show", who)).out
    for text in (f"Member {who}: Member", "order A[/7]", "fix [/bug] of :cat:"):
        assert text in page


async def test_who_was_imported_and_not_enrolled_is_shown(
    house: Supervisor, replayed: Replayed, tmp_path: Path
) -> None:
    balances = tmp_path / "balances.csv"
    balances.write_text("member_id,points,earned_time,expire_time\nimported,60,1997-12-31,never\n")
    assert (await laurel(house, "import", "balances", str(balances))).status == 0
    page = (await laurel(house, "member", "show", "imported")).out
    assert "Member imported: not enrolled" in page
    assert "60 points active" in page
    assert "brought from another system" in page
    shown = json.loads((await laurel(house, "member", "show", "imported", "--json")).out)
    assert (shown["member"], shown["tier_status"]) == (None, None)
    assert (shown["balance"]["active"], len(shown["transactions"])) == ("60", 1)


async def ask_twice(house: Supervisor) -> None:
    """Calls points side by side, as a replay does."""

    async def ask(client: Client) -> None:
        await client.points.GetBalance(GetBalanceRequest(member_id="anybody"))

    async with Client(house.env) as client, asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(ask(client))


async def test_a_replay_says_so_when_points_goes_away(
    house: Supervisor, replayed: Replayed
) -> None:
    """Calls that fail side by side are told as one is."""
    await ask_twice(house)
    await house.stop_service("points")
    try:
        with pytest.raises(UserError, match="UNAVAILABLE"):
            await ask_twice(house)
    finally:
        await house.start_service("points")
        await house.wait_ready()


async def test_check_holds_and_names_the_member_whose_balance_was_changed(
    house: Supervisor, replayed: Replayed
) -> None:
    whole = await laurel(house, "check")
    assert (whole.status, ", 0 broken" in whole.out) == (0, True), whole.out
    member = replayed.orders[0]["customer_id"]
    change = "UPDATE points.account SET active = active + $2 WHERE member_id = $1"
    await fetch(house, change, member, 1)
    try:
        broken = await laurel(house, "check")
    finally:
        await fetch(house, change, member, -1)
    assert broken.status == 1
    assert "BROKEN" in broken.out
    assert f"member_id={member}" in broken.out
    assert (await laurel(house, "check")).status == 0


async def test_status_lists_every_part(house: Supervisor) -> None:
    ended = await laurel(house, "status", "--json")
    parts = json.loads(ended.out)
    assert ended.status == 0
    assert [part["name"] for part in parts] == ["postgres", "nats", *SERVICES]
    assert all(part["ready"] and part["pid"] and part["address"] for part in parts)


async def test_versions_of_the_program_are_kept_compared_and_shown(
    house: Supervisor, replayed: Replayed, tmp_path: Path
) -> None:
    """PG-02"""
    changed = tmp_path / "changed.yaml"
    changed.write_text(SAMPLE.read_text().replace("pending_days: 14", "pending_days: 21"))
    ended = await laurel(house, "program", "apply", str(changed), "--reason", "a longer [/window]")
    assert (ended.status, "version 2 decides from" in ended.out) == (0, True), ended
    assert "earning.pending_days: 14 -> 21" in ended.out

    assert (await laurel(house, "program", "show")).out == changed.read_text()
    assert (await laurel(house, "program", "show", "--version", "1")).out == SAMPLE.read_text()
    history = (await laurel(house, "program", "history")).out
    assert "a longer [/window]" in history
    assert "the first" in history
    assert "admin" in history
    back = await laurel(house, "program", "diff", str(SAMPLE))
    assert (back.status, back.out) == (0, "earning.pending_days: 21 -> 14\n")
    none = await laurel(house, "program", "diff", str(SAMPLE), "--version", "1")
    assert (none.status, none.out) == (0, "no difference\n")
    late = await laurel(
        house, "program", "apply", str(SAMPLE), "--reason", "back", "--expected-version", "1"
    )
    assert (late.status, "PROGRAM_VERSION_CHANGED" in late.err) == (2, True)


async def test_a_month_that_has_not_ended_ends_nobodys_points(
    house: Supervisor, replayed: Replayed, tmp_path: Path
) -> None:
    """An order of today, and one that lies ahead, close no month for members of other files."""
    now = datetime.now(UTC)
    balances = tmp_path / "balances.csv"
    soon = now + timedelta(hours=1)
    balances.write_text(
        f"member_id,points,earned_time,expire_time\nlasting,500,{now:%Y-%m-%d},{soon.isoformat()}\n"
    )
    report = ("--report", str(tmp_path / "refused.csv"))
    assert (await laurel(house, "import", "balances", str(balances), *report)).status == 0
    order = {"customer_id": "late", "units": "1", "amount_usd": "5.00"}
    days = (now, now + timedelta(days=40))
    file = write_csv(
        tmp_path / "late.csv",
        [{**order, "order_date": f"{day:%Y-%m-%dT00:00:00Z}"} for day in days],
    )
    ended = await laurel(house, "replay", str(file), *COLUMNS, "--json")
    totals = json.loads(ended.out)
    assert (totals["accrued"], totals["refused_by_reason"]) == (1, {"TIME_IN_FUTURE": 1})
    kept = await fetch(house, "SELECT active FROM points.account WHERE member_id = 'lasting'")
    assert kept == [(500,)]
