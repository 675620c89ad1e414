"""TR-01, PT-12: a merge of accounts moves no tier, and no spend that counts for one."""

from datetime import UTC, datetime, timedelta

from tier_desk import Desk, bought, returned, settled

from cli.check import run_checks
from house import Ground, new_id, usd
from laurel.tier.v1 import tier_service_pb2 as pb
from points_ledger import calm_program
from points_moving import Counter

NOON = datetime(2024, 1, 10, 17, tzinfo=UTC)


async def test_tr_01_a_return_after_a_merge_takes_no_spend_from_the_survivor(
    ground: Ground, member: str
) -> None:
    async with ground.house() as house:
        await house.apply(calm_program())
        await house.start("antifraud", "tier", "points")
        desk, counter, merged = Desk(house), Counter(house), f"m-{new_id()}"
        await counter.accrue(member, "120")
        purchase = await counter.accrue(merged, "300")
        await counter.merge(member, merged)
        purchase.member_id = member
        await counter.reverse(purchase)
        await house.settle()
        assert (await desk.status(member)).window_spend == usd("120")
        assert (await desk.status(merged)).window_spend == usd("0")
        assert not [o for o in await run_checks(house.settings.database_url) if o.violations]


async def test_tr_01_what_is_settled_after_a_merge_counts_for_who_had_bought(
    desk: Desk, member: str
) -> None:
    """AF-01: and leaves them again when it is returned."""
    survivor = new_id()
    purchase = bought(member, "300", NOON, under_review=True)
    news = settled(purchase, "300", NOON + timedelta(days=3))
    back = returned(bought(member, "300", NOON), "300", NOON + timedelta(days=4))
    for event in (news, back):
        event.member_id = survivor
    news.review_settled.booked_member_id = back.accrual_reversed.booked_member_id = member
    await desk.tell(news)
    assert [await desk.tier(one) for one in (member, survivor)] == ["gold", "member"]
    await desk.tell(back)
    assert (await desk.status(member, NOON)).window_spend == usd("0")
    assert (await desk.status(survivor, NOON)).window_spend == usd("0")
    [made] = await desk.history(member)
    assert made.kind == pb.TIER_DECISION_KIND_UPGRADE
