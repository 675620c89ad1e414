"""AF-01, AF-03: what is challenged is refused, and goes through once the challenge is solved."""

from asyncio import gather
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from grpc import StatusCode

from cli.check import run_checks
from house import Ground, House, Refused, new_id, refused, usd
from kit.clock import to_timestamp
from kit.errors import info_of
from laurel.antifraud.v1.antifraud_service_pb2 import Origin
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.activities_pb2 import Activity
from laurel.points.v1.households_pb2 import HoldPoolPointsRequest
from laurel.points.v1.transfers_pb2 import DonatePointsRequest
from points_ledger import calm_program, settled
from points_moving import Counter
from points_streaming import stream_rows
from step_ups import StepUps

ARRIVAL = "    - {name: arrival, event: arrival, fixed_points: 10}\n"
STEP_UP = """\
  rules:
    - {name: large, operations: [accrual], when: request.points > 500, action: challenge, score: 9}
    - {name: odd, operations: [accrual], when: request.channel == 'o', action: challenge, score: 1}
    - {name: seven, operations: [redemption], when: request.points == 77, action: review, score: 1}
  step_up: {redemption_points_above: 50, channels: [inbox]}
"""


@pytest.fixture(scope="module")
async def guarded(ground: Ground) -> AsyncIterator[House]:
    """A house that challenges accruals above 500 points and redemptions above 50."""
    async with ground.house() as house:
        program = calm_program(multiplied=False, deadline_ms=2000)
        program = program.replace("  rules:\n", "  rules:\n" + ARRIVAL, 1)
        await house.apply(program.replace("  rules: []\n", STEP_UP))
        await house.start("antifraud", "notification", "tier", "points")
        yield house
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


@pytest.fixture
def counter(guarded: House) -> Counter:
    """The ledger of that house."""
    return Counter(guarded)


@pytest.fixture
def step_ups(guarded: House) -> StepUps:
    """The challenges of that house."""
    return StepUps(guarded)


def challenged(refusal: Refused) -> str:
    """The challenge that a refusal names, and nothing else of what anti-fraud knows."""
    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "CHALLENGE_REQUIRED")
    assert set(refusal.metadata) - {"trace_id"} == {"challenge_id"}
    return refusal.metadata["challenge_id"]


SPENDING = ("hold", "redeem", "give", "donate", "pool")


@pytest.mark.parametrize("kind", SPENDING)
async def test_af_03_a_large_redemption_waits_for_its_code_and_is_booked_once(
    counter: Counter, step_ups: StepUps, member: str, kind: str
) -> None:
    await counter.accrue(member, "400")
    receiver = new_id()
    home = await counter.found(member)
    if kind == "pool":
        await counter.contribute(home, member, 50)
        # To the pool as to a member: another 50, so that 60 of it can be held.
        await counter.contribute(home, member, 50)
    before, booked = await counter.balance(member), await counter.transactions(member)
    request_id, order_id = new_id(), new_id()

    async def spend() -> object:
        match kind:
            case "hold":
                holding = counter.holding(member, 60, request_id=request_id, order_id=order_id)
                return await counter.stub.HoldPoints(holding)
            case "redeem":
                redeeming = pb.RedeemPointsRequest(
                    request_id=request_id, member_id=member, points=60, order_id=order_id
                )
                return await counter.stub.RedeemPoints(redeeming)
            case "give":
                giving = counter.giving(member, receiver, 60, request_id=request_id)
                return await counter.stub.TransferPoints(giving)
            case "donate":
                donating = DonatePointsRequest(
                    request_id=request_id, member_id=member, points=60, cause="red_cross"
                )
                return await counter.stub.DonatePoints(donating)
            case _:
                pooling = HoldPoolPointsRequest(
                    request_id=request_id, member_id=member, points=60, order_id=order_id,
                    household_id=home.household_id,
                )  # fmt: skip
                return await counter.stub.HoldPoolPoints(pooling)

    challenge_id = challenged(await refused(spend()))
    assert challenged(await refused(spend())) == challenge_id
    assert await counter.balance(member) == before
    assert await counter.transactions(member) == booked
    await step_ups.verify(challenge_id, await step_ups.code(member))
    answers = await gather(*[spend() for _ in range(10)])
    assert all(answer == answers[0] for answer in answers)
    if kind != "pool":
        after = await counter.balance(member)
        assert before.active - after.active == 60
        assert len(await counter.transactions(member)) == len(booked) + 1
    else:
        assert (await counter.household(home)).held_points == 60


async def test_af_03_a_solved_challenge_spends_nothing_else(
    counter: Counter, step_ups: StepUps, member: str
) -> None:
    await counter.accrue(member, "400")
    request = counter.holding(member, 60)
    challenge_id = challenged(await refused(counter.stub.HoldPoints(request)))
    await step_ups.verify(challenge_id, await step_ups.code(member))
    other = counter.holding(member, 60)
    assert challenged(await refused(counter.stub.HoldPoints(other))) != challenge_id
    more = pb.HoldPointsRequest()
    more.CopyFrom(request)
    more.points = 61
    assert challenged(await refused(counter.stub.HoldPoints(more))) == challenge_id
    assert (await counter.balance(member)).held == 0
    assert (await counter.stub.HoldPoints(request)).hold.points == 60


