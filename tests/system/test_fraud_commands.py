"""AF-05: `laurel fraud` on a real house: drafts on the past, and what the live rules did."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from cli.connect import Client
from cli.supervisor import Supervisor
from house import SAMPLE, new_id, usd
from kit.clock import to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.program.v1.program_pb2 import FRAUD_OPERATION_ACCRUAL
from rules.document import load

DRAFT = """\
antifraud:
  rules:
    - name: large_purchase
      operations: [accrual]
      when: request.amount > 500
      action: deny
      score: 300
"""
WAITS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'laurel-antifraud' AND wait_event_type = 'Lock'
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


async def start(house: Supervisor, *arguments: str) -> asyncio.subprocess.Process:
    """Starts a command against the house, as a user would."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli.main", *arguments, "--data", str(house.data),
        env={"PATH": os.environ["PATH"], "COLUMNS": "200"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def laurel(house: Supervisor, *arguments: str) -> Ended:
    """Runs a command against the house."""
    process = await start(house, *arguments)
    out, err = await process.communicate()
    assert "Traceback" not in err.decode(), err.decode()
    return Ended(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Supervisor]:
    """A house of processes under the sample program; three accruals are assessed, two labelled:
    one above 1,000 as fraud, one above 500 as legitimate.
    """
    data = tmp_path_factory.mktemp("fraud")
    async with Supervisor(data, extra_env={"LAUREL_SCHEDULER": "false"}) as house:
        ended = await laurel(house, "program", "apply", str(SAMPLE))
        assert ended.status == 0, ended
        connection = await asyncpg.connect(house.env["LAUREL_DATABASE_URL"])
        now = await connection.fetchval("SELECT now()")
        operations = [
            pb.Operation(
                request_id=new_id(), kind=FRAUD_OPERATION_ACCRUAL, member_id=f"m-{amount}",
                points=10, amount=usd(amount), occurred_time=to_timestamp(now),
            )
            for amount in ("1001", "501", "5")
        ]  # fmt: skip
        async with Client(house.env) as client:
            await client.antifraud.BatchAssess(pb.BatchAssessRequest(operations=operations))
        for operation, is_fraud in zip(operations[:2], (True, False), strict=True):
            await connection.execute(
                "INSERT INTO antifraud.label VALUES ($1, $2, $3, 'tester', now())",
                operation.member_id, operation.request_id, is_fraud,
            )  # fmt: skip
        await connection.close()
        yield house


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    """A stricter rule, in a file."""
    file = tmp_path / "draft.yaml"
    file.write_text(DRAFT)
    return file


async def test_a_draft_is_tried_on_the_past(house: Supervisor, draft: Path) -> None:
    """AF-05: hits by rule, and what would have been decided otherwise."""
    ended = await laurel(house, "fraud", "backtest", str(draft), "--json")
    assert ended.status == 0, ended
    result = json.loads(ended.out)
    assert result["assessment_count"] == "3"
    [large] = [one for one in result["rules"] if one["rule"] == "large_purchase"]
    assert (large["draft"], large["measure"]["hit_count"]) == (True, "2")
    assert (large["measure"]["precision"], large["measure"]["recall"]) == (0.5, 1.0)
    assert (result["newly_stopped_count"], result["changed_action_count"]) == ("1", "1")
    assert result["live"]["precision"] == 1.0


async def test_a_back_test_reads_well(house: Supervisor, draft: Path) -> None:
    ended = await laurel(house, "fraud", "backtest", str(draft))
    assert ended.status == 0, ended
    assert "3 assessments from" in ended.out
    assert "1 newly stopped, 0 no longer stopped, 1 stopped by another action" in ended.out
    assert "allow -> deny: 1 (0 fraud, 1 legitimate), such as" in ended.out
    assert "m-501: 10 points, 501.00 USD" in ended.out
    [row] = [line for line in ended.out.splitlines() if "large_purchase" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "large_purchase", "draft", "2", "20", "1", "1", "0", "50.0%", "100.0%", "0",
    ]  # fmt: skip
    assert "3/3" in ended.err, "the progress bar"


async def test_the_live_rules_are_measured(house: Supervisor) -> None:
    ended = await laurel(house, "fraud", "rules")
    assert ended.status == 0, ended
    [row] = [line for line in ended.out.splitlines() if "large_purchase" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "large_purchase", "", "1", "1", "10", "1", "0", "0", "100.0%", "100.0%", "100.0%",
    ]  # fmt: skip
    report = json.loads((await laurel(house, "fraud", "rules", "--json")).out)
    assert (report["fraud_count"], report["legitimate_count"]) == ("1", "1")
    known = load(SAMPLE.read_text()).program.antifraud.rules
    assert {one["rule"] for one in report["rules"]} == {rule.name for rule in known}


async def test_a_range_holds_what_was_assessed_in_it(house: Supervisor, draft: Path) -> None:
    past = ("--from", "1998-01-01T00:00:00Z", "--to", "1998-02-01T00:00:00Z")
    ended = await laurel(house, "fraud", "backtest", str(draft), *past)
    assert ended.status == 0, ended
    assert "0 assessments from 1998-01-01 00:00:00Z to 1998-02-01 00:00:00Z" in ended.out
    bad = await laurel(house, "fraud", "rules", "--from", "yesterday")
    assert (bad.status, "yesterday is no time with a zone" in bad.err) == (2, True)
    turned = await laurel(house, "fraud", "rules", *past[:2], "--to", "1997-01-01T00:00:00Z")
    assert (turned.status, "TIME_RANGE_INVALID" in turned.err) == (2, True)


async def test_a_bad_draft_is_refused_with_its_line(house: Supervisor, draft: Path) -> None:
    draft.write_text(DRAFT.replace("request.amount", "request.amuont"))
    ended = await laurel(house, "fraud", "backtest", str(draft))
    assert ended.status == 1
    path = "antifraud.rules[0].when"
    told = f"{draft}:5:7: {path}: request.amuont is not a known fact; did you mean"
    assert ended.out.startswith(told)
    draft.write_text(SAMPLE.read_text().replace("\nname:", "\n# name:"))
    ended = await laurel(house, "fraud", "backtest", str(draft))
    assert (ended.status, ended.out) == (1, f"{draft}:1:1: name: is missing; write it\n")
    missing = await laurel(house, "fraud", "backtest", str(draft) + ".no")
    assert (missing.status, "cannot be read" in missing.err) == (2, True)


async def test_who_interrupts_a_back_test_ends_it(house: Supervisor, draft: Path) -> None:
    """AF-05: the next one can begin."""
    connection = await asyncpg.connect(house.env["LAUREL_DATABASE_URL"])
    async with connection.transaction():
        # Whoever reads assessments waits.
        await connection.execute("LOCK TABLE antifraud.assessment")
        process = await start(house, "fraud", "backtest", str(draft))
        while not await connection.fetchval(WAITS):
            assert process.returncode is None
            await connection.execute("SELECT pg_stat_clear_snapshot(), pg_sleep(0.05)")
        second = await laurel(house, "fraud", "backtest", str(draft))
        assert (second.status, "BACK_TEST_RUNNING" in second.err) == (2, True)
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 130
    await connection.close()
    # The service may hear of it a moment later.
    for _ in range(5):
        third = await laurel(house, "fraud", "backtest", str(draft))
        if third.status == 0:
            break
    assert third.status == 0, third
