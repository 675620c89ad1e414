"""PT-11: gifts to another member, with their limits and their fee."""

import asyncio
from datetime import datetime, timedelta

import pytest
from grpc import StatusCode

from cli.check import run_checks
from house import Ground, House, new_id, refused
from kit.clock import from_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import calm_program, events_of, settled
from points_moving import Counter


@pytest.fixture
def friend() -> str:
    """Another member that no other test uses."""
    return f"m-{new_id()}"


async def test_a_gift_moves_the_points_that_expire_first_and_keeps_a_fee(
    counter: Counter, member: str, friend: str, now: datetime
) -> None:
    """PT-11: at most 20 % of the balance, fee 10 %; the receiver's lots keep their expiry."""
    late = await counter.accrue(member, "900")
    soon = await counter.accrue(member, "100", now - timedelta(days=100))
    gift = await counter.give(member, friend, 200)
    assert (gift.points, gift.fee_points, gift.received_points) == (200, 20, 180)
    assert gift.month_left_points == 4_800
    assert await counter.balance(member) == pb.Balance(active=800)
    assert await counter.balance(friend) == pb.Balance(active=180)
    sent = (await counter.transactions(member))[-1]
    received = (await counter.transactions(friend))[-1]
    assert (sent.kind, sent.points) == (pb.TRANSACTION_KIND_GIFT_SENT, -200)
    assert (received.kind, received.points) == (pb.TRANSACTION_KIND_GIFT_RECEIVED, 180)
    assert {e.account: e.points for e in sent.entries} == {
        pb.ACCOUNT_ACTIVE: -200,
        pb.ACCOUNT_TRANSFERRED_OUT: 180,
        pb.ACCOUNT_FEES: 20,
    }
    assert {e.account: e.points for e in received.entries} == {
        pb.ACCOUNT_TRANSFERRED_IN: -180,
        pb.ACCOUNT_ACTIVE: 180,
    }
    # The fee takes the first 20 of the lot that ends first.
    assert [(m.points, m.accrual_transaction_id) for m in received.lot_movements] == [
        (80, soon.transaction_id),
        (100, late.transaction_id),
    ]
    for given, got in zip(sent.lot_movements, received.lot_movements, strict=True):
        assert got.expire_time == given.expire_time
        assert (got.source_member_id, got.source_lot_id) == (member, given.lot_id)
        assert got.lot_id != given.lot_id


async def test_both_transactions_and_both_events_name_each_other(
    counter: Counter, member: str, friend: str
) -> None:
    await counter.accrue(member, "1000")
    gift = await counter.give(member, friend, 100)
    sent = (await counter.transactions(member))[-1]
    received = (await counter.transactions(friend))[-1]
    assert (sent.transaction_id, sent.counterpart_transaction_id) == (
        gift.transaction_id,
        gift.received_transaction_id,
    )
    assert (sent.counterpart_member_id, received.counterpart_member_id) == (friend, member)
    assert received.counterpart_transaction_id == sent.transaction_id
    (told,) = await events_of(counter.house, "gift_sent", member)
    assert (told.gift_sent.receiver_member_id, told.gift_sent.points) == (friend, 100)
    (heard,) = await events_of(counter.house, "gift_received", friend)
    assert (heard.gift_received.giver_member_id, heard.gift_received.points) == (member, 90)


async def test_a_gift_above_the_share_of_the_balance_says_the_limit(
    counter: Counter, member: str, friend: str
) -> None:
    """PT-11: at most 20 % of the balance, rounded down."""
    await counter.accrue(member, "99")
    refusal = await refused(counter.give(member, friend, 20))
    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "GIFT_ABOVE_SHARE")
    assert (refusal.metadata["limit"], refusal.metadata["left"]) == ("19", "19")
    await counter.give(member, friend, 19)


async def test_points_past_their_end_do_not_raise_the_share(
    counter: Counter, member: str, friend: str, now: datetime
) -> None:
    """PT-11: the share is of what can be spent, though the expiry is not booked yet."""
    await counter.accrue(member, "1000", now - timedelta(days=400))
    await counter.accrue(member, "100")
    assert await counter.balance(member) == pb.Balance(active=100)
    refusal = await refused(counter.give(member, friend, 21))
    assert (refusal.reason, refusal.metadata["limit"]) == ("GIFT_ABOVE_SHARE", "20")
    await counter.give(member, friend, 20)
    assert await counter.balance(member) == pb.Balance(active=80)


