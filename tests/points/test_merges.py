"""PT-12, PT-17: two members are merged, and taken apart again."""

import asyncio
from datetime import datetime, timedelta

import pytest
from grpc import StatusCode

from cli.check import run_checks
from house import Ground, House, new_id, refused
from kit.clock import from_timestamp
from kit.errors import info_of
from laurel.points.v1 import accounts_pb2 as accounts
from laurel.points.v1 import merges_pb2 as merges
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import calm_program, events_of, settled
from points_moving import Counter


@pytest.fixture
def other() -> str:
    """Another member that no other test uses."""
    return f"m-{new_id()}"


async def test_a_merge_moves_every_lot_with_its_expiry_and_history_shows_both(
    counter: Counter, member: str, other: str, now: datetime
) -> None:
    """PT-12: lots keep their expiry; both transactions name the other member."""
    await counter.accrue(member, "100")
    old = await counter.accrue(other, "70", now - timedelta(days=200))
    new = await counter.accrue(other, "30")
    merge = await counter.merge(member, other)
    assert (merge.active_points, merge.hold_count, merge.operator) == (100, 0, "olga")
    assert await counter.balance(member) == pb.Balance(active=200)
    assert await counter.balance(other) == pb.Balance()
    came = (await counter.transactions(member))[-1]
    left = (await counter.transactions(other))[-1]
    assert (came.kind, came.points) == (pb.TRANSACTION_KIND_MERGE_IN, 100)
    assert (left.kind, left.points) == (pb.TRANSACTION_KIND_MERGE_OUT, -100)
    assert (came.counterpart_member_id, left.counterpart_member_id) == (other, member)
    assert came.counterpart_transaction_id == left.transaction_id == merge.merged_transaction_id
    moved = {m.accrual_transaction_id: m for m in came.lot_movements}
    for accrual in (old, new):
        (lot,) = accrual.lot_movements
        assert moved[accrual.transaction_id].expire_time == lot.expire_time
        assert moved[accrual.transaction_id].source_lot_id == lot.lot_id
    # The oldest expire first, whoever earned them.
    hold = await counter.hold(member, 80)
    drawn = (await counter.transactions(member))[-1]
    first = drawn.lot_movements[0]
    assert (first.points, first.accrual_transaction_id) == (-70, old.transaction_id)
    await counter.release(hold)


