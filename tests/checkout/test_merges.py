"""A member is merged while a checkout is under way, or after it was paid (CK-03, CK-04, PT-12)."""

from asyncio import gather
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest
from checkout_shop import AUTHORIZED, COMPLETED, COMPLETING, Crash, Shop, cart, cents

from cli.check import run_on
from house import House, new_id, refused
from laurel.points.v1.merges_pb2 import Merge
from laurel.points.v1.points_service_pb2 import GetTransactionRequest
from points_moving import Counter

SPENT = "what pays for a completed checkout is spent in the ledger, and its coupons are used"


@pytest.fixture
def counter(mall: House) -> Counter:
    """The counter at which operators merge."""
    return Counter(mall)


async def broken_checks(house: House, damage: str = "", *args: object) -> set[str]:
    """What `laurel check` reports, after a damage that is undone."""
    connection = await asyncpg.connect(house.settings.database_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        if damage:
            await connection.execute(damage, *args)
        broken = {one.check.title for one in await run_on(connection) if one.violations}
        await transaction.rollback()
        return broken
    finally:
        await connection.close()


async def merge_all(counter: Counter, member: str, count: int) -> tuple[str, list[Merge]]:
    """Merges a member into another, that one into a third, and so on; returns the last of them."""
    made = []
    for _ in range(count):
        survivor = f"m-{new_id()}"
        made.append(await counter.merge(survivor, member))
        member = survivor
    return member, made


@contextmanager
def crash_at(shop: Shop, checkpoint: str, time: int) -> Iterator[None]:
    """Within, the service dies when it comes to a checkpoint for so many times."""
    reached: list[str] = []

    def die(at: str) -> None:
        reached.append(at)
        if at == checkpoint and reached.count(checkpoint) == time:
            raise Crash(at)

    before, shop.driver.checkpoint = shop.driver.checkpoint, die
    try:
        yield
    finally:
        shop.driver.checkpoint = before


@pytest.mark.parametrize("count", [1, 3])
async def test_what_the_survivor_has_of_a_refunded_order_is_taken_back(
    shop: Shop, counter: Counter, member: str, count: int
) -> None:
    """CK-03: however often the member was merged meanwhile."""
    paid = await shop.paid(member, cart((2, "10")))
    survivor, _ = await merge_all(counter, member, count)
    [refund] = (await shop.refund(paid, request_id := new_id(), l0=1)).refunds
    assert (cents(refund.cash_amount), refund.reversed_points) == (10_00, 100)
    assert await shop.balance(survivor) == (100, 0, 0, 0)
    assert (await shop.refund(paid, request_id, l0=1)).refunds == [refund]
    assert (await shop.refund(paid)).refunds[-1].reversed_points == 100
    assert await shop.balance(survivor) == (0, 0, 0, 0)


@pytest.mark.parametrize("count", [1, 3])
async def test_an_order_that_is_paid_after_a_merge_earns_for_the_survivor(
    shop: Shop, counter: Counter, member: str, count: int
) -> None:
    """CK-02: once, and a refund takes it back."""
    quoted = await shop.quote(member, cart((1, "10")))
    await shop.authorize(quoted)
    survivor, _ = await merge_all(counter, member, count)
    paid = await shop.complete(quoted, request_id := new_id())
    assert paid.accrual_transaction_id
    assert await shop.complete(quoted, request_id) == paid
    assert await shop.balance(survivor) == (100, 0, 0, 0)
    assert (await shop.refund(paid)).refunds[0].reversed_points == 100
    assert await shop.balance(survivor) == (0, 0, 0, 0)


@pytest.mark.parametrize("time", [1, 2])
@pytest.mark.parametrize("undone", [False, True])
@pytest.mark.parametrize("at", ["before", "after"])
async def test_a_crash_after_a_merge_earns_once(
    shop: Shop, counter: Counter, member: str, at: str, undone: bool, time: int
) -> None:
    """CK-04: for one of the two, even where the merge is undone before the sweeper comes."""
    quoted = await shop.quote(member, cart((1, "10")))
    await shop.authorize(quoted)
    survivor, [merge] = await merge_all(counter, member, 1)
    with crash_at(shop, f"{at} accrue", time):
        assert (await refused(shop.complete(quoted))).reason == "INTERNAL"
    assert (await shop.get(quoted)).state == COMPLETING
    if undone:
        await counter.undo(merge)
    assert await shop.sweep() >= 1
    paid = await shop.get(quoted)
    assert paid.state == COMPLETED
    earned = {who: (await shop.balance(who))[0] for who in (member, survivor)}
    assert sorted(earned.values()) == [0, 100]
    [earner] = [who for who, points in earned.items() if points]
    request = GetTransactionRequest(member_id=earner, transaction_id=paid.accrual_transaction_id)
    assert (await shop.points.GetTransaction(request)).transaction.points == 100
    assert (await shop.refund(paid)).refunds[0].reversed_points == 100
    assert await shop.balance(earner) == (0, 0, 0, 0)


@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("time", [1, 2])
async def test_a_crash_of_a_refund_after_a_merge_takes_back_once(
    shop: Shop, counter: Counter, member: str, at: str, time: int
) -> None:
    """CK-04."""
    paid = await shop.paid(member, cart((2, "10")))
    survivor, _ = await merge_all(counter, member, 1)
    request_id = new_id()
    with crash_at(shop, f"{at} reverse_accrual", time):
        assert (await refused(shop.refund(paid, request_id, l0=1))).reason == "INTERNAL"
    await gather(shop.sweep(), *(shop.refund(paid, request_id, l0=1) for _ in range(5)))
    [refund] = (await shop.get(paid)).refunds
    assert (refund.complete, refund.reversed_points) == (True, 100)
    assert await shop.balance(survivor) == (100, 0, 0, 0)


async def test_twenty_completions_and_a_merge_at_once_earn_once(
    shop: Shop, counter: Counter, member: str
) -> None:
    """CK-04."""
    await shop.earn(member, "1")
    quoted = await shop.quote(member, cart((1, "10")))
    await shop.authorize(quoted)
    request_id, survivor = new_id(), f"m-{new_id()}"
    calls = [shop.complete(quoted, request_id) for _ in range(20)]
    _, *answers = await gather(counter.merge(survivor, member), *calls)
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].accrual_transaction_id
    assert await shop.balance(survivor) == (110, 0, 0, 0)


