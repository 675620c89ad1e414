"""PT-04, PT-09: returns and what rules count from one activity to the next."""

from asyncio import gather
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from accrual_programs import local
from cli.check import run_checks
from house import Ground, House, new_id, refused
from kit.clock import to_timestamp
from laurel.points.v1 import activities_pb2 as activities
from laurel.points.v1 import points_service_pb2 as pb
from points_earning import Earner, calm_rules
from points_ledger import in_one_batch
from points_moving import Counter

RULES = """\
  rules:
    - {name: spend, points_per_unit: 1}
    - {name: visit, event: visit, fixed_points: 10, caps: {day: 20}}
    - {name: long_name_first, event: tie, fixed_points: 10, caps: {lifetime: 10}, group: pick}
    - {name: b, event: tie, fixed_points: 10, caps: {lifetime: 10}, group: pick}
    - {name: share, event: share, fixed_points: 1}
    - {name: app, fixed_points: 100, when: 'order.channel == "app"', expiry: {rolling_months: 3}}
    - {name: fast, points_per_unit: 1, when: 'order.channel == "web"', group: choice,
       expiry: {rolling_months: 3}}
    - {name: flat, fixed_points: 20, when: 'order.channel == "web"', group: choice, pending_days: 5}
    - {name: small, fixed_points: 5, when: 'order.channel == "web"', pending_days: 5}
    - {name: store, fixed_points: 100, when: 'order.channel == "store"', pending_days: 7}
  groups: [{name: pick, stacking: best}, {name: choice, stacking: best}]
  challenges:
    - {name: visits, measure: count, target: 3, events: [visit], calendar_month: true,
       bonus_points: 40}
    - {name: sprint, measure: spend, target: 250, events: [purchase], days: 14, bonus_points: 50}
    - {name: harder, measure: points, target: 1000, events: [purchase], calendar_month: true,
       bonus_points: 500}
    - {name: easier, measure: count, target: 30, events: [share], calendar_month: true,
       bonus_points: 500}
    - {name: fair, measure: spend, target: 100, events: [purchase], bonus_points: 7,
       window: {start: 2026-06-01, end: 2026-06-15}}
    - {name: together, measure: spend, target: 100, events: [purchase], bonus_points: 70,
       window: {start: 2026-01-01, end: 2027-01-01}, team: true}
"""
NEXT = (
    RULES.replace("target: 1000,", "target: 3000,")
    .replace("target: 30, events: [share]", "target: 10, events: [share]")
    .replace("start: 2026-06-01, end: 2026-06-15", "start: 2026-06-15, end: 2026-07-01")
)
START = to_timestamp(datetime(2020, 1, 1, tzinfo=UTC))
EARLY, LATE = local("2026-06-02 12:00"), local("2026-06-20 12:00")


@pytest.fixture(scope="module")
async def house(ground: Ground) -> AsyncIterator[House]:
    """A house with two versions of a program, the second from the middle of June on."""
    async with ground.house() as house:
        await house.apply(calm_rules(RULES), effective_time=START)
        middle = to_timestamp(local("2026-06-15 00:00"))
        await house.apply(calm_rules(NEXT), effective_time=middle)
        await house.start("antifraud", "tier", "points")
        yield house
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


class Shop(Earner, Counter):
    """A ledger with all that members do, and merges."""


@pytest.fixture
def shop(house: House) -> Shop:
    return Shop(house)


@pytest.fixture
def member() -> str:
    return f"m-{new_id()}"


async def active(shop: Shop, member: str) -> int:
    return (await shop.balance(member)).active