async def test_whoever_asks_for_the_merged_member_hears_who_goes_on(
    counter: Counter, member: str, other: str
) -> None:
    """PT-12: later requests are refused with an error that names the survivor; reading is not."""
    accrual = await counter.accrue(other, "50")
    await counter.merge(member, other, reason="two cards of one person")
    for call in (
        counter.accrue(other, "5"),
        counter.hold(other, 5),
        counter.reverse(accrual),
        counter.give(member, other, 5),
        counter.adjust(other, 5),
        counter.freeze(other),
        counter.close(other),
        counter.merge(other, f"m-{new_id()}"),
        counter.merge(member, other),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (
            StatusCode.FAILED_PRECONDITION,
            "ACCOUNT_MERGED",
        )
        assert refusal.metadata["survivor_member_id"] == member
    standing = await counter.account(other)
    assert standing.state == accounts.ACCOUNT_STATE_MERGED
    assert standing.merged_into_member_id == member
    assert standing.last_action.reason == "two cards of one person"
    assert len(await counter.transactions(other)) == 2
    (told,) = await events_of(counter.house, "account_changed", other)
    assert (told.account_changed.action, told.account_changed.survivor_member_id) == (
        "MERGE",
        member,
    )


async def test_holds_move_and_stay_capturable_and_refundable(
    counter: Counter, member: str, other: str
) -> None:
    """PT-12: a checkout under way does not notice; a refund reaches the survivor."""
    await counter.accrue(other, "100")
    spent, under_way = await counter.hold(other, 40), await counter.hold(other, 30)
    await counter.capture(spent)
    merge = await counter.merge(member, other)
    assert (merge.active_points, merge.held_points, merge.hold_count) == (30, 30, 2)
    assert await counter.balance(member) == pb.Balance(active=30, held=30)
    captured = await counter.capture(under_way, 20, release_rest=True)
    assert captured.hold.member_id == member
    await counter.refund(spent, 15)
    assert await counter.balance(member) == pb.Balance(active=30 + 10 + 15)
    assert await counter.balance(other) == pb.Balance()
    # What the captures spent is still told, on both sides.
    told = [t for t in await counter.transactions(other) if t.kind == pb.TRANSACTION_KIND_CAPTURE]
    assert sum(lot.points for lot in told[0].spent_lots) == 40


async def test_a_debt_moves_and_is_paid_by_the_survivor(
    counter: Counter, member: str, other: str
) -> None:
    accrual = await counter.accrue(other, "60")
    await counter.capture(await counter.hold(other, 60))
    await counter.reverse(accrual)
    await counter.accrue(member, "10")
    merge = await counter.merge(member, other)
    assert merge.debt_points == 60
    assert await counter.balance(member) == pb.Balance(active=10, debt=60)
    await counter.accrue(member, "100")
    assert await counter.balance(member) == pb.Balance(active=50)


async def test_a_return_of_the_merged_members_purchase_is_asked_of_the_survivor(
    counter: Counter, member: str, other: str
) -> None:
    """PT-09, PT-12: by the accrual of the member who was merged, across two merges."""
    accrual = await counter.accrue(other, "100")
    await counter.reverse(accrual, "10")
    middle = f"m-{new_id()}"
    await counter.merge(middle, other)
    await counter.merge(member, middle)
    moved = pb.Transaction(member_id=member, transaction_id=accrual.transaction_id)
    back = await counter.reverse(moved, "30")
    assert (back.transaction.member_id, back.transaction.points) == (member, -30)
    assert await counter.balance(member) == pb.Balance(active=60)
    above = await refused(counter.reverse(moved, "61"))
    assert (above.reason, above.metadata["left_minor"]) == ("RETURN_EXCEEDED", "6000")
    await counter.reverse(moved)
    assert await counter.balance(member) == pb.Balance()
    stranger = pb.Transaction(member_id=f"m-{new_id()}", transaction_id=accrual.transaction_id)
    assert (await refused(counter.reverse(stranger))).reason == "TRANSACTION_NOT_FOUND"


async def test_what_expired_before_the_merge_is_not_asked_for_again(
    counter: Counter, member: str, other: str, now: datetime
) -> None:
    accrual = await counter.accrue(other, "100", now - timedelta(days=400))
    await counter.run_expiry(now)
    assert await counter.balance(other) == pb.Balance()
    await counter.merge(member, other)
    moved = pb.Transaction(member_id=member, transaction_id=accrual.transaction_id)
    await counter.reverse(moved)
    assert await counter.balance(member) == pb.Balance()


async def test_what_expired_while_merged_is_not_asked_for_again(
    counter: Counter, member: str, other: str, now: datetime
) -> None:
    """PT-09, PT-17: after the merge was undone, also where it is made and undone once more."""
    accrual = await counter.accrue(other, "100")
    merge = await counter.merge(member, other)
    await counter.run_expiry(now + timedelta(days=400))
    undone = await counter.undo(merge)
    assert undone.undoing.active_points == 0
    again = await counter.merge(member, other)
    moved = pb.Transaction(member_id=member, transaction_id=accrual.transaction_id)
    back = await counter.reverse(moved, "60")
    assert (back.debt_points, back.forgiven_points) == (0, 60)
    await counter.undo(again)
    back = await counter.reverse(accrual)
    assert (back.debt_points, back.forgiven_points) == (0, 40)
    assert await counter.balance(other) == await counter.balance(member) == pb.Balance()


async def test_an_undone_merge_gives_every_lot_back_where_it_was(
    counter: Counter, member: str, other: str, now: datetime
) -> None:
    """PT-17: nothing was spent meanwhile, so everything is as before."""
    await counter.accrue(member, "100")
    await counter.accrue(other, "70", now - timedelta(days=200))
    await counter.accrue(other, "30")
    hold = await counter.hold(other, 20)
    merge = await counter.merge(member, other)
    undone = await counter.undo(merge, operator="piet", reason="two people after all")
    assert (undone.undoing.active_points, undone.undoing.held_points) == (80, 20)
    assert (undone.undoing.operator, undone.operator) == ("piet", "olga")
    assert await counter.balance(member) == pb.Balance(active=100)
    assert await counter.balance(other) == pb.Balance(active=80, held=20)
    standing = await counter.account(other)
    assert (standing.state, standing.merged_into_member_id) == (accounts.ACCOUNT_STATE_OPEN, "")
    await counter.release(hold)
    everything = await counter.hold(other, 100)
    drawn = (await counter.transactions(other))[-1]
    assert sorted(-m.points for m in drawn.lot_movements) == [30, 70]
    await counter.release(everything)
    again = await refused(counter.undo(merge))
    assert (again.code, again.reason) == (StatusCode.FAILED_PRECONDITION, "MERGE_UNDONE")
    both = merges.ListMergesRequest(member_id=other)
    assert list((await counter.stub.ListMerges(both)).merges) == [undone]


async def test_undoing_gives_back_what_is_left_of_each_lot(
    counter: Counter, member: str, other: str, now: datetime
) -> None:
    """PT-17: what was spent or has expired stays so; what was earned since is the survivor's."""
    await counter.accrue(member, "100")
    await counter.accrue(other, "50", now - timedelta(days=200))
    await counter.accrue(other, "30", now - timedelta(days=100))
    merge = await counter.merge(member, other)
    # 60 are spent: the 50 that end first and 10 of the next, all of them brought by the merge.
    spent = await counter.hold(member, 60)
    await counter.capture(spent)
    await counter.accrue(member, "7")
    held = await counter.hold(member, 5)
    undone = await counter.undo(merge)
    assert undone.undoing.active_points == 15
    assert await counter.balance(other) == pb.Balance(active=15)
    assert await counter.balance(member) == pb.Balance(active=107, held=5)
    # What the survivor held and spent of these lots is released and refunded to the survivor.
    await counter.release(held)
    await counter.refund(spent)
    assert await counter.balance(member) == pb.Balance(active=107 + 5 + 60)
    assert await counter.balance(other) == pb.Balance(active=15)


async def test_what_was_refunded_of_the_merged_members_orders_goes_back_with_them(
    counter: Counter, member: str, other: str, now: datetime
) -> None:
    """PT-17: even where the refund opened a lot of its own, as the old one had nearly ended."""
    accrual = await counter.accrue(other, "50", now - timedelta(days=340))
    spent = await counter.hold(other, 50)
    await counter.capture(spent)
    merge = await counter.merge(member, other)
    await counter.refund(spent, 40)
    await counter.accrue(member, "9")
    assert await counter.balance(member) == pb.Balance(active=49)
    undone = await counter.undo(merge)
    assert undone.undoing.active_points == 40
    assert await counter.balance(other) == pb.Balance(active=40)
    assert await counter.balance(member) == pb.Balance(active=9)
    (move,) = (await counter.transactions(other))[-1].lot_movements
    assert move.accrual_transaction_id == accrual.transaction_id
    assert from_timestamp(move.expire_time) > now + timedelta(days=29)
    # The hold is theirs again, and so is the rest of the refund.
    await counter.refund(spent)
    assert await counter.balance(other) == pb.Balance(active=50)


async def test_what_the_merged_member_had_given_away_before_stays_with_whom_it_was_given_to(
    counter: Counter, member: str, other: str, now: datetime
) -> None:
    """PT-17: also where a refund opened a lot for it, of the same accrual as what is moved."""
    await counter.accrue(other, "1000", now - timedelta(days=340))
    await counter.give(other, member, 200)
    spent = await counter.hold(member, 180)
    await counter.capture(spent)
    merge = await counter.merge(member, other)
    await counter.refund(spent)
    await counter.undo(merge)
    assert await counter.balance(member) == pb.Balance(active=180)
    assert await counter.balance(other) == pb.Balance(active=800)


async def test_what_was_refunded_goes_back_along_a_chain_of_merges(
    counter: Counter, member: str, other: str, now: datetime
) -> None:
    """PT-17: to whom it came from first, and no return asks for what of it has expired."""
    last = f"m-{new_id()}"
    accrual = await counter.accrue(other, "100", now - timedelta(days=350))
    spent = await counter.hold(other, 100)
    await counter.capture(spent)
    first, second = await counter.merge(member, other), await counter.merge(last, member)
    await counter.refund(spent, 60)
    await counter.undo(second)
    assert await counter.balance(member) == pb.Balance(active=60)
    await counter.refund(spent)
    await counter.undo(first)
    assert await counter.balance(other) == pb.Balance(active=100)
    assert await counter.balance(member) == await counter.balance(last) == pb.Balance()
    again = await counter.merge(member, other)
    hold = await counter.hold(member, 70)
    await counter.capture(hold)
    await counter.refund(hold)
    await counter.run_expiry(now + timedelta(days=800))
    await counter.undo(again)
    back = await counter.reverse(accrual)
    assert (back.debt_points, back.forgiven_points) == (0, 100)


async def test_of_a_debt_goes_back_what_the_survivor_still_owes(
    counter: Counter, member: str, other: str
) -> None:
    accrual = await counter.accrue(other, "60")
    await counter.capture(await counter.hold(other, 60))
    await counter.reverse(accrual)
    merge = await counter.merge(member, other)
    await counter.accrue(member, "20")
    undone = await counter.undo(merge)
    assert undone.undoing.debt_points == 40
    assert await counter.balance(other) == pb.Balance(debt=40)
    assert await counter.balance(member) == pb.Balance()


async def test_pending_points_move_and_mature_wherever_they_are(
    ground: Ground, member: str, other: str, now: datetime
) -> None:
    """PT-05, PT-12: pending points keep the instant at which they become active."""
    async with ground.house() as house:
        await house.apply(calm_program(14, multiplied=False))
        await house.start("antifraud", "tier", "points")
        counter = Counter(house)
        await counter.accrue(other, "50")
        await counter.accrue(other, "30", now - timedelta(days=10))
        merge = await counter.merge(member, other)
        assert merge.pending_points == 80
        assert await counter.balance(member) == pb.Balance(pending=80)
        await counter.run_maturation(now + timedelta(days=5))
        assert await counter.balance(member) == pb.Balance(active=30, pending=50)
        undone = await counter.undo(merge)
        assert (undone.undoing.active_points, undone.undoing.pending_points) == (30, 50)
        assert await counter.balance(other) == pb.Balance(active=30, pending=50)
        await counter.run_maturation(now + timedelta(days=15))
        assert await counter.balance(other) == pb.Balance(active=80)
        assert not [o for o in await run_checks(house.settings.database_url) if o.violations]


async def test_only_two_open_accounts_are_merged(counter: Counter, member: str, other: str) -> None:
    own = await refused(counter.merge(member, member))
    assert (own.code, own.reason) == (StatusCode.INVALID_ARGUMENT, "MERGE_WITH_ONESELF")
    await counter.freeze(other)
    for pair in ((member, other), (other, member)):
        refusal = await refused(counter.merge(*pair))
        assert (refusal.reason, refusal.metadata["member_id"]) == ("ACCOUNT_FROZEN", other)
    await counter.close(other)
    assert (await refused(counter.merge(member, other))).reason == "ACCOUNT_CLOSED"
    unknown = merges.Merge(merge_id="00000000-0000-7000-8000-000000000000")
    missing = await refused(counter.undo(unknown))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "MERGE_NOT_FOUND")


