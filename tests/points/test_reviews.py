"""AF-01, AF-05: what waits for a review goes on or is taken back by itself once it is decided."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from grpc import StatusCode

from cli.check import run_checks
from house import Ground, House, new_id, refused, usd
from kit.clock import from_timestamp, to_timestamp
from kit.clock import new_id as new_uuid
from kit.events import STREAM
from laurel.antifraud.v1 import antifraud_service_pb2 as fraud_pb
from laurel.antifraud.v1 import cases_pb2 as cases
from laurel.antifraud.v1.antifraud_service_pb2 import Origin
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.event.v1.event_pb2 import CaseDecided, Event, EventBatch, ReviewSettled
from laurel.points.v1 import leaderboards_pb2 as boards
from laurel.points.v1 import points_service_pb2 as pb
from laurel.program.v1 import program_pb2
from points_earning import Earner, calm_rules
from points_ledger import calm_program, events_of, settled
from points_moving import Counter

START = datetime(2020, 1, 1, tzinfo=UTC)
WATCHED = Origin(device="watched", region="north")
RULES = """rules:
    - name: watched
      operations: [accrual, redemption]
      when: request.device == "watched"
      action: review
      score: 100
"""
BOARDS = """
leaderboards:
  periods: [all]
  by_region: true
"""
LEGITIMATE, FRAUDULENT = cases.CASE_OUTCOME_LEGITIMATE, cases.CASE_OUTCOME_FRAUDULENT
MATURATION = pb.TRANSACTION_KIND_MATURATION
REVERSAL = pb.TRANSACTION_KIND_REVERSAL


@pytest.fixture(scope="module")
async def house(ground: Ground) -> AsyncIterator[House]:
    """A house of its own, in whose books nothing may be broken at the end."""
    async with ground.house() as house:
        program = calm_rules(deadline_ms=2000).replace("rules: []\n", RULES) + BOARDS
        await house.apply(program, effective_time=to_timestamp(START))
        await house.start("antifraud", "tier", "points")
        yield house
        await house.settle()
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


class Shop(Earner, Counter):
    """The ledger, and the people who decide reviews."""

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.fraud: AntifraudServiceStub = house.stub(AntifraudServiceStub, "antifraud")

    async def watched(self, member: str, amount: str, **fields: object) -> pb.Transaction:
        """Buys in a way that is put under review."""
        bought = await self.buy(member, amount, **{"origin": WATCHED, **fields})  # type: ignore[arg-type]
        assert bought.explanation.under_review
        return bought

    async def open_cases(self, member: str) -> list[cases.Case]:
        """The open case of a member, if any."""
        request = cases.ListCasesRequest(member_id=member, state=cases.CASE_STATE_OPEN)
        return list((await self.fraud.ListCases(request)).cases)

    async def decide(self, member: str, outcome: int) -> cases.Case:
        """Decides the open case of a member."""
        (case,) = await self.open_cases(member)
        request = cases.DecideCaseRequest(
            request_id=new_id(), case_id=case.case_id, outcome=outcome, operator="ann",  # type: ignore[arg-type]
            reason="looked at it",
        )  # fmt: skip
        return (await self.fraud.DecideCase(request)).case

    async def conclude(self, member: str, outcome: int) -> cases.Case:
        """The same, and waits for what follows from it."""
        case = await self.decide(member, outcome)
        await self.house.settle()
        return case

    async def told(self, member: str) -> list[ReviewSettled]:
        """What the ledger has told of settled reviews."""
        return [e.review_settled for e in await events_of(self.house, "review_settled", member)]

    async def growth(self, member: str) -> int:
        """The spend in cents that counts for the member's tier."""
        await self.house.settle()
        sql = "SELECT coalesce(sum(spend_minor), 0)::bigint FROM tier.growth WHERE member_id = $1"
        return (await self.house.fetch(sql, member))[0][0]

    async def score(self, member: str, region: str = "") -> int:
        """The member's points on the leaderboard of all time."""
        await self.house.settle()
        request = boards.GetRankRequest(
            member_id=member, region=region, period=program_pb2.LEADERBOARD_PERIOD_ALL
        )
        return (await self.stub.GetRank(request)).points

    async def balances(self, member: str) -> tuple[int, int, int]:
        """Active, pending and owed points."""
        balance = await self.balance(member)
        return balance.active, balance.pending, balance.debt

    async def last(self, member: str) -> pb.Transaction:
        """The newest transaction."""
        return (await self.transactions(member))[-1]


