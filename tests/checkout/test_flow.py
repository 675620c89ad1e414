"""Authorising, completing and cancelling (CK-02)."""

from asyncio import gather

import grpc
import pytest
import yaml
from checkout_shop import (
    AUTHORIZED,
    AUTHORIZING,
    CANCELLED,
    COMPLETED,
    FREE,
    QUOTED,
    RESERVED,
    SERVICES,
    USED,
    Shop,
    cart,
    cents,
    eventually,
    shop_program,
)
from google.rpc.error_details_pb2 import RetryInfo

from house import Ground, Refused, new_id, refused
from laurel.benefits.v1 import benefits_service_pb2 as benefits_pb


async def test_an_order_is_paid_with_points_and_cash(shop: Shop, member: str) -> None:
    """CK-02: held and reserved by authorising, spent by completing."""
    await shop.regular(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    authorized = await shop.authorize(quoted)
    assert authorized.state == AUTHORIZED
    assert authorized.hold_id
    assert authorized.reservation_id
    assert await shop.balance(member) == (1000, 0, 2000, 0)
    assert await shop.coupon_state(member) == RESERVED
    seconds = authorized.expire_time.seconds - authorized.update_time.seconds
    assert 25 * 60 < seconds <= 30 * 60

    paid = await shop.complete(quoted)
    assert paid.state == COMPLETED
    assert paid.accrual_transaction_id
    assert cents(paid.price.cash_amount) == 60_00
    assert await shop.balance(member) == (1000 + 900, 0, 0, 0)
    assert await shop.coupon_state(member) == USED
    assert await shop.get(quoted) == paid
    rows = await shop.house.fetch(
        "SELECT origin FROM checkout.checkout WHERE checkout_id = $1", quoted.checkout_id
    )
    assert rows[0]["origin"] == b"", "nobody needs the member's address any more"


async def test_an_order_paid_with_cash_alone_only_earns(shop: Shop, member: str) -> None:
    quoted = await shop.quote(member, cart((1, "20")))
    authorized = await shop.authorize(quoted)
    assert (authorized.state, authorized.hold_id, authorized.reservation_id) == (AUTHORIZED, "", "")
    await shop.complete(quoted)
    assert await shop.balance(member) == (200, 0, 0, 0)


async def test_a_free_order_completes_without_a_step(shop: Shop, member: str) -> None:
    paid = await shop.paid(member, cart((3, "0")))
    assert (paid.state, paid.accrual_transaction_id) == (COMPLETED, "")


async def test_a_cancelled_order_gives_everything_back(shop: Shop, member: str) -> None:
    await shop.regular(member)
    before = await shop.balance(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    await shop.authorize(quoted)
    cancelled = await shop.cancel(quoted)
    assert (cancelled.state, cancelled.failure_reason) == (CANCELLED, "CANCEL_REQUESTED")
    assert await shop.balance(member) == before
    assert await shop.coupon_state(member) == FREE


async def test_a_quote_is_cancelled_at_once(shop: Shop, member: str) -> None:
    quoted = await shop.quote(member, cart((1, "100")))
    assert (await shop.cancel(quoted)).state == CANCELLED
    assert (await refused(shop.authorize(quoted))).reason == "CHECKOUT_STATE"


async def test_a_repeated_call_gets_the_stored_answer(shop: Shop, member: str) -> None:
    """CK-04: a repeat has no second effect, even when the checkout has moved on."""
    await shop.earn(member, "90")
    quoted = await shop.quote(member, cart((1, "10")), points=500)
    ids = new_id(), new_id()
    first = await shop.authorize(quoted, ids[0])
    assert await shop.authorize(quoted, ids[0]) == first
    paid = await shop.complete(quoted, ids[1])
    balance = await shop.balance(member)
    assert await shop.complete(quoted, ids[1]) == paid
    assert await shop.authorize(quoted, ids[0]) == first
    assert await shop.balance(member) == balance
    other = await shop.quote(member, cart((1, "10")), points=500)
    assert (await refused(shop.authorize(other, ids[0]))).reason == "REQUEST_ID_REUSED"
    assert (await shop.cancel(other, id_ := new_id())) == await shop.cancel(other, id_)


async def test_a_request_id_is_of_one_call_alone(shop: Shop, member: str) -> None:
    """CK-04: the same id for the next call would leave the order unpaid, and nobody told."""
    await shop.earn(member, "90")
    quoted = await shop.quote(member, cart((1, "10")), points=500)
    request_id = new_id()
    await shop.authorize(quoted, request_id)
    for call in (shop.complete(quoted, request_id), shop.cancel(quoted, request_id)):
        assert (await refused(call)).reason == "REQUEST_ID_REUSED"
    assert (await shop.get(quoted)).state == AUTHORIZED
    assert (await shop.complete(quoted)).state == COMPLETED


async def test_the_same_call_twenty_times_at_once_takes_effect_once(
    shop: Shop, member: str
) -> None:
    """CK-04."""
    await shop.regular(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    ids = new_id(), new_id()
    answers = await gather(*(shop.authorize(quoted, ids[0]) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert await shop.balance(member) == (1000, 0, 2000, 0)
    answers = await gather(*(shop.complete(quoted, ids[1]) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert await shop.balance(member) == (1900, 0, 0, 0)


async def one_of(calls: list[object]) -> list[Refused]:
    """How all calls but one were refused."""
    answers = await gather(*calls, return_exceptions=True)  # type: ignore[call-overload]
    errors = [Refused(one) for one in answers if isinstance(one, grpc.aio.AioRpcError)]
    assert len(errors) == len(calls) - 1
    return errors


async def test_of_twenty_different_calls_at_once_one_succeeds(shop: Shop, member: str) -> None:
    await shop.earn(member, "90")
    quoted = await shop.quote(member, cart((1, "10")), points=500)
    for call in (shop.authorize, shop.complete):
        errors = await one_of([call(quoted) for _ in range(20)])
        assert {error.reason for error in errors} == {"CHECKOUT_STATE"}
    assert await shop.balance(member) == (450, 0, 0, 0)
    cancelled = await shop.quote(member, cart((1, "10")))
    errors = await one_of([shop.cancel(cancelled) for _ in range(20)])
    assert {error.reason for error in errors} == {"CHECKOUT_STATE"}


async def test_cancelling_and_completing_at_once_do_one_of_both(shop: Shop, member: str) -> None:
    # Too little for a tier that would earn more.
    await shop.earn(member, "80")
    for _ in range(5):
        active = (await shop.balance(member))[0]
        quoted = await shop.quote(member, cart((1, "2")), points=100)
        await shop.authorize(quoted)
        await one_of([shop.cancel(quoted), shop.complete(quoted)])
        done = await shop.get(quoted)
        expected = active - 100 + 10 if done.state == COMPLETED else active
        assert await shop.balance(member) == (expected, 0, 0, 0)


async def test_cancelling_while_authorising_leaves_nothing_behind(shop: Shop, member: str) -> None:
    await shop.regular(member)
    before = await shop.balance(member)
    for _ in range(5):
        quoted = await shop.quote(member, cart((1, "100")), points=2000)
        await gather(shop.authorize(quoted), shop.cancel(quoted), return_exceptions=True)
        await shop.sweep()
        if (await shop.get(quoted)).state == AUTHORIZED:
            await shop.cancel(quoted)
        assert (await shop.get(quoted)).state == CANCELLED
        assert await shop.balance(member) == before
        assert await shop.coupon_state(member) == FREE


async def test_calls_that_do_not_fit_the_state_are_refused(shop: Shop, member: str) -> None:
    quoted = await shop.quote(member, cart((1, "10")))
    for early in (shop.complete, shop.refund):
        got = await refused(early(quoted))
        assert (got.code, got.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CHECKOUT_STATE")
        assert got.metadata["state"] == "QUOTED"
    await shop.authorize(quoted)
    await shop.complete(quoted)
    for late in (shop.authorize, shop.complete, shop.cancel):
        assert (await refused(late(quoted))).metadata["state"] == "COMPLETED"


async def test_an_expired_quote_is_refused_and_changes_nothing(shop: Shop, member: str) -> None:
    await shop.earn(member, "90")
    quoted = await shop.quote(member, cart((1, "10")), points=500)
    await shop.time_out(quoted)
    got = await refused(shop.authorize(quoted))
    assert (got.code, got.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "QUOTE_EXPIRED")
    assert (await shop.get(quoted)).state == QUOTED
    assert await shop.balance(member) == (900, 0, 0, 0)


async def test_points_spent_elsewhere_undo_the_checkout(shop: Shop, member: str) -> None:
    """CK-02: all or nothing; the reason is that of the service that refused."""
    await shop.earn(member, "90")
    quotes = [await shop.quote(member, cart((1, "16")), points=800) for _ in range(2)]
    await shop.authorize(quotes[0])
    request_id = new_id()
    for _ in range(2):
        got = await refused(shop.authorize(quotes[1], request_id))
        assert (got.code, got.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "INSUFFICIENT_POINTS",
        )
    undone = await shop.get(quotes[1])
    assert (undone.state, undone.failure_reason) == (CANCELLED, "INSUFFICIENT_POINTS")
    assert (await refused(shop.authorize(quotes[1]))).reason == "CHECKOUT_STATE"
    assert await shop.balance(member) == (100, 0, 800, 0)


@pytest.mark.parametrize(
    ("channel", "reason"), [("no-spending", "DENIED"), ("look-first", "UNDER_REVIEW")]
)
async def test_anti_fraud_has_its_say(shop: Shop, member: str, channel: str, reason: str) -> None:
    """CK-02: assess."""
    await shop.earn(member, "90")
    quoted = await shop.quote(member, cart((1, "10")), points=500, channel=channel)
    got = await refused(shop.authorize(quoted))
    assert (got.code, got.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    assert await shop.balance(member) == (900, 0, 0, 0)


async def test_a_coupon_that_is_gone_gives_the_points_back(shop: Shop, member: str) -> None:
    """CK-02: all or nothing."""
    coupon = await shop.regular(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000, entitlement_ids=[coupon])
    reserve = benefits_pb.ReserveBenefitsRequest(
        request_id=new_id(), member_id=member, order_id=new_id(), entitlement_ids=[coupon],
        order_amount=quoted.price.lines_amount,
    )  # fmt: skip
    await shop.benefits.ReserveBenefits(reserve)
    got = await refused(shop.authorize(quoted))
    assert (got.code, got.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "ENTITLEMENT_NOT_AVAILABLE",
    )
    assert (await shop.get(quoted)).state == CANCELLED
    assert await shop.balance(member) == (3000, 0, 0, 0)


async def test_a_coupon_is_used_up_whatever_a_later_program_calls_by_its_name(
    ground: Ground, member: str
) -> None:
    """BN-05, CK-02: what the member holds says whether an order uses it up, not what its benefit
    has become.
    """
    document = yaml.safe_load(shop_program())
    async with ground.house() as house:
        await house.apply(yaml.safe_dump(document))
        await house.start(*SERVICES)
        shop = Shop(house)
        await shop.regular(member)
        kept = [one for one in document["benefits"] if "gold" not in one["id"]]
        terms = {"tier_id": "gold", "percent_off": 12}
        renamed = {"id": "gold_welcome", "name": "Gold 12 % off", "tier_discount": terms}
        document["benefits"] = [*kept, renamed]
        await house.apply(yaml.safe_dump(document))
        await house.settle()
        first = await shop.paid(member, cart((1, "100")))
        assert cents(first.price.cash_amount) == 80_00
        assert await shop.coupon_state(member) == USED
        again = await shop.quote(member, cart((1, "100")))
        assert cents(again.price.cash_amount) == 90_00


async def test_an_accrual_that_anti_fraud_denies_does_not_keep_a_paid_order(
    shop: Shop, member: str
) -> None:
    await shop.earn(member, "90")
    paid = await shop.paid(member, cart((1, "10")), points=500, channel="no-earning")
    assert (paid.state, paid.accrual_transaction_id) == (COMPLETED, "")
    assert await shop.balance(member) == (400, 0, 0, 0)
    rows = await shop.house.fetch(
        "SELECT mark, reason FROM checkout.step WHERE checkout_id = $1 AND step = 'accrue'",
        paid.checkout_id,
    )
    assert [tuple(row) for row in rows] == [("REFUSED", "DENIED")]
    refund = (await shop.refund(paid)).refunds[-1]
    assert (refund.points, refund.reversed_points, refund.complete) == (500, 0, True)
    assert await shop.balance(member) == (900, 0, 0, 0)


async def test_an_authorisation_that_has_ended_is_undone(shop: Shop, member: str) -> None:
    """CK-02: time-out cleans up."""
    await shop.regular(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    await shop.authorize(quoted)
    await shop.time_out(quoted)
    request_id = new_id()
    for again in (request_id, request_id, new_id()):
        got = await refused(shop.complete(quoted, again))
        assert (got.code, got.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "AUTHORIZATION_EXPIRED",
        )
    undone = await shop.get(quoted)
    assert (undone.state, undone.failure_reason) == (CANCELLED, "AUTHORIZATION_EXPIRED")
    assert await shop.balance(member) == (3000, 0, 0, 0)
    assert await shop.coupon_state(member) == FREE


async def test_points_that_timed_out_give_the_coupon_back(shop: Shop, member: str) -> None:
    """CK-02: the points service ends holds on its own, too."""
    await shop.regular(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    authorized = await shop.authorize(quoted)
    await shop.house.fetch(
        "UPDATE points.hold SET expire_time = now() - interval '1 second' WHERE hold_id = $1",
        authorized.hold_id,
    )
    assert (await refused(shop.complete(quoted))).reason == "AUTHORIZATION_EXPIRED"
    assert (await shop.get(quoted)).state == CANCELLED
    assert await shop.balance(member) == (3000, 0, 0, 0)
    assert await shop.coupon_state(member) == FREE


async def test_a_coupon_that_timed_out_gives_captured_points_back(shop: Shop, member: str) -> None:
    await shop.regular(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    authorized = await shop.authorize(quoted)
    await shop.release_reservation(authorized)
    assert (await refused(shop.complete(quoted))).reason == "AUTHORIZATION_EXPIRED"
    assert await shop.balance(member) == (3000, 0, 0, 0)
    assert await shop.coupon_state(member) == FREE


async def test_without_anti_fraud_an_authorisation_waits_and_goes_on(
    shop: Shop, member: str
) -> None:
    """CK-04: UNAVAILABLE leaves it AUTHORIZING; the same request finishes it."""
    await shop.earn(member, "90")
    quoted = await shop.quote(member, cart((1, "10")), points=500)
    await shop.house.stop("antifraud")
    request_id = new_id()
    got = await refused(shop.authorize(quoted, request_id))
    assert (got.code, got.reason) == (grpc.StatusCode.UNAVAILABLE, "ANTIFRAUD_UNAVAILABLE")
    assert got.status is not None
    assert any(detail.Is(RetryInfo.DESCRIPTOR) for detail in got.status.details)
    assert (await shop.get(quoted)).state == AUTHORIZING
    assert (await refused(shop.authorize(quoted))).reason == "CHECKOUT_STATE"
    await shop.house.start("antifraud")
    authorized = await eventually(lambda: shop.authorize(quoted, request_id))
    assert authorized.state == AUTHORIZED
    assert await shop.balance(member) == (400, 0, 500, 0)


async def test_without_benefits_a_paid_order_waits_and_the_sweeper_completes_it(
    shop: Shop, member: str
) -> None:
    """CK-04."""
    await shop.regular(member)
    quoted = await shop.quote(member, cart((1, "100")), points=2000)
    await shop.authorize(quoted)
    await shop.house.stop("benefits")
    request_id = new_id()
    got = await refused(shop.complete(quoted, request_id))
    assert (got.code, got.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    await shop.sweep()
    await shop.restart("benefits")
    await shop.sweep(minutes=5)
    done = await shop.get(quoted)
    assert done.state == COMPLETED
    assert await shop.complete(quoted, request_id) == done
    assert await shop.balance(member) == (1900, 0, 0, 0)


async def test_without_tier_a_quote_tells_what_a_stranger_would_earn(
    shop: Shop, member: str
) -> None:
    await shop.earn(member, "90")
    await shop.house.stop("tier")
    price = (await shop.quote(member, cart((1, "10")), points=500)).price
    await shop.house.start("tier")
    assert (price.points, price.points_to_earn) == (500, 50)