async def test_gifts_of_a_month_are_counted_together(
    counter: Counter, member: str, friend: str
) -> None:
    """PT-11: 5,000 a month; who asks for more hears what is used and left."""
    await counter.accrue(member, "100000")
    for left in (2_000, 0):
        points = 3_000 if left else 2_000
        assert (await counter.give(member, friend, points)).month_left_points == left
        refusal = await refused(counter.give(member, friend, left + 1))
        assert refusal.reason == "GIFT_ABOVE_MONTH"
        told = [refusal.metadata[key] for key in ("limit", "used", "left")]
        assert told == ["5000", str(5_000 - left), str(left)]


async def test_a_gift_to_oneself_or_one_that_the_fee_eats_up_is_a_mistake(
    counter: Counter, member: str, friend: str
) -> None:
    await counter.accrue(member, "100")
    own = await refused(counter.give(member, member, 5))
    assert (own.code, own.reason) == (StatusCode.INVALID_ARGUMENT, "GIFT_TO_ONESELF")
    # 4 points: a fee of 0.4 is 0; 5 points: 0.5 is 1, a half up.
    assert (await counter.give(member, friend, 4)).fee_points == 0
    assert (await counter.give(member, friend, 5)).fee_points == 1
    for points in (0, -1):
        wrong = await refused(counter.give(member, friend, points))
        assert wrong.code is StatusCode.INVALID_ARGUMENT


async def test_frozen_closed_and_poor_members_neither_give_nor_receive(
    counter: Counter, member: str, friend: str
) -> None:
    await counter.accrue(member, "100")
    assert (await refused(counter.give(friend, member, 5))).reason == "GIFT_ABOVE_SHARE"
    await counter.freeze(friend)
    refusal = await refused(counter.give(member, friend, 5))
    assert (refusal.reason, refusal.metadata["member_id"]) == ("ACCOUNT_FROZEN", friend)
    await counter.close(friend)
    assert (await refused(counter.give(member, friend, 5))).reason == "ACCOUNT_CLOSED"
    await counter.freeze(member)
    assert (await refused(counter.give(member, friend, 5))).reason == "ACCOUNT_FROZEN"


async def test_points_that_have_expired_are_not_given(
    counter: Counter, member: str, friend: str, now: datetime
) -> None:
    await counter.accrue(member, "100", now - timedelta(days=400))
    refusal = await refused(counter.give(member, friend, 10))
    assert (refusal.reason, refusal.metadata["limit"]) == ("GIFT_ABOVE_SHARE", "0")


async def test_received_points_expire_where_they_are(
    counter: Counter, member: str, friend: str, now: datetime
) -> None:
    await counter.accrue(member, "100", now - timedelta(days=300))
    await counter.give(member, friend, 20)
    received = (await counter.transactions(friend))[-1]
    end = from_timestamp(received.lot_movements[0].expire_time)
    assert end < now + timedelta(days=70)
    await counter.run_expiry(end)
    assert await counter.balance(friend) == pb.Balance()
    assert (await counter.transactions(friend))[-1].kind == pb.TRANSACTION_KIND_EXPIRY


async def test_what_was_given_away_is_owed_when_the_purchase_is_returned(
    counter: Counter, member: str, friend: str
) -> None:
    """PT-09, PT-11: the receiver keeps the gift, the giver owes it."""
    accrual = await counter.accrue(member, "100")
    await counter.give(member, friend, 20)
    await counter.reverse(accrual)
    assert await counter.balance(member) == pb.Balance(debt=20)
    assert await counter.balance(friend) == pb.Balance(active=18)