@pytest.fixture
def shop(house: House) -> Shop:
    return Shop(house)


async def test_af_01_what_was_legitimate_becomes_active_and_counts_from_then_on(
    shop: Shop, member: str
) -> None:
    """200 and 50 for the first order: for the tier, on leaderboards, and off them when returned."""
    bought = await shop.watched(member, "200")
    assert (await shop.balances(member), await shop.growth(member)) == ((0, 250, 0), 0)
    case = await shop.conclude(member, LEGITIMATE)
    assert await shop.balances(member) == (250, 0, 0)
    assert (await shop.growth(member), await shop.score(member)) == (20_000, 250)
    assert await shop.score(member, "north") == 250
    booked = await shop.last(member)
    assert (booked.kind, booked.explanation.cause_transaction_id) == (
        MATURATION,
        bought.transaction_id,
    )
    (line,) = booked.explanation.lines
    assert (line.rule, line.reason) == (
        "review",
        f"case {case.case_id} was decided: legitimate",
    )
    (told,) = await shop.told(member)
    assert (told.spend, told.points, told.legitimate) == (usd("200"), 250, True)
    assert told.transaction_id == booked.transaction_id
    assert told.accrual_transaction_id == bought.transaction_id
    await shop.reverse(bought, "150")
    assert await shop.growth(member) == 5_000
    await shop.reverse(bought)
    assert (await shop.growth(member), await shop.score(member)) == (0, 0)
    assert await shop.balances(member) == (0, 0, 0)


async def test_af_01_what_was_fraud_is_taken_back_with_its_bonuses(shop: Shop, member: str) -> None:
    """The challenge is not reached any more; nothing has ever counted, nothing is owed."""
    bought = await shop.watched(member, "3200")
    assert await shop.balances(member) == (0, 3750, 0)
    case = await shop.conclude(member, FRAUDULENT)
    assert await shop.balances(member) == (0, 0, 0)
    assert (await shop.growth(member), await shop.score(member)) == (0, 0)
    assert (await shop.challenges(member))["big_month"].progress == 0
    booked = await shop.last(member)
    assert (booked.kind, booked.reversed_transaction_id) == (REVERSAL, bought.transaction_id)
    reason = f"case {case.case_id} was decided: fraudulent"
    assert reason in {line.reason for line in booked.explanation.lines}
    (told,) = await shop.told(member)
    assert (told.legitimate, told.points, told.spend) == (False, 0, usd("0"))
    assert (await refused(shop.reverse(bought))).reason == "RETURN_EXCEEDED"


async def test_af_01_a_bonus_for_days_in_a_row_goes_with_the_fraud_that_completed_it(
    shop: Shop, member: str
) -> None:
    now = datetime.now(UTC)
    for days in (2, 1):
        await shop.do(member, "check_in", now - timedelta(days=days))
    last = await shop.do(member, "check_in", now, origin=WATCHED)
    assert [one.points for one in last.explanation.bonuses] == [30]
    assert await shop.balances(member) == (20, 40, 0)
    await shop.conclude(member, FRAUDULENT)
    assert await shop.balances(member) == (20, 0, 0)


async def test_af_01_activities_and_purchases_of_one_case_are_settled_together(
    shop: Shop, member: str
) -> None:
    for _ in range(3):
        await shop.watched(member, "10")
    await shop.do(member, "share", origin=WATCHED)
    assert (await shop.balances(member))[:2] == (0, 100)
    await shop.conclude(member, LEGITIMATE)
    assert (await shop.balances(member))[:2] == (100, 0)
    assert len(await shop.told(member)) == 4
    assert await shop.growth(member) == 3_000


@pytest.mark.parametrize("merged", [False, True])
async def test_af_01_what_still_waits_for_returns_goes_on_waiting(
    shop: Shop, member: str, merged: bool
) -> None:
    """PT-05: one rule gives points that wait for 7 days; wherever a merge has brought them."""
    origin = Origin(device="watched", channel="app")
    bought = await shop.watched(member, "100", origin=origin)
    assert (await shop.balance(member)).pending == 160
    owner = member
    if merged:
        owner = f"{member}-survivor"
        await shop.accrue(owner, "1")
        await shop.merge(owner, member)
    before = (await shop.balance(owner)).active
    await shop.conclude(member, LEGITIMATE)
    assert (await shop.balances(owner))[:2] == (before + 150, 10)
    mature = (await shop.last(owner)).explanation.mature_time
    occurred = from_timestamp(bought.occurred_time)
    wait = from_timestamp(mature) - occurred
    assert timedelta(days=6, hours=22) < wait <= timedelta(days=7, hours=2)
    await shop.run_maturation(occurred + timedelta(days=6))
    assert (await shop.balance(owner)).pending == 10
    await shop.run_maturation(occurred + timedelta(days=8))
    assert (await shop.balances(owner))[:2] == (before + 160, 0)


