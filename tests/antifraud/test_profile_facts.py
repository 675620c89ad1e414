"""Facts about the member beyond windows (AF-02): each is seen where it holds, and not where not."""

from asyncio import gather
from collections.abc import AsyncIterator
from datetime import timedelta
from statistics import mean, stdev

import pytest
from fraud_desk import ALLOW, DENY, EARLY, EARLY_RULES, LATE, NOON, REVIEW, program_with
from grpc import StatusCode
from member_desk import (
    AMSTERDAM,
    DAY,
    DECIDING,
    HOUR,
    MINUTE,
    NEVER,
    TOKYO,
    UTRECHT,
    WITNESS,
    MemberDesk,
    changed,
    earn,
    gift,
    login,
    spend,
    tagged,
)

from house import Ground, House, new_id, refused, usd
from kit.clock import make_clock, to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.points.v1 import points_service_pb2 as points_pb
from laurel.points.v1.accounts_pb2 import FreezeAccountRequest, UnfreezeAccountRequest
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from laurel.tier.v1.member_service_pb2 import EnrolMemberRequest
from laurel.tier.v1.member_service_pb2_grpc import MemberServiceStub


@pytest.fixture(scope="module")
async def member_house(ground: Ground) -> AsyncIterator[House]:
    """A house whose rules from 2000 read every fact about the member; those from 1990 read none."""
    async with ground.house() as house:
        patient = (WITNESS + DECIDING, "deadline_ms: 500", "deadline_ms: 20000")
        await house.apply(program_with(EARLY_RULES), effective_time=to_timestamp(EARLY))
        await house.apply(
            program_with(patient[0]).replace(*patient[1:]), effective_time=to_timestamp(LATE)
        )
        await house.start("antifraud")
        yield house


@pytest.fixture
def desk(member_house: House) -> MemberDesk:
    return MemberDesk(member_house)


# What is told


async def test_nothing_is_known_of_who_was_never_heard_of(desk: MemberDesk, member: str) -> None:
    seen = await desk.see(spend(member))
    assert seen == {
        "member.known": "False", "member.age_days": "-1", "member.status": "",
        "member.tags": "[]", "member.minutes_since_profile_change": NEVER,
        "member.minutes_since_login": NEVER, "member.minutes_since_new_device": NEVER,
        "request.device_age_minutes": NEVER, "history.count": "0", "history.points_mean": "0.0",
        "history.points_deviation": "0.0", "history.amount_mean": "0.0",
        "history.amount_deviation": "0.0", "travel.km": "0.0", "travel.kmh": "0.0",
        "member.refund_ratio": "0.0", "member.refund_count": "0", "gifts.senders": "0",
        "gifts.cycle": "False",
    }  # fmt: skip


async def test_reports_tell_of_log_ins_changes_and_tags(desk: MemberDesk, member: str) -> None:
    assert await desk.report(login(member), changed(member), tagged(member, ["vip", "b"])) == 1
    seen = await desk.see(spend(member, 5 * MINUTE + 59))
    assert (seen["member.known"], seen["member.tags"]) == ("True", "['b', 'vip']")
    assert seen["member.minutes_since_login"] == seen["member.minutes_since_profile_change"] == "5"
    # What lies behind the operation has not happened yet.
    seen = await desk.see(spend(member, -HOUR))
    assert (
        seen["member.minutes_since_login"] == seen["member.minutes_since_profile_change"] == NEVER
    )


async def test_repeated_late_and_shuffled_reports_are_harmless(
    desk: MemberDesk, member: str
) -> None:
    later = NOON + timedelta(hours=1)
    reports = [
        login(member, device="a"), changed(member), tagged(member, ["old"]),
        login(member, later, device="b"), changed(member, later), tagged(member, ["new"], later),
    ]  # fmt: skip
    await desk.report(*reports)
    first = await desk.state(member)
    assert await desk.report(*reports) == 0
    assert await desk.report(*reversed(reports)) == 0
    await gather(*[desk.report(report) for report in reports * 4])
    assert await desk.state(member) == first
    other = new_id()
    for report in reversed(reports):
        report.member_id = other
        await desk.report(report)
    assert (await desk.see(spend(other, 2 * HOUR)))["member.tags"] == "['new']"
    told = await desk.state(other)
    assert sorted(told.pop("devices")) == sorted(first.pop("devices"))
    assert {name: told[name] for name in first} == first


