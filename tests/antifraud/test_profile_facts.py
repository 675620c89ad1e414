"""Facts about the member beyond windows (AF-02): each is seen where it holds, and not where not."""

from asyncio import gather
from datetime import timedelta
from statistics import mean, stdev

import pytest
from fraud_desk import ALLOW, DENY, EARLY, NOON, REVIEW
from grpc import StatusCode
from member_desk import (
    AMSTERDAM,
    HOUR,
    MINUTE,
    NEVER,
    TOKYO,
    UTRECHT,
    MemberDesk,
    changed,
    earn,
    gift,
    login,
    spend,
    tagged,
)

from house import House, new_id, refused
from kit.clock import make_clock, to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub

# What is told


async def test_nothing_is_known_of_who_was_never_heard_of(booth: MemberDesk, member: str) -> None:
    seen = await booth.see(spend(member))
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


async def test_reports_tell_of_log_ins_changes_and_tags(booth: MemberDesk, member: str) -> None:
    assert await booth.report(login(member), changed(member), tagged(member, ["vip", "b"])) == 1
    seen = await booth.see(spend(member, 5 * MINUTE + 59))
    assert (seen["member.known"], seen["member.tags"]) == ("True", "['b', 'vip']")
    assert seen["member.minutes_since_login"] == seen["member.minutes_since_profile_change"] == "5"
    # What lies behind the operation has not happened yet.
    seen = await booth.see(spend(member, -HOUR))
    assert (
        seen["member.minutes_since_login"] == seen["member.minutes_since_profile_change"] == NEVER
    )


async def test_repeated_late_and_shuffled_reports_are_harmless(
    booth: MemberDesk, member: str
) -> None:
    later = NOON + timedelta(hours=1)
    reports = [
        login(member, device="a"), changed(member), tagged(member, ["old"]),
        login(member, later, device="b"), changed(member, later), tagged(member, ["new"], later),
    ]  # fmt: skip
    await booth.report(*reports)
    first = await booth.state(member)
    assert await booth.report(*reports) == 0
    assert await booth.report(*reversed(reports)) == 0
    await gather(*[booth.report(report) for report in reports * 4])
    assert await booth.state(member) == first
    other = new_id()
    for report in reversed(reports):
        report.member_id = other
        await booth.report(report)
    assert (await booth.see(spend(other, 2 * HOUR)))["member.tags"] == "['new']"
    told = await booth.state(other)
    assert sorted(told.pop("devices")) == sorted(first.pop("devices"))
    assert {name: told[name] for name in first} == first


async def test_tags_are_replaced_and_taken_away(booth: MemberDesk, member: str) -> None:
    await booth.report(tagged(member, ["employee"]))
    assert await booth.actions(spend(member, 1, channel="store")) == [DENY]
    assert await booth.actions(spend(member, 1, channel="web")) == [ALLOW]
    await booth.report(tagged(member, [], NOON + timedelta(seconds=1)))
    assert await booth.actions(spend(member, 1, channel="store")) == [ALLOW]


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
    booth: MemberDesk, member: str, broken: pb.Activity, field: str, reason: str
) -> None:
    said = await refused(booth.report(login(member), broken))
    assert (said.code, said.reason) == (StatusCode.INVALID_ARGUMENT, reason)
    assert field in said.message + said.metadata.get("field", "")
    assert (await booth.see(spend(member)))["member.known"] == "False"


async def test_no_reports_and_too_many_are_refused(booth: MemberDesk, member: str) -> None:
    for reports in ((), (login(member),) * 1001):
        said = await refused(booth.report(*reports))
        assert (said.code, "activities" in said.message) == (StatusCode.INVALID_ARGUMENT, True)
    many = [login(f"{member}-{n}") for n in range(1000)]
    assert await booth.report(*many) == 1000


# Devices