async def test_af_05_an_undone_merge_brings_settled_points_back_as_they_are(
    shop: Shop, member: str
) -> None:
    survivor = f"{member}-survivor"
    origin = Origin(device="watched", channel="app")
    bought = await shop.watched(member, "100", origin=origin)
    await shop.accrue(survivor, "1")
    merge = await shop.merge(survivor, member)
    await shop.conclude(member, LEGITIMATE)
    await shop.undo(merge)
    assert (await shop.balances(member))[:2] == (150, 10)
    await shop.run_maturation(from_timestamp(bought.occurred_time) + timedelta(days=8))
    assert (await shop.balances(member))[:2] == (160, 0)


async def test_af_01_a_debt_is_paid_first_as_by_any_accrual(shop: Shop, member: str) -> None:
    """PT-09: under review nothing is repaid; then what is owed goes first."""
    first = await shop.buy(member, "100")
    await shop.capture(await shop.hold(member, 150))
    await shop.reverse(first)
    owed = (await shop.balance(member)).debt
    assert owed > 0
    await shop.watched(member, "400")
    assert (await shop.balance(member)).debt == owed
    pending = (await shop.balance(member)).pending
    await shop.conclude(member, LEGITIMATE)
    assert await shop.balances(member) == (pending - owed, 0, 0)
    lines = {line.rule: line.points for line in (await shop.last(member)).explanation.lines}
    assert lines["debt_repaid"] == str(-owed)


async def test_af_01_of_what_was_returned_in_part_only_the_rest_counts(
    shop: Shop, member: str
) -> None:
    bought = await shop.watched(member, "200")
    await shop.reverse(bought, "150")
    pending = (await shop.balance(member)).pending
    await shop.conclude(member, LEGITIMATE)
    assert (await shop.balances(member))[:2] == (pending, 0)
    assert (await shop.growth(member), await shop.score(member)) == (5_000, pending)


async def test_af_01_a_purchase_that_was_returned_whole_is_settled_without_points(
    shop: Shop, member: str
) -> None:
    for outcome in (LEGITIMATE, FRAUDULENT):
        bought = await shop.watched(member, "30")
        await shop.reverse(bought)
        await shop.conclude(member, outcome)
    assert await shop.balances(member) == (0, 0, 0)
    assert (await shop.growth(member), await shop.score(member)) == (0, 0)
    assert [one.points for one in await shop.told(member)] == [0, 0]


@pytest.mark.parametrize("outcome", [LEGITIMATE, FRAUDULENT])
async def test_af_05_a_decision_that_comes_before_the_booking_is_not_lost(
    shop: Shop, member: str, outcome: int
) -> None:
    """As when points dies between both: the caller's repeat is booked, or refused, as decided."""
    request = shop.accrual(member, "200", origin=WATCHED)
    operation = fraud_pb.Operation(
        request_id=request.request_id, kind=program_pb2.FRAUD_OPERATION_ACCRUAL,
        member_id=member, points=250, amount=usd("200"), origin=Origin(device="watched"),
        occurred_time=to_timestamp(datetime.now(UTC)),
    )  # fmt: skip
    await shop.fraud.BatchAssess(fraud_pb.BatchAssessRequest(operations=[operation]))
    await shop.conclude(member, outcome)
    if outcome == FRAUDULENT:
        assert (await refused(shop.stub.AccruePoints(request))).reason == "DENIED"
        assert await shop.balances(member) == (0, 0, 0)
    else:
        booked = (await shop.stub.AccruePoints(request)).transaction
        assert not booked.explanation.under_review
        assert await shop.balances(member) == (250, 0, 0)
        assert await shop.growth(member) == 20_000


