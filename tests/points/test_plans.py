"""Statements that callers wait for find their rows by an index, whatever the size of the tables."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from house import Ground
from kit.db import load_queries, packed_texts

MEMBERS = 2_000
LOTS_OF_EACH = 25
LAST = UUID(int=2**128 - 1)
NOW = datetime(2026, 11, 24, tzinfo=UTC)

# Accruals of two years, a lot each, every tenth pending and every fifth used up; a hold and a debt
# of each member. None of it is due yet, but for what DUE adds.
FILL = f"""
INSERT INTO points.account (member_id) SELECT 'm' || g FROM generate_series(1, {MEMBERS}) AS g;
CREATE TEMP TABLE made AS
SELECT
    'm' || m AS member_id, n,
    (lpad(to_hex(1700000000000 + (n * {MEMBERS} + m) * 1000), 12, '0') || '7000'
        || '8000' || lpad(to_hex(m), 12, '0'))::uuid AS id
FROM generate_series(1, {MEMBERS}) AS m, generate_series(1, {LOTS_OF_EACH}) AS n;
INSERT INTO points.transaction
SELECT
    member_id, id, 1, ARRAY[11]::smallint[], ARRAY[1]::smallint[], ARRAY[10]::bigint[], ARRAY[id],
    ARRAY[10]::bigint[], 10 * n, 0, 0, 0, 1, NULL, 'order' || n, NULL, NULL,
    now() - (50 - n) * interval '1 day', now() - (50 - n) * interval '1 day', NULL
FROM made;
INSERT INTO points.lot
SELECT
    member_id, id, id, n % 10 = 0, 10, CASE WHEN n % 5 = 1 THEN 0 ELSE 10 END, 0,
    CASE WHEN n % 10 = 0 THEN now() + interval '5 days' END, now() + n * interval '10 days',
    now() + n * interval '10 days'
FROM made;
INSERT INTO points.board (period, start_date, region)
SELECT 3, '2026-01-01', 'r' || g FROM generate_series(1, 10) AS g;
INSERT INTO points.score
SELECT 'm' || m, board_id, (m * 7919) % 997
FROM generate_series(1, {MEMBERS}) AS m CROSS JOIN points.board;
INSERT INTO points.request (request_id, method, content_hash, response)
SELECT member_id || '-' || n, 'Import', '', uuid_send(id) || convert_to(member_id, 'UTF8')
FROM made;
ANALYZE points.board; ANALYZE points.score; ANALYZE points.request;
INSERT INTO points.hold
SELECT
    'm' || m, gen_random_uuid(), 10, 10 * (m % 2), 0, 0, 1 + m % 2, 'order', 1,
    now() + (m % 2 * -2 + 1) * interval '1 day', now()
FROM generate_series(1, {MEMBERS}) AS m;
INSERT INTO points.debt
SELECT
    'm' || m, gen_random_uuid(), 10, now() + interval '1 day',
    CASE WHEN m % 2 = 0 THEN now() + interval '1 day' END
FROM generate_series(1, {MEMBERS}) AS m;
"""
DUE = """
INSERT INTO points.lot
SELECT
    'm' || m, gen_random_uuid(), gen_random_uuid(), m <= 7, 10, 10, 0,
    now() - interval '2 days', now() + CASE WHEN m <= 7 THEN 9 ELSE -1 END * interval '1 day',
    now() - interval '1 day'
FROM generate_series(1, 18) AS m;
INSERT INTO points.hold
SELECT 'd' || d, gen_random_uuid(), 10, 0, 0, 0, 1, 'order', 1, now() - interval '1 hour', now()
FROM generate_series(1, 5) AS d;
INSERT INTO points.debt
SELECT 'd' || d, gen_random_uuid(), 10, now(), now() - interval '1 hour'
FROM generate_series(1, 4) AS d;
ANALYZE points.account; ANALYZE points.transaction; ANALYZE points.lot;
ANALYZE points.hold; ANALYZE points.debt;
"""


@pytest.fixture(scope="module")
async def filled(ground: Ground) -> AsyncIterator[Any]:
    """A connection to a ledger of some size, planning as the service does."""
    async with ground.house() as house:
        connection = await asyncpg.connect(
            house.settings.database_url,
            server_settings={"search_path": "points", "plan_cache_mode": "force_generic_plan"},
        )
        await connection.execute(FILL + DUE)
        yield connection
        await connection.close()


async def plan_of(connection: Any, name: str, *args: object) -> dict[str, Any]:
    """How Postgres runs a statement, with what it really read."""
    # Prepared: EXPLAIN with parameters plans for their very values, which no service does.
    async with connection.transaction():
        await connection.execute(f"PREPARE asked AS {load_queries('points')[name]}")
        values = ", ".join(map(literal, args))
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked ({values})"
        [row] = await connection.fetch(explain)
        await connection.execute("DEALLOCATE asked")
    found: dict[str, Any] = orjson.loads(row[0])[0]["Plan"]
    return found


def literal(value: object) -> str:
    """A value in SQL."""
    match value:
        case None:
            return "NULL"
        case int():
            return str(value)
        case list():
            return f"ARRAY[{', '.join(map(literal, value))}]"
        case UUID():
            return f"'{value}'::uuid"
        case datetime():
            return f"'{value.isoformat()}'::timestamptz"
        case _:
            return f"'{value}'"


def nodes_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan node with all below it."""
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes_of(child))]


