"""AF-04: anti-fraud demotes members, by hand and by rule; what they have earned waits for them."""

from asyncio import gather
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest
from grpc import StatusCode
from tier_desk import Desk

from cli.check import run_checks
from cli.member import tier_line
from fraud_actions import DEMOTE, FREEZE, GRANTED, ActionDesk, Time
from house import SAMPLE, Ground, House, new_id, refused
from kit.clock import from_timestamp
from laurel.antifraud.v1 import actions_pb2 as actions
from laurel.benefits.v1 import benefits_service_pb2 as benefits_pb
from laurel.benefits.v1.benefits_service_pb2_grpc import BenefitsServiceStub
from laurel.tier.v1 import tier_service_pb2 as pb
from points_ledger import Ledger, calm_program
from rules.compiled import ProgramHistory, compile_program
from rules.document import load
from tier.ceilings import Ceiling, Demotion, Ladder, counted, hear
from tier.events import in_turn, tier_turned

RULES = """\
  rules:
    - name: whale
      operations: [accrual]
      when: request.amount > 50000
      action: allow
      score: 100
      reactions: [{kind: demote, tier_id: silver, duration_days: 30}]
"""
NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
PROGRAM = compile_program(1, load(SAMPLE.read_text()).program, datetime(1990, 1, 1, tzinfo=UTC))
LADDER = Ladder(PROGRAM, ProgramHistory([PROGRAM]))


class Court(Desk):
    """Tier, points, benefits and anti-fraud side by side."""

    def __init__(self, house: House, time: Time) -> None:
        super().__init__(house)
        self.time = time
        self.hands = ActionDesk(house)
        self.ledger = Ledger(house)
        self.benefits: BenefitsServiceStub = house.stub(BenefitsServiceStub, "benefits")

    async def buy(self, member: str, amount: str) -> str:
        """A purchase; the tier by which it earned."""
        earned = await self.ledger.accrue(member, amount)
        await self.house.settle()
        return earned.explanation.tier_id

    async def take(self, member: str, **fields: object) -> actions.Action:
        """Demotes a member, and waits until all have heard of it."""
        action = await self.hands.take(member, DEMOTE, **fields)
        await self.house.settle()
        return action

    async def lift(self, action: actions.Action) -> None:
        """Lifts that, and waits likewise."""
        await self.hands.lift(action)
        await self.house.settle()

    async def told(self, member: str) -> list[tuple[str, str, str]]:
        """What others were told of a member's tier: reason, from, to."""
        changes = [event.tier_changed for event in await self.changes(member)]
        return [(one.reason, one.from_tier_id, one.to_tier_id) for one in changes]

    async def held(self, member: str) -> list[str]:
        """The benefits that a member can use."""
        request = benefits_pb.ListEntitlementsRequest(member_id=member)
        found = (await self.benefits.ListEntitlements(request)).entitlements
        state = benefits_pb.ENTITLEMENT_STATE_AVAILABLE
        return sorted(one.benefit_id for one in found if one.state == state)

    async def noted(self, member: str) -> list[str]:
        """The tier that points and benefits know of."""
        rows = await self.house.fetch(
            "SELECT (SELECT tier_id FROM points.account WHERE member_id = $1),"
            " (SELECT tier_id FROM benefits.member_tier WHERE member_id = $1)",
            member,
        )
        return list(rows[0])

    async def count(self) -> dict[str, int]:
        """Members by tier."""
        counts = (await self.tiers.CountTiers(pb.CountTiersRequest())).tier_counts
        return {one.tier_id: one.member_count for one in counts}


@pytest.fixture(scope="module")
async def court(ground: Ground) -> AsyncIterator[Court]:
    """At the end `laurel check` looks at all of it."""
    async with ground.house() as house:
        house.clock = time = Time()
        await house.apply(calm_program(deadline_ms=2000).replace("  rules: []\n", RULES))
        await house.start("antifraud", "tier", "points", "benefits")
        yield Court(house, time)
        await house.settle()
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


