"""PT-13: leaderboards by period and region, with exact ranks and the distance to a rank."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from grpc import StatusCode

from house import Ground, House, refused
from kit.clock import to_timestamp
from kit.paging import encode_token
from laurel.antifraud.v1.antifraud_service_pb2 import Origin
from laurel.points.v1 import leaderboards_pb2 as pb
from laurel.points.v1 import points_service_pb2 as points_pb
from laurel.program.v1 import program_pb2
from points_boards import ALL, BOARDS, DAY, MONTH, WEEK, YEAR, board, rank
from points_ledger import Ledger, calm_program

ZONE = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
async def ranked(ground: Ground) -> AsyncIterator[House]:
    """A house whose program keeps all leaderboards."""
    async with ground.house() as house:
        await house.apply(calm_program(multiplied=False) + BOARDS)
        await house.start("antifraud", "points")
        yield house


@pytest.fixture
def book(ranked: House) -> Ledger:
    """Its ledger."""
    return Ledger(ranked)


async def test_ranks_are_those_of_the_points_and_ties_share_one(book: Ledger, region: str) -> None:
    """1, 2, 2, 4: as many better, one more is the rank."""
    for member, amount in (("ada", "50"), ("bea", "30"), ("cai", "30"), ("dan", "10")):
        for part in (amount[0], f"{int(amount) - int(amount[0])}"):
            await book.accrue(f"{region}-{member}", part, origin=Origin(region=region))
    names = [f"{region}-{name}" for name in ("ada", "bea", "cai", "dan")]
    expected = list(zip((1, 2, 2, 4), names, (50, 30, 30, 10), strict=True))
    for period in (DAY, WEEK, MONTH, YEAR, ALL):
        assert await board(book, period, region=region) == expected
    for place, name, points in expected:
        own = await rank(book, name, MONTH, region=region)
        assert (own.rank, own.points) == (place, points)


async def test_the_distance_to_the_next_rank_and_to_a_wanted_one(book: Ledger, region: str) -> None:
    for name, amount in (("a", "50"), ("b", "30"), ("c", "30"), ("d", "10")):
        await book.accrue(f"{region}{name}", amount, origin=Origin(region=region))
    await book.house.settle()

    async def told(name: str, target: int) -> tuple[int, ...]:
        own = await rank(book, f"{region}{name}", WEEK, region=region, target_rank=target)
        return (own.rank, own.points, own.next_rank, own.points_to_next, own.points_to_target)

    assert await told("a", 1) == (1, 50, 0, 0, 0)
    assert await told("b", 1) == (2, 30, 1, 20, 20)
    assert await told("c", 3) == (2, 30, 1, 20, 0)
    assert await told("d", 3) == (4, 10, 2, 20, 20)
    assert await told("d", 0) == (4, 10, 2, 20, 0)
    assert await told("d", 99) == (4, 10, 2, 20, 0)
    # Without points there is no rank; one is enough for a place that nobody has.
    assert await told("stranger", 99) == (0, 0, 4, 10, 1)
    nowhere = await rank(book, "ada", WEEK, region=f"{region}-empty", target_rank=1)
    assert (nowhere.rank, nowhere.next_rank, nowhere.points_to_target) == (0, 0, 1)
    # Whoever earns what is missing has the rank.
    await book.accrue(f"{region}d", "20", origin=Origin(region=region))
    await book.house.settle()
    assert await told("d", 3) == (2, 30, 1, 20, 0)


async def test_a_period_begins_at_midnight_where_the_program_lives(
    book: Ledger, region: str
) -> None:
    """Weeks on Monday, months and years on their first day; what occurred counts when it did."""
    origin = Origin(region=region)
    midnight = datetime(2026, 6, 1, tzinfo=ZONE)  # a Monday
    for seconds, amount in ((-1, "7"), (0, "20")):
        await book.accrue(region, amount, midnight + timedelta(seconds=seconds), origin=origin)
    await book.house.settle()
    for period in (DAY, WEEK, MONTH):
        for shift, points in ((-1, 7), (0, 20), (3600, 20)):
            time = to_timestamp(midnight + timedelta(seconds=shift))
            own = await rank(book, region, period, region=region, time=time)
            assert (own.rank, own.points) == (1, points), (period, shift)
    own = await rank(book, region, YEAR, region=region, time=to_timestamp(midnight))
    assert own.points == 27
    start = own.leaderboard.start_date
    assert date(start.year, start.month, start.day) == date(2026, 1, 1)
    everything = await rank(book, region, ALL, region=region)
    assert (everything.points, everything.leaderboard.HasField("start_date")) == (27, False)


async def test_regions_have_their_own_and_everywhere_has_all(book: Ledger, region: str) -> None:
    at = datetime(2011, 3, 4, 12, tzinfo=UTC)
    for where, amount in (("north", "10"), ("south", "30"), ("", "5")):
        origin = Origin(region=f"{region}-{where}") if where else Origin(store="s1")
        await book.accrue(region, amount, at, origin=origin)
    await book.house.settle()
    time = to_timestamp(at)
    for where, points in (("north", 10), ("south", 30)):
        own = await rank(book, region, YEAR, region=f"{region}-{where}", time=time)
        assert own.points == points
    assert (await rank(book, region, YEAR, time=time)).points == 45


async def test_what_is_taken_back_leaves_the_period_that_it_came_to(
    book: Ledger, region: str
) -> None:
    """Whoever has nothing left has no rank."""
    origin = Origin(region=region)
    lately = datetime.now(UTC) - timedelta(days=200)
    accrual = await book.accrue(region, "100", lately, origin=origin)
    batch = points_pb.BatchAccruePointsRequest(
        requests=[book.accrual(region, "9", origin=origin) for _ in range(3)]
    )
    await book.stub.BatchAccruePoints(batch)
    await book.reverse(accrual, "40")
    await book.house.settle()
    then = to_timestamp(lately)
    assert (await rank(book, region, MONTH, region=region, time=then)).points == 60
    assert (await rank(book, region, MONTH, region=region)).points == 27
    assert (await rank(book, region, ALL, region=region)).points == 87
    await book.reverse(accrual)
    await book.house.settle()
    gone = await rank(book, region, MONTH, region=region, time=then)
    assert (gone.rank, gone.points) == (0, 0)
    assert await board(book, MONTH, region=region, time=then) == []


async def test_pages_number_on_across_ties(book: Ledger, region: str) -> None:
    """Random points, few different ones; checked against a list that Python sorts."""
    chance = random.Random(13)
    sums: dict[str, int] = defaultdict(int)
    rows = []
    for _ in range(300):
        member, points = f"{region}-{chance.randint(1, 60):02d}", chance.randint(1, 4)
        sums[member] += points
        rows.append(book.accrual(member, str(points), origin=Origin(region=region)))
    await asyncio.gather(
        *(
            book.stub.BatchAccruePoints(
                points_pb.BatchAccruePointsRequest(requests=rows[start : start + 50])
            )
            for start in range(0, 300, 50)
        )
    )
    await book.house.settle()
    expected = [
        (1 + sum(1 for other in sums.values() if other > points), member, points)
        for member, points in sorted(sums.items(), key=lambda one: (-one[1], one[0]))
    ]
    for size in (7, 60, 1000):
        found: list[tuple[int, str, int]] = []
        token = ""
        while True:
            request = pb.ListLeaderboardRequest(
                period=program_pb2.LEADERBOARD_PERIOD_DAY,
                region=region, page_size=size, page_token=token,
            )  # fmt: skip
            response = await book.stub.ListLeaderboard(request)
            found += [(one.rank, one.member_id, one.points) for one in response.entries]
            token = response.next_page_token
            if not token:
                break
        assert found == expected
    for place, member, points in expected[::9]:
        own = await rank(book, member, DAY, region=region)
        assert (own.rank, own.points) == (place, points)


async def test_an_event_that_comes_again_counts_once(book: Ledger, region: str) -> None:
    """A failure that users of other systems reported: an event delivered again earns twice."""
    await book.accrue(region, "10", origin=Origin(region=region))
    await book.house.settle()
    broker = book.house.running["points"].broker
    assert broker is not None
    js = await broker.jetstream()
    subscription = await js.pull_subscribe("laurel.points.points_accrued", stream="LAUREL")
    messages = []
    while (await subscription.consumer_info()).num_pending:
        messages += await subscription.fetch(100, timeout=5)
    await subscription.unsubscribe()
    for message in messages:
        # Without the broker's own memory of message ids: only the inbox knows it.
        await js.publish("laurel.points.points_accrued", message.data)
    await book.house.settle()
    assert (await rank(book, region, ALL, region=region)).points == 10


async def test_points_under_review_have_no_rank(ground: Ground) -> None:
    review = """  rules:
    - name: large
      operations: [accrual]
      when: request.amount > 100
      action: review
      score: 1
