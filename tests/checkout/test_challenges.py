"""AF-03 at the checkout: an authorisation waits for a code and then goes through."""

from asyncio import gather, sleep
from collections.abc import AsyncIterator

import grpc
import pytest
import yaml
from checkout_shop import AUTHORIZED, CANCELLED, QUOTED, SERVICES, Shop, cart, shop_program
from grpc import StatusCode

from cli.check import run_checks
from house import Ground, House, Refused, new_id, refused
from step_ups import StepUps


@pytest.fixture(scope="module")
async def guarded(ground: Ground) -> AsyncIterator[House]:
    """A mall that challenges redemptions above 1,000 points."""
    async with ground.house() as house:
        document = yaml.safe_load(shop_program())
        document["antifraud"] |= {
            "deadline_ms": 2000,
            "step_up": {"redemption_points_above": 1000, "channels": ["inbox"]},
        }
        await house.apply(yaml.safe_dump(document))
        await house.start("notification", *SERVICES)
        yield house
        broken = [one for one in await run_checks(house.settings.database_url) if one.violations]
        assert not broken, broken


@pytest.fixture
async def shop(guarded: House) -> Shop:
    """The shop of that mall."""
    await guarded.start("notification", *SERVICES)
    return Shop(guarded)


@pytest.fixture
def step_ups(guarded: House) -> StepUps:
    """The challenges of that mall."""
    return StepUps(guarded)


def challenged(refusal: Refused) -> str:
    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "CHALLENGE_REQUIRED")
    return refusal.metadata["challenge_id"]


async def test_af_03_the_same_authorisation_goes_through_once_the_code_was_given(
    shop: Shop, step_ups: StepUps, member: str
) -> None:
    coupon = await shop.regular(member)
    before = await shop.balance(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000, entitlement_ids=[coupon])
    request_id = new_id()
    challenge_id = challenged(await refused(shop.authorize(quoted, request_id)))
    assert challenged(await refused(shop.authorize(quoted, request_id))) == challenge_id
    waiting = await shop.get(quoted)
    assert (waiting.state, waiting.failure_reason, waiting.hold_id) == (QUOTED, "", "")
    assert await shop.balance(member) == before
    await step_ups.verify(challenge_id, await step_ups.code(member, 1))
    answers = await gather(*[shop.authorize(quoted, request_id) for _ in range(10)])
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].state == AUTHORIZED
    assert await shop.balance(member) == (before[0] - 2000, before[1], 2000, 0)
    paid = await shop.complete(quoted)
    assert paid.price.points == 2000


async def test_af_03_another_request_may_go_on_after_the_challenge(
    shop: Shop, step_ups: StepUps, member: str
) -> None:
    await shop.regular(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    first = new_id()
    await step_ups.solve(challenged(await refused(shop.authorize(quoted, first))))
    assert (await shop.authorize(quoted)).state == AUTHORIZED
    assert (await shop.authorize(quoted, first)).state == AUTHORIZED
    assert (await shop.balance(member))[2] == 2000


async def test_af_03_a_challenge_is_good_for_one_checkout(
    shop: Shop, step_ups: StepUps, member: str
) -> None:
    await shop.regular(member)
    one = await shop.quote(member, cart((1, "100")), points=1500)
    other = await shop.quote(member, cart((1, "100")), points=1500)
    solved = challenged(await refused(shop.authorize(one)))
    await step_ups.solve(solved)
    assert challenged(await refused(shop.authorize(other))) != solved
    assert (await shop.authorize(one)).state == AUTHORIZED


async def test_af_03_authorisations_that_race_are_all_told_the_challenge(
    shop: Shop, member: str
) -> None:
    await shop.regular(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    request_id = new_id()
    refusals = await gather(*[refused(shop.authorize(quoted, request_id)) for _ in range(10)])
    assert len({challenged(one) for one in refusals}) == 1
    assert (await shop.get(quoted)).state == QUOTED


async def test_af_03_a_code_given_amid_repeats_leaves_one_hold(
    shop: Shop, step_ups: StepUps, member: str
) -> None:
    """Repeats are refused, or go through; whichever came late, the checkout ends authorised."""
    await shop.regular(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    request_id = new_id()
    challenge_id = challenged(await refused(shop.authorize(quoted, request_id)))

    async def repeat(seconds: float) -> str:
        await sleep(seconds)
        try:
            await shop.authorize(quoted, request_id)
        except grpc.aio.AioRpcError as error:
            return Refused(error).reason
        return ""

    outcomes = await gather(
        step_ups.solve(challenge_id), *[repeat(number / 20) for number in range(20)]
    )
    assert set(outcomes[1:]) <= {"", "CHALLENGE_REQUIRED"}
    assert (await shop.authorize(quoted, request_id)).state == AUTHORIZED
    assert (await shop.balance(member))[2] == 2000


async def test_a_quote_that_waits_for_a_code_can_be_cancelled_and_runs_out(
    shop: Shop, member: str
) -> None:
    await shop.regular(member)
    before = await shop.balance(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    challenged(await refused(shop.authorize(quoted)))
    assert (await shop.cancel(quoted)).state == CANCELLED
    late = await shop.quote(member, cart((1, "100")), points=2000)
    request_id = new_id()
    challenged(await refused(shop.authorize(late, request_id)))
    await shop.time_out(late)
    assert (await refused(shop.authorize(late, request_id))).reason == "QUOTE_EXPIRED"
    await shop.sweep(minutes=16)
    assert not await shop.knows_origin(late)
    assert await shop.balance(member) == before


@pytest.mark.parametrize("checkpoint", ["before hold", "after hold"])
async def test_a_crash_around_a_challenged_hold_ends_in_the_same_challenge(
    shop: Shop, step_ups: StepUps, member: str, checkpoint: str
) -> None:
    """CK-04: whoever takes it up, the sweeper or a repeat."""
    await shop.regular(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    request_id = new_id()
    with shop.crash(checkpoint):
        await refused(shop.authorize(quoted, request_id))
    await shop.sweep(seconds=20)
    assert (await shop.get(quoted)).state == QUOTED
    await step_ups.solve(challenged(await refused(shop.authorize(quoted, request_id))))
    assert (await shop.authorize(quoted, request_id)).state == AUTHORIZED