async def test_a_gift_repeated_or_sent_twice_at_once_is_one_gift(
    counter: Counter, member: str, friend: str
) -> None:
    await counter.accrue(member, "1000")
    request = counter.giving(member, friend, 100)
    answers = await asyncio.gather(*(counter.stub.TransferPoints(request) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert await counter.balance(friend) == pb.Balance(active=90)
    request.points = 50
    other = await refused(counter.stub.TransferPoints(request))
    assert (other.code, other.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    # More than anti-fraud was asked about: it is not asked again.
    request.points = 200
    assert (await refused(counter.stub.TransferPoints(request))).reason == "REQUEST_ID_REUSED"
    accrual = counter.accrual(member, "5", request_id=request.request_id)
    assert (await refused(counter.stub.AccruePoints(accrual))).reason == "REQUEST_ID_REUSED"


async def test_the_limits_hold_when_gifts_race(counter: Counter, member: str, friend: str) -> None:
    """PT-11: 30 gifts of 500 at once, and exactly 10 of them fit into the month."""
    await counter.accrue(member, "100000")
    given, refusals = await settled(counter.give(member, friend, 500) for _ in range(30))
    assert (len(given), {one.reason for one in refusals}) == (10, {"GIFT_ABOVE_MONTH"})
    assert await counter.balance(friend) == pb.Balance(active=4_500)


async def test_two_hundred_gifts_in_a_circle_end_and_keep_the_sum(counter: Counter) -> None:
    """PT-11: no deadlock between two members who give to each other; no point is lost."""
    circle = [f"m-{new_id()}" for _ in range(8)]
    await asyncio.gather(*(counter.accrue(one, "10000") for one in circle))
    calls = []
    for number in range(200):
        giver, step = circle[number % 8], 1 + number % 7
        calls.append(counter.give(giver, circle[(number + step) % 8], 20))
        if number % 4 == 0:
            calls.append(counter.accrue(giver, "10"))
            calls.append(counter.hold(circle[(number + 3) % 8], 5))
    answers, refusals = await settled(calls)
    assert not refusals
    assert len(answers) == 300
    balances = [await counter.balance(one) for one in circle]
    fees = 200 * 2
    assert sum(b.active + b.held for b in balances) == 8 * 10_000 + 50 * 10 - fees


async def test_a_program_without_gifts_and_donations_refuses_them(
    ground: Ground, member: str, friend: str
) -> None:
    """PT-11: limits are the program's; without them nothing is given."""
    head, _, tail = calm_program().partition("\ngifts:\n")
    program = head + "\n" + tail[tail.index("\n# What one operator may give") :]
    async with ground.house() as house:
        await house.apply(program)
        await house.start("antifraud", "tier", "points")
        counter = Counter(house)
        await counter.accrue(member, "100")
        assert (await refused(counter.give(member, friend, 5))).reason == "GIFTS_NOT_ALLOWED"
        assert (await refused(counter.donate(member, 10))).reason == "DONATIONS_NOT_ALLOWED"


async def test_anti_fraud_looks_at_a_gift_as_a_redemption(
    ground: Ground, member: str, friend: str
) -> None:
    """PT-11: what is denied or cannot be assessed is refused; a repeat needs no assessment."""
    rules = (
        "  rules:\n    - name: large\n      operations: [redemption]\n"
        "      when: request.points > 50\n      action: deny\n      score: 100\n"
    )
    async with ground.house() as house:
        await house.apply(calm_program().replace("  rules: []\n", rules))
        await house.start("antifraud", "tier", "points")
        counter = Counter(house)
        await counter.accrue(member, "1000")
        request = counter.giving(member, friend, 50)
        first = await counter.stub.TransferPoints(request)
        assert (await refused(counter.give(member, friend, 51))).reason == "DENIED"
        assert (await refused(counter.donate(member, 60))).reason == "DENIED"
        await house.stop("antifraud")
        silent = await refused(counter.give(member, friend, 10))
        assert (silent.code, silent.reason) == (StatusCode.UNAVAILABLE, "ANTIFRAUD_UNAVAILABLE")
        assert await counter.stub.TransferPoints(request) == first
        await house.start("antifraud")
        assert not [o for o in await run_checks(house.settings.database_url) if o.violations]


async def test_the_checks_find_nothing_in_what_was_given(calm: House) -> None:
    broken = [o for o in await run_checks(calm.settings.database_url) if o.violations]
    assert not broken, broken
