"""The statements of `laurel check` read what there is a few times over, however it is spread."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import orjson
import pytest

from cli.check import Check, load_checks, statement_of
from house import Ground

ACCRUALS = 24_000
OF_ONE = 4_000

# Accruals, each assessed; those of one busy member, and one each of many others.
FILL = f"""
CREATE TEMP TABLE made AS
SELECT
    CASE WHEN n <= {OF_ONE} THEN 'busy' ELSE 'm' || n END AS member_id, n,
    CASE WHEN n <= {OF_ONE} THEN n ELSE 1 END AS nth,
    uuidv7() AS id, uuidv7() AS assessment_id, n % 4 = 0 AS review
FROM generate_series(1, {ACCRUALS}) AS n;
INSERT INTO points.account (member_id, active)
SELECT member_id, 10 * count(*) FROM made GROUP BY member_id;
INSERT INTO antifraud.assessment
SELECT
    member_id, 'r' || n, assessment_id, 1, CASE WHEN review THEN 2 ELSE 1 END, 0, 1, 10, now(),
    now(), CASE WHEN review THEN '[{{"action": 2, "score": 0}}]'::jsonb END
FROM made;
INSERT INTO points.transaction
SELECT
    member_id, id, 1, ARRAY[11]::smallint[], ARRAY[1]::smallint[], ARRAY[10]::bigint[], ARRAY[id],
    ARRAY[10]::bigint[], 10 * nth, 0, 0, 0, 1, 'r' || n, 'o' || n, NULL, NULL, now(), now(),
    jsonb_build_object('points', 10, 'assessment', assessment_id, 'review', review)
FROM made;
INSERT INTO points.lot SELECT member_id, id, id, false, 10, 10, 0, NULL, NULL, NULL FROM made;
INSERT INTO points.request
SELECT 'r' || n, 'Accrue', '', uuid_send(id) || convert_to(member_id, 'UTF8') FROM made;
"""


@pytest.fixture(scope="module")
async def filled(ground: Ground) -> AsyncIterator[Any]:
    """A connection to a ledger with a busy member."""
    async with ground.house() as house:
        connection = await asyncpg.connect(house.settings.database_url)
        await connection.execute(FILL)
        await connection.execute("ANALYZE antifraud.assessment; ANALYZE points.transaction")
        yield connection
        await connection.close()


def rows_read(plan: dict[str, Any]) -> float:
    """All rows that the scans of a plan have looked at."""
    looked = 0.0
    if "Relation Name" in plan:
        looked = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        looked *= plan["Actual Loops"]
    return looked + sum(rows_read(child) for child in plan.get("Plans", ()))


@pytest.mark.parametrize("check", load_checks(), ids=lambda check: check.title)
async def test_a_check_reads_the_ledger_a_few_times_at_most(filled: Any, check: Check) -> None:
    """Work that grows with the square of a busy member's history would take minutes."""
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement_of(check)}"
    [row] = await filled.fetchrow(explain)
    assert rows_read(orjson.loads(row)[0]["Plan"]) <= 8 * ACCRUALS