async def test_tags_are_replaced_and_taken_away(desk: MemberDesk, member: str) -> None:
    await desk.report(tagged(member, ["employee"]))
    assert await desk.actions(spend(member, 1, channel="store")) == [DENY]
    assert await desk.actions(spend(member, 1, channel="web")) == [ALLOW]
    await desk.report(tagged(member, [], NOON + timedelta(seconds=1)))
    assert await desk.actions(spend(member, 1, channel="store")) == [ALLOW]


@pytest.mark.parametrize(
    ("broken", "field", "reason"),
    [
        (pb.Activity(), "activities[1].member_id", "INVALID_ARGUMENT"),
        (pb.Activity(member_id="m", kind=9), "activities[1].kind", "INVALID_ARGUMENT"),  # type: ignore[arg-type]
        (login("\0"), "activities[1].member_id", "INVALID_ARGUMENT"),
        (tagged("m", ["a", "a"]), "activities[1].tags", "INVALID_ARGUMENT"),
        (tagged("m", ["a" * 65]), "activities[1].tags[0]", "INVALID_ARGUMENT"),
        (tagged("m", [str(n) for n in range(33)]), "activities[1].tags", "INVALID_ARGUMENT"),
        (
            pb.Activity(
                member_id="m", kind=pb.ACTIVITY_KIND_LOGIN, tags=["a"],
                occurred_time=to_timestamp(NOON),
            ),
            "activities[1].tags", "INVALID_ARGUMENT",
        ),
        (
            pb.Activity(
                member_id="m", kind=pb.ACTIVITY_KIND_TAGS_CHANGE, origin=pb.Origin(device="d"),
                occurred_time=to_timestamp(NOON),
            ),
            "activities[1].origin", "INVALID_ARGUMENT",
        ),
        (
            login("m", make_clock(None)() + timedelta(days=1)),
            "activities[1].occurred_time", "TIME_IN_FUTURE",
        ),
        (
            pb.Activity(
                member_id="m", kind=pb.ACTIVITY_KIND_LOGIN,
                occurred_time=to_timestamp(NOON),
                origin=pb.Origin(location=pb.Location(latitude_degrees=91)),
            ),
            "activities[1].origin.location.latitude_degrees", "INVALID_ARGUMENT",
        ),
    ],
)  # fmt: skip
async def test_a_mistake_in_one_report_refuses_them_all(
    desk: MemberDesk, member: str, broken: pb.Activity, field: str, reason: str
) -> None:
    said = await refused(desk.report(login(member), broken))
    assert (said.code, said.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert field in said.message + said.metadata.get("field", "")
    assert (await desk.see(spend(member)))["member.known"] == "False"


async def test_no_reports_and_too_many_are_refused(desk: MemberDesk, member: str) -> None:
    for reports in ((), (login(member),) * 1001):
        said = await refused(desk.report(*reports))
        assert (said.code, "activities" in said.message) == (StatusCode.INVALID_ARGUMENT, True)
    many = [login(f"{member}-{n}") for n in range(1000)]
    assert await desk.report(*many) == 1000


# Devices


async def test_a_first_device_is_not_new_and_a_second_is(desk: MemberDesk, member: str) -> None:
    first, again, second, back = await desk.seen(
        spend(member, device="phone"),
        spend(member, 30 * MINUTE, device="phone"),
        spend(member, HOUR, device="stolen"),
        spend(member, 2 * HOUR, device="phone"),
    )
    age, new = "request.device_age_minutes", "member.minutes_since_new_device"
    assert (first[age], first[new]) == ("0", NEVER)
    assert (again[age], again[new]) == ("30", NEVER)
    assert (second[age], second[new]) == ("0", "0")
    assert (back[age], back[new]) == ("120", "60")
    assert (await desk.see(spend(member, 3 * HOUR)))[age] == NEVER


async def test_a_device_of_a_log_in_is_known_afterwards(desk: MemberDesk, member: str) -> None:
    await desk.report(login(member, NOON - timedelta(days=2), "home"))
    await desk.report(login(member, NOON, "other"))
    seen = await desk.see(spend(member, 20 * MINUTE, device="other"))
    assert seen["request.device_age_minutes"] == seen["member.minutes_since_new_device"] == "20"


async def test_of_many_devices_the_latest_32_are_remembered(desk: MemberDesk, member: str) -> None:
    await desk.assess(*[spend(member, n * MINUTE, device=f"d-{n}") for n in range(100)])
    state = await desk.state(member)
    assert {name for name, *_ in state["devices"]} == {f"d-{n}" for n in range(68, 100)}
    gone, kept = await desk.seen(
        spend(member, 100 * MINUTE, device="d-0"), spend(member, 100 * MINUTE, device="d-99")
    )
    assert (gone["request.device_age_minutes"], kept["request.device_age_minutes"]) == ("0", "1")


async def test_a_new_device_after_a_change_of_the_profile_spends_nothing(
    desk: MemberDesk, member: str
) -> None:
    await desk.report(login(member, NOON - timedelta(days=9), "own"), changed(member))
    attempts = [
        spend(member, 10 * MINUTE, device="own"),
        spend(member, 10 * MINUTE, device="strange"),
        spend(member, 2 * HOUR, device="strange"),
    ]
    assert await desk.actions(*attempts) == [ALLOW, DENY, ALLOW]


# The member's own history


async def test_history_is_of_earlier_operations_of_the_kind_that_took_effect(
    desk: MemberDesk, member: str
) -> None:
    await desk.assess(
        earn(member, points=2, amount="20.00"),
        earn(member, points=4, amount="40.00"),
        earn(member, points=9000),
        earn(member, points=777, amount="738.00"),
        spend(member, points=1),
        spend(member, points=777),
    )
    earned, spent = await desk.seen(earn(member), spend(member))
    names = ("count", "points_mean", "points_deviation", "amount_mean", "amount_deviation")
    values = [float(earned[f"history.{name}"]) for name in names]
    # A review books an accrual, and refuses a redemption.
    points, amounts = (2, 4, 777), (20, 40, 738)
    assert values == pytest.approx(
        [3, mean(points), stdev(points), mean(amounts), stdev(amounts)], rel=1e-9
    )
    assert [spent["history.count"], spent["history.points_deviation"]] == ["1", "0.0"]


async def test_far_above_the_own_habit_is_looked_at(desk: MemberDesk, member: str) -> None:
    usual = [spend(member, points=100 + n % 3) for n in range(5)]
    assert await desk.actions(*usual, spend(member, points=150)) == [ALLOW] * 6
    assert await desk.actions(spend(member, points=1500)) == [REVIEW]
    assert await desk.actions(spend(new_id(), points=1500)) == [ALLOW]


async def test_256_operations_of_one_member_count_exactly(
    desk: MemberDesk, member_house: House, member: str
) -> None:
    """AF-02: from 64 callers at two processes of the service, none is lost and none seen twice."""
    async with member_house.twin("antifraud") as channel:
        other = AntifraudServiceStub(channel)

        async def call(number: int) -> None:
            batch = [earn(member, device=f"{n}") for n in range(4)]
            stub = desk.stub if number % 2 else other
            await stub.BatchAssess(pb.BatchAssessRequest(operations=batch))

        await gather(*[call(number) for number in range(64)])
    counts = [
        int(one.fired_rules[0].facts["history.count"])
        for one in (await desk.list(member, page_size=1000)).assessments
    ]
    assert sorted(counts) == list(range(256))
    assert (await desk.see(earn(member)))["history.count"] == "256"


async def test_a_repeat_changes_nothing(desk: MemberDesk, member: str) -> None:
    batch = [earn(member, device="d"), gift(member, f"{member}-2"), earn(member)]
    answers = await gather(*[desk.assess(*batch) for _ in range(20)])
    assert all(answer == answers[0] for answer in answers)
    state = await desk.state(member)
    await desk.assess(*batch, *batch)
    assert await desk.state(member) == state
    assert (await desk.see(earn(member)))["history.count"] == "2"


async def test_crossing_batches_do_not_deadlock(desk: MemberDesk) -> None:
    members = [new_id() for _ in range(20)]
    there = [gift(a, b) for a, b in zip(members, reversed(members), strict=True)]
    calls = [desk.assess(*[earn(m, device=m) for m in members[::step]]) for step in (1, -1) * 10]
    await gather(*calls, desk.assess(*there), desk.report(*[login(m) for m in members[::-1]]))
    seen = await desk.seen(*[earn(one) for one in members])
    assert {one["history.count"] for one in seen} == {"20"}


async def test_a_plain_operation_under_rules_that_read_none_of_it_leaves_nothing(
    desk: MemberDesk, member: str
) -> None:
    await desk.assess(earn(member, at=EARLY, device="d"))
    assert await desk.house.fetch(
        "SELECT state FROM antifraud.profile WHERE member_id = $1", member
    ) == []  # fmt: skip


# Travel


async def test_nobody_is_in_amsterdam_and_an_hour_later_in_tokyo(
    desk: MemberDesk, member: str
) -> None:
    here, gone, far = (
        spend(member, location=AMSTERDAM),
        spend(member, HOUR, location=UTRECHT),
        spend(member, 2 * HOUR, location=TOKYO),
    )
    assert await desk.actions(here, gone, far) == [ALLOW, ALLOW, DENY]
    # What was refused has not moved the member.
    assert await desk.actions(spend(member, 3 * HOUR, location=AMSTERDAM)) == [ALLOW]
    assert await desk.actions(spend(member, 17 * HOUR, location=TOKYO)) == [ALLOW]
    seen = await desk.see(spend(member, 17 * HOUR, location=TOKYO))
    assert (seen["travel.km"], seen["travel.kmh"]) == ("0.0", "0.0")


async def test_travel_is_a_great_circle(desk: MemberDesk, member: str) -> None:
    await desk.assess(spend(member, location=AMSTERDAM))
    seen = await desk.see(spend(member, 2 * HOUR, location=TOKYO))
    assert float(seen["travel.km"]) == pytest.approx(9290, abs=15)
    assert float(seen["travel.kmh"]) == pytest.approx(float(seen["travel.km"]) / 2)
    assert (await desk.see(spend(member, 3 * HOUR)))["travel.km"] == "0.0"


async def test_a_log_in_elsewhere_counts_as_being_there(desk: MemberDesk, member: str) -> None:
    far = login(member)
    far.origin.location.CopyFrom(TOKYO)
    await desk.report(far)
    assert await desk.actions(spend(member, HOUR, location=AMSTERDAM)) == [DENY]
    assert await desk.actions(spend(member, 12 * HOUR, location=AMSTERDAM)) == [ALLOW]


# Gifts


async def ring_of(desk: MemberDesk, number: int, step: float = HOUR) -> list[int]:
    """What is done with the gifts of a ring, the last of which closes it."""
    members = [new_id() for _ in range(number)]
    pairs = zip(members, [*members[1:], members[0]], strict=True)
    actions = []
    for index, (giver, receiver) in enumerate(pairs):
        actions += await desk.actions(gift(giver, receiver, index * step))
    return actions


@pytest.mark.parametrize("number", [2, 3, 4, 5])
async def test_a_gift_that_closes_a_small_ring_is_found(desk: MemberDesk, number: int) -> None:
    assert await ring_of(desk, number) == [ALLOW] * (number - 1) + [DENY]


async def test_a_ring_of_six_and_one_that_takes_longer_are_not_found(desk: MemberDesk) -> None:
    assert await ring_of(desk, 6) == [ALLOW] * 6
    assert await ring_of(desk, 3, 16 * DAY) == [ALLOW] * 3


async def test_a_ring_within_one_batch_is_found(desk: MemberDesk) -> None:
    a, b, c, d = [new_id() for _ in range(4)]
    assert await desk.actions(gift(a, b)) == [ALLOW]
    assert await desk.actions(gift(c, d), gift(b, c), gift(d, a), gift(d, new_id())) == [
        ALLOW, ALLOW, DENY, ALLOW,
    ]  # fmt: skip


async def test_racing_gifts_to_each_other_see_each_other(desk: MemberDesk) -> None:
    for _ in range(10):
        a, b, c = [new_id() for _ in range(3)]
        actions = await gather(*[desk.actions(gift(*pair)) for pair in ((a, b), (b, c), (c, a))])
        assert sorted(actions) == [[ALLOW], [ALLOW], [DENY]]


async def test_senders_are_counted_once_each_and_for_30_days(desk: MemberDesk) -> None:
    collector = new_id()
    givers = [new_id() for _ in range(6)]
    before = [gift(one, collector) for one in (*givers[:5], givers[0])]
    assert await desk.actions(*before) == [ALLOW] * 6
    assert await desk.actions(gift(givers[5], collector)) == [DENY]
    seen = await desk.see(gift(givers[0], collector, 20 * DAY))
    assert seen["gifts.senders"] == "5"
    seen = await desk.see(gift(givers[1], collector, 31 * DAY))
    assert seen["gifts.senders"] == "2"


async def test_racing_gifts_to_one_member_count_exactly(desk: MemberDesk) -> None:
    collector = new_id()
    calls = [desk.actions(gift(new_id(), collector)) for _ in range(20)]
    answers = [action for answer in await gather(*calls) for action in answer]
    assert (answers.count(ALLOW), answers.count(DENY)) == (5, 15)


async def test_old_gifts_are_forgotten(desk: MemberDesk, member: str) -> None:
    """AF-02: the table keeps what a window reaches, and a day more."""
    now = make_clock(None)()
    for days in (29, 32):
        await desk.assess(gift(member, f"{member}-{days}", at=now - timedelta(days=days)))
    schedules = desk.house.running["antifraud"].service.schedules
    await next(one for one in schedules if one.name == "prune_gifts").run()
    rows = await desk.house.fetch("SELECT receiver FROM antifraud.gift WHERE giver = $1", member)
    assert [row["receiver"] for row in rows] == [f"{member}-29"]


# What the other services tell


async def test_enrolment_and_state_of_the_account_are_heard(
    desk: MemberDesk, member_house: House, member: str
) -> None:
    await member_house.start("points", "tier")
    tier = member_house.stub(MemberServiceStub, "tier")
    points = member_house.stub(PointsServiceStub, "points")
    now = make_clock(None)()
    await tier.EnrolMember(
        EnrolMemberRequest(
            request_id=new_id(), member_id=member, enrol_time=to_timestamp(now - timedelta(days=3))
        )
    )
    await member_house.settle()
    seen = await desk.see(spend(member, at=now))
    told = ("member.known", "member.age_days", "member.status")
    assert [seen[name] for name in told] == ["True", "3", "active"]
    big = [spend(member, at=now + timedelta(days=days), points=2000) for days in (0, 5)]
    assert await desk.actions(*big) == [DENY, ALLOW]
    decided = {"member_id": member, "operator": "o", "reason": "r"}
    await points.FreezeAccount(FreezeAccountRequest(request_id=new_id(), **decided))
    await member_house.settle()
    assert (await desk.see(spend(member, at=now)))["member.status"] == "frozen"
    await points.UnfreezeAccount(UnfreezeAccountRequest(request_id=new_id(), **decided))
    await member_house.settle()
    assert (await desk.see(spend(member, at=now)))["member.status"] == "active"


async def test_what_was_returned_shows_in_the_refund_ratio(
    desk: MemberDesk, member_house: House, member: str
) -> None:
    await member_house.start("points", "tier")
    points = member_house.stub(PointsServiceStub, "points")
    bought = []
    for amount in ("30.00", "10.00", "60.00"):
        purchase = points_pb.Purchase(order_id=new_id(), amount=usd(amount))
        bought.append(
            await points.AccruePoints(
                points_pb.AccruePointsRequest(
                    request_id=new_id(), member_id=member, purchase=purchase
                )
            )
        )
    await member_house.settle()
    now = make_clock(None)()
    names = ("member.refund_ratio", "member.refund_count")
    seen = await desk.see(spend(member, at=now))
    assert [seen[name] for name in names] == ["0.0", "0"]
    for accrual, amount in ((bought[0], "15.00"), (bought[1], "10.00")):
        await points.ReverseAccrual(
            points_pb.ReverseAccrualRequest(
                request_id=new_id(),
                member_id=member,
                transaction_id=accrual.transaction.transaction_id,
                returned_amount=usd(amount),
            )
        )
    await member_house.settle()
    seen = await desk.see(spend(member, at=now))
    assert [seen[name] for name in names] == ["0.25", "2"]
    seen = await desk.see(spend(member, at=now + timedelta(days=91)))
    assert [seen[name] for name in names] == ["0.0", "0"]
