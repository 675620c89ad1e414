"""PT-01 to PT-05: the reference of all ways to earn (deploy/programs/full.yaml) is served, and what
members earn by it is right to the point, through the public calls.

Until June it is served as it stands. From June on it has no ladder, so that what a rate gives can
be seen alone. For all services it is the 20th of July 2026.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from decimal import Decimal

import pytest

from accrual_programs import local
from cli.check import run_checks
from house import SAMPLE, Ground, House, new_id
from kit.clock import make_clock, to_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from laurel.tier.v1 import member_service_pb2 as members
from laurel.tier.v1.member_service_pb2_grpc import MemberServiceStub
from points_earning import Earner
from points_ledger import events_of

# Patient with a machine that is busy with other things.
FULL = SAMPLE.with_name("full.yaml").read_text().replace("deadline_ms: 500", "deadline_ms: 5000")
LADDER = "    - name: ladder\n      ladder: {per_amount: 100, points: 10}\n"
WITH_LADDER = local("2026-05-13 12:00")
NOON = local("2026-06-10 12:00")


@pytest.fixture(scope="module")
async def house(ground: Ground) -> AsyncIterator[House]:
    async with ground.house() as house:
        house.clock = make_clock(local("2026-07-20 12:00"))
        for text, begin in ((FULL, "2026-01-01"), (FULL.replace(LADDER, ""), "2026-06-01")):
            await house.apply(text, effective_time=to_timestamp(local(f"{begin} 00:00")))
        await house.start("antifraud", "tier", "points")
        yield house
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


@pytest.fixture
def earner(house: House) -> Earner:
    return Earner(house)


async def make_silver(earner: Earner, member: str, birth_month: int = 0) -> None:
    """A member of silver, with an order behind them."""
    enrolment = members.EnrolMemberRequest(
        request_id=new_id(), member_id=member, birth_month=birth_month,
        birth_day=30 if birth_month else 0,
    )  # fmt: skip
    await earner.house.stub(MemberServiceStub, "tier").EnrolMember(enrolment)
    await earner.house.settle()
    await earner.buy(member, "100", local("2026-06-01 12:00"))
    await earner.house.settle()


async def buy_all(earner: Earner, member: str, amounts: Sequence[str]) -> list[int]:
    """The points of purchases that are booked by one BatchAccruePoints."""
    rows = [earner.accrual(member, amount, NOON) for amount in amounts]
    request = pb.BatchAccruePointsRequest(requests=rows)
    answer = await earner.stub.BatchAccruePoints(request)
    assert all(row.HasField("accrued") for row in answer.results), answer
    return [row.accrued.points for row in answer.results]


async def check_in_daily(
    earner: Earner, member: str, first: str, count: int
) -> list[pb.Transaction]:
    """Checks in at noon, so many days in a row."""
    days = [str(date.fromisoformat(first) + timedelta(days=n)) for n in range(count)]
    return [await earner.do(member, "check_in", local(f"{day} 12:00")) for day in days]


async def bonuses(earner: Earner, member: str, name: str) -> list[int]:
    """The bonuses of a name that were booked for a member."""
    kind = pb.TRANSACTION_KIND_BONUS
    return [
        one.points
        for one in await earner.transactions(member)
        if one.kind == kind and one.explanation.lines[0].rule == name
    ]


def gave(transaction: pb.Transaction) -> dict[str, str]:
    """What each line gave that gave anything; the lines add up to the points."""
    lines = {one.rule: one.points for one in transaction.explanation.lines if one.applied}
    assert sum(map(Decimal, lines.values())) == transaction.points
    return lines


async def test_pt_01_a_silver_member_earns_154_for_128_50(earner: Earner, member: str) -> None:
    """128.50 x 1.2 = 154.2, rounded half up once."""
    await make_silver(earner, member)
    bought = await earner.buy(member, "128.50", NOON)
    assert bought.points == 154
    assert gave(bought) == {
        "spend": "128.5", "spend:tier_multiplier": "25.7", "rounding": "-0.2",
    }  # fmt: skip
    assert await buy_all(earner, member, ["128.50"]) == [154]


async def test_pt_03_member_day_and_birthday_together_give_three_times_at_most(
    earner: Earner, member: str
) -> None:
    """128.50 x 1.2 x min(2 x 2, 3) = 462.6; the next day only the birthday is left."""
    await make_silver(earner, member, birth_month=6)
    eighth = await earner.buy(member, "128.50", local("2026-06-08 12:00"))
    assert eighth.points == 463
    assert gave(eighth) == {
        "spend": "128.5", "spend:tier_multiplier": "25.7", "spend:member_day": "154.2",
        "spend:birthday": "308.4", "spend:campaign": "-154.2", "rounding": "0.4",
    }  # fmt: skip
    assert (await earner.buy(member, "1.00", local("2026-06-09 12:00"))).points == 2  # 2.4


async def test_pt_01_260_with_10_more_for_each_full_100_earns_280(
    earner: Earner, member: str
) -> None:
    first = await earner.buy(member, "0.50", WITH_LADDER)
    assert gave(first) == {"spend": "0.5", "ladder": "0", "first_order": "100", "rounding": "0.5"}
    bought = await earner.buy(member, "260", WITH_LADDER)
    assert bought.points == 280
    assert gave(bought) == {"spend": "260", "ladder": "20"}


async def test_pt_01_the_second_purchase_in_baby_earns_half_as_much_again(
    earner: Earner, member: str
) -> None:
    first = await earner.buy(member, "40", NOON, categories=("baby",))
    assert gave(first) == {"spend": "40", "first_order": "100"}
    assert (await earner.buy(member, "10", NOON, categories=("toys",))).points == 10
    assert (await earner.buy(member, "40", NOON, categories=("baby",))).points == 60


@pytest.mark.parametrize(
    ("first", "second", "points", "days"),
    [
        ("06-09 23:59", "06-10 00:01", [10, 10], 2),
        ("06-10 00:01", "06-10 23:59", [10, 0], 1),
    ],
)
async def test_pt_02_midnight_in_the_programs_zone_parts_the_days_of_check_ins(
    earner: Earner, member: str, first: str, second: str, points: list[int], days: int
) -> None:
    visits = [await earner.do(member, "check_in", local(f"2026-{at}")) for at in (first, second)]
    assert [visit.points for visit in visits] == points
    shown = await earner.challenges(member, local("2026-06-10 23:59"))
    assert shown["month_of_check_in"].progress == days


async def test_pt_02_30_days_in_a_row_earn_the_badge_once(earner: Earner, member: str) -> None:
    visits = await check_in_daily(earner, member, "2026-05-11", 31)
    completed = [[(b.name, b.points, b.badge) for b in one.explanation.bonuses] for one in visits]
    assert completed == [[]] * 29 + [[("month_of_check_in", 100, "faithful")], []]
    [badge] = await events_of(earner.house, "badge_earned", member)
    assert (badge.badge_earned.badge, badge.badge_earned.name) == ("faithful", "month_of_check_in")
    assert badge.occurred_time == to_timestamp(local("2026-06-09 12:00"))


async def test_pt_02_a_gap_begins_the_row_anew(earner: Earner, member: str) -> None:
    """29 days, a day without, 29 days: no badge; the day after that it is there."""
    await check_in_daily(earner, member, "2026-04-01", 29)
    await check_in_daily(earner, member, "2026-05-01", 29)
    assert not await events_of(earner.house, "badge_earned", member)
    shown = (await earner.challenges(member, local("2026-05-29 18:00")))["month_of_check_in"]
    assert (shown.progress, shown.completed) == (29, False)
    await check_in_daily(earner, member, "2026-05-30", 1)
    assert len(await events_of(earner.house, "badge_earned", member)) == 1


async def test_pt_04_3000_points_in_a_month_give_500_more_once(earner: Earner, member: str) -> None:
    """2,999 are not enough, 3,000 are, 6,000 give nothing more; the next month begins at 0."""
    first = await earner.buy(member, "2899", NOON)
    assert first.points == 2999  # with 100 for the first order
    assert await bonuses(earner, member, "big_month") == []
    last = await earner.buy(member, "0.50", NOON)  # a point in any tier that has been reached
    assert last.points == 1
    assert [one.points for one in last.explanation.bonuses] == [500]
    await earner.buy(member, "3000", NOON)
    assert await bonuses(earner, member, "big_month") == [500]
    shown = await earner.challenges(member, local("2026-07-01 00:00"))
    assert (shown["big_month"].progress, shown["big_month"].completed) == (0, False)


async def test_pt_01_halves_are_rounded_up_and_cents_are_never_lost(
    earner: Earner, member: str
) -> None:
    """At 1 per 1.00 as at 1.2, from 1 cent to the largest amount that is taken."""
    await earner.buy(member, "0.01", NOON)
    amounts = {
        "0": 0, "0.01": 0, "0.49": 0, "0.50": 1, "1.49": 1, "1.50": 2,
        "9999999999999.49": 9_999_999_999_999, "9999999999999.50": 10**13,
        "10000000000000.00": 10**13,
    }  # fmt: skip
    assert await buy_all(earner, member, list(amounts)) == list(amounts.values())
    silver = f"{member}-silver"
    await make_silver(earner, silver)
    amounts = {
        "0.41": 0, "0.42": 1,  # 0.492 and 0.504: 0.42 alone would be 0
        "1.24": 1, "1.25": 2,  # 1.488 and 1.5
        "9999999999999.58": 11_999_999_999_999,  # .496
        "9999999999999.59": 12 * 10**12,  # .508
    }  # fmt: skip
    assert await buy_all(earner, silver, list(amounts)) == list(amounts.values())


async def test_pt_05_a_first_order_has_a_return_window_and_an_end_of_its_own(
    earner: Earner, member: str
) -> None:
    """Two lots: 14 days and 12 months by the program, 30 days and 3 months by the rule."""
    bought = await earner.buy(member, "40", local("2026-07-15 12:00"))
    ends = [(move.points, move.expire_time) for move in bought.lot_movements]
    assert ends == [
        (40, to_timestamp(local("2027-07-15 12:00"))),
        (100, to_timestamp(local("2026-10-15 12:00"))),
    ]
    await earner.run_maturation(local("2026-07-29 12:00"))
    balance = await earner.balance(member)
    assert (balance.active, balance.pending) == (40, 100)
    await earner.run_maturation(local("2026-08-14 12:00"))
    balance = await earner.balance(member)
    assert (balance.active, balance.pending) == (140, 0)


async def test_pt_03_of_rules_that_exclude_each_other_the_better_one_gives_points(
    earner: Earner, member: str
) -> None:
    """On a weekend 5 points, or a tenth of what is bought by the app, rounded down on its own."""
    saturday = local("2026-06-13 12:00")
    origin = pb.AccruePointsRequest(origin={"channel": "app"}).origin
    await earner.buy(member, "0.50", NOON)
    small = await earner.buy(member, "19.90", saturday, origin=origin)
    assert gave(small) == {"spend": "19.9", "weekend": "5", "rounding": "0.1"}
    large = await earner.buy(member, "69.90", saturday, origin=origin)
    assert gave(large)["app"] == "6.99"
    assert large.points == 76
