"""Reserve, redeem, release: a coupon is used once, whatever fails (BN-03, BN-05)."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from benefits_desk import AVAILABLE, EXPIRED, REDEEMED, RESERVED, Desk, change, days_ago
from grpc import StatusCode

from house import Refused, new_id, refused, usd
from kit.clock import from_timestamp
from kit.clock import new_id as uuid7
from laurel.benefits.v1 import benefits_service_pb2 as pb

OPEN = pb.RESERVATION_STATE_OPEN


async def outcome(call: object) -> object:
    """The answer of a call, or how it was refused."""
    try:
        return await call  # type: ignore[misc]
    except Exception as error:  # gRPC's own  # noqa: BLE001
        return Refused(error)  # type: ignore[arg-type]


async def test_bn_05_a_reservation_sets_aside_and_a_redemption_uses(
    desk: Desk, member: str
) -> None:
    coupon = await desk.coupon(member)
    reservation = await desk.reserve(member, [coupon], order_id="o-1")
    assert (reservation.state, list(reservation.entitlement_ids)) == (OPEN, [coupon])
    held = (await desk.held(member))["gold_welcome"]
    assert (held.state, held.order_id) == (RESERVED, "o-1")
    redeemed = await desk.redeem(reservation.reservation_id)
    assert redeemed.state == pb.RESERVATION_STATE_REDEEMED
    held = (await desk.held(member))["gold_welcome"]
    assert (held.state, held.order_id) == (REDEEMED, "o-1")


async def test_bn_05_a_use_is_told_with_the_discount_of_the_reservation(
    desk: Desk, member: str
) -> None:
    coupon = await desk.coupon(member)
    discount = (await desk.held(member))["gold_discount"].entitlement_id
    reservation = await desk.reserve(member, [discount, coupon], "200", order_id="o-2")
    # What was promised holds, even if the tier ends before the order is paid.
    await desk.tell(change(member, "gold", "member", days_ago(0)))
    await desk.redeem(reservation.reservation_id)
    told = {
        event.benefit_redeemed.benefit_id: event.benefit_redeemed
        for event in await desk.told(member, "benefit_redeemed")
    }
    assert told["gold_welcome"].discount == usd("10")
    assert told["gold_discount"].discount == usd("20")
    assert {one.order_id for one in told.values()} == {"o-2"}


async def test_a_tier_discount_is_never_used_up(desk: Desk, member: str) -> None:
    await desk.tell(change(member, "member", "gold"))
    discount = (await desk.held(member))["gold_discount"].entitlement_id
    first = await desk.reserve(member, [discount])
    second = await desk.reserve(member, [discount])
    await desk.redeem(first.reservation_id)
    await desk.release(second.reservation_id)
    assert (await desk.held(member))["gold_discount"].state == AVAILABLE


async def test_bn_05_a_release_gives_back(desk: Desk, member: str) -> None:
    coupon = await desk.coupon(member)
    first = await desk.reserve(member, [coupon])
    released = await desk.release(first.reservation_id)
    assert released.state == pb.RESERVATION_STATE_RELEASED
    held = (await desk.held(member))["gold_welcome"]
    assert (held.state, held.order_id) == (AVAILABLE, "")
    second = await desk.reserve(member, [coupon])
    await desk.redeem(second.reservation_id)


async def test_bn_03_of_twenty_who_want_one_coupon_one_gets_it(desk: Desk, member: str) -> None:
    """BN-03, BN-05: exact under concurrency."""
    coupon = await desk.coupon(member)
    outcomes = await asyncio.gather(*(outcome(desk.reserve(member, [coupon])) for _ in range(20)))
    won = [one for one in outcomes if isinstance(one, pb.Reservation)]
    lost = [one for one in outcomes if isinstance(one, Refused)]
    assert (len(won), len(lost)) == (1, 19)
    assert {one.reason for one in lost} == {"ENTITLEMENT_NOT_AVAILABLE"}
    assert {one.code for one in lost} == {StatusCode.FAILED_PRECONDITION}


async def test_bn_03_crossing_reservations_end_without_a_deadlock(desk: Desk, member: str) -> None:
    await desk.tell(change(member, "member", "silver", days_ago(2)))
    await desk.tell(change(member, "silver", "gold", days_ago(1)))
    held = await desk.held(member)
    ids = [held[name].entitlement_id for name in ("silver_welcome", "gold_welcome")]
    outcomes = await asyncio.gather(
        *(outcome(desk.reserve(member, ids[:: 1 if i % 2 else -1])) for i in range(20))
    )
    assert sum(isinstance(one, pb.Reservation) for one in outcomes) == 1
    lost = [one.reason for one in outcomes if isinstance(one, Refused)]
    assert set(lost) == {"ENTITLEMENT_NOT_AVAILABLE"}


async def test_all_or_none_is_set_aside(desk: Desk, member: str) -> None:
    await desk.tell(change(member, "member", "silver", days_ago(2)))
    await desk.tell(change(member, "silver", "gold", days_ago(1)))
    held = await desk.held(member)
    silver, gold = (held[f"{tier}_welcome"].entitlement_id for tier in ("silver", "gold"))
    await desk.reserve(member, [gold])
    refusal = await refused(desk.reserve(member, [silver, gold]))
    assert refusal.reason == "ENTITLEMENT_NOT_AVAILABLE"
    assert refusal.metadata["entitlement_id"] == gold
    assert (await desk.held(member))["silver_welcome"].state == AVAILABLE


async def test_a_repeated_reservation_reserves_once(desk: Desk, member: str) -> None:
    coupon = await desk.coupon(member)
    request = desk.reserve_request(member, [coupon])
    answers = await asyncio.gather(*(desk.stub.ReserveBenefits(request) for _ in range(20)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    rows = await desk.house.fetch(
        "SELECT count(*) FROM benefits.reservation WHERE member_id = $1", member
    )
    assert rows[0]["count"] == 1


async def test_a_repeated_redemption_is_told_once(desk: Desk, member: str) -> None:
    coupon = await desk.coupon(member)
    reservation = await desk.reserve(member, [coupon])
    again = new_id()
    answers = await asyncio.gather(
        *(desk.redeem(reservation.reservation_id, again) for _ in range(20))
    )
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert len(await desk.told(member, "benefit_redeemed")) == 1


async def test_a_repeated_release_answers_the_same_even_after_the_next_reservation(
    desk: Desk, member: str
) -> None:
    coupon = await desk.coupon(member)
    reservation = await desk.reserve(member, [coupon])
    again = new_id()
    first = await desk.release(reservation.reservation_id, again)
    await desk.reserve(member, [coupon])
    assert await desk.release(reservation.reservation_id, again) == first
    assert (await desk.held(member))["gold_welcome"].state == RESERVED


async def test_a_request_id_with_other_content_is_refused(desk: Desk, member: str) -> None:
    coupon = await desk.coupon(member)
    request = desk.reserve_request(member, [coupon])
    await desk.stub.ReserveBenefits(request)
    request.order_id = "another"
    refusal = await refused(desk.stub.ReserveBenefits(request))
    assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_request_id_that_redeemed_releases_nothing(desk: Desk, member: str) -> None:
    reservation = await desk.reserve(member, [await desk.coupon(member)])
    request_id = new_id()
    await desk.redeem(reservation.reservation_id, request_id)
    refusal = await refused(desk.release(reservation.reservation_id, request_id))
    assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_bn_05_of_redemptions_and_releases_at_once_one_wins(desk: Desk, member: str) -> None:
    coupon = await desk.coupon(member)
    reservation = await desk.reserve(member, [coupon])
    one = reservation.reservation_id
    calls = [desk.redeem(one) if i % 2 else desk.release(one) for i in range(20)]
    outcomes = await asyncio.gather(*(outcome(call) for call in calls))
    won = [answer for answer in outcomes if isinstance(answer, pb.Reservation)]
    assert len(won) == 1
    lost = {(a.code, a.reason) for a in outcomes if isinstance(a, Refused)}
    assert lost == {(StatusCode.FAILED_PRECONDITION, "RESERVATION_NOT_OPEN")}
    used = won[0].state == pb.RESERVATION_STATE_REDEEMED
    assert (await desk.held(member))["gold_welcome"].state == (REDEEMED if used else AVAILABLE)


async def test_what_was_released_cannot_be_redeemed_and_the_other_way_round(
    desk: Desk, member: str
) -> None:
    coupon = await desk.coupon(member)
    released = await desk.reserve(member, [coupon])
    await desk.release(released.reservation_id)
    refusal = await refused(desk.redeem(released.reservation_id))
    assert (refusal.reason, refusal.metadata["state"]) == ("RESERVATION_NOT_OPEN", "released")
    redeemed = await desk.reserve(member, [coupon])
    await desk.redeem(redeemed.reservation_id)
    refusal = await refused(desk.release(redeemed.reservation_id))
    assert (refusal.reason, refusal.metadata["state"]) == ("RESERVATION_NOT_OPEN", "redeemed")


@pytest.mark.parametrize("unknown", ["nonsense", str(uuid7())])
async def test_what_is_not_known_is_not_found(desk: Desk, member: str, unknown: str) -> None:
    refusal = await refused(desk.reserve(member, [unknown]))
    assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "ENTITLEMENT_NOT_FOUND")
    for call in (desk.redeem, desk.release):
        refusal = await refused(call(unknown))
        assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "RESERVATION_NOT_FOUND")


async def test_a_coupon_of_another_member_is_not_found(desk: Desk, member: str) -> None:
    coupon = await desk.coupon(f"{member}-other")
    refusal = await refused(desk.reserve(member, [coupon]))
    assert refusal.reason == "ENTITLEMENT_NOT_FOUND"


async def test_a_coupon_that_takes_nothing_off_is_not_set_aside(desk: Desk, member: str) -> None:
    coupon = await desk.coupon(member)
    refusal = await refused(desk.reserve(member, [coupon], "39.99"))
    assert (refusal.code, refusal.reason) == (
        StatusCode.FAILED_PRECONDITION,
        "ENTITLEMENT_NOT_APPLICABLE",
    )
    assert "39.99 USD" in str(refusal.message)
    assert (await desk.held(member))["gold_welcome"].state == AVAILABLE


async def test_an_expired_coupon_and_a_withdrawn_discount_are_not_available(
    desk: Desk, member: str
) -> None:
    await desk.tell(change(member, "member", "gold", days_ago(200)))
    await desk.tell(change(member, "gold", "silver", days_ago(100)))
    held = await desk.held(member)
    for name in ("gold_welcome", "gold_discount"):
        refusal = await refused(desk.reserve(member, [held[name].entitlement_id]))
        assert refusal.reason == "ENTITLEMENT_NOT_AVAILABLE"


async def test_bn_05_a_reservation_ends_by_itself_after_the_hold_of_the_program(
    desk: Desk, member: str
) -> None:
    coupon = await desk.coupon(member)
    reservation = await desk.reserve(member, [coupon])
    left = from_timestamp(reservation.expire_time) - datetime.now(UTC)
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)
    await desk.sweep()
    assert (await desk.held(member))["gold_welcome"].state == RESERVED
    await desk.house.fetch(
        "UPDATE benefits.reservation SET expire_time = now() WHERE member_id = $1", member
    )
    await asyncio.gather(desk.sweep(), desk.sweep())
    assert (await desk.held(member))["gold_welcome"].state == AVAILABLE
    refusal = await refused(desk.redeem(reservation.reservation_id))
    assert refusal.reason == "RESERVATION_NOT_OPEN"


async def test_bn_05_a_coupon_that_ran_out_while_reserved_can_be_used_or_ends(
    desk: Desk, member: str
) -> None:
    coupon = await desk.coupon(member)
    reservation = await desk.reserve(member, [coupon])
    await desk.house.fetch(
        "UPDATE benefits.entitlement SET expire_time = now() - interval '1 minute' "
        "WHERE member_id = $1 AND kind = 'UPGRADE_COUPON'",
        member,
    )
    await desk.sweep()
    assert (await desk.held(member))["gold_welcome"].state == RESERVED
    await desk.release(reservation.reservation_id)
    assert (await desk.held(member))["gold_welcome"].state == EXPIRED
    rows = await desk.house.fetch(
        "SELECT state FROM benefits.entitlement WHERE member_id = $1 AND kind = 'UPGRADE_COUPON'",
        member,
    )
    assert rows[0]["state"] == "EXPIRED"


async def test_coupons_whose_time_is_over_are_ended_by_the_sweeper(desk: Desk, member: str) -> None:
    await desk.tell(change(member, "member", "gold", days_ago(200)))
    await desk.sweep()
    rows = await desk.house.fetch(
        "SELECT state FROM benefits.entitlement WHERE member_id = $1 AND kind = 'UPGRADE_COUPON'",
        member,
    )
    assert rows[0]["state"] == "EXPIRED"


async def test_a_crash_between_reserve_and_redeem_loses_nothing(desk: Desk, member: str) -> None:
    coupon = await desk.coupon(member)
    reservation = await desk.reserve(member, [coupon])
    await desk.house.stop("benefits")
    await desk.house.start("benefits")
    await desk.redeem(reservation.reservation_id)
    assert (await desk.held(member))["gold_welcome"].state == REDEEMED


async def test_the_database_itself_refuses_a_second_use(desk: Desk, member: str) -> None:
    """Invariant 9: a benefit is never used beyond its limits, whatever the code does."""
    coupon = await desk.coupon(member)
    await desk.redeem((await desk.reserve(member, [coupon])).reservation_id)
    with pytest.raises(asyncpg.UniqueViolationError, match="reservation_item_single_use"):
        await desk.house.fetch(
            """
            WITH made AS (
                INSERT INTO benefits.reservation (
                    member_id, reservation_id, order_id, state, order_amount_minor, currency,
                    currency_digits, create_time, expire_time, program_version
                )
                VALUES ($1, $2, 'o', 'OPEN', 1, 'USD', 2, now(), now(), 1)
            )
            INSERT INTO benefits.reservation_item (
                member_id, reservation_id, entitlement_id, position, benefit_id, single_use,
                discount_minor, state
            )
            VALUES ($1, $2, $3, 0, 'gold_welcome', true, 1, 'OPEN')
            """,
            member,
            uuid7(),
            coupon,
        )


async def test_who_is_not_listed_may_not_reserve(desk: Desk, member: str) -> None:
    stub = desk.house.stub(type(desk.stub), "benefits", "dashboard")
    refusal = await refused(stub.ReserveBenefits(desk.reserve_request(member, [new_id()])))
    assert refusal.code == StatusCode.PERMISSION_DENIED