async def test_af_01_a_review_beside_the_challenge_still_refuses(
    counter: Counter, step_ups: StepUps, member: str
) -> None:
    await counter.accrue(member, "400")
    request = counter.holding(member, 77)
    challenge_id = challenged(await refused(counter.stub.HoldPoints(request)))
    await step_ups.verify(challenge_id, await step_ups.code(member))
    assert (await refused(counter.stub.HoldPoints(request))).reason == "UNDER_REVIEW"
    assert (await counter.balance(member)).held == 0


async def test_af_03_wrong_codes_leave_it_refused_until_nothing_more_is_asked(
    counter: Counter, step_ups: StepUps, member: str
) -> None:
    await counter.accrue(member, "400")
    request = counter.holding(member, 60)
    for _ in range(5):
        challenge_id = challenged(await refused(counter.stub.HoldPoints(request)))
        await step_ups.spend(challenge_id)
    last = await refused(counter.stub.HoldPoints(request))
    assert (last.code, last.reason) == (StatusCode.FAILED_PRECONDITION, "CHALLENGES_SPENT")
    assert set(last.metadata) - {"trace_id"} == {"assessment_id"}
    assert (await counter.balance(member)).held == 0


async def test_af_01_accruals_of_every_way_in_are_challenged_and_booked_once(
    counter: Counter, step_ups: StepUps, now: datetime
) -> None:
    members = [new_id() for _ in range(4)]
    plain, row, streamed, active = members
    single = counter.accrual(plain, "501")
    batch = pb.BatchAccruePointsRequest(
        requests=[counter.accrual(row, "501"), counter.accrual(row, "5")]
    )
    stream = [counter.accrual(streamed, "501")]
    activity = pb.AccrueActivityRequest(
        request_id=new_id(), member_id=active, activity=Activity(event_type="arrival"),
        occurred_time=to_timestamp(now), origin=Origin(channel="o"),
    )  # fmt: skip

    async def single_id() -> str:
        return challenged(await refused(counter.stub.AccruePoints(single)))

    async def row_id() -> str:
        results = (await counter.stub.BatchAccruePoints(batch)).results
        assert results[1].accrued.points == 5
        return named(results[0])

    async def stream_id() -> str:
        return named((await stream_rows(counter.stub, stream, timeout=20))[0])

    async def activity_id() -> str:
        return challenged(await refused(counter.stub.AccrueActivity(activity)))

    ids = [await single_id(), await row_id(), await stream_id(), await activity_id()]
    assert len(set(ids)) == 4
    assert [(await counter.balance(member)).active for member in members] == [0, 5, 0, 0]
    assert [await single_id(), await row_id(), await stream_id(), await activity_id()] == ids
    for member, challenge_id in zip(members, ids, strict=True):
        await step_ups.verify(challenge_id, await step_ups.code(member))
    for _ in range(2):
        assert (await counter.stub.AccruePoints(single)).transaction.points == 501
        [large, _small] = (await counter.stub.BatchAccruePoints(batch)).results
        assert large.accrued.points == 501
        [result] = await stream_rows(counter.stub, stream, timeout=20)
        assert result.accrued.points == 501
        assert (await counter.stub.AccrueActivity(activity)).transaction.points == 10
    assert [(await counter.balance(member)).active for member in members] == [501, 506, 501, 10]


def named(result: pb.AccrueResult) -> str:
    """The challenge that a refused row names."""
    info = info_of(result.error)
    assert info.reason == "CHALLENGE_REQUIRED"
    return info.metadata["challenge_id"]


async def test_af_01_a_row_of_a_till_is_refused_for_good(
    counter: Counter, member: str, now: datetime
) -> None:
    """Nobody stands at a till any more when its batch arrives."""
    purchase = pb.Purchase(order_id=new_id(), amount=usd("501"))
    row = pb.TillRow(member_id=member, purchase=purchase, occurred_time=to_timestamp(now))
    request = pb.SubmitTillBatchRequest(device_id=new_id(), batch_number=1, rows=[row])
    answers = [await counter.stub.SubmitTillBatch(request) for _ in range(2)]
    assert answers[0] == answers[1]
    assert info_of(answers[0].results[0].error).reason == "CHALLENGE_REQUIRED"
    assert (await counter.balance(member)).active == 0


async def test_af_03_of_many_operations_one_is_let_through_by_one_code(
    counter: Counter, step_ups: StepUps, member: str
) -> None:
    await counter.accrue(member, "400")
    requests = [counter.holding(member, 60) for _ in range(4)]
    refusals = await gather(*[refused(counter.stub.HoldPoints(one)) for one in requests])
    ids = [challenged(one) for one in refusals]
    assert len(set(ids)) == 4
    await step_ups.solve(ids[2])
    answers, still = await settled(counter.stub.HoldPoints(one) for one in requests)
    assert len(answers) == 1
    assert {challenged(one) for one in still} == {*ids} - {ids[2]}
    assert (await counter.balance(member)).held == 60
