"""A thousand callers at once on twenty members, with every kind of write that there is.

PT-01 to PT-12, PT-15 to PT-17: each answer, row by row, is an acknowledgement or a refusal that
the contract foresees; every acknowledged write is in the ledger once, and all invariants hold. Once
with a program of plain rates, and once with one of rules, whose caps and challenges are counted
again here.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from random import Random

import pytest

from cli.check import run_checks
from crowd_counting import Histories, check_what_rules_gave
from crowd_desk import WRITES
from crowd_writes import Crowd
from house import Ground, House
from laurel.points.v1 import activities_pb2 as activities
from laurel.points.v1 import liability_pb2 as liability
from laurel.points.v1 import points_service_pb2 as pb
from points_earning import calm_rules, with_ladder
from points_ledger import calm_program

SEED = 20_261_124
CALLERS = 1000
PROGRAMS = {
    "rates": calm_program(multiplied=False, deadline_ms=5000),
    "rules": calm_rules(with_ladder(), deadline_ms=5000),
}
# Called while the others are at work, and not by them.
BY_THE_CLOCK = {"RunExpiry", "RunMaturation", "RunBonuses"}


@pytest.fixture
async def square(ground: Ground, program: str) -> AsyncIterator[House]:
    """A house of its own, with two processes' worth of patience for a queue of callers."""
    async with ground.house(queue_size=20_000) as house:
        await house.apply(PROGRAMS[program])
        await house.start("antifraud", "tier", "points")
        yield house


@pytest.mark.parametrize("program", list(PROGRAMS))
async def test_a_thousand_callers_on_twenty_members(square: House, program: str) -> None:
    crowd = Crowd(square)
    await crowd.open()
    calendar = asyncio.create_task(run_the_calendar(crowd))
    await asyncio.gather(*(crowd.call(Random(SEED + number)) for number in range(CALLERS)))
    calendar.cancel()
    await crowd.stub.RunBonuses(activities.RunBonusesRequest())
    await crowd.finish(WRITES - BY_THE_CLOCK, Random(SEED))

    assert set(crowd.done) | BY_THE_CLOCK == WRITES, WRITES - set(crowd.done)
    histories = {account: await crowd.counter.transactions(account) for account in crowd.accounts}
    await check_each_acknowledged_write_is_there_once(crowd, histories)
    await check_balances_are_what_histories_add_up_to(crowd, histories)
    if program == "rules":
        await check_what_rules_gave(crowd, histories)
    # Refused with DATA_LOSS where lots and balances differ.
    report = liability.GetLiabilityReportRequest()
    assert (await crowd.stub.GetLiabilityReport(report)).report.outstanding_points > 0
    await square.settle()
    assert not [o for o in await run_checks(square.settings.database_url) if o.violations]


async def run_the_calendar(crowd: Crowd) -> None:
    """Expiry, maturation and bonuses all the while, some of it ahead of time."""
    clock = crowd.counter.house.running["points"].runtime.clock
    while True:
        # Holds last 30 minutes: now and then all that are open end at once, and not before any is
        # captured.
        for minutes in (0, 20, 0, 20, 0, 20, 0, 20, 40):
            now: datetime = clock()
            await crowd.counter.run_maturation(now)
            await crowd.counter.run_expiry(now + timedelta(minutes=minutes))
            await crowd.stub.RunBonuses(activities.RunBonusesRequest())
            await asyncio.sleep(0.3)


async def check_each_acknowledged_write_is_there_once(crowd: Crowd, histories: Histories) -> None:
    ids = [t.transaction_id for history in histories.values() for t in history]
    assert len(ids) == len(set(ids))
    assert crowd.told <= set(ids)
    requests = Tally(t.request_id for history in histories.values() for t in history)
    del requests[""]
    assert set(requests.values()) == {1}
    # Nothing was written that nobody was told of, and nothing that was told of is missing.
    rows = await crowd.counter.house.fetch("SELECT request_id FROM points.request")
    recorded = {row["request_id"] for row in rows}
    assert recorded & crowd.sent == crowd.acknowledged
    assert set(requests) & crowd.sent <= crowd.acknowledged


async def check_balances_are_what_histories_add_up_to(crowd: Crowd, histories: Histories) -> None:
    for account, history in histories.items():
        sums = Tally[int]()
        for transaction in history:
            sums.update({entry.account: entry.points for entry in transaction.entries})
        assert await crowd.counter.balance(account) == pb.Balance(
            active=sums[pb.ACCOUNT_ACTIVE], pending=sums[pb.ACCOUNT_PENDING],
            held=sums[pb.ACCOUNT_HELD], debt=-sums[pb.ACCOUNT_DEBT],
        )  # fmt: skip
