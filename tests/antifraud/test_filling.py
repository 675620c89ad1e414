"""A rule that names a new counter finds it filled from the stored assessments (AF-02)."""

import json
import random
from asyncio import create_task, gather, sleep
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg
import pytest
from fraud_desk import ACCRUAL, REDEMPTION, Desk, operation, program_with
from opentelemetry.trace import NoOpTracer
from prometheus_client import REGISTRY

from antifraud.fill_store import FillStore
from house import Ground, House, new_id
from kit.clock import to_timestamp
from kit.db import load_queries, open_database
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from rules.feed import ProgramFeed

MEMBERS = """
    - {name: seen, operations: [accrual, redemption], when: velocity.member_1h.count > 0, action: review, score: 1}
"""  # noqa: E501
FACTS = (
    "velocity.device_7d.count", "velocity.device_7d.points", "velocity.device_7d.amount",
    "velocity.device_7d.members", "velocity.member_device_30d.count",
)  # fmt: skip
DEVICES = f"""
    - name: seen
      operations: [accrual]
      when: {" + ".join(f"double({fact})" for fact in FACTS)} > 0.0
      action: review
      score: 1
"""
LONGER = DEVICES.replace("velocity.device_7d", "velocity.device_20d")


class Traveller:
    """A clock that a test sets forward."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class Seen(NamedTuple):
    time: datetime
    member: str
    device: str
    kind: int
    points: int


class Town:
    """A house whose clock can be set, and all that was assessed in it."""

    def __init__(self, house: House, clock: Traveller) -> None:
        self.house = house
        self.desk = Desk(house)
        self.clock = clock
        self.seen: list[Seen] = []

    async def assess(self, *seen: Seen) -> None:
        """Assesses operations at their own times."""
        self.seen += seen
        await self.desk.assess(
            *[
                operation(
                    one.member, kind=one.kind, points=one.points, amount="1.00", at=one.time,
                    device=one.device,
                )
                for one in seen
            ]
        )  # fmt: skip

    def some(self, count: int) -> list[Seen]:
        """Operations of few members on few devices, now or a little earlier."""
        return [
            Seen(
                self.clock.now - timedelta(seconds=random.randrange(600)),
                f"m-{random.randrange(4)}",
                random.choice(["d-0", "d-1", "d-2", ""]),
                random.choice([ACCRUAL, ACCRUAL, REDEMPTION]),
                random.randrange(1, 100),
            )
            for _ in range(count)
        ]

    async def apply(self, rules: str) -> None:
        """Applies rules from now on, and waits until they are known."""
        await self.house.apply(program_with(rules), effective_time=to_timestamp(self.clock.now))
        await self.house.settle()

    async def fill(self) -> None:
        """Lets the fills end: what is under way now is over for them a little later."""
        for _ in range(4):
            self.clock.now += timedelta(seconds=40)
            await self.desk.run("fill_velocity")

    async def facts(self, member: str, device: str) -> dict[str, float]:
        """What the counters show to one more operation."""
        one = Seen(self.clock.now, member, device, ACCRUAL, 1)
        await self.assess(one)
        page = await self.desk.list(member, page_size=1)
        return {k: float(v) for k, v in page.assessments[0].fired_rules[0].facts.items()}

    def expected(self, member: str, device: str, days: int) -> dict[str, float]:
        """The same, by a plain count over all that was ever assessed."""
        last = self.seen[-1].time
        known = [s for s in self.seen if s.kind == ACCRUAL and s.device == device]
        within = [s for s in known if last - s.time < timedelta(days=days)]
        month = [s for s in known if last - s.time < timedelta(days=30) and s.member == member]
        name = f"velocity.device_{days}d"
        return {
            f"{name}.count": len(within),
            f"{name}.points": sum(s.points for s in within),
            f"{name}.amount": len(within),
            f"{name}.members": len({s.member for s in within}),
            "velocity.member_device_30d.count": len(month),
        }

    async def proves_exact(self, days: int) -> None:
        """Every key shows what a plain count does."""
        for device in ("d-0", "d-1", "d-2"):
            for member in ("m-0", "m-3"):
                found = await self.facts(member, device)
                assert found == self.expected(member, device, days)


@pytest.fixture
async def town(ground: Ground) -> AsyncIterator[Town]:
    async with ground.house() as house:
        clock = Traveller(datetime(2026, 3, 1, 12, tzinfo=UTC))
        house.clock = clock
        await house.apply(program_with(MEMBERS), effective_time=to_timestamp(clock.now))
        await house.start("antifraud")
        yield Town(house, clock)


@asynccontextmanager
async def other_process(town: Town) -> AsyncIterator[FillStore]:
    """What another process of the service would fill with: a pool and a program of its own."""
    feed = ProgramFeed(town.house.channel("program"))
    await feed.refresh()
    opened = open_database(
        town.house.settings.database_url, "antifraud",
        pool_size=2, tracer=NoOpTracer(), constraints={},
    )  # fmt: skip
    async with opened as database:
        yield FillStore(database, feed, clock=town.clock)


async def test_a_new_counter_shows_what_was_assessed_before_it_was_asked_for(town: Town) -> None:
    """AF-02: adding a rule backfills its counters: sums, different values, pairs; none twice."""
    await town.fill()
    for _ in range(10):
        town.clock.now += timedelta(hours=20)
        await town.assess(*town.some(12))
    await town.apply(DEVICES)
    assert (await town.facts("m-0", "d-0"))["velocity.device_7d.count"] == 1
    # Told late: decided by the version before, after the new one was planned for.
    await town.desk.run("fill_velocity")
    await town.assess(*[s._replace(time=s.time - timedelta(hours=1)) for s in town.some(5)])
    await town.assess(*[s._replace(time=town.clock.now) for s in town.some(5)])
    assert REGISTRY.get_sample_value("laurel_antifraud_velocity_fills") == 1
    await town.fill()
    assert REGISTRY.get_sample_value("laurel_antifraud_velocity_fills") == 0
    await town.proves_exact(7)


async def test_a_longer_window_and_one_that_comes_back_find_all_that_they_look_at(
    town: Town,
) -> None:
    """AF-02: a version with a longer window, one without the counter, and one with it again."""
    for rules in (DEVICES, LONGER, MEMBERS, LONGER):
        await town.apply(rules)
        for _ in range(3):
            await town.fill()
            town.clock.now += timedelta(hours=13)
            await town.assess(*town.some(8))
    await town.fill()
    await town.proves_exact(20)


async def test_two_processes_and_an_interruption_fill_each_assessment_once(town: Town) -> None:
    """AF-02: exact beside live operations, two processes that fill, and one that is stopped."""
    for _ in range(30):
        town.clock.now += timedelta(hours=23)
        await town.assess(*town.some(6))
    await town.apply(DEVICES)
    async with other_process(town) as one, other_process(town) as two, other_process(town) as three:
        await gather(one.run(), two.run())
        town.clock.now += timedelta(seconds=40)
        await gather(one.run(), two.run())
        stopped = create_task(three.run())
        live = [create_task(town.assess(*town.some(4))) for _ in range(5)]
        await sleep(0.02)
        stopped.cancel()
        await gather(*live, one.run(), two.run())
        for _ in range(3):
            town.clock.now += timedelta(seconds=40)
            await gather(one.run(), two.run())
    rows = await town.house.fetch(
        "SELECT version, cursor_time = until_time AS is_done FROM antifraud.velocity_fill"
    )
    assert all(row["is_done"] for row in rows)
    await town.proves_exact(7)


async def test_many_assessments_of_one_moment_are_filled_in_steps_that_stay_small(
    town: Town,
) -> None:
    """2,500 in two instants: the step halves its time until one of them is left."""
    device = new_id()
    for _ in range(3):
        town.clock.now += timedelta(microseconds=5)
        await gather(
            *[
                town.desk.assess(
                    *[
                        operation(new_id(), at=town.clock.now, device=device, points=1)
                        for _ in range(417)
                    ]
                )
                for _ in range(2)
            ]
        )
    await town.apply(DEVICES)
    await town.fill()
    found = await town.facts("m-0", device)
    assert found["velocity.device_7d.count"] == 6 * 417 + 1
    # Different values end at a number: it reads as that many or more.
    assert found["velocity.device_7d.members"] == 512
    [row] = await town.house.fetch(
        "SELECT max(length(entries)) AS longest FROM antifraud.velocity WHERE key = $1", device
    )
    assert row["longest"] <= 1024 * 24


async def test_a_version_of_the_future_is_filled_before_it_begins(town: Town) -> None:
    await town.assess(*town.some(20))
    begins = town.clock.now + timedelta(days=2)
    await town.house.apply(program_with(DEVICES), effective_time=to_timestamp(begins))
    await town.house.settle()
    await town.fill()
    [row] = await town.house.fetch(
        "SELECT count(*) AS n FROM antifraud.velocity WHERE key = ANY('{d-0,d-1,d-2}')"
    )
    assert row["n"] > 0
    town.clock.now = begins - timedelta(hours=1)
    await town.assess(*town.some(20))
    town.clock.now = begins
    await town.fill()
    await town.proves_exact(7)


async def test_assessments_from_before_there_were_amounts_are_filled_too(town: Town) -> None:
    """They counted in rows of another form, which nobody reads any more."""
    await town.assess(*[Seen(town.clock.now, "m-9", "", ACCRUAL, 5) for _ in range(3)])
    await town.house.fetch("UPDATE antifraud.assessment SET amount_minor = NULL, context = NULL")
    await town.house.fetch("DELETE FROM antifraud.velocity")
    await town.house.fetch("DELETE FROM antifraud.velocity_fill")
    async with other_process(town) as one:
        for _ in range(3):
            town.clock.now += timedelta(seconds=40)
            await one.run()
    request = pb.ListAssessmentsRequest(member_id="m-9", page_size=1)
    await town.desk.assess(operation("m-9", at=town.clock.now))
    page = await town.desk.stub.ListAssessments(request)
    assert page.assessments[0].fired_rules[0].facts == {"velocity.member_1h.count": "4"}


async def test_a_step_reads_no_more_than_its_slice_of_time(town: Town) -> None:
    """By the index of page ranges, whatever the planner thinks of a slice that it cannot see."""
    connection = await asyncpg.connect(
        town.house.settings.database_url,
        server_settings={"search_path": "antifraud", "plan_cache_mode": "force_generic_plan"},
    )
    statements = load_queries("antifraud")
    try:
        await connection.execute(MANY_ASSESSMENTS)
        async with connection.transaction():
            await connection.execute(statements["read_by_time"])
            types = "timestamptz, timestamptz, smallint[], bigint"
            sql = statements["find_assessments_between"]
            await connection.execute(f"PREPARE step ({types}) AS {sql}")
            plan = await connection.fetchval(
                "EXPLAIN (ANALYZE, FORMAT json) "
                "EXECUTE step (now() - interval '3 hours', now() - interval '2 hours', '{1}', 2001)"
            )
    finally:
        await connection.close()
    scan = json.loads(plan)[0]["Plan"]["Plans"][0]
    assert scan["Plans"][0]["Index Name"] == "assessment_create_time"
    assert scan["Actual Rows"] == 360
    assert scan["Rows Removed by Index Recheck"] < 3000


MANY_ASSESSMENTS = """
INSERT INTO assessment (
    member_id, request_id, assessment_id, kind, action, score, program_version, points,
    amount_minor, occurred_time, create_time
)
SELECT
    'm' || n, 'r' || n, gen_random_uuid(), 1, 1, 0, 1, 1,
    1, now(), now() - n * interval '10 seconds'
FROM generate_series(30000, 1, -1) AS n;
SELECT brin_summarize_new_values('assessment_create_time');
"""
