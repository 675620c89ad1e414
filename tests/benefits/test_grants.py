"""What tier decisions give and withdraw (BN-01, BN-02)."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from benefits_desk import (
    AVAILABLE,
    EXPIRED,
    WITHDRAWN,
    Desk,
    change,
    days_ago,
    enrolment,
)
from grpc import StatusCode

from house import SAMPLE, Ground, new_id, refused, usd
from kit.clock import from_timestamp, to_timestamp
from kit.clock import new_id as uuid7
from kit.paging import encode_token
from laurel.event.v1.event_pb2 import Event


async def test_bn_02_an_upgrade_gives_the_discount_and_the_coupon_of_its_tier(
    desk: Desk, member: str
) -> None:
    """BN-01, BN-02."""
    upgrade = change(member, "silver", "gold")
    await desk.tell(upgrade)
    held = await desk.held(member)
    assert set(held) == {"gold_discount", "gold_welcome"}
    discount, coupon = held["gold_discount"], held["gold_welcome"]
    assert (discount.percent_off, discount.name) == ("10", "Gold 10 % off")
    assert not discount.HasField("expire_time")
    assert (coupon.amount_off, coupon.order_amount_min) == (usd("10"), usd("40"))
    assert coupon.state == discount.state == AVAILABLE
    assert coupon.cause_event_id == discount.cause_event_id == upgrade.event_id
    assert coupon.program_version == 1


async def test_bn_02_an_upgrade_over_several_tiers_gives_the_coupon_of_the_reached_one(
    desk: Desk, member: str
) -> None:
    await desk.tell(change(member, "member", "diamond"))
    assert set(await desk.held(member)) == {"diamond_discount", "diamond_welcome"}


async def test_the_days_of_a_coupon_count_from_the_upgrade_in_the_zone_of_the_program(
    desk: Desk, member: str
) -> None:
    # 90 days later it is winter in New York: the wall clock says the same, UTC does not.
    occurred = datetime(1997, 9, 1, 12, tzinfo=UTC)
    await desk.tell(change(member, "member", "silver", occurred))
    coupon = (await desk.held(member))["silver_welcome"]
    expected = datetime(1997, 11, 30, 8, tzinfo=ZoneInfo("America/New_York"))
    assert from_timestamp(coupon.expire_time) == expected
    assert coupon.create_time == to_timestamp(occurred)
    assert coupon.state == EXPIRED


async def test_bn_02_a_new_tier_withdraws_the_discount_of_the_old_one_and_keeps_its_coupon(
    desk: Desk, member: str
) -> None:
    await desk.tell(change(member, "member", "gold", days_ago(3)))
    await desk.tell(change(member, "gold", "silver", days_ago(2)))
    assert await desk.states(member) == {
        "gold_discount": WITHDRAWN,
        "gold_welcome": AVAILABLE,
        "silver_discount": AVAILABLE,
    }


async def test_a_demotion_gives_no_coupon(desk: Desk, member: str) -> None:
    await desk.tell(change(member, "gold", "silver"))
    assert set(await desk.held(member)) == {"silver_discount"}


async def test_a_fall_to_the_first_tier_leaves_no_discount(desk: Desk, member: str) -> None:
    await desk.tell(change(member, "member", "silver", days_ago(2)))
    await desk.tell(change(member, "silver", "member", days_ago(1)))
    states = await desk.states(member)
    assert states == {"silver_discount": WITHDRAWN, "silver_welcome": AVAILABLE}


async def test_bn_02_an_event_that_comes_twice_gives_once(desk: Desk, member: str) -> None:
    upgrade = change(member, "member", "gold")
    batch_id = str(uuid7())
    await desk.tell(upgrade, batch_id=batch_id)
    await desk.tell(upgrade, batch_id=batch_id)
    # The same cause in another message, and twice in one.
    await desk.tell(upgrade, upgrade)
    assert len((await desk.page(member)).entitlements) == 2
    assert len(await desk.told(member, "benefit_granted")) == 2


async def test_bn_02_twenty_copies_at_once_give_once(desk: Desk, member: str) -> None:
    upgrade = change(member, "member", "gold")
    await asyncio.gather(*(desk.send(upgrade) for _ in range(20)))
    await desk.house.settle()
    assert len((await desk.page(member)).entitlements) == 2


async def test_the_latest_decision_stands_whatever_comes_last(desk: Desk, member: str) -> None:
    await desk.tell(change(member, "silver", "gold", days_ago(1)))
    await desk.tell(change(member, "member", "silver", days_ago(5)))
    states = await desk.states(member)
    assert "silver_discount" not in states
    # The late upgrade still gives the coupon that it would have given in time.
    assert states == {
        "gold_discount": AVAILABLE,
        "gold_welcome": AVAILABLE,
        "silver_welcome": AVAILABLE,
    }


async def test_of_decisions_for_one_instant_the_one_recorded_last_stands(
    desk: Desk, member: str
) -> None:
    at = days_ago(2)
    later = change(member, "gold", "silver", at, record_time=to_timestamp(at + timedelta(hours=1)))
    earlier = change(member, "member", "gold", at)
    await desk.tell(later, earlier)
    states = await desk.states(member)
    assert states["silver_discount"] == AVAILABLE
    assert states.get("gold_discount") is None


async def test_what_was_given_is_told_with_its_cause(desk: Desk, member: str) -> None:
    upgrade = change(
        member, "member", "gold", trace_parent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    )
    await desk.tell(upgrade)
    held = await desk.held(member)
    told = {e.benefit_granted.benefit_id: e for e in await desk.told(member, "benefit_granted")}
    coupon = told["gold_welcome"]
    assert coupon.benefit_granted.entitlement_id == held["gold_welcome"].entitlement_id
    assert coupon.benefit_granted.expire_time == held["gold_welcome"].expire_time
    assert coupon.occurred_time == upgrade.occurred_time
    assert (coupon.program_version, coupon.trace_parent) == (1, upgrade.trace_parent)
    assert not told["gold_discount"].benefit_granted.HasField("expire_time")


async def test_ten_thousand_upgrades_take_effect_in_seconds(desk: Desk) -> None:
    prefix = new_id()
    batches = [
        [change(f"{prefix}-{b}-{i}", "member", "gold") for i in range(256)] for b in range(40)
    ]
    began = time.monotonic()
    await asyncio.gather(*(desk.send(*batch) for batch in batches))
    await desk.house.settle()
    assert time.monotonic() - began < 10
    rows = await desk.house.fetch(
        "SELECT count(*) FROM benefits.entitlement WHERE member_id LIKE $1 || '%'", prefix
    )
    assert rows[0]["count"] == 2 * 256 * 40


async def test_a_version_that_was_never_applied_decides_nothing_until_it_is(
    ground: Ground,
) -> None:
    """The version that decided the tier says what it gives: the event waits for it."""
    async with ground.house() as house:
        await house.apply(SAMPLE.read_text())
        await house.start("benefits")
        desk = Desk(house)
        better = SAMPLE.read_text().replace("percent_off: 10", "percent_off: 12.5")
        upgrade = change("m", "member", "gold", program_version=2)
        waiting = asyncio.create_task(desk.tell(upgrade))
        await asyncio.sleep(0.5)
        assert not (await desk.page("m")).entitlements
        await house.apply(better)
        await waiting
        assert (await desk.held("m"))["gold_discount"].percent_off == "12.5"


async def test_bn_02_enrolment_gives_the_discount_of_the_first_tier_where_there_is_one(
    ground: Ground,
) -> None:
    async with ground.house() as house:
        source = SAMPLE.read_text().replace(
            "tier_id: silver, percent_off", "tier_id: member, percent_off"
        )
        await house.apply(source)
        await house.start("benefits")
        desk = Desk(house)
        early, late = "early-" + new_id(), "late-" + new_id()
        await desk.tell(change(late, "member", "gold", days_ago(9)))
        await desk.tell(enrolment(early, days_ago(1)), enrolment(late, days_ago(1)))
        assert await desk.states(early) == {"silver_discount": AVAILABLE}
        # Who has a tier from purchases before the enrolment keeps it.
        assert await desk.states(late) == {"gold_discount": AVAILABLE, "gold_welcome": AVAILABLE}
        await desk.tell(change(early, "member", "gold", days_ago(5)))
        assert (await desk.states(early))["silver_discount"] == WITHDRAWN


async def test_an_enrolment_gives_nothing_where_the_first_tier_has_nothing(
    desk: Desk, member: str
) -> None:
    await desk.tell(enrolment(member, days_ago(1)))
    assert not (await desk.page(member)).entitlements


@pytest.mark.parametrize(
    "instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00"]
)
async def test_a_page_token_with_an_instant_that_cannot_be_is_refused(
    desk: Desk, member: str, instant: str
) -> None:
    """BN-02: as any other that this list did not give out."""
    token = encode_token(instant, str(uuid7()))
    refusal = await refused(desk.page(member, page_token=token))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_entitlements_are_listed_newest_first_page_by_page(desk: Desk, member: str) -> None:
    ladder = [("member", "silver"), ("silver", "gold"), ("gold", "diamond")]
    events: list[Event] = [
        change(member, before, after, days_ago(9 - i)) for i, (before, after) in enumerate(ladder)
    ]
    for event in events:
        await desk.tell(event)
    seen: list[str] = []
    token = ""
    while True:
        page = await desk.page(member, page_size=2, page_token=token)
        assert len(page.entitlements) <= 2
        seen += [one.benefit_id for one in page.entitlements]
        token = page.next_page_token
        if not token:
            break
    assert [name.partition("_")[0] for name in seen] == ["diamond"] * 2 + ["gold"] * 2 + [
        "silver"
    ] * 2
