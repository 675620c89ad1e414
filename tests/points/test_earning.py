"""All the ways to earn (PT-01 to PT-05), through the service."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from grpc import StatusCode

from accrual_programs import local
from cli.check import run_checks
from house import Ground, House, new_id, refused, usd
from kit.clock import to_timestamp
from laurel.points.v1 import activities_pb2 as activities
from laurel.points.v1 import liability_pb2 as liability
from laurel.points.v1 import merges_pb2 as merges
from laurel.points.v1 import points_service_pb2 as pb
from laurel.tier.v1 import member_service_pb2 as members
from laurel.tier.v1.member_service_pb2_grpc import MemberServiceStub
from points_earning import Earner, calm_rules
from points_ledger import calm_program, events_of, settled

NOON = local("2026-06-10 12:00")
START = to_timestamp(datetime(2020, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
async def house(ground: Ground) -> AsyncIterator[House]:
    async with ground.house() as house:
        await house.apply(calm_rules(), effective_time=START)
        await house.start("antifraud", "tier", "points")
        yield house
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


@pytest.fixture
def earner(house: House) -> Earner:
    return Earner(house)


@pytest.fixture
def member() -> str:
    return f"m-{new_id()}"


async def bonuses(earner: Earner, member: str) -> list[pb.Transaction]:
    kind = pb.TRANSACTION_KIND_BONUS
    return [one for one in await earner.transactions(member) if one.kind == kind]


def lines(transaction: pb.Transaction) -> dict[str, str]:
    return {line.rule: line.points for line in transaction.explanation.lines if line.applied}


async def test_pt_01_the_second_purchase_in_category_baby_earns_half_as_much_again(
    earner: Earner, member: str
) -> None:
    order = ("a", "baby", "100"), ("b", "toys", "60")
    first = await earner.buy(member, "160", NOON, lines=order)
    second = await earner.buy(member, "160", NOON, lines=order)
    assert first.points == 210  # with 50 for the first order
    assert second.points == 210
    assert lines(second) == {"spend": "160", "spend:repeat": "50"}
    reasons = {line.rule: line.reason for line in second.explanation.lines}
    assert reasons["first_order"] == "its condition does not hold"
    assert (await earner.balance(member)).active == 420


async def test_pt_03_the_first_order_is_the_first_under_any_program(
    ground: Ground, member: str
) -> None:
    async with ground.house() as house:
        await house.apply(calm_program(multiplied=False), effective_time=START)
        await house.start("antifraud", "tier", "points")
        earner = Earner(house)
        await earner.accrue(member, "10", NOON)
        await house.apply(calm_rules(), effective_time=to_timestamp(NOON))
        await house.settle()
        assert (await earner.buy(member, "10", NOON)).points == 10
        assert (await earner.buy(f"{member}-2", "10", NOON)).points == 60


async def test_pt_03_the_birthday_month_and_the_member_day_multiply_up_to_3(
    earner: Earner, house: House, member: str
) -> None:
    enrolment = members.EnrolMemberRequest(
        request_id=new_id(), member_id=member, birth_month=6, birth_day=30
    )
    await house.stub(MemberServiceStub, "tier").EnrolMember(enrolment)
    await house.settle()
    await earner.buy(member, "0.50", NOON)
    points = [
        (await earner.buy(member, "100", local(f"2026-{day} 12:00"))).points
        for day in ("06-10", "06-08", "07-08", "07-10")
    ]
    assert points == [200, 300, 200, 100]


async def test_pt_03_the_birthday_of_one_who_enrolled_before_is_asked_for(
    earner: Earner, house: House, member: str
) -> None:
    enrolment = members.EnrolMemberRequest(
        request_id=new_id(), member_id=member, birth_month=6, birth_day=30
    )
    await house.stub(MemberServiceStub, "tier").EnrolMember(enrolment)
    await house.settle()
    await house.fetch("DELETE FROM points.member_fact WHERE member_id = $1", member)
    assert (await earner.buy(member, "100", NOON)).points == 250


async def test_pt_03_a_card_counts_while_the_member_holds_it(
    earner: Earner, house: House, member: str
) -> None:
    card = "gold_welcome", local("2026-06-01 00:00"), local("2026-07-01 00:00")
    await house.fetch(
        "INSERT INTO points.member_card VALUES ($1, gen_random_uuid(), $2, $3, $4)", member, *card
    )
    await earner.buy(member, "0.50", NOON)
    days = ("2026-05-31 12:00", "2026-06-10 12:00", "2026-07-10 12:00")
    points = [(await earner.buy(member, "100", local(day))).points for day in days]
    assert points == [100, 200, 100]


async def test_pt_05_a_rule_with_pending_days_of_its_own_makes_a_lot_of_its_own(
    earner: Earner, member: str
) -> None:
    now = datetime.now(UTC)
    origin = pb.AccruePointsRequest(origin={"channel": "app"}).origin
    bought = await earner.buy(member, "100", now, origin=origin)
    assert [move.points for move in bought.lot_movements] == [150, 10]
    assert bought.explanation.mature_time.ToDatetime(UTC) > now
    balance = await earner.balance(member)
    assert (balance.active, balance.pending) == (150, 10)
    taken = await earner.reverse(bought)
    assert taken.transaction.points == -160
    assert taken.debt_points == 0


async def test_pt_02_check_in_gives_10_a_day_and_three_days_give_a_badge(
    earner: Earner, house: House, member: str
) -> None:
    times = ["06-09 23:59", "06-10 00:01", "06-10 23:59", "06-11 08:00", "06-12 08:00"]
    told = [await earner.do(member, "check_in", local(f"2026-{at}")) for at in times]
    assert [one.points for one in told] == [10, 10, 0, 10, 10]
    completed = list(told[3].explanation.bonuses)
    assert [(one.name, one.points, one.badge) for one in completed] == [
        ("three_days", 30, "faithful")
    ]
    (bonus,) = await bonuses(earner, member)
    assert bonus.transaction_id == completed[0].transaction_id
    assert bonus.explanation.cause_transaction_id == told[3].transaction_id
    assert bonus.explanation.lines[0].reason == "3 days in a row of check_in, up to 2026-06-11"
    assert (await earner.balance(member)).active == 70
    (badge,) = await events_of(house, "badge_earned", member)
    assert (badge.badge_earned.badge, badge.badge_earned.name) == ("faithful", "three_days")
    told_of = await events_of(house, "points_accrued", member)
    assert {one.points_accrued.event_type for one in told_of} == {"check_in"}
    (accrued,) = await events_of(house, "bonus_accrued", member)
    assert accrued.bonus_accrued.points == 30


async def test_pt_04_3000_points_in_the_month_give_500_more_once(
    earner: Earner, member: str
) -> None:
    await earner.buy(member, "2949", NOON)
    assert (await earner.challenges(member, NOON))["big_month"].progress == 2999
    reached = await earner.buy(member, "1", NOON)
    await earner.buy(member, "5000", NOON)
    assert [one.points for one in reached.explanation.bonuses] == [500]
    (bonus,) = await bonuses(earner, member)
    assert bonus.points == 500
    challenge = (await earner.challenges(member, NOON))["big_month"]
    assert (challenge.progress, challenge.target, challenge.completed) == (8000, 3000, True)
    assert challenge.start_time.ToDatetime(UTC) == local("2026-06-01 00:00")
    assert challenge.end_time.ToDatetime(UTC) == local("2026-07-01 00:00")
    assert not (await earner.challenges(member, local("2026-07-01 00:00")))["big_month"].progress


async def test_pt_02_a_repeated_activity_takes_effect_once(earner: Earner, member: str) -> None:
    request = earner.activity(member, "share", NOON, attributes={"platform": "weibo"})
    answers = await asyncio.gather(*[earner.stub.AccrueActivity(request) for _ in range(20)])
    assert len({answer.transaction.transaction_id for answer in answers}) == 1
    assert (await earner.balance(member)).active == 20
    again = (await earner.stub.AccrueActivity(request)).transaction
    assert again == answers[0].transaction
    other = earner.activity(member, "review", NOON, request_id=request.request_id)
    refusal = await refused(earner.stub.AccrueActivity(other))
    assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_pt_02_caps_are_exact_under_200_callers(earner: Earner, member: str) -> None:
    calls = [earner.do(member, "share", NOON) for _ in range(100)]
    calls += [earner.do(member, "check_in", NOON) for _ in range(100)]
    answers, refusals = await settled(calls)
    assert not refusals
    assert sum(one.points for one in answers) == 60  # 50 a month, 10 a day
    assert (await earner.balance(member)).active == 60
    rows = await earner.house.fetch(
        "SELECT name, amount FROM points.progress WHERE member_id = $1 AND name LIKE 'cap:%'",
        member,
    )
    assert {row["name"]: row["amount"] for row in rows} == {"cap:share": 50, "cap:check_in": 10}


async def test_pt_04_a_challenge_is_reached_once_under_200_callers(
    earner: Earner, member: str
) -> None:
    answers, refusals = await settled(earner.buy(member, "100", NOON) for _ in range(200))
    assert not refusals
    reached = [one for one in answers if one.explanation.bonuses]
    assert len(reached) == 1
    assert (await earner.balance(member)).active == 200 * 100 + 50 + 500


async def test_pt_15_each_row_of_a_batch_answers_for_itself(earner: Earner, member: str) -> None:
    rows = [
        earner.activity(member, "check_in", NOON),
        earner.activity(member, "check_in", NOON),
        earner.activity(member, "Check in", NOON),
        earner.activity(member, "purchase", NOON),
        earner.activity(member, "referral", NOON, reference=member),
        earner.activity(member, "referral", NOON, reference="bob"),
        earner.activity(member, "referral", NOON, reference="bob"),
        earner.activity(member, "unheard_of", NOON),
    ]
    request = pb.BatchAccrueActivitiesRequest(requests=rows)
    results = (await earner.stub.BatchAccrueActivities(request)).results
    assert [row.accrued.points for row in results] == [10, 0, 0, 0, 0, 200, 0, 0]
    details = [row.error.message for row in results]
    assert "event_type" in details[2]
    assert "AccruePoints" in details[3]
    assert "the member themselves" in details[4]
    assert not any(details[i] for i in (0, 1, 5, 6, 7))


async def test_pt_15_purchases_of_a_batch_go_by_all_the_rules(earner: Earner, member: str) -> None:
    rows = [earner.accrual(member, "10", NOON) for _ in range(3)]
    request = pb.BatchAccruePointsRequest(requests=rows)
    results = (await earner.stub.BatchAccruePoints(request)).results
    assert [row.accrued.points for row in results] == [60, 10, 10]


async def test_lines_must_go_together(earner: Earner, member: str) -> None:
    twice = await refused(earner.buy(member, "9", lines=(("a", "x", "1"), ("a", "x", "2"))))
    assert (twice.code, twice.reason) == (StatusCode.INVALID_ARGUMENT, "LINES_INVALID")
    assert twice.metadata["field"] == "purchase.lines[1].line_id"
    above = await refused(earner.buy(member, "9", lines=(("a", "x", "9.01"),)))
    assert "901 minor units" in (above.message or "")


async def test_pt_04_progress_is_listed_in_pages(earner: Earner, member: str) -> None:
    names = []
    token = ""
    while True:
        request = activities.ListChallengesRequest(member_id=member, page_size=3, page_token=token)
        page = await earner.stub.ListChallenges(request)
        names += [one.name for one in page.challenges]
        token = page.next_page_token
        if not token:
            break
    assert names == ["three_days", "big_month", "sprint", "together"]
    bad = activities.ListChallengesRequest(member_id=member, page_token="x")
    assert (await refused(earner.stub.ListChallenges(bad))).reason == "PAGE_TOKEN_INVALID"


async def test_pt_04_a_streak_and_a_challenge_of_days_show_what_still_stands(
    earner: Earner, member: str
) -> None:
    for day in ("06-10", "06-11"):
        await earner.do(member, "check_in", local(f"2026-{day} 12:00"))
    await earner.do(member, "share", NOON)
    shown = await earner.challenges(member, local("2026-06-12 12:00"))
    assert (shown["three_days"].progress, shown["three_days"].completed) == (2, False)
    assert shown["sprint"].progress == 1
    assert shown["sprint"].end_time.ToDatetime(UTC) == local("2026-06-17 00:00")
    later = await earner.challenges(member, local("2026-06-17 12:00"))
    assert (later["three_days"].progress, later["sprint"].progress) == (0, 0)
    assert not later["sprint"].HasField("start_time")


async def test_pt_04_a_team_reaches_a_challenge_together_and_each_gets_the_bonus(
    earner: Earner, house: House, member: str
) -> None:
    ada, bob, eve = (f"{member}-{name}" for name in ("ada", "bob", "eve"))
    team_id = await earner.team(ada, bob, eve)
    await asyncio.gather(*[earner.buy(one, "20", NOON) for one in (ada, bob) * 3])
    shown = (await earner.challenges(eve, NOON))["together"]
    assert (shown.team_id, shown.progress, shown.completed) == (team_id, 12000, True)
    runs = [earner.stub.RunBonuses(activities.RunBonusesRequest()) for _ in range(4)]
    done = await asyncio.gather(*runs)
    assert sum(one.bonus_count for one in done) == 3
    assert sum(one.bonus_points for one in done) == 120
    assert [(await earner.balance(one)).active for one in (ada, bob, eve)] == [150, 150, 40]
    (bonus,) = await bonuses(earner, eve)
    assert bonus.explanation.lines[0].reason == "the team reached 10000 minor units in 2026-06"
    (badge,) = await events_of(house, "badge_earned", eve)
    assert badge.badge_earned.badge == "team_player"
    again = await earner.stub.RunBonuses(activities.RunBonusesRequest())
    assert again.bonus_count == 0


async def test_pt_04_a_member_is_in_one_team_and_a_team_is_bounded(
    earner: Earner, member: str
) -> None:
    team_id, other = await earner.team(member), await earner.team()
    stub = earner.stub

    def adding(team: str, who: str) -> activities.AddTeamMemberRequest:
        return activities.AddTeamMemberRequest(request_id=new_id(), team_id=team, member_id=who)

    assert (await refused(stub.AddTeamMember(adding(other, member)))).reason == "IN_ANOTHER_TEAM"
    assert (await refused(stub.AddTeamMember(adding("none", member)))).reason == "TEAM_NOT_FOUND"
    calls = [stub.AddTeamMember(adding(team_id, f"{member}-{i}")) for i in range(60)]
    answers, refusals = await settled(calls)
    assert (len(answers), {one.reason for one in refusals}) == (49, {"TEAM_FULL"})
    removal = activities.RemoveTeamMemberRequest(
        request_id=new_id(), team_id=team_id, member_id=member
    )
    for _ in range(2):
        assert member not in (await stub.RemoveTeamMember(removal)).team.member_ids
    removal.request_id = new_id()
    assert (await refused(stub.RemoveTeamMember(removal))).reason == "NOT_IN_TEAM"
    team = (await stub.GetTeam(activities.GetTeamRequest(team_id=team_id))).team
    assert len(team.member_ids) == 49
    taken = activities.CreateTeamRequest(request_id=new_id(), team_id=team_id, name="x")
    assert (await refused(stub.CreateTeam(taken))).reason == "TEAM_EXISTS"


async def test_pt_04_a_request_id_that_added_a_member_removes_none(
    earner: Earner, member: str
) -> None:
    values = {"request_id": new_id(), "team_id": await earner.team(), "member_id": member}
    await earner.stub.AddTeamMember(activities.AddTeamMemberRequest(**values))
    removal = activities.RemoveTeamMemberRequest(**values)
    assert (await refused(earner.stub.RemoveTeamMember(removal))).reason == "REQUEST_ID_REUSED"


async def test_pt_09_a_return_goes_by_the_rules_of_the_purchase(
    earner: Earner, member: str
) -> None:
    order = ("a", "baby", "100"), ("b", "toys", "60")
    await earner.buy(member, "160", NOON, lines=order)
    second = await earner.buy(member, "160", NOON, lines=order)
    taken = [(await earner.reverse(second, amount)).transaction.points for amount in ("40", "60")]
    taken.append((await earner.reverse(second)).transaction.points)
    assert sum(taken) == -210
    assert all(points < 0 for points in taken)


async def test_pt_02_an_activity_that_is_taken_back_frees_its_cap(
    earner: Earner, member: str
) -> None:
    told = await earner.do(member, "check_in", NOON)
    assert (await earner.reverse(told)).transaction.points == -10
    assert (await earner.do(member, "check_in", NOON)).points == 10


async def test_pt_04_a_return_takes_back_the_progress_and_the_bonus_that_it_had_reached(
    earner: Earner, member: str
) -> None:
    await earner.buy(member, "2000", NOON)
    second = await earner.buy(member, "1000", NOON)
    assert (await earner.balance(member)).active == 3550
    returned = await earner.reverse(second, "100")
    assert returned.transaction.points == -600 + 50 - 50 + 0  # 100, and the bonus of 500
    shown = (await earner.challenges(member, NOON))["big_month"]
    assert (shown.progress, shown.completed) == (2950, False)
    assert (await earner.balance(member)).active == 2950
    await earner.buy(member, "50", NOON)
    assert len(await bonuses(earner, member)) == 2
    assert (await earner.balance(member)).active == 3500


async def test_pt_03_a_first_order_that_was_returned_whole_was_none(
    earner: Earner, member: str
) -> None:
    first = await earner.buy(member, "10", NOON)
    assert first.points == 60
    assert (await earner.reverse(first, "5")).transaction.points == -5
    assert (await earner.reverse(first)).transaction.points == -55
    assert (await earner.buy(member, "10", NOON)).points == 60


async def test_what_is_owed_is_paid_before_anything_else(earner: Earner, member: str) -> None:
    first = await earner.buy(member, "100", NOON)
    await earner.capture(await earner.hold(member, 150))
    assert (await earner.reverse(first)).debt_points == 150
    second = await earner.buy(member, "100", NOON)
    balance = await earner.balance(member)
    assert (balance.active, balance.debt) == (0, 0)
    assert lines(second)["debt_repaid"] == "-150"


async def test_pt_04_writes_of_all_kinds_at_once_leave_counters_that_agree(
    earner: Earner, house: House, member: str
) -> None:
    """Invariants, with caps, a challenge and a team under purchases and returns at once."""
    crew = [f"{member}-{i}" for i in range(4)]
    team_id = await earner.team(*crew)

    async def shop(who: str) -> None:
        bought = await earner.buy(who, "30", NOON)
        await earner.do(who, "share", NOON)
        await earner.reverse(bought, "10")
        await earner.do(who, "check_in", NOON)

    answers, refusals = await settled(shop(crew[i % 4]) for i in range(60))
    assert (len(answers), refusals) == (60, [])
    team = (await earner.challenges(crew[0], NOON))["together"]
    assert (team.team_id, team.progress) == (team_id, 60 * 2000)
    for who in crew:
        rows = await house.fetch(
            "SELECT name, amount FROM points.progress WHERE member_id = $1", who
        )
        amounts = {row["name"]: row["amount"] for row in rows}
        assert amounts["cap:share"] == 50
        assert amounts["cap:check_in"] == 10
        earned = [t for t in await earner.transactions(who) if t.order_id]
        assert amounts["challenge:big_month"] == sum(t.points for t in earned)
        assert amounts["orders"] == 15


async def test_af_01_what_is_under_review_leaves_its_bonus_under_review(
    ground: Ground, member: str
) -> None:
    rules = 'rules: [{name: r, operations: [accrual], when: "true", action: review}]\n'
    async with ground.house() as house:
        await house.apply(calm_rules().replace("rules: []\n", rules), effective_time=START)
        await house.start("antifraud", "tier", "points")
        earner = Earner(house)
        reviewed = await earner.buy(member, "3000", NOON)
        assert reviewed.explanation.under_review
        (bonus,) = await bonuses(earner, member)
        assert bonus.explanation.under_review
        balance = await earner.balance(member)
        assert (balance.active, balance.pending) == (0, 3550)
        # Taken back, nothing is left, and nothing is owed.
        await earner.reverse(reviewed)
        balance = await earner.balance(member)
        assert (balance.active, balance.pending, balance.debt) == (0, 0, 0)


async def test_af_06_without_an_answer_small_activities_wait_and_large_ones_are_refused(
    ground: Ground, member: str
) -> None:
    async with ground.house() as house:
        await house.apply(calm_rules(), effective_time=START)
        await house.start("tier", "points")
        earner = Earner(house)
        small = await earner.do(member, "share", NOON)
        assert small.explanation.under_review
        assert small.explanation.lines[-1].rule == "antifraud"
        large = await refused(earner.buy(member, "3000", NOON))
        assert (large.code, large.reason) == (StatusCode.UNAVAILABLE, "ANTIFRAUD_UNAVAILABLE")
        assert (await earner.challenges(member, NOON))["big_month"].progress == 0


async def test_pt_03_a_benefit_that_was_granted_counts_as_a_card(
    ground: Ground, member: str
) -> None:
    async with ground.house() as house:
        await house.apply(calm_rules(), effective_time=START)
        await house.start("antifraud", "tier", "benefits", "points")
        earner = Earner(house)
        assert (await earner.buy(member, "300")).points == 350
        await house.settle()
        held = await house.fetch("SELECT card FROM points.member_card WHERE member_id = $1", member)
        assert "gold_welcome" in {row["card"] for row in held}
        bought = await earner.buy(member, "10")
        reasons = {line.rule: line.reason for line in bought.explanation.lines}
        assert reasons["spend:card"] == "multiplies by 2"


async def give_back(earner: Earner, bought: pb.Transaction, **lines: str) -> pb.Transaction:
    request = pb.ReverseAccrualRequest(
        request_id=new_id(), member_id=bought.member_id, transaction_id=bought.transaction_id
    )
    for line_id, amount in lines.items():
        request.returned_lines.add(line_id=line_id, amount=usd(amount))
    return (await earner.stub.ReverseAccrual(request)).transaction


async def test_pt_09_a_return_of_lines_takes_back_what_these_lines_had_earned(
    earner: Earner, member: str
) -> None:
    order = ("a", "baby", "100"), ("b", "toys", "60"), ("c", "", "20")
    await earner.buy(member, "200", NOON, lines=order)
    bought = await earner.buy(member, "200", NOON, lines=order)
    assert bought.points == 250
    assert (await give_back(earner, bought, a="40")).points == -60
    assert (await give_back(earner, bought, b="60", a="10")).points == -75
    # The rest: 50 of a, 20 of c, 20 of no line. A return without lines takes a half of each.
    assert (await earner.reverse(bought, "45")).transaction.points == -57  # 57.5 of 115 are left
    over = await refused(give_back(earner, bought, a="25.01"))
    assert (over.reason, over.metadata["left_minor"]) == ("RETURN_EXCEEDED", "2500")
    assert (await give_back(earner, bought, a="25")).points == -38
    assert (await earner.reverse(bought)).transaction.points == -20
    nothing = await refused(give_back(earner, bought, c="0.01"))
    assert nothing.reason == "RETURN_EXCEEDED"


async def test_pt_09_a_line_is_returned_once_whoever_asks(earner: Earner, member: str) -> None:
    bought = await earner.buy(member, "30", NOON, lines=(("a", "x", "10"), ("b", "x", "20")))
    calls = [give_back(earner, bought, a="10") for _ in range(20)]
    answers, refusals = await settled(calls)
    assert [one.points for one in answers] == [-10]
    assert {one.reason for one in refusals} == {"RETURN_EXCEEDED"}


async def test_pt_09_lines_that_are_not_there_are_refused(earner: Earner, member: str) -> None:
    bought = await earner.buy(member, "30", NOON, lines=(("a", "x", "10"),))
    unknown = await refused(give_back(earner, bought, z="1"))
    assert (unknown.code, unknown.reason) == (StatusCode.NOT_FOUND, "LINE_NOT_FOUND")
    assert unknown.metadata["lines"] == "a"
    request = pb.ReverseAccrualRequest(
        request_id=new_id(), member_id=member, transaction_id=bought.transaction_id,
        returned_amount=usd("1"),
    )  # fmt: skip
    request.returned_lines.add(line_id="a", amount=usd("1"))
    assert (await refused(earner.stub.ReverseAccrual(request))).reason == "LINES_INVALID"
    request.ClearField("returned_amount")
    request.returned_lines.add(line_id="a", amount=usd("1"))
    assert (await refused(earner.stub.ReverseAccrual(request))).reason == "LINES_INVALID"
    without = await earner.buy(member, "30", NOON)
    assert (await refused(give_back(earner, without, a="1"))).reason == "LINE_NOT_FOUND"


async def test_pt_09_lines_are_kept_where_all_rules_are_plain(ledger: Earner, member: str) -> None:
    earner = Earner(ledger.house)
    bought = await earner.buy(member, "30", lines=(("a", "x", "10.50"), ("b", "x", "19")))
    assert bought.points == 30
    assert (await give_back(earner, bought, a="10.50")).points == -10
    over = await refused(give_back(earner, bought, a="1"))
    assert over.reason == "RETURN_EXCEEDED"
    assert (await give_back(earner, bought, b="19")).points == -19
    assert (await earner.reverse(bought)).transaction.points == -1


async def test_pt_09_a_bonus_that_paid_a_debt_is_taken_back_whole(
    earner: Earner, member: str
) -> None:
    first = await earner.buy(member, "2000", NOON)
    await earner.capture(await earner.hold(member, 2050))
    second = await earner.buy(member, "100", NOON)
    assert (await earner.reverse(first)).debt_points == 1950
    third = await earner.buy(member, "2900", NOON)  # the month is reached: 500 more
    assert (await earner.balance(member)).active == 1450
    taken = await earner.reverse(second)
    assert taken.transaction.points == -600
    assert (await earner.balance(member)).active == 850
    assert len(await bonuses(earner, member)) == 1
    assert third.explanation.bonuses[0].points == 500


async def test_pt_14_bonuses_stand_in_the_liability_report_to_the_point(
    ground: Ground, member: str
) -> None:
    async with ground.house() as house:
        await house.apply(calm_rules(), effective_time=START)
        await house.start("antifraud", "tier", "points")
        earner = Earner(house)
        now = datetime.now(UTC)
        bought = await earner.buy(member, "3000", now)
        for days_ago in (2, 1, 0):
            await earner.do(member, "check_in", now - timedelta(days=days_ago))
        await earner.reverse(bought, "100")
        request = liability.GetLiabilityReportRequest()
        report = (await earner.stub.GetLiabilityReport(request)).report
        balance = await earner.balance(member)
        assert report.outstanding_points == balance.active + balance.pending
        assert sum(bucket.points for bucket in report.age_buckets) == report.outstanding_points


async def test_pt_12_the_survivor_of_a_merge_gives_back_the_bonus_of_the_merged(
    earner: Earner, member: str
) -> None:
    survivor = f"{member}-s"
    await earner.buy(survivor, "10", NOON)
    bought = await earner.buy(member, "3000", NOON)
    request = merges.MergeMembersRequest(
        request_id=new_id(),
        survivor_member_id=survivor,
        merged_member_id=member,
        operator="o",
        reason="r",
    )
    await earner.stub.MergeMembers(request)
    assert (await earner.balance(survivor)).active == 60 + 3550
    reversal = pb.ReverseAccrualRequest(
        request_id=new_id(), member_id=survivor, transaction_id=bought.transaction_id
    )
    taken = (await earner.stub.ReverseAccrual(reversal)).transaction
    assert taken.points == -3550
    assert (await earner.balance(survivor)).active == 60