STATEMENTS = {
    "find_accounts": (packed_texts(["m1", "m7", "m1999"]),),
    "load_lots_ending": (["m1", "m7"], datetime.now(UTC), [datetime(2100, 1, 1, tzinfo=UTC)] * 2),
    "get_balances": ([f"m{n}" for n in (1, 7, 1999)], NOW),
    "get_balance_at": ("m7", datetime.now(UTC)),
    "list_dates": ("m7", "America/New_York", NOW),
    "list_transactions": ("m7", LAST, 11, None, None, None, None, None, None),
    "list_lots": ("m7", LAST, 51, NOW, 0),
    "get_transactions": (["m7"], [LAST]),
    "get_lot_origins": (["m7"], [LAST]),
    "find_imported": (["m7-1", "m1999-3"],),
    "list_scores": (1, 500, "m5", 51),
    "count_higher": (1, 990),
    "count_before": (1, 990, "m5"),
    "get_rank": (1, "m7", 10),
    "load_bonuses": (["m7"], [LAST]),
    "sum_lost_bonuses": (["m7"], [LAST]),
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_read_of_one_member_walks_indexes_only(filled: Any, name: str) -> None:
    """PT-07: no scan of a table; what is read is of the members asked for, not of the ledger."""
    plan = await plan_of(filled, name, *STATEMENTS[name])
    scans = [node for node in nodes_of(plan) if "Relation Name" in node]
    assert scans
    # An empty partition may be scanned; it has nothing to read.
    read = [node for node in scans if node["Actual Rows"] or node.get("Rows Removed by Filter")]
    assert [node["Node Type"] for node in read if node["Node Type"] == "Seq Scan"] == []
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 400


@pytest.mark.parametrize(
    "wanted",
    [
        ([8], None, None, None, None, None),
        (None, NOW, NOW, None, None, None),
        (None, None, None, "order7", None, None),
        (None, None, None, None, LAST, LAST),
    ],
)
async def test_filters_look_at_the_member_alone(filled: Any, wanted: tuple[object, ...]) -> None:
    """A filter that nothing passes reads the member's history once, and nobody else's."""
    plan = await plan_of(filled, "list_transactions", "m7", LAST, 11, *wanted)
    read = [node for node in nodes_of(plan) if node.get("Rows Removed by Filter")]
    assert all(node["Node Type"] != "Seq Scan" for node in read)
    assert sum(node["Rows Removed by Filter"] for node in read) <= LOTS_OF_EACH


async def test_a_past_balance_reads_what_was_recorded_since(filled: Any) -> None:
    """PT-07: twice at most, and the last that was recorded by then; not the history before it."""
    at = await filled.fetchval("SELECT now() - interval '30 days' + interval '1 hour'")
    later = "SELECT count(*) FROM transaction WHERE member_id = 'm7' AND record_time > $1"
    assert await filled.fetchval(later, at) == 5
    plan = await plan_of(filled, "get_balance_at", "m7", at)
    read = [node for node in nodes_of(plan) if node.get("Relation Name", "").startswith("trans")]
    assert sum(n["Actual Rows"] + n.get("Rows Removed by Filter", 0) for n in read) <= 5 + 1 + 6


async def test_pending_points_past_their_end_are_found_by_an_index_of_their_own(
    filled: Any,
) -> None:
    """PT-07: of a member's pending lots those alone that end before they can become active."""
    plan = await plan_of(filled, "get_balances", ["m1", "m7"], NOW)
    assert "lot_pending_to_end" in {node.get("Index Name") for node in nodes_of(plan)}


async def test_a_step_of_scheduled_work_reads_what_it_takes(filled: Any) -> None:
    """Of lots that are all due at one instant, as at the end of a year, a step reads its 500."""
    due = await filled.fetchval("SELECT max(due_time) FROM lot WHERE remaining > 0")
    assert await filled.fetchval("SELECT count(*) FROM lot WHERE due_time = $1", due) == MEMBERS
    plan = await plan_of(filled, "find_ending_lots", due, due, UUID(int=0), 500)
    read = [node for node in nodes_of(plan) if "Relation Name" in node]
    looked_at = [node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in read]
    assert looked_at == [500]


FROM_THE_START = datetime(1, 1, 1, tzinfo=UTC), UUID(int=0)


@pytest.mark.parametrize(
    ("name", "after", "due_count", "looked_at_max"),
    [
        # Lots that are due for other work are passed over.
        ("find_maturing_lots", FROM_THE_START, 7, 18),
        ("find_ending_lots", FROM_THE_START, 11, 18),
        ("find_due_holds", (), 5, 5),
        ("find_due_debts", (), 4, 4),
    ],
)
async def test_scheduled_work_looks_at_what_is_due_alone(
    filled: Any, name: str, after: tuple[object, ...], due_count: int, looked_at_max: int
) -> None:
    """PT-06: of tens of thousands of lots, and thousands of holds and debts, at the few due."""
    plan = await plan_of(filled, name, datetime.now(UTC), *after, 500)
    assert plan["Actual Rows"] == due_count
    [scan] = [node for node in nodes_of(plan) if "Relation Name" in node]
    assert scan["Node Type"] in ("Index Scan", "Bitmap Heap Scan"), plan
    assert scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) <= looked_at_max
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100