async def test_pt_04_a_bonus_of_days_that_have_ended_goes_with_what_had_reached_it(
    shop: Shop, member: str
) -> None:
    sprint = await shop.buy(member, "250", EARLY)
    first = 250 + 50 + 7
    assert await active(shop, member) == first
    await shop.buy(member, "1", EARLY + timedelta(days=15))
    # Ten of the new days, and nothing of it is lost when the old ones are returned.
    await shop.buy(member, "10", EARLY + timedelta(days=16))
    back = await shop.reverse(sprint)
    assert back.transaction.points == -first
    assert await active(shop, member) == 11
    shown = (await shop.challenges(member, EARLY + timedelta(days=16)))["sprint"]
    assert shown.progress == 1100


async def test_pt_04_a_team_is_given_the_bonus_of_a_campaign_once(shop: Shop, member: str) -> None:
    """Also where it is reached again after a return, and by who has changed the team."""
    ada, bob = f"{member}-ada", f"{member}-bob"
    team_id = await shop.team(ada, bob)
    for day in range(3):
        bought = await shop.buy(ada, "100", local("2026-03-02 12:00") + timedelta(days=day))
        await shop.stub.RunBonuses(activities.RunBonusesRequest())
        await shop.reverse(bought)
    assert [await active(shop, one) for one in (ada, bob)] == [70, 70]
    leaving = activities.RemoveTeamMemberRequest(
        request_id=new_id(), team_id=team_id, member_id=bob
    )
    await shop.stub.RemoveTeamMember(leaving)
    await shop.team(bob)
    await shop.buy(bob, "100", local("2026-03-20 12:00"))
    await shop.stub.RunBonuses(activities.RunBonusesRequest())
    assert await active(shop, bob) == 170


async def test_pt_09_a_bonus_stands_by_the_version_that_paid_it(shop: Shop, member: str) -> None:
    await shop.buy(member, "1100", EARLY)
    small = await shop.buy(member, "10", LATE)
    assert await active(shop, member) == 1110 + 500 + 50 + 7
    # By the target of the second version it would not be reached any more.
    assert (await shop.reverse(small, "1")).transaction.points == -1
    early = [await shop.do(member, "share", EARLY) for _ in range(5)]
    for _ in range(6):
        await shop.do(member, "share", LATE)
    before = await active(shop, member)
    # Reached by the second version, whose target still is; the first had asked for 30.
    assert (await shop.reverse(early[0])).transaction.points == -1
    assert (await shop.reverse(early[1])).transaction.points == -501
    assert await active(shop, member) == before - 502


async def test_pt_09_what_earned_nothing_is_returned_with_what_it_had_counted(
    shop: Shop, member: str
) -> None:
    done = [await shop.do(member, "visit", EARLY) for _ in range(3)]
    assert [one.points for one in done] == [10, 10, 0]
    assert await active(shop, member) == 20 + 40
    assert (await shop.reverse(done[2])).transaction.points == -40
    again = await refused(shop.reverse(done[2]))
    assert again.reason == "RETURN_EXCEEDED"
    assert (await shop.challenges(member, EARLY))["visits"].progress == 2
    await shop.do(member, "visit", EARLY)
    assert await active(shop, member) == 60


async def test_pt_09_an_activity_is_returned_once(shop: Shop, member: str) -> None:
    shared = await shop.do(member, "share", EARLY)
    assert (await shop.reverse(shared)).transaction.points == -1
    assert (await refused(shop.reverse(shared))).reason == "RETURN_EXCEEDED"


async def test_pt_09_a_return_settles_ties_as_the_purchase_had(shop: Shop, member: str) -> None:
    """The rules of a purchase are kept as JSON, whose order is not the program's."""
    first = await shop.do(member, "tie", EARLY)
    await shop.reverse(first)
    second = await shop.do(member, "tie", EARLY)
    applied = {line.rule for line in second.explanation.lines if line.applied}
    assert applied == {"long_name_first"}


async def test_pt_04_a_campaign_with_a_new_window_begins_anew(shop: Shop, member: str) -> None:
    await shop.buy(member, "60", EARLY)
    await shop.buy(member, "60", LATE)
    assert await active(shop, member) == 120
    assert (await shop.challenges(member, LATE))["fair"].progress == 6000
    old = await shop.buy(member, "40", EARLY)
    assert await active(shop, member) == 167
    await shop.reverse(old)
    assert await active(shop, member) == 120
    assert (await shop.challenges(member, LATE))["fair"].progress == 6000


