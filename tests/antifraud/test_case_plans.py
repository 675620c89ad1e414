"""AF-05: what operators wait for is found by an index, however many operations were assessed."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from house import Ground
from kit.db import load_queries

# Every tenth operation names a device, a card and a receiver; most of the cases are decided.
FILL = """
INSERT INTO antifraud.assessment (
    member_id, request_id, assessment_id, kind, action, score, program_version, points,
    occurred_time, create_time, fired, type, context
)
SELECT
    'm' || n % 2000, 'r' || n, gen_random_uuid(), 2, 1, 0, 1, 10, now(), now(), NULL,
    CASE WHEN n % 10 = 0 THEN 'gift' ELSE 'order' END,
    CASE WHEN n % 10 = 0 THEN
        jsonb_build_object(
            'device', 'd' || n % 1000, 'card', 'c' || n % 1000, 'counterparty', 'm' || n % 300
        )
    END
FROM generate_series(1, 40000) AS n;
INSERT INTO antifraud.fraud_case (
    case_id, member_id, state, score, assessment_count, open_time, last_assessment_time, outcome,
    operator, identity, reason, decide_time
)
SELECT gen_random_uuid(), 'm' || n, 2, n % 1000, 1, now(), now(), 1, 'o', 'i', 'r', now()
FROM generate_series(1, 20000) AS n;
INSERT INTO antifraud.fraud_case (
    case_id, member_id, state, score, assessment_count, open_time, last_assessment_time
)
SELECT gen_random_uuid(), 'm' || n, 1, n % 1000, 1, now(), now() FROM generate_series(1, 500) AS n;
INSERT INTO antifraud.case_item (member_id, request_id, assessment_id, case_id, kind)
SELECT a.member_id, a.request_id, a.assessment_id, c.case_id, 2
FROM antifraud.assessment AS a
INNER JOIN antifraud.fraud_case AS c ON c.member_id = a.member_id AND c.state = 2;
ANALYZE antifraud.assessment; ANALYZE antifraud.fraud_case; ANALYZE antifraud.case_item;
"""
CASE = "(SELECT case_id FROM antifraud.fraud_case WHERE member_id = 'm7' AND state = 2)"
ASKED = {
    "list_oldest_cases": "'{1}', '', now(), 50, NULL",
    "list_highest_cases": "'{1,2}', '', now(), 50, NULL, 0::smallint",
    "list_member_cases": "'m7', '{1,2}', '', now(), true, NULL, 0::smallint, 50",
    "list_case_items": f"{CASE}, '{UUID(int=1)}', 1000",
    "list_case_assessments": f"{CASE}, NULL, 50",
    "find_device_links": "'{d10,d20}', 'm7', 50",
    "find_card_links": "'{c10,c20}', 'm7', 50",
    "find_givers": "'m10', 50",
    "find_receivers": "'m10', 50",
    "find_outcomes": "'{m7,m8}', '{r7,r8}'",
}
ROWS_MAX = 1000


@pytest.fixture(scope="module")
async def filled(ground: Ground) -> AsyncIterator[Any]:
    """A connection to a database full of operations, as a service has it."""
    async with ground.house() as house:
        connection = await asyncpg.connect(house.settings.database_url)
        await connection.execute(FILL)
        await connection.execute(
            "SET search_path = antifraud; SET plan_cache_mode = force_generic_plan; SET jit = off"
        )
        yield connection
        await connection.close()


@pytest.mark.parametrize("name", ASKED)
async def test_a_question_about_cases_reads_what_it_shows(filled: Any, name: str) -> None:
    values = ASKED[name]
    if CASE in values:
        case_id: UUID = await filled.fetchval(CASE)
        values = values.replace(CASE, f"'{case_id}'")
    await filled.execute(f"PREPARE asked AS {load_queries('antifraud')[name]}")
    explain = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked ({values})"
    [row] = await filled.fetch(explain)
    await filled.execute("DEALLOCATE asked")
    nodes = _nodes(orjson.loads(row[0])[0]["Plan"])
    tables = [node for node in nodes if "Relation Name" in node]
    assert tables
    assert [node["Relation Name"] for node in tables if node["Node Type"] == "Seq Scan"] == []
    # What is read and thrown away counts, too.
    read = [
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in tables
    ]
    assert max(read) <= ROWS_MAX


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", ()) for node in _nodes(part))]
