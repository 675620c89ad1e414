"""A crash at any step, and who puts it right (CK-04)."""

from asyncio import gather
from collections.abc import Awaitable, Callable

import pytest
from checkout_shop import (
    AUTHORIZED,
    AUTHORIZING,
    CANCELLED,
    COMPLETED,
    FREE,
    USED,
    Shop,
    cart,
    eventually,
)

from house import new_id, refused
from laurel.checkout.v1 import checkout_service_pb2 as pb

AT = ("before", "after")
CART = cart((1, "60"), (2, "20"))
Repair = Callable[[Shop, pb.Checkout, str], Awaitable[None]]


async def by_sweeping(shop: Shop, quoted: pb.Checkout, request_id: str) -> None:
    """The sweeper goes on with it."""
    assert await shop.sweep() >= 1


def by_repeating(method: str) -> Repair:
    """The caller asks again."""

    async def repeat(shop: Shop, quoted: pb.Checkout, request_id: str) -> None:
        await getattr(shop, method)(quoted, request_id)

    return repeat


async def crashed(shop: Shop, checkpoint: str, method: str, quoted: pb.Checkout) -> str:
    """Calls a method that dies at a checkpoint; returns the request's id."""
    request_id = new_id()
    with shop.crash(checkpoint):
        assert (await refused(getattr(shop, method)(quoted, request_id))).reason == "INTERNAL"
    return request_id


@pytest.mark.parametrize("repair", [by_sweeping, by_repeating("authorize")])
@pytest.mark.parametrize("step", ["hold", "reserve"])
@pytest.mark.parametrize("at", AT)
async def test_a_crash_while_authorising(
    shop: Shop, member: str, at: str, step: str, repair: Repair
) -> None:
    await shop.regular(member)
    quoted = await shop.quote(member, CART, points=2000)
    request_id = await crashed(shop, f"{at} {step}", "authorize", quoted)
    assert (await shop.get(quoted)).state == AUTHORIZING
    await repair(shop, quoted, request_id)
    authorized = await shop.get(quoted)
    assert authorized.state == AUTHORIZED
    assert await shop.authorize(quoted, request_id) == authorized
    assert await shop.balance(member) == (1000, 0, 2000, 0)
    await shop.cancel(quoted)
    assert await shop.balance(member) == (3000, 0, 0, 0)
    assert await shop.coupon_state(member) == FREE


@pytest.mark.parametrize("repair", [by_sweeping, by_repeating("complete")])
@pytest.mark.parametrize("step", ["capture", "redeem", "accrue"])
@pytest.mark.parametrize("at", AT)
async def test_a_crash_while_completing(
    shop: Shop, member: str, at: str, step: str, repair: Repair
) -> None:
    await shop.regular(member)
    quoted = await shop.quote(member, CART, points=2000)
    await shop.authorize(quoted)
    request_id = await crashed(shop, f"{at} {step}", "complete", quoted)
    assert (await refused(shop.cancel(quoted))).reason == "CHECKOUT_STATE"
    await repair(shop, quoted, request_id)
    paid = await shop.get(quoted)
    assert paid.state == COMPLETED
    assert await shop.complete(quoted, request_id) == paid
    assert await shop.balance(member) == (1000 + 900, 0, 0, 0)
    assert await shop.coupon_state(member) == USED


@pytest.mark.parametrize("repair", [by_sweeping, by_repeating("cancel")])
@pytest.mark.parametrize("step", ["release_hold", "release_reservation"])
@pytest.mark.parametrize("at", AT)
async def test_a_crash_while_cancelling(
    shop: Shop, member: str, at: str, step: str, repair: Repair
) -> None:
    await shop.regular(member)
    quoted = await shop.quote(member, CART, points=2000)
    await shop.authorize(quoted)
    request_id = await crashed(shop, f"{at} {step}", "cancel", quoted)
    await repair(shop, quoted, request_id)
    cancelled = await shop.get(quoted)
    assert cancelled.state == CANCELLED
    assert await shop.cancel(quoted, request_id) == cancelled
    assert await shop.balance(member) == (3000, 0, 0, 0)
    assert await shop.coupon_state(member) == FREE


@pytest.mark.parametrize("repair", [by_sweeping, by_repeating("refund")])
@pytest.mark.parametrize("step", ["refund_points", "reverse_accrual"])
@pytest.mark.parametrize("at", AT)
async def test_a_crash_while_refunding(
    shop: Shop, member: str, at: str, step: str, repair: Repair
) -> None:
    await shop.regular(member)
    paid = await shop.paid(member, CART, points=2000)
    request_id = await crashed(shop, f"{at} {step}", "refund", paid)
    await repair(shop, paid, request_id)
    refunded = await shop.get(paid)
    assert [refund.complete for refund in refunded.refunds] == [True]
    assert await shop.refund(paid, request_id) == refunded
    assert await shop.balance(member) == (3000, 0, 0, 0)


