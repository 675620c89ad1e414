"""PT-09: a returned purchase takes back what it had earned, by the rules of its time."""

import asyncio
import re
from datetime import datetime, timedelta

import pytest
from google.type.money_pb2 import Money
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st

from house import Ground, House, new_id, refused, usd
from kit.clock import from_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger, calm_program, events_of, settled

CALLS = 20


def entries(transaction: pb.Transaction) -> dict[int, int]:
    """By account, the points of a transaction."""
    return {entry.account: entry.points for entry in transaction.entries}


def lines(transaction: pb.Transaction) -> dict[str, str]:
    """By rule or step, the points of a transaction's explanation."""
    return {line.rule: line.points for line in transaction.explanation.lines}


def dollars(cents: int) -> str:
    """An amount such as 12.34."""
    return f"{cents // 100}.{cents % 100:02}"


async def test_a_whole_return_takes_back_all_that_was_earned(ledger: Ledger, member: str) -> None:
    accrual = await ledger.accrue(member, "99.50")
    response = await ledger.reverse(accrual)
    back = response.transaction
    assert (back.kind, back.points) == (pb.TRANSACTION_KIND_REVERSAL, -100)
    assert entries(back) == {pb.ACCOUNT_ACTIVE: -100, pb.ACCOUNT_REVERSED: 100}
    assert back.reversed_transaction_id == accrual.transaction_id
    assert back.order_id == accrual.order_id
    assert back.program_version == accrual.program_version
    assert back.explanation.spend == usd("99.50")
    assert response.debt_points == 0
    assert await ledger.balance(member) == pb.Balance()


@settings(max_examples=15, deadline=None)
@given(parts=st.lists(st.integers(1, 5000), min_size=1, max_size=6))
async def test_partial_returns_add_up_to_what_was_earned(calm: House, parts: list[int]) -> None:
    """To the point, whatever the purchase and however it comes back."""
    ledger, member = Ledger(calm), f"m-{new_id()}"
    accrual = await ledger.accrue(member, dollars(sum(parts)))
    backs = [(await ledger.reverse(accrual, dollars(part))).transaction for part in parts]
    assert all(back.points <= 0 for back in backs)
    assert -sum(back.points for back in backs) == accrual.points
    assert await ledger.balance(member) == pb.Balance()
    for amount in ("0.01", None):
        assert (await refused(ledger.reverse(accrual, amount))).reason == "RETURN_EXCEEDED"


async def test_no_more_can_be_returned_than_was_bought(ledger: Ledger, member: str) -> None:
    accrual = await ledger.accrue(member, "100")
    await ledger.reverse(accrual, "60")
    refusal = await refused(ledger.reverse(accrual, "40.01"))
    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "RETURN_EXCEEDED")
    left = {"asked_minor": "4001", "left_minor": "4000", "what": "the purchase"}
    assert refusal.metadata == left
    assert (await ledger.reverse(accrual)).transaction.explanation.spend == usd("40")
    assert (await ledger.balance(member)).active == 0


async def test_the_rules_of_the_purchase_decide_its_return_even_when_they_are_gone(
    ground: Ground, member: str
) -> None:
    """PT-09: another rate and another rule since then change nothing."""
    async with ground.house() as house:
        before = calm_program(multiplied=False)
        after = re.sub(r"points_per_unit: 1\b", "points_per_unit: 3", before, count=1)
        after = after.replace("- name: spend", "- name: generous")
        await house.apply(before)
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        old = await ledger.accrue(member, "100")
        await house.apply(after)
        await house.settle()
        new = await ledger.accrue(member, "100")
        assert (old.points, old.program_version) == (100, 1)
        assert (new.points, new.program_version) == (300, 2)
        halves = [(await ledger.reverse(old, "50")).transaction for _ in range(2)]
        assert [(half.points, half.program_version) for half in halves] == [(-50, 1), (-50, 1)]
        back = (await ledger.reverse(new, "50")).transaction
        assert (back.points, back.program_version) == (-150, 2)
        assert (await ledger.balance(member)).active == 150