async def test_a_demoted_member_counts_as_less_everywhere_until_it_is_lifted(
    court: Court,
) -> None:
    member = new_id()
    await court.buy(member, "300")
    before = await court.count()
    action = await court.take(member, tier_id="silver")
    status = await court.status(member)
    assert (status.tier_id, status.tier_name, status.rank) == ("silver", "Silver", 1)
    assert (status.earned_tier_id, status.held_down_by) == ("gold", action.action_id)
    assert (status.next_tier_id, status.spend_to_next.units) == ("diamond", 260)
    assert tier_line(status).startswith(
        f"Silver, held down by action {action.action_id} of anti-fraud; earned gold, until 20"
    )
    answer = await court.tiers.BatchGetTiers(pb.BatchGetTiersRequest(member_ids=[member]))
    assert [(one.tier_id, one.rank) for one in answer.member_tiers] == [("silver", 1)]
    after = await court.count()
    assert (after["gold"], after["silver"]) == (before["gold"] - 1, before["silver"] + 1)
    assert await court.buy(member, "1") == "silver"
    assert await court.held(member) == ["gold_welcome", "silver_discount"]
    await court.lift(action)
    status = await court.status(member)
    assert (status.tier_id, status.earned_tier_id, status.held_down_by) == ("gold", "gold", "")
    assert await court.buy(member, "1") == "gold"
    # The gift of an upgrade is given once.
    assert await court.held(member) == ["gold_discount", "gold_welcome"]
    assert await court.told(member) == [
        ("UPGRADE", "member", "gold"), ("HELD_DOWN", "gold", "silver"),
        ("RESTORED", "silver", "gold"),
    ]  # fmt: skip
    assert [one.kind for one in await court.history(member)] == [pb.TIER_DECISION_KIND_UPGRADE]


async def test_what_is_earned_meanwhile_counts_once_an_appeal_is_granted(court: Court) -> None:
    """AF-04: an appeal gives back what was held, and what came to it."""
    member = new_id()
    await court.buy(member, "150")
    action = await court.take(member)
    await court.buy(member, "500")
    status = await court.status(member)
    assert (status.tier_id, status.earned_tier_id) == ("member", "diamond")
    assert await court.held(member) == ["silver_welcome"]
    await court.hands.decide(await court.hands.appeal(member), GRANTED)
    await court.house.settle()
    assert (await court.status(member)).tier_id == "diamond"
    assert await court.held(member) == ["diamond_discount", "diamond_welcome", "silver_welcome"]
    assert await court.told(member) == [
        ("UPGRADE", "member", "silver"), ("HELD_DOWN", "silver", "member"),
        ("RESTORED", "member", "silver"), ("UPGRADE", "silver", "diamond"),
    ]  # fmt: skip
    assert (await court.hands.taken(member))[0].action_id == action.action_id


async def test_below_the_ceiling_members_rise_as_ever(court: Court) -> None:
    member = new_id()
    action = await court.take(member, tier_id="silver")
    assert (await court.status(member)).held_down_by == ""
    await court.buy(member, "700")
    assert (await court.status(member)).tier_id == "silver"
    await court.lift(action)
    assert await court.told(member) == [
        ("UPGRADE", "member", "silver"), ("UPGRADE", "silver", "diamond"),
    ]  # fmt: skip


async def test_a_rule_demotes_for_as_long_as_it_says(court: Court) -> None:
    member = new_id()
    await court.buy(member, "60000")
    [action] = await court.hands.taken(member)
    assert (action.rule, action.tier_id, action.kind) == ("whale", "silver", DEMOTE)
    assert (await court.status(member)).tier_id == "silver"
    # Again while it is in force: nothing more is taken.
    await court.buy(member, "60000")
    assert len(await court.hands.taken(member)) == 1
    court.time.ahead = timedelta(days=31)
    [end] = [
        one for one in court.house.running["antifraud"].service.schedules
        if one.name == "end_actions"
    ]  # fmt: skip
    await end.run()
    court.time.ahead = timedelta(0)
    await court.house.settle()
    assert (await court.status(member)).tier_id == "diamond"


async def test_it_is_repeated_and_raced_without_harm(court: Court) -> None:
    """Others end with the tier that the member counts as, whatever came between what."""
    member = new_id()
    await court.buy(member, "150")
    request = court.hands.taking(member, DEMOTE, tier_id="silver")
    first, again = await gather(*(court.hands.stub.TakeAction(request) for _ in range(2)))
    assert first == again
    refusals = await gather(*(refused(court.hands.take(member, DEMOTE)) for _ in range(6)))
    assert {one.reason for one in refusals} == {"ACTION_IN_FORCE"}
    purchases = [court.ledger.accrue(member, "60") for _ in range(8)]
    await gather(*purchases[:4], court.hands.lift(first.action), *purchases[4:])
    await court.house.settle()
    assert (await court.status(member)).tier_id == "diamond"
    assert await court.noted(member) == ["diamond", "diamond"]


async def test_what_is_settled_late_is_told_behind_what_was_told(court: Court) -> None:
    """A purchase of before, found legitimate or brought in after the lift: others hear of it."""
    member = new_id()
    await court.buy(member, "150")
    await court.lift(await court.take(member))
    await court.ledger.accrue(member, "450", datetime.now(UTC) - timedelta(days=5))
    await court.house.settle()
    assert (await court.status(member)).tier_id == "diamond"
    assert await court.noted(member) == ["diamond", "diamond"]
    assert await court.buy(member, "1") == "diamond"


