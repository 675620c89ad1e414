"""What members and operators see: the way to the next tier (TR-12), decisions (TR-13), counts."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tier_desk import PROGRAM_BEGIN, Desk, bought, enrolment

from house import SAMPLE, Ground, new_id, refused, usd
from kit.clock import from_timestamp, to_timestamp
from laurel.tier.v1 import tier_service_pb2 as pb
from laurel.tier.v1.tier_service_pb2_grpc import TierServiceStub

NOON = datetime(2024, 1, 10, 17, tzinfo=UTC)
DAY = timedelta(days=1)
WITHOUT_GOLD = """
    - id: bronze
      name: Bronze
      qualify_spend: 50
      retain_spend: 40
      points_multiplier: 1
    - id: silver"""


async def test_distances_are_told_in_money(desk: Desk, member: str):
    await desk.tell(bought(member, "100", NOON), bought(member, "10.10", NOON + DAY))
    status = await desk.status(member, NOON + 2 * DAY)
    assert (status.tier_id, status.tier_name, status.rank) == ("silver", "Silver", 1)
    assert (status.next_tier_id, status.spend_to_next) == ("gold", usd("149.90"))
    assert (status.window_spend, status.spend_to_keep) == (usd("110.10"), usd("0"))
    assert status.program_version == 1
    # A year and a day later only the second purchase counts, and soon none does.
    later = await desk.status(member, datetime(2025, 1, 11, 16, tzinfo=UTC))
    assert (later.window_spend, later.spend_to_keep) == (usd("10.10"), usd("64.90"))
    assert (await desk.status(member)).window_spend == usd("0")


async def test_tr_12_spend_and_the_tier_that_it_gave_are_told_together(desk: Desk):
    """Whoever asks while a purchase is taken in: it shows in the tier and in the spend, or not."""

    async def told_until_raised(member: str) -> list[pb.TierStatus]:
        seen = [await desk.status(member)]
        while seen[-1].tier_id == "member":
            seen.append(await desk.status(member))
        return seen

    for _ in range(20):
        member, now = new_id(), datetime.now(UTC)
        await desk.members.EnrolMember(enrolment(member))
        await desk.publish(bought(member, "120", now))
        for seen in await asyncio.gather(*(told_until_raised(member) for _ in range(6))):
            spent = {(one.tier_id, one.window_spend.units) for one in seen}
            assert spent <= {("member", 0), ("silver", 120)}


async def test_the_lowest_tier_has_nothing_to_keep_and_the_top_nothing_to_reach(
    desk: Desk, member: str
):
    await desk.members.EnrolMember(enrolment(member))
    status = await desk.status(member)
    assert not status.HasField("spend_to_keep")
    assert (status.next_tier_id, status.spend_to_next) == ("silver", usd("100"))
    await desk.tell(bought(member, "2000", NOON))
    status = await desk.status(member, NOON)
    assert (status.tier_id, status.next_tier_id) == ("diamond", "")
    assert not status.HasField("spend_to_next")


async def test_many_tiers_are_told_in_the_order_asked(desk: Desk, member: str):
    await desk.tell(bought(member, "260", NOON))
    request = pb.BatchGetTiersRequest(member_ids=["nobody", member, member])
    rows = (await desk.tiers.BatchGetTiers(request)).member_tiers
    assert [(row.tier_id, row.rank) for row in rows] == [("", 0), ("gold", 2), ("gold", 2)]


async def test_services_are_told_when_a_member_enrolled_and_the_month_of_birth(
    desk: Desk, member: str
):
    await desk.tell(bought("provisional", "10", NOON))
    request = enrolment(member, birth_month=6, birth_day=30, enrol_time=to_timestamp(NOON))
    await desk.members.EnrolMember(request)
    request = pb.BatchGetTiersRequest(member_ids=["nobody", "provisional", member])
    rows = (await desk.tiers.BatchGetTiers(request)).member_tiers
    assert [row.birth_month for row in rows] == [0, 0, 6]
    assert [row.HasField("enrol_time") for row in rows] == [False, False, True]
    assert from_timestamp(rows[2].enrol_time) == NOON


async def test_the_history_comes_in_pages(desk: Desk, member: str):
    amounts = ["100", "160", "300"]
    for number, amount in enumerate(amounts):
        await desk.tell(bought(member, amount, NOON + number * DAY))
    seen, token = [], ""
    for _ in amounts:
        page = await desk.tiers.ListTierHistory(
            pb.ListTierHistoryRequest(member_id=member, page_size=1, page_token=token)
        )
        seen += [made.to_tier_id for made in page.tier_decisions]
        token = page.next_page_token
    assert (seen, token) == (["diamond", "gold", "silver"], "")
    wrong = pb.ListTierHistoryRequest(member_id=member, page_token="bm8=")
    assert (await refused(desk.tiers.ListTierHistory(wrong))).reason == "PAGE_TOKEN_INVALID"


@pytest.fixture
async def new_desk(ground: Ground) -> AsyncIterator[Desk]:
    """A house of its own, for tests that change the program."""
    async with ground.house() as house:
        await house.apply(SAMPLE.read_text(), effective_time=to_timestamp(PROGRAM_BEGIN))
        await house.start("tier")
        yield Desk(house)


async def test_a_tier_that_left_the_ladder_is_held_until_the_review(new_desk: Desk):
    """Gold (260) leaves: who has it counts as silver, the highest tier that asks for no more."""
    desk, golden, bronze = new_desk, new_id(), new_id()
    await desk.tell(bought(golden, "270", NOON), bought(bronze, "60", NOON))
    source = SAMPLE.read_text()
    before, gold = source.index("    - id: gold"), source.index("    - id: diamond")
    source = source[:before] + source[gold:]
    source = source.replace("\n    - id: silver", WITHOUT_GOLD, 1)
    source = drop_benefits_of_gold(source)
    changed = await desk.house.apply(source, effective_time=to_timestamp(NOON + 10 * DAY))
    # The first event of the new version makes the service fetch it.
    event = bought(bronze, "1", NOON + 20 * DAY)
    event.program_version = changed.version
    await desk.tell(event)
    assert await desk.tier(bronze) == "bronze"
    status = await desk.status(golden, NOON + 30 * DAY)
    assert (status.tier_id, status.tier_name, status.rank) == ("gold", "Gold", 2)
    assert (status.next_tier_id, status.spend_to_next) == ("diamond", usd("290"))
    counts = (await desk.tiers.CountTiers(pb.CountTiersRequest())).tier_counts
    assert [(c.tier_id, c.member_count) for c in counts] == [
        ("member", 0), ("bronze", 1), ("silver", 0), ("diamond", 0), ("gold", 1),
    ]  # fmt: skip
    assert counts[-1].tier_name == "Gold"
    await desk.review(NOON + 400 * DAY)
    made = (await desk.history(golden))[0]
    assert (made.from_tier_id, made.to_tier_id) == ("gold", "bronze")
    assert made.program_version == changed.version


def drop_benefits_of_gold(source: str) -> str:
    """The program without benefits of a tier that it does not have any more."""
    head, _, benefits = source.partition("\nbenefits:\n")
    body, _, rest = benefits.partition("\n\n")
    items = body.split("\n  - ")
    kept = [item for item in items if "tier_id: gold" not in item]
    return head + "\nbenefits:\n" + "\n  - ".join(kept) + "\n\n" + rest


async def test_a_decision_is_made_by_the_program_in_force_then(new_desk: Desk, member: str):
    """TR-13: a purchase from before a change is decided by the version of its time."""
    desk = new_desk
    source = SAMPLE.read_text().replace("qualify_spend: 100", "qualify_spend: 80")
    changed = await desk.house.apply(source, effective_time=to_timestamp(NOON))
    early, late = bought(member, "90", NOON - DAY), bought(new_id(), "90", NOON + DAY)
    late.program_version = changed.version
    await desk.tell(late, early)
    assert await desk.tier(member) == "member"
    [made] = await desk.history(late.member_id)
    assert (made.to_tier_id, made.threshold_spend) == ("silver", usd("80"))
    assert made.program_version == changed.version
    assert from_timestamp(made.occurred_time) == NOON + DAY


async def test_a_version_that_another_process_heard_of_first_is_fetched(new_desk: Desk):
    """OP-05: of two processes one takes the news of a program; the other reads what it decided."""
    desk = new_desk
    async with desk.house.twin("tier") as channel:
        twin = TierServiceStub(channel)
        await twin.CountTiers(pb.CountTiersRequest())
        for number in range(3):
            source = SAMPLE.read_text().replace("id: silver", f"id: bronze{number}")
            changed = await desk.house.apply(source)
            purchase = bought(new_id(), "120", datetime.now(UTC))
            purchase.program_version = changed.version
            await desk.tell(purchase)
            member = purchase.member_id
            for stub in (desk.tiers, twin):
                [made] = await desk.history(member, stub)
                assert (made.to_tier_id, made.program_version) == (f"bronze{number}", number + 2)
                status = pb.GetTierStatusRequest(member_id=member)
                assert (await stub.GetTierStatus(status)).tier_status.rank == 1
                asked = pb.BatchGetTiersRequest(member_ids=[member])
                [row] = (await stub.BatchGetTiers(asked)).member_tiers
                assert (row.tier_id, row.rank) == (f"bronze{number}", 1)
                counts = (await stub.CountTiers(pb.CountTiersRequest())).tier_counts
                assert sum(count.member_count for count in counts) == number + 1