async def test_what_was_spent_becomes_a_debt_that_the_next_accruals_pay_first(
    ledger: Ledger, member: str
) -> None:
    """PT-09: even if already spent; the debt is an account of its own and nothing is below 0."""
    accrual = await ledger.accrue(member, "100")
    await ledger.capture(await ledger.hold(member, 80))
    response = await ledger.reverse(accrual)
    assert response.debt_points == 80
    assert response.transaction.points == -100
    assert entries(response.transaction) == {
        pb.ACCOUNT_ACTIVE: -20,
        pb.ACCOUNT_DEBT: -80,
        pb.ACCOUNT_REVERSED: 100,
    }
    assert await ledger.balance(member) == pb.Balance(debt=80)
    assert (await refused(ledger.hold(member, 1))).reason == "INSUFFICIENT_POINTS"

    first = await ledger.accrue(member, "50")
    assert entries(first) == {pb.ACCOUNT_ISSUED: -50, pb.ACCOUNT_DEBT: 50}
    assert (first.points, lines(first)["debt_repaid"]) == (50, "-50")
    assert not first.lot_movements
    assert await ledger.balance(member) == pb.Balance(debt=30)
    second = await ledger.accrue(member, "50")
    assert entries(second) == {
        pb.ACCOUNT_ISSUED: -50,
        pb.ACCOUNT_DEBT: 30,
        pb.ACCOUNT_ACTIVE: 20,
    }
    assert lines(second)["debt_repaid"] == "-30"
    assert [move.points for move in second.lot_movements] == [20]
    assert await ledger.balance(member) == pb.Balance(active=20)
    assert "debt_repaid" not in lines(await ledger.accrue(member, "5"))

    told = await events_of(ledger.house, "points_accrued", member)
    assert [event.points_accrued.points for event in told] == [100, 50, 50, 5]
    [told_back] = await events_of(ledger.house, "accrual_reversed", member)
    assert told_back.accrual_reversed.points == 100
    assert told_back.accrual_reversed.accrual_transaction_id == accrual.transaction_id
    assert told_back.accrual_reversed.accrual_occurred_time == accrual.occurred_time


async def test_an_accrual_that_paid_a_debt_is_taken_back_too(ledger: Ledger, member: str) -> None:
    """What it had paid is owed again."""
    first = await ledger.accrue(member, "100")
    await ledger.capture(await ledger.hold(member, 100))
    await ledger.reverse(first)
    second = await ledger.accrue(member, "130")
    assert await ledger.balance(member) == pb.Balance(active=30)
    assert (await ledger.reverse(second)).debt_points == 100
    assert await ledger.balance(member) == pb.Balance(debt=100)


async def test_other_points_of_the_member_are_taken_before_a_debt_is_made(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """Its own lot first, then those that expire first."""
    spent = await ledger.accrue(member, "100", at=now - timedelta(days=300))
    await ledger.capture(await ledger.hold(member, 90))
    late = await ledger.accrue(member, "50")
    soon = await ledger.accrue(member, "30", at=now - timedelta(days=200))
    response = await ledger.reverse(spent)
    drawn = [(m.accrual_transaction_id, m.points) for m in response.transaction.lot_movements]
    assert drawn == [
        (spent.transaction_id, -10),
        (soon.transaction_id, -30),
        (late.transaction_id, -50),
    ]
    assert response.debt_points == 10


async def test_points_are_not_taken_from_under_a_hold(ledger: Ledger, member: str) -> None:
    accrual = await ledger.accrue(member, "100")
    hold = await ledger.hold(member, 60)
    assert (await ledger.reverse(accrual)).debt_points == 60
    assert await ledger.balance(member) == pb.Balance(held=60, debt=60)
    assert (await ledger.capture(hold)).hold.captured_points == 60


async def test_a_pending_accrual_is_taken_back_from_what_is_pending(
    ground: Ground, member: str
) -> None:
    """PT-05, PT-09: a return within the return window; nothing of it matures."""
    async with ground.house() as house:
        await house.apply(calm_program(pending_days=14, multiplied=False))
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        accrual = await ledger.accrue(member, "100")
        part = (await ledger.reverse(accrual, "30")).transaction
        assert entries(part) == {pb.ACCOUNT_PENDING: -30, pb.ACCOUNT_REVERSED: 30}
        assert await ledger.balance(member) == pb.Balance(pending=70)
        assert (await ledger.run_maturation(after_window(accrual))).matured_points == 70
        assert await ledger.balance(member) == pb.Balance(active=70)
        other = await ledger.accrue(member, "10")
        assert (await ledger.reverse(other)).debt_points == 0
        assert (await ledger.run_maturation(after_window(other))).matured_lot_count == 0
        assert await ledger.balance(member) == pb.Balance(active=70)


def after_window(accrual: pb.Transaction) -> datetime:
    """An instant after the return window of an accrual."""
    return from_timestamp(accrual.explanation.mature_time) + timedelta(minutes=1)


@pytest.mark.parametrize("amounts", [[None], ["50", "50"], ["99", None], ["10", "80", "10"]])
async def test_what_expired_unused_is_not_asked_for_again(
    ledger: Ledger, member: str, now: datetime, amounts: list[str | None]
) -> None:
    """Of 100 points 30 were spent and 70 expired: 30 are owed, however the purchase comes back."""
    accrual = await ledger.accrue(member, "100", at=now - timedelta(days=360))
    await ledger.capture(await ledger.hold(member, 30))
    await ledger.run_expiry(now + timedelta(days=8))
    backs = [(await ledger.reverse(accrual, amount)).transaction for amount in amounts]
    assert sum(back.points for back in backs) == -30
    assert sum(int(lines(back).get("already_expired", 0)) for back in backs) == 70
    assert await ledger.balance(member) == pb.Balance(debt=30)


async def test_only_accruals_of_the_member_can_be_taken_back(ledger: Ledger, member: str) -> None:
    accrual = await ledger.accrue(member, "100")
    held = (await ledger.stub.HoldPoints(ledger.holding(member, 10))).transaction
    reversal = (await ledger.reverse(accrual, "10")).transaction
    for other in (held, reversal):
        refusal = await refused(ledger.reverse(other))
        assert (refusal.code, refusal.reason) == (
            StatusCode.FAILED_PRECONDITION,
            "NOT_AN_ACCRUAL",
        )
    stolen = pb.Transaction(member_id=f"other-{member}", transaction_id=accrual.transaction_id)
    unknown = pb.Transaction(
        member_id=member, transaction_id="018f0000-0000-7000-8000-000000000000"
    )
    for nothing in (stolen, unknown):
        refusal = await refused(ledger.reverse(nothing))
        assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "TRANSACTION_NOT_FOUND")
    assert await ledger.balance(member) == pb.Balance(active=80, held=10)


