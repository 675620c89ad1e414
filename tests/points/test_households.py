"""PT-17: households, whose members share a pool of points."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from grpc import StatusCode

from cli.check import run_checks
from house import Ground, House, new_id, refused, usd
from kit.clock import to_timestamp
from laurel.points.v1 import households_pb2 as households
from laurel.points.v1 import imports_pb2 as imports
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import calm_program, events_of, settled
from points_moving import Counter

OWNER = households.HOUSEHOLD_ROLE_OWNER
ADULT = households.HOUSEHOLD_ROLE_ADULT
CHILD = households.HOUSEHOLD_ROLE_CHILD


@pytest.fixture
def adult() -> str:
    """A grown-up that no other test uses."""
    return f"m-{new_id()}"


@pytest.fixture
def child() -> str:
    """A child that no other test uses."""
    return f"m-{new_id()}"


@pytest.fixture
async def home(counter: Counter, member: str, adult: str, child: str) -> households.Household:
    """A household of three with 100 points each, of which 50 each are in the pool."""
    home = await counter.found(member)
    await counter.join(home, adult)
    home = await counter.join(home, child, limit=40)
    for one in (member, adult, child):
        await counter.accrue(one, "100")
        home = await counter.contribute(home, one, 50)
    return home


async def test_members_share_what_they_contribute(
    counter: Counter, home: households.Household, member: str, adult: str, child: str
) -> None:
    """PT-17: roles, and a pool that is an account of its own."""
    told = [(m.member_id, m.role, m.month_points_max, m.contributed_points) for m in home.members]
    assert told == [(member, OWNER, 0, 50), (adult, ADULT, 0, 50), (child, CHILD, 40, 50)]
    assert (home.active_points, home.held_points, home.name) == (150, 0, "The Does")
    assert await counter.household(home) == home
    mine = households.GetHouseholdRequest(member_id=child)
    assert (await counter.stub.GetHousehold(mine)).household == home
    for one in (member, adult, child):
        assert await counter.balance(one) == pb.Balance(active=50)
        sent = (await counter.transactions(one))[-1]
        assert (sent.kind, sent.points) == (pb.TRANSACTION_KIND_POOL_OUT, -50)
        assert sent.counterpart_member_id == home.household_id
    assert await counter.balance(home.household_id) == pb.Balance(active=150)
    received = await counter.transactions(home.household_id)
    assert [(t.kind, t.counterpart_member_id) for t in received] == [
        (pb.TRANSACTION_KIND_POOL_IN, one) for one in (member, adult, child)
    ]
    (created,) = await events_of(counter.house, "household_changed", member)
    assert created.household_changed.change == "CREATED"
    (joined,) = await events_of(counter.house, "household_changed", child)
    assert (joined.household_changed.change, joined.household_changed.role) == ("JOINED", "CHILD")


async def test_the_pool_pays_an_order_with_what_expires_first(
    counter: Counter, home: households.Household, member: str, adult: str, now: datetime
) -> None:
    """PT-17: whoever brought it; the hold is captured, released and refunded like any other."""
    await counter.accrue(adult, "20", now - timedelta(days=200))
    await counter.contribute(home, adult, 20)
    made = await counter.hold_pool(home, member, 30)
    assert made.hold.member_id == home.household_id
    assert made.transaction.counterpart_member_id == member
    assert not made.HasField("month_left_points")
    assert [m.points for m in made.transaction.lot_movements] == [-20, -10]
    await counter.capture(made.hold, 25, release_rest=True)
    await counter.refund(made.hold, 5)
    after = await counter.household(home)
    assert (after.active_points, after.held_points) == (170 - 20, 0)
    assert [one.month_used_points for one in after.members] == [20, 0, 0]


async def test_a_child_spends_up_to_its_limit_of_the_month(
    counter: Counter, home: households.Household, child: str
) -> None:
    """PT-17: what is released or refunded counts no more."""
    first = await counter.hold_pool(home, child, 30)
    assert first.month_left_points == 10
    refusal = await refused(counter.hold_pool(home, child, 11))
    assert (refusal.code, refusal.reason) == (
        StatusCode.FAILED_PRECONDITION,
        "CHILD_LIMIT_EXCEEDED",
    )
    told = [refusal.metadata[key] for key in ("limit", "used", "left")]
    assert told == ["40", "30", "10"]
    await counter.capture(first.hold, 20, release_rest=True)
    assert (await counter.hold_pool(home, child, 20)).month_left_points == 0
    await counter.refund(first.hold, 20)
    assert (await counter.hold_pool(home, child, 20)).month_left_points == 0
    await counter.change(home, child, limit=41)
    assert (await counter.hold_pool(home, child, 1)).month_left_points == 0
    await counter.change(home, child)
    assert not (await counter.hold_pool(home, child, 50)).HasField("month_left_points")


async def test_the_limit_and_the_pool_hold_when_orders_race(
    counter: Counter, home: households.Household, member: str, adult: str, child: str
) -> None:
    """PT-17: exact with 60 callers at once."""
    calls = [counter.hold_pool(home, one, 10) for _ in range(20) for one in (member, adult, child)]
    made, refusals = await settled(calls)
    assert len(made) == 15
    # Whether the child gets to its limit before the pool is empty is a matter of the race.
    assert {one.reason for one in refusals} <= {"CHILD_LIMIT_EXCEEDED", "INSUFFICIENT_POINTS"}
    after = await counter.household(home)
    assert (after.active_points, after.held_points) == (0, 150)
    assert after.members[2].month_used_points <= 40
    assert sum(one.month_used_points for one in after.members) == 150


async def test_who_leaves_takes_along_what_is_left_of_theirs(
    counter: Counter, home: households.Household, member: str, adult: str, child: str
) -> None:
    """PT-17: unspent contributions go back to the very lots they came from."""
    # All end at about the same time: the owner's 50 and 30 of the adult's are spent first.
    spent = await counter.hold_pool(home, member, 80)
    blocked = await refused(counter.leave(home, adult))
    assert (blocked.reason, blocked.metadata["held"]) == ("POOL_HOLDS_OPEN", "30")
    assert (await counter.leave(home, child)).returned_points == 50
    await counter.capture(spent.hold)
    gone = await counter.leave(home, adult, acting_member_id=member)
    assert gone.returned_points == 20
    assert [one.member_id for one in gone.household.members] == [member]
    assert await counter.balance(child) == pb.Balance(active=100)
    assert await counter.balance(adult) == pb.Balance(active=70)
    back = (await counter.transactions(adult))[-1]
    assert back.transaction_id == gone.transaction_id
    assert (back.kind, back.counterpart_member_id) == (
        pb.TRANSACTION_KIND_POOL_IN,
        home.household_id,
    )
    earned = (await counter.transactions(adult))[0]
    assert back.lot_movements[0].lot_id == earned.lot_movements[0].lot_id
    # What is refunded later is the household's.
    await counter.refund(spent.hold)
    assert (await counter.household(home)).active_points == 80
    assert (await refused(counter.hold_pool(home, adult, 5))).reason == "NOT_IN_HOUSEHOLD"
    (told,) = [
        event
        for event in await events_of(counter.house, "household_changed", adult)
        if event.household_changed.change == "LEFT"
    ]
    assert told.household_changed.household_id == home.household_id


async def test_the_owner_leaves_last_with_all_that_is_left(
    counter: Counter, home: households.Household, member: str, adult: str, child: str
) -> None:
    """PT-17: the household is dissolved; its holds go on with the owner."""
    refusal = await refused(counter.leave(home, member))
    assert (refusal.reason, refusal.metadata["members"]) == ("HOUSEHOLD_NOT_EMPTY", "2")
    spent = await counter.hold_pool(home, adult, 70)
    await counter.capture(spent.hold)
    await counter.leave(home, adult)
    await counter.leave(home, child)
    await counter.refund(spent.hold, 60)
    under_way = await counter.hold_pool(home, member, 10)
    last = await counter.leave(home, member)
    assert last.household.state == households.HOUSEHOLD_STATE_DISSOLVED
    assert last.returned_points == 50
    assert await counter.balance(member) == pb.Balance(active=100, held=10)
    assert await counter.balance(home.household_id) == pb.Balance()
    captured = await counter.capture(under_way.hold)
    assert captured.hold.member_id == member
    await counter.refund(spent.hold, 10)
    assert await counter.balance(member) == pb.Balance(active=110)
    for call in (
        counter.join(home, adult),
        counter.contribute(home, member, 5),
        counter.hold_pool(home, member, 5),
    ):
        assert (await refused(call)).reason == "HOUSEHOLD_DISSOLVED"
    # Who has left may found or join another one, and come back to none that is dissolved.
    await counter.found(member)


async def test_what_a_refund_brought_back_in_a_lot_of_its_own_is_still_theirs(
    counter: Counter, home: households.Household, adult: str, now: datetime
) -> None:
    """PT-08, PT-17: points that had nearly ended live on when they are refunded."""
    await counter.accrue(adult, "30", now - timedelta(days=350))
    await counter.contribute(home, adult, 30)
    spent = await counter.hold_pool(home, adult, 30)
    await counter.capture(spent.hold)
    await counter.refund(spent.hold, 25)
    gone = await counter.leave(home, adult)
    assert gone.returned_points == 50 + 25
    assert await counter.balance(adult) == pb.Balance(active=50 + 50 + 25)


async def test_what_was_refunded_before_lots_named_what_they_stand_in_for_is_told_by_its_accrual(
    counter: Counter, home: households.Household, adult: str, now: datetime
) -> None:
    """PT-17: lots that refunds had opened then go to whoever brought points of that accrual."""
    await counter.accrue(adult, "30", now - timedelta(days=350))
    await counter.contribute(home, adult, 30)
    spent = await counter.hold_pool(home, adult, 30)
    await counter.capture(spent.hold)
    await counter.refund(spent.hold, 25)
    await counter.house.fetch(
        "DELETE FROM points.lot_replacement WHERE member_id = $1", home.household_id
    )
    assert (await counter.leave(home, adult)).returned_points == 50 + 25


async def test_what_a_refund_brought_back_is_theirs_who_brought_it_whoever_had_earned_it(
    counter: Counter, member: str, adult: str, now: datetime
) -> None:
    """PT-17: points of one accrual, given to another member and brought by both."""
    friend = f"m-{new_id()}"
    home = await counter.found(member)
    for one in (adult, friend):
        await counter.join(home, one)
    await counter.accrue(adult, "1000", now - timedelta(days=350))
    await counter.give(adult, friend, 200)
    await counter.contribute(home, friend, 180)
    await counter.contribute(home, adult, 100)
    for _ in range(2):
        # The second time out of the lot that the first refund has opened.
        spent = await counter.hold_pool(home, friend, 280)
        await counter.capture(spent.hold)
        await counter.refund(spent.hold)
    brought = {m.member_id: m.contributed_points for m in (await counter.household(home)).members}
    assert brought == {member: 0, adult: 100, friend: 180}
    assert (await counter.leave(home, adult)).returned_points == 100
    await counter.join(home, adult)
    await counter.contribute(home, adult, 150)
    assert (await counter.leave(home, friend)).returned_points == 180
    assert await counter.balance(friend) == pb.Balance(active=180)
    assert await counter.balance(adult) == pb.Balance(active=800 - 150)


async def test_who_leaves_waits_for_an_order_of_points_that_a_refund_brought_back(
    counter: Counter, member: str, adult: str, now: datetime
) -> None:
    """PT-17: they are as much theirs as those that were never spent."""
    home = await counter.found(member)
    await counter.join(home, adult)
    await counter.accrue(adult, "100", now - timedelta(days=350))
    await counter.contribute(home, adult, 100)
    spent = await counter.hold_pool(home, adult, 100)
    await counter.capture(spent.hold)
    await counter.refund(spent.hold)
    under_way = await counter.hold_pool(home, member, 60)
    waits = await refused(counter.leave(home, adult))
    assert (waits.reason, waits.metadata["held"]) == ("POOL_HOLDS_OPEN", "60")
    await counter.release(under_way.hold)
    assert (await counter.leave(home, adult)).returned_points == 100
    assert await counter.balance(adult) == pb.Balance(active=100)


async def test_points_past_their_end_are_not_told_of_booked_or_not(
    counter: Counter, home: households.Household, adult: str, now: datetime
) -> None:
    """PT-06, PT-17: the household says of its pool what can be spent, as the balance does."""
    row = imports.ImportedBalance(request_id=new_id(), member_id=adult, points=70)
    row.earned_time.CopyFrom(to_timestamp(now - timedelta(days=1)))
    end = datetime.now(UTC) + timedelta(seconds=2)
    row.expire_time.CopyFrom(to_timestamp(end))
    await counter.stub.ImportBalances(imports.ImportBalancesRequest(rows=[row]))
    brought = await counter.contribute(home, adult, 70)
    assert (brought.active_points, brought.members[1].contributed_points) == (220, 120)
    await asyncio.sleep((end - datetime.now(UTC)).total_seconds() + 0.1)
    after = await counter.household(home)
    assert (after.active_points, after.members[1].contributed_points) == (150, 50)
    assert (await counter.balance(home.household_id)).active == 150
    brought = await counter.contribute(home, adult, 20)
    assert (brought.active_points, brought.members[1].contributed_points) == (170, 70)
    gone = await counter.leave(home, adult)
    assert gone.household.active_points == 100
    assert (await counter.balance(adult)).active == 100


async def test_what_expired_in_the_pool_is_not_asked_for_when_the_purchase_is_returned(
    counter: Counter, member: str, adult: str, now: datetime
) -> None:
    """PT-09, PT-17: nobody had any use of it, also where a refund had brought it back."""
    home = await counter.found(member)
    await counter.join(home, adult)
    old = await counter.accrue(adult, "30", now - timedelta(days=350))
    await counter.contribute(home, adult, 30)
    spent = await counter.hold_pool(home, adult, 30)
    await counter.capture(spent.hold)
    await counter.refund(spent.hold, 20)
    new = await counter.accrue(adult, "100")
    await counter.contribute(home, adult, 60)
    await counter.run_expiry(now + timedelta(days=400))
    assert await counter.balance(home.household_id) == pb.Balance()
    back = await counter.reverse(new)
    assert (back.debt_points, back.forgiven_points) == (0, 100)
    await counter.leave(home, adult)
    back = await counter.reverse(old)
    assert (back.debt_points, back.forgiven_points) == (10, 20)


async def test_who_comes_back_is_a_member_again(
    counter: Counter, home: households.Household, adult: str
) -> None:
    assert (await counter.leave(home, adult)).returned_points == 50
    await counter.join(home, adult)
    await counter.contribute(home, adult, 10)
    assert (await counter.leave(home, adult)).returned_points == 10
    assert await counter.balance(adult) == pb.Balance(active=100)


async def test_only_the_owner_decides_who_is_in(
    counter: Counter, home: households.Household, member: str, adult: str, child: str
) -> None:
    stranger = f"m-{new_id()}"
    for call in (
        counter.join(home, stranger, acting_member_id=adult),
        counter.change(home, child, limit=400, acting_member_id=child),
        counter.leave(home, child, acting_member_id=adult),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (
            StatusCode.PERMISSION_DENIED,
            "NOT_HOUSEHOLD_OWNER",
        )
    stays = await refused(counter.change(home, member))
    assert (stays.code, stays.reason) == (StatusCode.INVALID_ARGUMENT, "HOUSEHOLD_OWNER_STAYS")
    for points in (501, 10**9):
        limit = await refused(counter.join(home, stranger, limit=points))
        assert (limit.reason, limit.metadata["limit"]) == ("CHILD_LIMIT_INVALID", "500")
    grown = await refused(counter.join(home, stranger, month_points_max=5))
    assert grown.reason == "CHILD_LIMIT_INVALID"


async def test_a_member_is_in_one_household_and_leaves_it_before_the_account_ends(
    counter: Counter, home: households.Household, member: str, adult: str
) -> None:
    for call in (
        counter.found(adult),
        counter.join(home, adult),
        counter.close(adult),
        counter.merge(f"m-{new_id()}", adult),
    ):
        refusal = await refused(call)
        assert (refusal.reason, refusal.metadata["household_id"]) == (
            "IN_HOUSEHOLD",
            home.household_id,
        )
    second = await counter.found(f"m-{new_id()}")
    racer = f"m-{new_id()}"
    joined, refusals = await settled(
        counter.join(one, racer) for one in (home, second) for _ in range(5)
    )
    assert (len(joined), {one.reason for one in refusals}) == (1, {"IN_HOUSEHOLD"})


async def test_a_household_has_no_more_members_than_the_program_allows(
    counter: Counter, home: households.Household
) -> None:
    """PT-17: six, when ten join at once."""
    joined, refusals = await settled(counter.join(home, f"m-{new_id()}") for _ in range(10))
    assert (len(joined), {one.reason for one in refusals}) == (3, {"HOUSEHOLD_FULL"})
    assert len((await counter.household(home)).members) == 6


async def test_a_pool_moves_by_the_calls_of_households_alone(
    counter: Counter, home: households.Household, member: str
) -> None:
    pool = home.household_id
    for call in (
        counter.accrue(pool, "5"),
        counter.hold(pool, 5),
        counter.give(member, pool, 5),
        counter.donate(pool, 10),
        counter.adjust(pool, 5),
        counter.freeze(pool),
        counter.close(pool),
        counter.merge(member, pool),
        counter.merge(pool, member),
        counter.found(pool),
    ):
        refusal = await refused(call)
        assert refusal.reason in {"ACCOUNT_IS_POOL", "IN_HOUSEHOLD"}, refusal


async def test_who_is_frozen_or_has_too_little_neither_contributes_nor_spends(
    counter: Counter, home: households.Household, adult: str
) -> None:
    short = await refused(counter.contribute(home, adult, 51))
    assert (short.reason, short.metadata["available"]) == ("INSUFFICIENT_POINTS", "50")
    assert (await refused(counter.hold_pool(home, adult, 151))).reason == "INSUFFICIENT_POINTS"
    await counter.freeze(adult)
    assert (await refused(counter.contribute(home, adult, 5))).reason == "ACCOUNT_FROZEN"
    assert (await refused(counter.hold_pool(home, adult, 5))).reason == "ACCOUNT_FROZEN"
    assert (await counter.leave(home, adult)).returned_points == 50


async def test_an_order_takes_no_more_points_than_its_share_allows(
    counter: Counter, home: households.Household, adult: str
) -> None:
    call = counter.hold_pool(home, adult, 51, order_amount=usd("1"))
    assert (await refused(call)).reason == "POINTS_ABOVE_SHARE"
    await counter.hold_pool(home, adult, 50, order_amount=usd("1"))


async def test_an_unknown_household_and_a_stranger_are_told_so(
    counter: Counter, home: households.Household
) -> None:
    unknown = households.Household(household_id="nowhere", members=home.members)
    missing = await refused(counter.household(unknown))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "HOUSEHOLD_NOT_FOUND")
    stranger = f"m-{new_id()}"
    assert (await refused(counter.contribute(unknown, stranger, 5))).reason == "HOUSEHOLD_NOT_FOUND"
    assert (await refused(counter.contribute(home, stranger, 5))).reason == "NOT_IN_HOUSEHOLD"
    request = households.GetHouseholdRequest(member_id=stranger)
    assert (await refused(counter.stub.GetHousehold(request))).reason == "NOT_IN_HOUSEHOLD"


async def test_every_write_repeated_at_once_takes_effect_once(
    counter: Counter, member: str, adult: str
) -> None:
    await counter.accrue(member, "100")
    home = await counter.found(member)
    ids = [new_id() for _ in range(5)]
    homes = await asyncio.gather(*(counter.found(adult, request_id=ids[0]) for _ in range(10)))
    assert all(home == homes[0] for home in homes)
    again = [
        lambda: counter.join(home, f"{member}-child", limit=5, request_id=ids[1]),
        lambda: counter.contribute(home, member, 40, request_id=ids[2]),
        lambda: counter.hold_pool(home, member, 10, request_id=ids[3], order_id="one"),
        lambda: counter.leave(home, f"{member}-child", request_id=ids[4]),
    ]
    for call in again:
        answers = await asyncio.gather(*(call() for _ in range(10)))
        assert all(answer == answers[0] for answer in answers)
    other = await refused(counter.contribute(home, member, 41, request_id=ids[2]))
    assert (other.code, other.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    more = await refused(counter.hold_pool(home, member, 20, request_id=ids[3], order_id="one"))
    assert more.reason == "REQUEST_ID_REUSED"
    assert await counter.balance(home.household_id) == pb.Balance(active=30, held=10)


async def test_joining_leaving_and_spending_at_once_lose_nothing(calm: House) -> None:
    """PT-17: the sums are kept, whoever comes first."""
    counter = Counter(calm)
    members = [f"m-{new_id()}" for _ in range(5)]
    home = await counter.found(members[0])
    for one in members[1:]:
        home = await counter.join(home, one)
    await asyncio.gather(*(counter.accrue(one, "1000") for one in members))
    holds: list[pb.Hold] = []

    async def spend(one: str) -> None:
        for _ in range(6):
            await counter.contribute(home, one, 20)
            hold = (await counter.hold_pool(home, one, 15)).hold
            holds.append(hold)
            await counter.capture(hold, 10, release_rest=True)
            await counter.refund(hold, 3)

    async def come_and_go(one: str) -> None:
        for _ in range(6):
            await counter.contribute(home, one, 30)
            await counter.leave(home, one)
            await counter.join(home, one)

    work = [spend(one) for one in members[:3]] + [come_and_go(one) for one in members[3:]]
    _, refusals = await settled(work)
    assert {one.reason for one in refusals} <= {"POOL_HOLDS_OPEN", "INSUFFICIENT_POINTS"}
    balances = [await counter.balance(one) for one in (*members, home.household_id)]
    taken = sum(h.captured_points - h.refunded_points for h in await _holds(counter, home))
    assert sum(b.active + b.held for b in balances) == 5_000 - taken
    assert not [o for o in await run_checks(calm.settings.database_url) if o.violations]


async def _holds(counter: Counter, home: households.Household) -> list[pb.Hold]:
    rows = await counter.house.fetch(
        "SELECT captured, refunded FROM points.hold WHERE member_id = $1", home.household_id
    )
    return [pb.Hold(captured_points=c, refunded_points=r) for c, r in rows]


async def test_a_program_without_households_refuses_them(ground: Ground, member: str) -> None:
    """PT-17: limits are the program's; without them there are no households."""
    head, _, tail = calm_program().partition("\nhouseholds:\n")
    async with ground.house() as house:
        await house.apply(head + "\n" + tail[tail.index("\n# The ladder") :])
        await house.start("antifraud", "tier", "points")
        assert (await refused(Counter(house).found(member))).reason == "HOUSEHOLDS_NOT_ALLOWED"
