"""PT-09: what the member no longer has is owed up to a bound and a day, or withheld in cash."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.check import run_checks
from house import Ground, House, new_id, usd
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger, calm_program
from points_moving import Counter

BOUNDED = "\nreturns: {shortfall: debt, debt_points_max: 100, debt_days: 30}\n"
CASH = "\nreturns: {shortfall: cash}\n"


async def _house(ground: Ground, returns: str) -> AsyncIterator[House]:
    async with ground.house() as house:
        await house.apply(calm_program(multiplied=False) + returns)
        await house.start("antifraud", "tier", "points")
        yield house
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


@pytest.fixture(scope="module")
async def bounded(ground: Ground) -> AsyncIterator[House]:
    """A house where members owe no more than 100 points, for 30 days."""
    async for house in _house(ground, BOUNDED):
        yield house


@pytest.fixture(scope="module")
async def in_cash(ground: Ground) -> AsyncIterator[House]:
    """A house where nobody owes points."""
    async for house in _house(ground, CASH):
        yield house


async def spent(ledger: Ledger, member: str, amount: str, points: int) -> pb.Transaction:
    """An accrual of which so many points are gone."""
    accrual = await ledger.accrue(member, amount)
    await ledger.capture(await ledger.hold(member, points))
    return accrual


def parts(back: pb.ReverseAccrualResponse) -> tuple[int, int, int, int]:
    """What was taken, is owed, is to be withheld and was forgiven."""
    return back.taken_points, back.debt_points, back.cash_points, back.forgiven_points


async def test_what_exceeds_the_bound_of_a_debt_is_withheld_in_cash(
    bounded: House, member: str
) -> None:
    """PT-09: of 300 points 50 are there, 100 are owed, 150 are worth 1.50; nothing is dropped."""
    ledger = Ledger(bounded)
    accrual = await spent(ledger, member, "300", 250)
    back = await ledger.reverse(accrual)
    assert parts(back) == (50, 100, 150, 0)
    assert back.cash_to_withhold == usd("1.50")
    assert back.transaction.points == -150
    assert await ledger.balance(member) == pb.Balance(debt=100)
    other = await ledger.accrue(member, "40")
    assert (await ledger.balance(member)).debt == 60
    assert parts(await ledger.reverse(other)) == (0, 40, 0, 0)
    assert (await ledger.balance(member)).debt == 100


async def test_a_debt_is_written_off_when_its_time_has_come_less_what_was_paid(
    bounded: House, member: str
) -> None:
    """PT-09: repayments go to the oldest debt; run twice and at once, it is given up once."""
    ledger, now = Ledger(bounded), datetime.now(UTC)
    await ledger.reverse(await spent(ledger, member, "60", 60))
    await ledger.accrue(member, "20")
    accrual = await ledger.accrue(member, "40")
    assert await ledger.balance(member) == pb.Balance()
    assert (await ledger.reverse(accrual)).debt_points == 40
    await ledger.accrue(member, "10")
    early = await ledger.run_expiry(now + timedelta(days=29))
    assert early.written_off_points == 0
    later = now + timedelta(days=31)
    runs = await asyncio.gather(*(ledger.run_expiry(later) for _ in range(3)))
    assert sum(run.written_off_points for run in runs) >= 30
    assert (await ledger.run_expiry(later)).written_off_points == 0
    assert await ledger.balance(member) == pb.Balance()
    [booked] = [t for t in await ledger.transactions(member) if t.kind == 17]
    assert [(entry.account, entry.points) for entry in booked.entries] == [
        (pb.ACCOUNT_WRITTEN_OFF, -30),
        (pb.ACCOUNT_DEBT, 30),
    ]
    assert (await ledger.accrue(member, "5")).balance_after == pb.Balance(active=5)


async def test_a_debt_that_came_by_a_merge_is_given_up_in_its_time(
    bounded: House, member: str
) -> None:
    """PT-09, PT-12: by whoever owes it then, across two merges, and no more of it than is left."""
    counter, now = Counter(bounded), datetime.now(UTC)
    other, third = f"m-{new_id()}", f"m-{new_id()}"
    await counter.reverse(await spent(counter, other, "60", 60))
    await counter.accrue(other, "20")
    await counter.reverse(await spent(counter, member, "30", 30))
    await counter.merge(member, other)
    await counter.merge(third, member)
    assert await counter.balance(third) == pb.Balance(debt=40 + 30)
    await counter.run_expiry(now + timedelta(days=29))
    assert await counter.balance(third) == pb.Balance(debt=40 + 30)
    await counter.run_expiry(now + timedelta(days=31))
    assert await counter.balance(third) == pb.Balance()
    given_up = [t.entries[1].points for t in await counter.transactions(third) if t.kind == 17]
    assert sorted(given_up) == [30, 40]


async def test_a_debt_goes_back_with_its_time_and_not_once_it_was_given_up(
    bounded: House, member: str
) -> None:
    """PT-09, PT-17: each goes on to owe what their own returns have made of it."""
    counter, now = Counter(bounded), datetime.now(UTC)
    other = f"m-{new_id()}"
    accrual = await spent(counter, other, "60", 60)
    await counter.reverse(accrual, "40")
    merge = await counter.merge(member, other)
    await counter.undo(merge)
    assert await counter.balance(other) == pb.Balance(debt=40)
    await counter.run_expiry(now + timedelta(days=31))
    assert await counter.balance(other) == pb.Balance()
    # Anew, and given up while merged: what the survivor still owes is the survivor's own.
    await counter.reverse(accrual)
    merge = await counter.merge(member, other)
    await counter.run_expiry(now + timedelta(days=31))
    await counter.reverse(await spent(counter, member, "30", 30))
    undone = await counter.undo(merge)
    assert undone.undoing.debt_points == 0
    assert await counter.balance(member) == pb.Balance(debt=30)
    assert await counter.balance(other) == pb.Balance()
    await counter.run_expiry(now + timedelta(days=32))
    assert await counter.balance(member) == pb.Balance()


async def test_without_debts_the_worth_of_what_is_gone_is_withheld(
    in_cash: House, member: str
) -> None:
    """PT-09: by the rate of redemption; a repeat gets the same answer."""
    ledger = Ledger(in_cash)
    accrual = await spent(ledger, member, "250", 200)
    request_id = new_id()
    back = await ledger.reverse(accrual, request_id=request_id)
    assert (parts(back), back.cash_to_withhold) == ((50, 0, 200, 0), usd("2.00"))
    assert await ledger.reverse(accrual, request_id=request_id) == back
    assert await ledger.balance(member) == pb.Balance()


@settings(max_examples=10, deadline=None)
@given(cents=st.lists(st.integers(1, 20_000), min_size=1, max_size=5), share=st.integers(0, 100))
async def test_what_returns_take_owe_and_withhold_adds_up_to_what_was_earned(
    in_cash: House, cents: list[int], share: int
) -> None:
    """PT-09: to the point and to the cent, however a purchase comes back and whatever is left."""
    ledger, member = Ledger(in_cash), f"m-{new_id()}"
    total = sum(cents)
    accrual = await ledger.accrue(member, f"{total // 100}.{total % 100:02}")
    gone = accrual.points * share // 100
    if gone:
        await ledger.capture(await ledger.hold(member, gone))
    backs = [await ledger.reverse(accrual, f"{one // 100}.{one % 100:02}") for one in cents]
    assert sum(sum(parts(back)) for back in backs) == accrual.points
    assert sum(back.cash_points for back in backs) == gone
    withheld = sum(b.cash_to_withhold.units * 10**9 + b.cash_to_withhold.nanos for b in backs)
    assert withheld == gone * 10**7
    assert await ledger.balance(member) == pb.Balance()