@pytest.mark.parametrize("way", ["buy", "do"])
@pytest.mark.parametrize("legitimate", [True, False])
async def test_af_05_news_that_overtakes_the_booking_decides_it(
    shop: Shop, member: str, legitimate: bool, way: str
) -> None:
    """Anti-fraud had said review, and the case was decided before points could book."""
    request_id = new_id()
    await tell(shop.house, member, request_id, legitimate)
    origin, before = WATCHED, await shop.transactions(member)
    call = (
        shop.buy(member, "200", request_id=request_id, origin=origin)
        if way == "buy"
        else shop.do(member, "share", request_id=request_id, origin=origin)
    )
    if legitimate:
        booked = (await call).explanation
        assert not booked.under_review
        assert booked.lines[-1].rule == "review"
        assert (await shop.balance(member)).pending == 0
    else:
        assert (await refused(call)).reason == "DENIED"
        assert await shop.transactions(member) == before
    # The case itself, which is decided in the same way.
    await shop.conclude(member, LEGITIMATE if legitimate else FRAUDULENT)
    points = (250 if way == "buy" else 20) if legitimate else 0
    assert await shop.balances(member) == (points, 0, 0)
    assert await shop.told(member) == []


async def tell(house: House, member: str, request_id: str, legitimate: bool) -> None:
    """Publishes the news of a decision, and waits for its effect."""
    decided = CaseDecided(
        case_id=new_id(), request_id=request_id, kind="ACCRUAL", legitimate=legitimate
    )
    batch_id = str(new_uuid())
    event = Event(event_id=batch_id, member_id=member, case_decided=decided)
    batch = EventBatch(batch_id=batch_id, events=[event])
    broker = house.running["points"].broker
    assert broker is not None
    js = await broker.jetstream()
    await js.publish("laurel.antifraud.case_decided", batch.SerializeToString())
    await house.settle()


@pytest.mark.parametrize("outcome", [LEGITIMATE, FRAUDULENT])
async def test_af_05_decisions_while_accruals_are_under_way_leave_nothing_waiting(
    shop: Shop, member: str, outcome: int
) -> None:
    """Whichever comes first, the booking or the news of the decision."""
    busy = True

    async def decide() -> None:
        while busy:
            if await shop.open_cases(member):
                await shop.decide(member, outcome)
            await asyncio.sleep(0)

    deciding = asyncio.create_task(decide())
    buying = [shop.buy(member, "10", origin=WATCHED) for _ in range(60)]
    answers, refusals = await settled(buying)
    busy = False
    await deciding
    if await shop.open_cases(member):
        await shop.decide(member, outcome)
    await shop.house.settle()
    assert {one.reason for one in refusals} <= {"DENIED"}
    balances = await shop.balances(member)
    if outcome == LEGITIMATE:
        assert (len(answers), balances) == (60, (650, 0, 0))
        assert (await shop.growth(member), await shop.score(member)) == (60_000, 650)
    else:
        assert balances == (0, 0, 0)
        assert (await shop.growth(member), await shop.score(member)) == (0, 0)


@pytest.mark.parametrize("outcome", [LEGITIMATE, FRAUDULENT])
async def test_af_05_the_same_news_twice_takes_effect_once(
    shop: Shop, member: str, outcome: int
) -> None:
    """Delivered again by the broker, and once more under another message id."""
    await shop.watched(member, "200")
    await shop.conclude(member, outcome)
    balances, booked = await shop.balances(member), len(await shop.transactions(member))
    broker = shop.house.running["points"].broker
    assert broker is not None
    js = await broker.jetstream()
    subscription = await js.pull_subscribe("laurel.antifraud.case_decided", stream=STREAM)
    batches = []
    while (await subscription.consumer_info()).num_pending:
        for message in await subscription.fetch(100, timeout=5):
            batch = EventBatch.FromString(message.data)
            if any(event.member_id == member for event in batch.events):
                batches.append(batch)
    await subscription.unsubscribe()
    assert batches
    for batch in batches:
        await js.publish("laurel.antifraud.case_decided", batch.SerializeToString())
        batch.batch_id = str(new_id())
        await js.publish("laurel.antifraud.case_decided", batch.SerializeToString())
    await shop.house.settle()
    assert await shop.balances(member) == balances
    assert len(await shop.transactions(member)) == booked
    assert len(await shop.told(member)) == 1
    assert await shop.growth(member) == (20_000 if outcome == LEGITIMATE else 0)