async def test_a_merge_of_the_survivor_is_undone_first(
    counter: Counter, member: str, other: str
) -> None:
    await counter.accrue(other, "50")
    first = await counter.merge(member, other)
    third = f"m-{new_id()}"
    second = await counter.merge(third, member)
    refusal = await refused(counter.undo(first))
    assert (refusal.reason, refusal.metadata["survivor_member_id"]) == ("ACCOUNT_MERGED", third)
    await counter.undo(second)
    await counter.undo(first)
    assert await counter.balance(other) == pb.Balance(active=50)


async def test_a_merge_repeated_or_raced_takes_effect_once(
    counter: Counter, member: str, other: str
) -> None:
    """PT-12: also when both are merged into each other at once."""
    await counter.accrue(member, "10")
    await counter.accrue(other, "20")
    request_id = new_id()
    answers = await asyncio.gather(
        *(counter.merge(member, other, request_id=request_id) for _ in range(10))
    )
    assert all(answer == answers[0] for answer in answers)
    assert await counter.balance(member) == pb.Balance(active=30)
    undone, refusals = await settled(counter.undo(answers[0]) for _ in range(10))
    assert (len(undone), {one.reason for one in refusals}) == (1, {"MERGE_UNDONE"})
    pairs = [(member, other), (other, member)] * 5
    made, refusals = await settled(counter.merge(*pair) for pair in pairs)
    assert (len(made), {one.reason for one in refusals}) == (1, {"ACCOUNT_MERGED"})
    assert await counter.balance(made[0].survivor_member_id) == pb.Balance(active=30)