async def test_pt_12_what_expired_in_the_middle_of_two_merges_is_not_asked_for(
    shop: Shop, member: str
) -> None:
    """PT-09: nor does a part of it that was forgiven before cost anything later."""
    bought = await shop.buy(member, "100", local("2025-01-10 12:00"))
    middle, last = f"{member}-b", f"{member}-c"
    await shop.merge(middle, member)
    await shop.run_expiry(local("2026-05-01 00:00"))
    half = pb.Transaction(member_id=middle, transaction_id=bought.transaction_id)
    assert (await shop.reverse(half, "50")).forgiven_points == 50
    await shop.merge(last, middle)
    await shop.buy(last, "30", EARLY)
    rest = pb.Transaction(member_id=last, transaction_id=bought.transaction_id)
    back = await shop.reverse(rest)
    assert (back.forgiven_points, back.debt_points) == (50, 0)
    assert await active(shop, last) == 30


async def test_pt_09_a_claw_back_takes_no_points_that_have_ended(shop: Shop, member: str) -> None:
    """Whether somebody has booked their end or not: both times it is owed."""
    now = datetime.now(UTC)
    for ended in (False, True):
        who = f"{member}-{ended}"
        await shop.buy(who, "100", now - timedelta(days=500))
        bought = await shop.buy(who, "40", now - timedelta(days=1))
        await shop.capture(await shop.hold(who, 40))
        if ended:
            await shop.run_expiry(now)
        assert (await shop.balance(who)).active == 0
        back = await shop.reverse(bought)
        assert (back.debt_points, back.forgiven_points) == (40, 0)


async def test_pt_09_nothing_cannot_be_returned(shop: Shop, member: str) -> None:
    bought = await shop.buy(member, "100", EARLY, lines=(("a", "x", "10"),))
    nothing = await refused(shop.reverse(bought, "0"))
    assert (nothing.reason, nothing.metadata["field"]) == ("AMOUNT_INVALID", "returned_amount")
    request = pb.ReverseAccrualRequest(
        request_id=new_id(), member_id=member, transaction_id=bought.transaction_id
    )
    request.returned_lines.add(line_id="a", amount={"currency_code": "USD", "units": 11})
    over = await refused(shop.stub.ReverseAccrual(request))
    assert over.metadata["what"] == "line a"


async def test_pt_09_a_return_takes_of_each_lot_what_that_lot_had_earned(
    shop: Shop, member: str
) -> None:
    """The fixed points, which a part of the goods still earns, neither pay for the other part
    where they have ended nor go with it where they wait.
    """
    app = pb.AccruePointsRequest(origin={"channel": "app"}).origin
    bought = await shop.buy(member, "100", local("2026-02-01 12:00"), origin=app)
    await shop.run_expiry(local("2026-06-01 00:00"))
    assert await active(shop, member) == 100
    half = await shop.reverse(bought, "50")
    assert (half.transaction.points, half.forgiven_points) == (-50, 0)
    rest = await shop.reverse(bought)
    assert (rest.transaction.points, rest.forgiven_points) == (-50, 100)
    assert await shop.balance(member) == pb.Balance()


async def test_pt_09_points_that_wait_stay_where_a_part_is_returned(
    shop: Shop, member: str
) -> None:
    store = pb.AccruePointsRequest(origin={"channel": "store"}).origin
    bought = await shop.buy(member, "100", datetime.now(UTC), origin=store)
    await shop.reverse(bought, "50")
    assert await shop.balance(member) == pb.Balance(active=50, pending=100)
    # What was spent of it is taken from what is left of it, before anything is owed.
    await shop.capture(await shop.hold(member, 50))
    back = await shop.reverse(bought, "20")
    assert (back.transaction.points, back.debt_points) == (-20, 0)
    assert await shop.balance(member) == pb.Balance(pending=80)