async def test_a_first_device_is_not_new_and_a_second_is(booth: MemberDesk, member: str) -> None:
    first, again, second, back = await booth.seen(
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
    assert (await booth.see(spend(member, 3 * HOUR)))[age] == NEVER


async def test_a_device_of_a_log_in_is_known_afterwards(booth: MemberDesk, member: str) -> None:
    await booth.report(login(member, NOON - timedelta(days=2), "home"))
    await booth.report(login(member, NOON, "other"))
    seen = await booth.see(spend(member, 20 * MINUTE, device="other"))
    assert seen["request.device_age_minutes"] == seen["member.minutes_since_new_device"] == "20"


async def test_of_many_devices_the_latest_32_are_remembered(booth: MemberDesk, member: str) -> None:
    await booth.assess(*[spend(member, n * MINUTE, device=f"d-{n}") for n in range(100)])
    state = await booth.state(member)
    assert {name for name, *_ in state["devices"]} == {f"d-{n}" for n in range(68, 100)}
    gone, kept = await booth.seen(
        spend(member, 100 * MINUTE, device="d-0"), spend(member, 100 * MINUTE, device="d-99")
    )
    assert (gone["request.device_age_minutes"], kept["request.device_age_minutes"]) == ("0", "1")


async def test_a_new_device_after_a_change_of_the_profile_spends_nothing(
    booth: MemberDesk, member: str
) -> None:
    await booth.report(login(member, NOON - timedelta(days=9), "own"), changed(member))
    attempts = [
        spend(member, 10 * MINUTE, device="own"),
        spend(member, 10 * MINUTE, device="strange"),
        spend(member, 2 * HOUR, device="strange"),
    ]
    assert await booth.actions(*attempts) == [ALLOW, DENY, ALLOW]


# The member's own history


async def test_history_is_of_earlier_operations_of_the_kind_that_took_effect(
    booth: MemberDesk, member: str
) -> None:
    await booth.assess(
        earn(member, points=2, amount="20.00"),
        earn(member, points=4, amount="40.00"),
        earn(member, points=9000),
        earn(member, points=777, amount="738.00"),
        spend(member, points=1),
        spend(member, points=777),
    )
    earned, spent = await booth.seen(earn(member), spend(member))
    names = ("count", "points_mean", "points_deviation", "amount_mean", "amount_deviation")
    values = [float(earned[f"history.{name}"]) for name in names]
    # A review books an accrual, and refuses a redemption.
    points, amounts = (2, 4, 777), (20, 40, 738)
    assert values == pytest.approx(
        [3, mean(points), stdev(points), mean(amounts), stdev(amounts)], rel=1e-9
    )
    assert [spent["history.count"], spent["history.points_deviation"]] == ["1", "0.0"]


async def test_far_above_the_own_habit_is_looked_at(booth: MemberDesk, member: str) -> None:
    usual = [spend(member, points=100 + n % 3) for n in range(5)]
    assert await booth.actions(*usual, spend(member, points=150)) == [ALLOW] * 6
    assert await booth.actions(spend(member, points=1500)) == [REVIEW]
    assert await booth.actions(spend(new_id(), points=1500)) == [ALLOW]


async def test_256_operations_of_one_member_count_exactly(
    booth: MemberDesk, member_house: House, member: str
) -> None:
    """AF-02: from 64 callers at two processes of the service, none is lost and none seen twice."""
    async with member_house.twin("antifraud") as channel:
        other = AntifraudServiceStub(channel)

        async def call(number: int) -> None:
            batch = [earn(member, device=f"{n}") for n in range(4)]
            stub = booth.stub if number % 2 else other
            await stub.BatchAssess(pb.BatchAssessRequest(operations=batch))

        await gather(*[call(number) for number in range(64)])
    counts = [
        int(one.fired_rules[0].facts["history.count"])
        for one in (await booth.list(member, page_size=1000)).assessments
    ]
    assert sorted(counts) == list(range(256))
    assert (await booth.see(earn(member)))["history.count"] == "256"


async def test_a_repeat_changes_nothing(booth: MemberDesk, member: str) -> None:
    batch = [earn(member, device="d"), gift(member, f"{member}-2"), earn(member)]
    answers = await gather(*[booth.assess(*batch) for _ in range(20)])
    assert all(answer == answers[0] for answer in answers)
    state = await booth.state(member)
    await booth.assess(*batch, *batch)
    assert await booth.state(member) == state
    assert (await booth.see(earn(member)))["history.count"] == "2"


async def test_crossing_batches_do_not_deadlock(booth: MemberDesk) -> None:
    members = [new_id() for _ in range(20)]
    there = [gift(a, b) for a, b in zip(members, reversed(members), strict=True)]
    calls = [booth.assess(*[earn(m, device=m) for m in members[::step]]) for step in (1, -1) * 10]
    await gather(*calls, booth.assess(*there), booth.report(*[login(m) for m in members[::-1]]))
    seen = await booth.seen(*[earn(one) for one in members])
    assert {one["history.count"] for one in seen} == {"20"}


async def test_a_plain_operation_under_rules_that_read_none_of_it_leaves_nothing(
    booth: MemberDesk, member: str
) -> None:
    await booth.assess(earn(member, at=EARLY, device="d"))
    assert await booth.house.fetch(
        "SELECT state FROM antifraud.profile WHERE member_id = $1", member
    ) == []  # fmt: skip


# Travel


async def test_nobody_is_in_amsterdam_and_an_hour_later_in_tokyo(
    booth: MemberDesk, member: str
) -> None:
    here, gone, far = (
        spend(member, location=AMSTERDAM),
        spend(member, HOUR, location=UTRECHT),
        spend(member, 2 * HOUR, location=TOKYO),
    )
    assert await booth.actions(here, gone, far) == [ALLOW, ALLOW, DENY]
    # What was refused has not moved the member.
    assert await booth.actions(spend(member, 3 * HOUR, location=AMSTERDAM)) == [ALLOW]
    assert await booth.actions(spend(member, 17 * HOUR, location=TOKYO)) == [ALLOW]
    seen = await booth.see(spend(member, 17 * HOUR, location=TOKYO))
    assert (seen["travel.km"], seen["travel.kmh"]) == ("0.0", "0.0")


async def test_travel_is_a_great_circle(booth: MemberDesk, member: str) -> None:
    await booth.assess(spend(member, location=AMSTERDAM))
    seen = await booth.see(spend(member, 2 * HOUR, location=TOKYO))
    assert float(seen["travel.km"]) == pytest.approx(9290, abs=15)
    assert float(seen["travel.kmh"]) == pytest.approx(float(seen["travel.km"]) / 2)
    assert (await booth.see(spend(member, 3 * HOUR)))["travel.km"] == "0.0"


async def test_a_log_in_elsewhere_counts_as_being_there(booth: MemberDesk, member: str) -> None:
    far = login(member)
    far.origin.location.CopyFrom(TOKYO)
    await booth.report(far)
    assert await booth.actions(spend(member, HOUR, location=AMSTERDAM)) == [DENY]
    assert await booth.actions(spend(member, 12 * HOUR, location=AMSTERDAM)) == [ALLOW]