async def test_a_refund_after_a_merge_was_undone_goes_to_the_member_again(
    shop: Shop, counter: Counter, member: str
) -> None:
    """PT-12: each refund looks for itself who has the accrual."""
    paid = await shop.paid(member, cart((2, "10")))
    _, [merge] = await merge_all(counter, member, 1)
    assert (await shop.refund(paid, l0=1)).refunds[-1].reversed_points == 100
    await counter.undo(merge)
    assert (await shop.refund(paid)).refunds[-1].reversed_points == 100
    assert await shop.balance(member) == (0, 0, 0, 0)


async def test_a_quote_of_a_merged_member_holds_nothing(
    shop: Shop, counter: Counter, member: str
) -> None:
    """Nothing is paid yet: the shop quotes again, for the survivor that the message names."""
    await shop.earn(member, "90")
    quoted = await shop.quote(member, cart((1, "10")), points=500)
    survivor, _ = await merge_all(counter, member, 1)
    refusal = await refused(shop.authorize(quoted))
    assert refusal.reason == "ACCOUNT_MERGED"
    assert survivor in str(refusal.message)
    assert await shop.balance(survivor) == (900, 0, 0, 0)
    again = await shop.quote(survivor, cart((1, "10")), points=500)
    assert (await shop.authorize(again)).state == AUTHORIZED


@pytest.mark.parametrize(("count", "undone"), [(1, 0), (2, 0), (2, 1), (2, 2)])
async def test_what_paid_for_a_checkout_is_spent_wherever_merges_take_it(
    shop: Shop, counter: Counter, member: str, count: int, undone: int
) -> None:
    """PT-12: `laurel check` follows the hold."""
    await shop.earn(member, "90")
    await shop.paid(member, cart((1, "10")), points=500)
    _, made = await merge_all(counter, member, count)
    # The newest first.
    for merge in made[::-1][:undone]:
        await counter.undo(merge)
    assert await broken_checks(shop.house) == set()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM points.merge_hold WHERE hold_id = $1::uuid",
        "UPDATE points.merge SET undo_time = now() WHERE merge_id IN "
        "(SELECT merge_id FROM points.merge_hold WHERE hold_id = $1::uuid)",
        "UPDATE points.hold SET captured = captured - 1, released = 1 WHERE hold_id = $1::uuid",
    ],
)
async def test_a_hold_that_no_merge_took_away_or_that_is_not_spent_is_found(
    shop: Shop, counter: Counter, member: str, damage: str
) -> None:
    await shop.earn(member, "90")
    paid = await shop.paid(member, cart((1, "10")), points=500)
    await merge_all(counter, member, 1)
    assert SPENT in await broken_checks(shop.house, damage, paid.hold_id)
