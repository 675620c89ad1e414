"""PT-07: the balance now and at any past instant, and every day on which it changes by itself."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from grpc import StatusCode

from house import Ground, House, new_id, refused
from kit.clock import from_timestamp, to_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger, calm_program, stalled
from rules.calendar import add_months

ZONE = ZoneInfo("America/New_York")
REVIEW = """
    - name: large_purchase
      operations: [accrual]
      when: request.amount > 1000
      action: review
      score: 300
"""


async def balance_at(ledger: Ledger, member: str, at: datetime) -> pb.Balance:
    """The balance at a past instant."""
    request = pb.GetBalanceRequest(member_id=member, read_time=to_timestamp(at))
    return (await ledger.stub.GetBalance(request)).balance


async def dates(ledger: Ledger, member: str) -> pb.GetBalanceResponse:
    """The balance with its dates."""
    request = pb.GetBalanceRequest(member_id=member, view=pb.BALANCE_VIEW_DATES)
    return await ledger.stub.GetBalance(request)


def day_of(message: pb.DatedPoints) -> date:
    """The day of dated points."""
    return date(message.date.year, message.date.month, message.date.day)


async def test_a_past_balance_is_what_was_recorded_by_then(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """What had occurred long ago and is booked today counts from today on."""
    accrual = await ledger.accrue(member, "100", at=now - timedelta(days=90))
    hold = await ledger.hold(member, 60)
    await ledger.capture(hold, 20, release_rest=True)
    await ledger.reverse(accrual)
    transactions = await ledger.transactions(member)
    assert len(transactions) == 4
    for transaction in transactions:
        at = from_timestamp(transaction.record_time)
        assert await balance_at(ledger, member, at) == transaction.balance_after
        before = await balance_at(ledger, member, at - timedelta(microseconds=1))
        assert before != transaction.balance_after
    assert await balance_at(ledger, member, now - timedelta(days=30)) == pb.Balance()
    assert await balance_at(ledger, member, now + timedelta(minutes=1)) == (
        await ledger.balance(member)
    )


async def test_a_batch_that_waited_for_another_does_not_blur_the_past(
    ledger: Ledger, member: str
) -> None:
    """Its record time lies before that of what it waited for: each counts from its own."""
    booked = [await ledger.accrue(member, amount) for amount in ("10", "5", "300")]
    await ledger.reverse(booked[1])
    first, second, third = (from_timestamp(one.record_time) for one in booked)
    sql = "UPDATE points.transaction SET record_time = $2 WHERE transaction_id = $1"
    swapped = ((booked[0], second), (booked[1], first))
    for one, at in swapped:
        await ledger.house.fetch(sql, one.transaction_id, at)
    tick = timedelta(microseconds=1)
    for at, points in (
        (first - tick, 0), (first, 5), (second - tick, 5), (second, 15), (third, 315),
    ):  # fmt: skip
        assert (await balance_at(ledger, member, at)).active == points
    for one, at in swapped:
        await ledger.house.fetch(sql, one.transaction_id, second if at == first else first)


async def overtaken(
    ledger: Ledger, member: str, late: pb.AccruePointsRequest, *calls: Coroutine[Any, Any, Any]
) -> None:
    """Books an accrual that has its id, and then waits until other calls of its member are booked:
    another row of its batch comes first, and the account of that one is locked.
    """
    busy = f"!{member}"
    rows = pb.BatchAccruePointsRequest(requests=[ledger.accrual(busy, "1"), late])
    async with stalled(ledger, busy, lambda: ledger.stub.BatchAccruePoints(rows)) as batch:
        for call in calls:
            await call
    response = await batch
    assert all(result.HasField("accrued") for result in response.results)


@pytest.mark.parametrize("is_known", [False, True])
async def test_an_accrual_that_others_overtake_is_in_every_past_balance(
    ledger: Ledger, member: str, is_known: bool
) -> None:
    """PT-07: its id and record time lie before theirs, and it is booked after them."""
    if is_known:
        await ledger.accrue(member, "100")
    before = (await ledger.balance(member)).active
    late = ledger.accrual(member, "2")
    await overtaken(ledger, member, late, ledger.accrue(member, "40"), ledger.hold(member, 30))
    now = await ledger.balance(member)
    assert now == pb.Balance(active=before + 12, held=30)
    assert await balance_at(ledger, member, datetime.now(UTC)) == now
    booked = await ledger.transactions(member)
    assert [one.points for one in booked[-3:]] == [2, 40, -30]
    instants = [from_timestamp(one.record_time) for one in booked]
    for at in (*instants, *(at - timedelta(microseconds=1) for at in instants)):
        entries: dict[int, int] = defaultdict(int)
        for one in booked:
            if from_timestamp(one.record_time) <= at:
                for entry in one.entries:
                    entries[entry.account] += entry.points
        told = await balance_at(ledger, member, at)
        assert (told.active, told.held) == (entries[pb.ACCOUNT_ACTIVE], entries[pb.ACCOUNT_HELD])


async def test_past_balances_add_up_to_past_totals(ledger: Ledger, member: str) -> None:
    """PT-14: the ledger ties out at every instant, not only now."""
    members = [f"{member}-{number}" for number in range(3)]
    instants = []
    for each in members:
        instants.append(from_timestamp((await ledger.accrue(each, "10")).record_time))
        await ledger.hold(each, 4)
    for at in instants:
        request = pb.GetLedgerTotalsRequest(read_time=to_timestamp(at))
        totals = await ledger.stub.GetLedgerTotals(request)
        assert sum(entry.points for entry in totals.totals) == 0
        everyone = await ledger.house.fetch("SELECT member_id FROM points.account")
        held = 0
        for row in everyone:
            held += (await balance_at(ledger, row["member_id"], at)).held
        shown = {entry.account: entry.points for entry in totals.totals}
        assert shown.get(pb.ACCOUNT_HELD, 0) == held


async def test_the_future_is_not_told(ledger: Ledger, member: str, now: datetime) -> None:
    refusal = await refused(balance_at(ledger, member, now + timedelta(days=1)))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "TIME_IN_FUTURE")
    stamp = to_timestamp(now + timedelta(days=1))
    refusal = await refused(ledger.stub.GetLedgerTotals(pb.GetLedgerTotalsRequest(read_time=stamp)))
    assert refusal.metadata["field"] == "read_time"


async def test_dates_of_a_past_instant_are_refused_with_what_to_do(
    ledger: Ledger, member: str, now: datetime
) -> None:
    request = pb.GetBalanceRequest(
        member_id=member, read_time=to_timestamp(now), view=pb.BALANCE_VIEW_DATES
    )
    refusal = await refused(ledger.stub.GetBalance(request))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "DATES_OF_NOW_ONLY")
    assert "leave read_time unset" in (refusal.message or "")


async def test_every_coming_expiry_day_is_shown_not_only_the_nearest(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """A failure that users of other systems reported: only the nearest expiry date shown."""
    expected: dict[date, int] = defaultdict(int)
    for number in range(15):
        at = now - timedelta(days=15 * number + 1)
        await ledger.accrue(member, str(10 + number), at=at)
        expected[add_months(at, 12, ZONE).astimezone(ZONE).date()] += 10 + number
    same_day = now - timedelta(days=1, seconds=1)
    await ledger.accrue(member, "7", at=same_day)
    expected[add_months(same_day, 12, ZONE).astimezone(ZONE).date()] += 7
    await ledger.hold(member, 30)
    response = await dates(ledger, member)
    # Held points have left the lots that expire first: 24 of the oldest, 6 of the next.
    first, second = sorted(expected)[:2]
    del expected[first]
    expected[second] -= 6
    assert {day_of(one): one.points for one in response.expirations} == expected
    assert [day_of(one) for one in response.expirations] == sorted(expected)
    assert sum(one.points for one in response.expirations) == response.balance.active
    assert response.expirations[0].first_time == response.next_expire_time
    assert (response.later_expire_points, response.never_expire_points) == (0, 0)
    plain = await ledger.stub.GetBalance(pb.GetBalanceRequest(member_id=member))
    assert not plain.expirations
    assert plain.balance == response.balance


async def test_points_past_their_end_are_not_counted_before_their_expiry_is_booked(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """They could not be spent any more; a balance that counts them would promise too much."""
    await ledger.accrue(member, "50", at=now - timedelta(days=400))
    await ledger.accrue(member, "5", at=now - timedelta(days=1))
    response = await dates(ledger, member)
    assert (response.balance.active, [one.points for one in response.expirations]) == (5, [5])
    batch = await ledger.stub.BatchGetBalances(pb.BatchGetBalancesRequest(member_ids=[member]))
    assert batch.balances[0].balance.active == 5
    lots = await ledger.stub.ListLots(pb.ListLotsRequest(member_id=member))
    assert [lot.state for lot in lots.lots] == [pb.LOT_STATE_OPEN, pb.LOT_STATE_EXPIRED]


async def test_pending_points_past_their_end_are_not_counted_either(
    ground: Ground, now: datetime
) -> None:
    """They will never be active; what the ledger has booked of them is told of past instants."""
    async with ground.house() as house:
        program = calm_program(pending_days=14)
        await house.apply(program.replace("  rules: []\n", f"  rules:{REVIEW}"))
        await house.start("antifraud", "points")
        ledger = Ledger(house)
        for days, amount in ((400, "1001"), (3, "2000"), (3, "5")):
            await ledger.accrue("ada", amount, at=now - timedelta(days=days))
        response = await dates(ledger, "ada")
        assert response.balance == await ledger.balance("ada") == pb.Balance(pending=2005)
        assert (response.review_points, [day.points for day in response.maturities]) == (2000, [5])
        assert await balance_at(ledger, "ada", datetime.now(UTC)) == pb.Balance(pending=3006)
        await ledger.run_expiry(now)
        assert await ledger.balance("ada") == pb.Balance(pending=2005)
        assert await balance_at(ledger, "ada", datetime.now(UTC)) == pb.Balance(pending=2005)


async def test_pending_points_are_shown_by_the_day_they_become_active(
    ground: Ground, now: datetime
) -> None:
    """PT-05; what waits for a review has no day, and what never ends has none either."""
    async with ground.house() as house:
        never = calm_program(pending_days=14).replace("rolling_months: 12", "rolling_months: 0")
        await house.apply(never.replace("  rules: []\n", f"  rules:{REVIEW}"))
        await house.start("antifraud", "points")
        ledger = Ledger(house)
        for days, amount in ((20, "1"), (3, "20"), (3, "30"), (1, "400"), (0, "1001")):
            await ledger.accrue("ada", amount, at=now - timedelta(days=days))
        response = await dates(ledger, "ada")
        due = {
            (now - timedelta(days=days)).astimezone(ZONE).date() + timedelta(days=14): points
            for days, points in ((3, 50), (1, 400))
        }
        assert {day_of(one): one.points for one in response.maturities} == due
        assert (response.review_points, response.later_mature_points) == (1001, 0)
        assert (response.never_expire_points, len(response.expirations)) == (1, 0)
        assert response.balance.pending == 1451


async def test_balances_of_many_members_come_in_the_order_asked_for(
    ledger: Ledger, member: str
) -> None:
    members = [f"{member}-{number}" for number in range(1000)]
    rows = [ledger.accrual(each, "2") for each in members[:30]]
    await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    members.reverse()
    response = await ledger.stub.BatchGetBalances(pb.BatchGetBalancesRequest(member_ids=members))
    assert [row.member_id for row in response.balances] == members
    assert [row.balance.active for row in response.balances] == [0] * 970 + [2] * 30
    assert response.balances[-1].next_expire_points == 2
    for wrong in ([], [*members, "one more"], ["twice", "twice"], [""]):
        refusal = await refused(
            ledger.stub.BatchGetBalances(pb.BatchGetBalancesRequest(member_ids=wrong))
        )
        assert refusal.code == StatusCode.INVALID_ARGUMENT


async def test_a_balance_read_after_a_write_shows_it_however_many_read(
    ledger: Ledger, member: str
) -> None:
    """Reads share statements, and none shares one that began before it was asked."""

    async def write_and_read(number: int) -> None:
        own = f"{member}-{number}"
        for total in range(1, 6):
            await ledger.accrue(own, "1")
            assert (await ledger.balance(own)).active == total

    await asyncio.gather(*(write_and_read(number) for number in range(20)))


# Lots


async def test_lots_tell_their_origin_state_and_end(
    ledger: Ledger, member: str, now: datetime
) -> None:
    order_id = new_id()
    accrual = await ledger.accrue(
        member, "40", at=now - timedelta(days=2), purchase=ledger.accrual("x", "40").purchase
    )
    order_id = accrual.order_id
    await ledger.accrue(member, "5")
    await ledger.hold(member, 40)
    response = await ledger.stub.ListLots(pb.ListLotsRequest(member_id=member))
    newest, oldest = response.lots
    assert (newest.state, newest.remaining_points) == (pb.LOT_STATE_OPEN, 5)
    assert (oldest.state, oldest.points, oldest.remaining_points) == (pb.LOT_STATE_USED, 40, 0)
    assert (oldest.accrual_transaction_id, oldest.origin_kind, oldest.order_id) == (
        accrual.transaction_id, pb.TRANSACTION_KIND_ACCRUAL, order_id,
    )  # fmt: skip
    assert oldest.origin_time == accrual.occurred_time
    assert oldest.expire_time == accrual.lot_movements[0].expire_time


@pytest.mark.parametrize("state", list(pb.LotState.values()))
async def test_lots_are_paged_within_a_state(
    calm: House, ledger: Ledger, member: str, now: datetime, state: pb.LotState
) -> None:
    """Pages of two neither miss nor repeat a lot, and the states part all of them."""
    for number in range(5):
        await ledger.accrue(member, "10", at=now - timedelta(days=number))
    for _ in range(2):
        await ledger.accrue(member, "10", at=now - timedelta(days=380))
    await ledger.hold(member, 20)
    listed = (await ledger.stub.ListLots(pb.ListLotsRequest(member_id=member))).lots
    expected = [lot for lot in listed if not state or lot.state == state]
    found: list[pb.Lot] = []
    token = ""
    while True:
        request = pb.ListLotsRequest(member_id=member, state=state, page_size=2, page_token=token)
        response = await ledger.stub.ListLots(request)
        found += response.lots
        token = response.next_page_token
        if not token:
            break
    assert found == expected
    counts = {pb.LOT_STATE_OPEN: 3, pb.LOT_STATE_EXPIRED: 2, pb.LOT_STATE_USED: 2}
    assert len(found) == (counts.get(state, 0) if state else 7)


# Filters of transactions


async def test_transactions_are_narrowed_by_kind_time_order_hold_and_lot(
    ledger: Ledger, member: str, now: datetime
) -> None:
    old = await ledger.accrue(member, "100", at=now - timedelta(days=50))
    young = await ledger.accrue(member, "10", at=now - timedelta(days=10))
    hold = await ledger.hold(member, 40)
    captured = (await ledger.capture(hold, 30)).transaction
    released = (await ledger.release(hold)).transaction
    held = (await ledger.transactions(member))[2]
    lot_id = old.lot_movements[0].lot_id

    async def listed(**fields: object) -> list[str]:
        request = pb.ListTransactionsRequest(member_id=member, **fields)  # type: ignore[arg-type]
        response = await ledger.stub.ListTransactions(request)
        return [transaction.transaction_id for transaction in response.transactions]

    accruals = [young.transaction_id, old.transaction_id]
    assert await listed(kinds=[pb.TRANSACTION_KIND_ACCRUAL]) == accruals
    both = [pb.TRANSACTION_KIND_CAPTURE, pb.TRANSACTION_KIND_RELEASE]
    assert await listed(kinds=both) == [released.transaction_id, captured.transaction_id]
    assert await listed(to_time=young.occurred_time) == [old.transaction_id]
    window = {"from_time": old.occurred_time, "to_time": to_timestamp(now - timedelta(days=1))}
    assert await listed(**window) == accruals
    assert await listed(order_id=old.order_id) == [old.transaction_id]
    of_hold = [released.transaction_id, captured.transaction_id, held.transaction_id]
    assert await listed(hold_id=hold.hold_id) == of_hold
    assert await listed(lot_id=lot_id) == [
        released.transaction_id, held.transaction_id, old.transaction_id,
    ]  # fmt: skip
    assert await listed(lot_id=lot_id, kinds=both) == [released.transaction_id]
    assert await listed(order_id="of nobody") == []


async def test_filters_that_mean_nothing_are_refused(
    ledger: Ledger, member: str, now: datetime
) -> None:
    reversed_times = pb.ListTransactionsRequest(
        member_id=member, from_time=to_timestamp(now), to_time=to_timestamp(now - timedelta(1))
    )
    refusal = await refused(ledger.stub.ListTransactions(reversed_times))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "TIMES_REVERSED")
    for wrong in (
        pb.ListTransactionsRequest(member_id=member, hold_id="no id"),
        pb.ListTransactionsRequest(member_id=member, lot_id="no id"),
        pb.ListTransactionsRequest(member_id=member, kinds=[pb.TRANSACTION_KIND_UNSPECIFIED]),
        pb.ListTransactionsRequest(member_id=member, kinds=[99]),  # type: ignore[list-item]
    ):
        assert (await refused(ledger.stub.ListTransactions(wrong))).code == (
            StatusCode.INVALID_ARGUMENT
        )