async def test_a_return_in_another_currency_is_refused(ledger: Ledger, member: str) -> None:
    accrual = await ledger.accrue(member, "100")
    request = pb.ReverseAccrualRequest(
        request_id=new_id(), member_id=member, transaction_id=accrual.transaction_id
    )
    request.returned_amount.CopyFrom(usd("10"))
    request.returned_amount.currency_code = "EUR"
    refusal = await refused(ledger.stub.ReverseAccrual(request))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "CURRENCY_MISMATCH")


async def test_a_return_is_read_in_the_currency_of_the_purchase_whatever_it_is_now(
    ground: Ground, member: str
) -> None:
    """PT-09: the amount of a purchase in dollars comes back in dollars, though the yen reigns."""
    async with ground.house() as house:
        dollars_program = calm_program(multiplied=False)
        await house.apply(dollars_program)
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        accrual = await ledger.accrue(member, "100")
        await house.apply(dollars_program.replace("currency: USD", "currency: JPY"))
        await house.settle()
        yen = Money(currency_code="JPY", units=50)
        purchase = pb.Purchase(order_id=new_id(), amount=yen)
        assert (await ledger.accrue(member, "0", purchase=purchase)).program_version == 2
        request = pb.ReverseAccrualRequest(
            request_id=new_id(), member_id=member, transaction_id=accrual.transaction_id,
            returned_amount=yen,
        )  # fmt: skip
        assert (await refused(ledger.stub.ReverseAccrual(request))).reason == "CURRENCY_MISMATCH"
        back = (await ledger.reverse(accrual, "49.50")).transaction
        assert (back.points, back.explanation.spend) == (-49, usd("49.50"))
        assert (await ledger.reverse(accrual)).transaction.points == -51


async def test_a_repeated_reversal_gets_its_first_answer(ledger: Ledger, member: str) -> None:
    accrual = await ledger.accrue(member, "100")
    await ledger.capture(await ledger.hold(member, 80))
    request_id = new_id()
    first = await ledger.reverse(accrual, "50", request_id=request_id)
    await ledger.accrue(member, "500")
    again = await asyncio.gather(
        *[ledger.reverse(accrual, "50", request_id=request_id) for _ in range(CALLS)]
    )
    assert all(answer == first for answer in again)
    assert first.debt_points == 30
    assert (await ledger.balance(member)).active == 470
    refusal = await refused(ledger.reverse(accrual, "49", request_id=request_id))
    assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_of_twenty_whole_returns_at_once_one_wins(ledger: Ledger, member: str) -> None:
    accrual = await ledger.accrue(member, "100")
    won, lost = await settled([ledger.reverse(accrual) for _ in range(CALLS)])
    assert (len(won), {one.reason for one in lost}) == (1, {"RETURN_EXCEEDED"})
    assert await ledger.balance(member) == pb.Balance()


async def test_of_twenty_partial_returns_at_once_those_win_that_the_purchase_covers(
    ledger: Ledger, member: str
) -> None:
    accrual = await ledger.accrue(member, "75")
    won, lost = await settled([ledger.reverse(accrual, "10") for _ in range(CALLS)])
    assert (len(won), {one.reason for one in lost}) == (7, {"RETURN_EXCEEDED"})
    assert (await ledger.balance(member)).active == 5