"""
    async with ground.house() as house:
        await house.apply(calm_program().replace("  rules: []\n", review) + BOARDS)
        await house.start("antifraud", "points")
        ledger = Ledger(house)
        await ledger.accrue("ada", "101")
        await ledger.accrue("bea", "100")
        assert await board(ledger, ALL) == [(1, "bea", 100)]


async def test_bonuses_count_where_their_purchase_does_and_leave_with_it(ground: Ground) -> None:
    """PT-04: 3,000 points in a month give 500 more; returned, neither is left anywhere."""
    challenge = """  challenges:
    - name: big_month
      measure: points
      target: 3000
      events: [purchase]
      calendar_month: true
      bonus_points: 500
"""
    async with ground.house() as house:
        program = calm_program(multiplied=False).replace("  challenges:\n", challenge, 1)
        await house.apply(program + BOARDS)
        await house.start("antifraud", "points")
        ledger = Ledger(house)
        accrual = await ledger.accrue("ada", "3200", origin=Origin(region="north"))
        await ledger.accrue("bea", "10", origin=Origin(region="north"))
        for fields in ({}, {"region": "north"}):
            assert await board(ledger, MONTH, **fields) == [(1, "ada", 3700), (2, "bea", 10)]
        await ledger.reverse(accrual)
        for fields in ({}, {"region": "north"}):
            assert await board(ledger, MONTH, **fields) == [(1, "bea", 10)]


async def test_only_what_the_program_lists_is_kept(ground: Ground) -> None:
    """Without leaderboards the ledger's own events cost nothing; what is listed later begins
    then, and what was listed before is still told.
    """
    async with ground.house() as house:
        await house.apply(calm_program())
        await house.start("antifraud", "points")
        ledger = Ledger(house)
        await house.settle()
        handled = await house.fetch("SELECT count(*) FROM points.inbox")
        early = await ledger.accrue("ada", "10")
        await house.settle()
        assert await house.fetch("SELECT count(*) FROM points.inbox") == handled
        refusal = await refused(board(ledger, MONTH))
        assert (refusal.code, refusal.reason) == (
            StatusCode.FAILED_PRECONDITION, "LEADERBOARD_NOT_KEPT",
        )  # fmt: skip
        assert await house.fetch("SELECT 1 FROM points.score") == []
        await house.apply(calm_program() + "\nleaderboards: {periods: [month]}\n")
        await house.settle()
        await ledger.accrue("ada", "20", origin=Origin(region="north"))
        await ledger.reverse(early)
        assert await board(ledger, MONTH) == [(1, "ada", 20)]
        assert (await refused(rank(ledger, "ada", DAY))).reason == "LEADERBOARD_NOT_KEPT"
        by_region = await refused(rank(ledger, "ada", MONTH, region="north"))
        assert "by region" in (by_region.message or "")
        await house.apply(calm_program())
        await house.settle()
        assert await board(ledger, MONTH) == [(1, "ada", 20)]


async def test_leaderboards_of_long_ago_are_forgotten_and_the_others_stay(
    book: Ledger, region: str
) -> None:
    origin = Origin(region=region)
    old = datetime(2015, 5, 5, 12, tzinfo=UTC)
    await book.accrue(region, "10", old, origin=origin)
    await book.accrue(region, "5", origin=origin)
    await book.house.settle()
    points_service = book.house.running["points"].service
    [schedule] = [one for one in points_service.schedules if one.name == "leaderboards"]
    await schedule.run()
    time = to_timestamp(old)
    for period, points in ((DAY, 0), (WEEK, 0), (MONTH, 0), (YEAR, 10), (ALL, 15)):
        assert (await rank(book, region, period, region=region, time=time)).points == points
    assert (await rank(book, region, DAY, region=region)).points == 5
    rows = await book.house.fetch("SELECT 1 FROM points.board WHERE start_date = '2015-05-05'")
    assert rows == []


@pytest.mark.parametrize(
    "token", ["x", encode_token(0, "a"), encode_token("a"), encode_token(5), encode_token(5, "a\0")]
)
async def test_a_token_that_no_leaderboard_gave_out_is_refused(book: Ledger, token: str) -> None:
    request = pb.ListLeaderboardRequest(period=program_pb2.LEADERBOARD_PERIOD_DAY, page_token=token)
    refusal = await refused(book.stub.ListLeaderboard(request))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_a_period_must_be_one_of_five(book: Ledger) -> None:
    for period in (0, 6):
        assert (await refused(board(book, period))).code == StatusCode.INVALID_ARGUMENT
        assert (await refused(rank(book, "ada", period))).code == StatusCode.INVALID_ARGUMENT