async def test_pt_09_a_bonus_goes_in_the_batch_that_it_came_in(shop: Shop, member: str) -> None:
    """A purchase that reaches a challenge, and at once a return after which it is not reached."""
    crowd = [f"{member}-{number}" for number in range(20)]
    firsts = [await shop.buy(one, "600", EARLY) for one in crowd]
    calls = []
    for one, first in zip(crowd, firsts, strict=True):
        calls += [shop.buy(one, "400", EARLY), shop.reverse(first, "1")]
    await gather(*calls)
    assert {await active(shop, one) for one in crowd} == {600 + 400 - 1 + 50 + 7}


async def test_pt_11_a_return_takes_nothing_of_what_was_given_away(shop: Shop, member: str) -> None:
    """Also in a batch with the receiver's own spending of it."""
    receiver = f"{member}-r"
    first = await shop.buy(member, "1000", local("2026-03-01 12:00"))
    await shop.buy(member, "1000", local("2026-03-02 12:00"))
    given = await shop.give(member, receiver, 200)
    before = await shop.balance(member)
    hold = shop.hold(receiver, given.received_points)
    back, _ = await in_one_batch(shop, shop.reverse(first), hold)
    assert back.debt_points == 0
    assert (await shop.balance(member)).active == before.active + back.transaction.points
    assert await shop.balance(receiver) == pb.Balance(held=180)


async def test_pt_09_a_part_can_be_kept_by_another_rule_than_the_whole(
    shop: Shop, member: str
) -> None:
    """Of a little the flat points are more than the rate, and share the end of others."""
    web = pb.AccruePointsRequest(origin={"channel": "web"}).origin
    bought = await shop.buy(member, "100", datetime.now(UTC), origin=web)
    assert bought.points == 205
    back = await shop.reverse(bought, "90")
    assert back.transaction.points == -170
    left = await shop.balance(member)
    assert (left.active + left.pending, left.debt) == (35, 0)


async def test_pt_12_of_several_lots_none_that_expired_after_a_merge_is_asked_for(
    shop: Shop, member: str
) -> None:
    store = pb.AccruePointsRequest(origin={"channel": "store"}).origin
    bought = await shop.buy(member, "100", local("2025-01-10 12:00"), origin=store)
    assert [move.points for move in bought.lot_movements] == [100, 100]
    other = f"{member}-o"
    await shop.merge(other, member)
    await shop.run_expiry(local("2026-05-01 00:00"))
    moved = pb.Transaction(member_id=other, transaction_id=bought.transaction_id)
    back = await shop.reverse(moved)
    assert (back.forgiven_points, back.debt_points) == (200, 0)


OLDER = """
UPDATE points.transaction SET explanation = jsonb_set(
    jsonb_set(explanation, '{basis,day}', to_jsonb($3::integer)),
    '{basis,counted}',
    (SELECT jsonb_agg(one - 3) FROM jsonb_array_elements(explanation #> '{basis,counted}') AS one)
)
WHERE member_id = $1 AND transaction_id = $2::text::uuid
"""


async def test_pt_04_a_return_from_before_days_were_noted_leaves_other_days_alone(
    shop: Shop, member: str
) -> None:
    """Of such a purchase the day that it was made on is known, and not the first of its days."""
    at = local("2026-05-02 12:00")
    old = await shop.buy(member, "100", at)
    await shop.house.fetch(OLDER, member, old.transaction_id, at.toordinal())
    await shop.buy(member, "250", EARLY)
    assert await active(shop, member) == 100 + 250 + 50 + 7
    assert (await shop.reverse(old)).transaction.points == -100
    shown = (await shop.challenges(member, EARLY))["sprint"]
    assert (shown.progress, shown.completed) == (25000, True)