@pytest.mark.parametrize("step", ["hold", "reserve"])
@pytest.mark.parametrize("at", AT)
async def test_an_authorisation_cut_short_can_be_cancelled(
    shop: Shop, member: str, at: str, step: str
) -> None:
    """What may have taken effect is asked for again, and given back."""
    await shop.regular(member)
    quoted = await shop.quote(member, CART, points=2000)
    request_id = await crashed(shop, f"{at} {step}", "authorize", quoted)
    assert (await shop.cancel(quoted)).state == CANCELLED
    assert await shop.balance(member) == (3000, 0, 0, 0)
    assert await shop.coupon_state(member) == FREE
    assert (await refused(shop.authorize(quoted, request_id))).reason == "CHECKOUT_STATE"


@pytest.mark.parametrize("step", ["hold", "reserve"])
@pytest.mark.parametrize("at", AT)
async def test_an_authorisation_cut_short_is_undone_once_the_quote_has_expired(
    shop: Shop, member: str, at: str, step: str
) -> None:
    await shop.regular(member)
    quoted = await shop.quote(member, CART, points=2000)
    request_id = await crashed(shop, f"{at} {step}", "authorize", quoted)
    await shop.sweep(minutes=16)
    undone = await shop.get(quoted)
    assert (undone.state, undone.failure_reason) == (CANCELLED, "QUOTE_EXPIRED")
    assert await shop.balance(member) == (3000, 0, 0, 0)
    assert await shop.coupon_state(member) == FREE
    assert (await refused(shop.authorize(quoted, request_id))).reason == "QUOTE_EXPIRED"


@pytest.mark.parametrize("at", AT)
async def test_a_crash_while_undoing_a_completion(shop: Shop, member: str, at: str) -> None:
    """The coupon had timed out and the process died on the way: captured points go back once."""
    await shop.regular(member)
    quoted = await shop.quote(member, CART, points=2000)
    authorized = await shop.authorize(quoted)
    await shop.release_reservation(authorized)
    request_id = await crashed(shop, f"{at} undo_capture", "complete", quoted)
    await shop.sweep()
    assert (await shop.get(quoted)).state == CANCELLED
    assert await shop.balance(member) == (3000, 0, 0, 0)
    got = await refused(shop.complete(quoted, request_id))
    assert got.reason == "AUTHORIZATION_EXPIRED"


async def test_the_sweeper_gives_back_what_nobody_came_for(shop: Shop, member: str) -> None:
    """CK-02: time-out cleans up."""
    await shop.regular(member)
    quoted = await shop.quote(member, CART, points=2000)
    await shop.authorize(quoted)
    await shop.sweep(minutes=29)
    assert (await shop.get(quoted)).state == AUTHORIZED
    await shop.sweep(minutes=31)
    undone = await shop.get(quoted)
    assert (undone.state, undone.failure_reason) == (CANCELLED, "AUTHORIZATION_EXPIRED")
    assert await shop.balance(member) == (3000, 0, 0, 0)
    assert await shop.coupon_state(member) == FREE


async def test_the_sweeper_leaves_alone_what_somebody_works_on(shop: Shop, member: str) -> None:
    quoted = await shop.quote(member, CART)
    await shop.authorize(quoted)
    await crashed(shop, "before accrue", "complete", quoted)
    await shop.sweep(seconds=5)
    assert (await shop.get(quoted)).state == pb.CHECKOUT_STATE_COMPLETING
    await shop.sweep(seconds=15)
    assert (await shop.get(quoted)).state == COMPLETED


async def test_sweepers_side_by_side_do_no_harm(shop: Shop, member: str) -> None:
    await shop.regular(member)
    quoted = await shop.quote(member, CART, points=2000)
    await shop.authorize(quoted)
    await crashed(shop, "after capture", "complete", quoted)
    calls = [shop.sweep(minutes=minutes) for minutes in (1, 2, 5, 10, 20)]
    await gather(*calls, shop.driver.sweep())
    assert (await shop.get(quoted)).state == COMPLETED
    assert await shop.balance(member) == (1900, 0, 0, 0)


async def test_one_that_cannot_go_on_does_not_keep_the_others(shop: Shop, member: str) -> None:
    await shop.regular(member)
    stuck = await shop.quote(member, CART, points=2000)
    other = await shop.quote(f"other-{member}", CART)
    await shop.authorize(stuck)
    await shop.authorize(other)
    await crashed(shop, "before redeem", "complete", stuck)
    await crashed(shop, "before accrue", "complete", other)
    with shop.crash("before redeem"):
        await shop.sweep()
    assert (await shop.get(other)).state == COMPLETED
    assert (await shop.get(stuck)).state == pb.CHECKOUT_STATE_COMPLETING
    await shop.sweep(minutes=5)
    assert (await shop.get(stuck)).state == COMPLETED


async def test_a_restarted_service_goes_on_where_it_was(shop: Shop, member: str) -> None:
    """CK-04: all state is in the database."""
    await shop.regular(member)
    quoted = await shop.quote(member, CART, points=2000)
    await shop.authorize(quoted)
    request_id = await crashed(shop, "after redeem", "complete", quoted)
    await shop.house.stop("checkout")
    await shop.house.start("checkout")
    await shop.sweep()
    paid = await eventually(lambda: shop.complete(quoted, request_id))
    assert paid.state == COMPLETED
    assert await shop.balance(member) == (1900, 0, 0, 0)