async def test_af_05_a_decision_while_points_is_down_takes_effect_when_it_is_back(
    ground: Ground,
) -> None:
    async with ground.house() as house:
        # Of rates alone, without rules.
        program = calm_program(30, deadline_ms=2000).replace("rules: []\n", RULES)
        await house.apply(program, effective_time=to_timestamp(START))
        await house.start("antifraud", "points")
        shop = Shop(house)
        now = datetime.now(UTC)
        await shop.watched("ada", "200", at=now - timedelta(days=40))
        await shop.watched("ada", "30")
        await shop.watched("bea", "200")
        await house.stop("points")
        await shop.decide("ada", LEGITIMATE)
        await shop.decide("bea", FRAUDULENT)
        await house.start("points")
        await house.settle()
        assert await shop.balances("ada") == (200, 30, 0)
        assert await shop.balances("bea") == (0, 0, 0)
        request_id = new_id()
        await tell(house, "cai", request_id, legitimate=True)
        booked = await shop.buy("cai", "7", request_id=request_id, origin=WATCHED)
        assert not booked.explanation.under_review
        assert booked.explanation.lines[-1].rule == "review"
        await shop.conclude("cai", LEGITIMATE)
        await shop.run_maturation(now + timedelta(days=31))
        assert (await shop.balances("ada"))[:2] == (230, 0)
        assert (await shop.balances("cai"))[:2] == (7, 0)
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


async def test_pt_07_a_redemption_goes_through_once_its_case_was_legitimate(
    shop: Shop, member: str
) -> None:
    """AF-01: refused while nobody has looked; then the same request, and no other."""
    await shop.accrue(member, "1000")
    request = shop.holding(member, 100, origin=WATCHED)
    other = shop.holding(member, 700, origin=WATCHED, request_id=request.request_id)
    for _ in range(2):
        refusal = await refused(shop.stub.HoldPoints(request))
        assert (refusal.code, refusal.reason) == (
            StatusCode.FAILED_PRECONDITION,
            "UNDER_REVIEW",
        )
    listed = await shop.fraud.ListAssessments(
        fraud_pb.ListAssessmentsRequest(member_id=member, page_size=1)
    )
    assert refusal.metadata["assessment_id"] == listed.assessments[0].assessment_id
    await shop.conclude(member, LEGITIMATE)
    assert (await refused(shop.stub.HoldPoints(other))).reason == "DENIED"
    held = await asyncio.gather(*[shop.stub.HoldPoints(request) for _ in range(10)])
    assert len({one.hold.hold_id for one in held}) == 1
    assert (await shop.balance(member)).held == 100


async def test_af_01_a_redemption_stays_refused_once_its_case_was_fraud(
    shop: Shop, member: str
) -> None:
    await shop.accrue(member, "1000")
    request = shop.holding(member, 100, origin=WATCHED)
    assert (await refused(shop.stub.HoldPoints(request))).reason == "UNDER_REVIEW"
    await shop.conclude(member, FRAUDULENT)
    assert (await refused(shop.stub.HoldPoints(request))).reason == "DENIED"
    assert (await shop.balance(member)).held == 0


@pytest.mark.parametrize("outcome", [LEGITIMATE, FRAUDULENT])
async def test_af_05_decisions_race_with_all_else_that_may_happen_to_the_points(
    shop: Shop, member: str, outcome: int
) -> None:
    """Returns, the end of the points, closing, merging and freezing, of one member each."""
    now = datetime.now(UTC)
    names = ["returned", "expired", "closed", "merged", "frozen"]
    who = {name: f"{member}-{name}" for name in names}
    survivor = f"{member}-survivor"
    await shop.accrue(survivor, "1")
    before = await shop.balance(survivor)
    bought = {}
    for name in names:
        at = now - timedelta(days=364) if name == "expired" else None
        bought[name] = await shop.watched(who[name], "200", at=at)
    await asyncio.gather(
        *[shop.decide(one, outcome) for one in who.values()],
        shop.reverse(bought["returned"], "50"),
        shop.run_expiry(now + timedelta(days=3)),
        shop.close(who["closed"]),
        shop.merge(survivor, who["merged"]),
        shop.freeze(who["frozen"]),
        return_exceptions=True,
    )
    await shop.house.settle()
    earned = 250 if outcome == LEGITIMATE else 0
    assert await shop.balances(who["frozen"]) == (earned, 0, 0)
    after = await shop.balance(survivor)
    assert (after.active - before.active, after.pending) == (earned, 0)
    assert await shop.balances(who["closed"]) == (0, 0, 0)
    assert (await shop.balances(who["expired"]))[1:] == (0, 0)
    left = (await shop.balances(who["returned"]))[:2]
    assert left == ((200, 0) if outcome == LEGITIMATE else (0, 0))
    waiting = await shop.house.fetch(
        "SELECT member_id FROM points.lot WHERE pending AND mature_time IS NULL AND remaining > 0 "
        "AND member_id LIKE $1",
        f"{member}%",
    )
    assert not waiting