async def test_merging_and_undoing_while_everybody_writes_loses_nothing(
    calm: House, member: str, other: str
) -> None:
    """PT-12: holds are captured wherever they are found; the sums are kept."""
    counter = Counter(calm)
    await counter.accrue(member, "500")
    await counter.accrue(other, "500")
    holds = [await counter.hold(other, 10) for _ in range(20)]

    async def back_and_forth() -> None:
        for _ in range(5):
            merge = await counter.merge(member, other)
            await asyncio.sleep(0.03)
            await counter.undo(merge)
            await asyncio.sleep(0.03)

    captures = [counter.capture(hold) for hold in holds]
    accruals = [counter.accrue(one, "1") for one in (member, other) for _ in range(20)]
    expiry = [counter.run_expiry(datetime.now().astimezone()) for _ in range(3)]
    answers, refusals = await settled([back_and_forth(), *captures, *accruals, *expiry])
    assert {one.reason for one in refusals} <= {"ACCOUNT_MERGED"}
    earned = sum(isinstance(one, pb.Transaction) for one in answers)
    captured = sum(isinstance(one, pb.CapturePointsResponse) for one in answers)
    assert captured == 20
    first, second = await counter.balance(member), await counter.balance(other)
    assert first.active + second.active == 1_000 - 200 + earned
    assert not [o for o in await run_checks(calm.settings.database_url) if o.violations]


async def test_of_one_request_id_in_a_batch_who_is_refused_takes_nothing_from_the_next(
    counter: Counter, member: str, other: str
) -> None:
    """PT-15: as who is told of a merge asks for the survivor under the same id; and a repeat is
    one, whatever came before it.
    """
    await counter.merge(member, other)
    known = counter.accrual(member, "5")
    booked = (await counter.stub.AccruePoints(known)).transaction
    request_id = new_id()
    rows = [
        counter.accrual(other, "10", request_id=request_id),
        counter.accrual(member, "10", request_id=request_id),
        counter.accrual(member, "11", request_id=request_id),
        counter.accrual(member, "6", request_id=known.request_id),
        known,
    ]
    request = pb.BatchAccruePointsRequest(requests=rows)
    results = (await counter.stub.BatchAccruePoints(request)).results
    reasons = [info_of(one.error).reason if one.HasField("error") else "" for one in results]
    assert reasons == ["ACCOUNT_MERGED", "", "REQUEST_ID_REUSED", "REQUEST_ID_REUSED", ""]
    assert results[4].accrued.transaction_id == booked.transaction_id
    assert (await counter.balance(member)).active == 5 + 10