@pytest.mark.parametrize(
    ("kind", "tier_id", "words"),
    [
        (FREEZE, "silver", "leave it out"),
        (DEMOTE, "platinum", "name one of member, silver, gold"),
        (DEMOTE, "diamond", "no tier below the top"),
    ],
)
async def test_bad_input_is_refused_by_its_field(
    court: Court, kind: int, tier_id: str, words: str
) -> None:
    member = new_id()
    refusal = await refused(court.hands.take(member, kind, tier_id=tier_id))
    assert refusal.code is StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "ACTION_TIER_INVALID"
    assert words in str(refusal.message)
    assert not await court.hands.taken(member)


def told(action: UUID, tier_id: str, minutes: int, *, lifted: bool = False) -> Demotion:
    return Demotion("m", action, lifted, tier_id, 1, NOON + timedelta(minutes=minutes))


@pytest.mark.parametrize("lower", ["", "silver"])
@pytest.mark.parametrize("lifts", [1, 2])
def test_events_may_come_twice_and_in_any_order(lower: str, lifts: int) -> None:
    """Whoever keeps the latest of what is told ends where the member is."""
    first, second = UUID(int=1), UUID(int=2)
    events = [
        told(first, "silver", 0), told(first, "silver", 1, lifted=True), told(second, lower, 2),
        told(second, lower, 3, lifted=True),
    ][: 2 + lifts]  # fmt: skip
    gold = PROGRAM.tier("gold")
    assert gold is not None
    for order in permutations(events):
        known: dict[UUID, Ceiling] = {}
        latest = (NOON, "gold")
        last_told: dict[str, datetime] = {"m": NOON}
        for event in [*order, *order[:2]]:
            turns = hear(known, [event], {"m": gold}, LADDER)
            changes = [tier_turned(turn, None, PROGRAM, NOON) for turn in turns]
            last_told |= in_turn(changes, last_told)
            for change in changes:
                # Each begins where the one before has ended.
                assert change.tier_changed.from_tier_id == latest[1]
                told_of = (from_timestamp(change.occurred_time), change.tier_changed.to_tier_id)
                latest = max(latest, told_of, key=lambda one: one[0])
                assert latest == told_of
        assert latest[1] == counted(gold, known.values(), LADDER).id
        assert latest[1] == ("gold" if lifts == 2 else lower or "member")


@pytest.mark.parametrize("late_first", [True, False])
def test_af_04_what_rose_beneath_a_ceiling_is_an_upgrade_whichever_lift_comes_last(
    late_first: bool,
) -> None:
    """A second demotion overtakes the news that the first one was lifted: gifts are given still."""
    first, second = UUID(int=1), UUID(int=2)
    known: dict[UUID, Ceiling] = {}
    lifts = [told(first, "", 1, lifted=True), told(second, "", 3, lifted=True)]
    events = [told(first, "silver", 0), told(second, "", 2), *lifts[:: 1 if late_first else -1]]
    turns = []
    for event, tier_id in zip(events, ["gold", "diamond", "diamond", "diamond"], strict=True):
        earned = PROGRAM.tier(tier_id)
        assert earned is not None
        turns += hear(known, [event], {"m": earned}, LADDER)
    rises = [(one.origin.id, one.target.id) for one in turns if one.reason == "UPGRADE"]
    assert rises == [("gold", "diamond")]
    assert turns[-1].target.id == "diamond"


@pytest.mark.parametrize("late_first", [True, False])
def test_af_04_what_a_review_took_beneath_a_ceiling_and_a_purchase_gave_again_is_no_upgrade(
    late_first: bool,
) -> None:
    """Others had heard of gold before: nothing of it is given twice, whichever lift comes last."""
    first, second = UUID(int=1), UUID(int=2)
    known: dict[UUID, Ceiling] = {}
    lifts = [told(first, "", 1, lifted=True), told(second, "", 3, lifted=True)]
    events = [told(first, "", 0), told(second, "", 2), *lifts[:: 1 if late_first else -1]]
    turns = []
    for event, tier_id in zip(events, ["gold", "silver", "gold", "gold"], strict=True):
        earned = PROGRAM.tier(tier_id)
        assert earned is not None
        turns += hear(known, [event], {"m": earned}, LADDER)
    assert not [one for one in turns if one.reason == "UPGRADE"]
    assert (turns[-1].reason, turns[-1].target.id) == ("RESTORED", "gold")


def test_a_tier_that_left_the_ladder_counts_as_the_one_that_asks_for_no_more() -> None:
    text = SAMPLE.read_text()
    renamed = text.replace("id: silver", "id: bronze").replace("tier_id: silver", "tier_id: bronze")
    later = compile_program(2, load(renamed).program, NOON)
    ladder = Ladder(later, ProgramHistory([PROGRAM, later]))
    gold = later.tier("gold")
    assert gold is not None
    known: dict[UUID, Ceiling] = {}
    hear(known, [told(UUID(int=1), "silver", 0)], {"m": gold}, ladder)
    assert counted(gold, known.values(), ladder).id == "bronze"
