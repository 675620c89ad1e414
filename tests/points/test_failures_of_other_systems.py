"""Failures of other systems that their users reported: one test for each, that it is not ours.

PT-06, PT-07, PT-08, PT-09, PT-15, PT-16, through the public calls.
"""

import asyncio
import io
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from cli.check import run_checks
from cli.import_files import BALANCES
from cli.imports import import_file
from house import Ground, new_id, refused, usd
from kit.clock import from_timestamp, to_timestamp
from laurel.points.v1 import activities_pb2 as activities
from laurel.points.v1 import points_service_pb2 as pb
from points_importing import environ_of
from points_ledger import Ledger, calm_program, events_of, settled


async def test_a_partial_refund_charges_the_points_again(ledger: Ledger, member: str) -> None:
    """Each part of a refund gives points back and takes none."""
    await ledger.accrue(member, "100")
    hold = await ledger.hold(member, 100)
    await ledger.capture(hold)
    for points, active in [(30, 30), (30, 60), (40, 100)]:
        refund = (await ledger.refund(hold, points)).transaction
        assert (refund.points, refund.balance_after.active) == (points, active)
    assert (await refused(ledger.refund(hold, 1))).reason == "REFUND_EXCEEDED"
    kinds = [transaction.kind for transaction in await ledger.transactions(member)]
    assert kinds.count(pb.TRANSACTION_KIND_CAPTURE) == 1
    assert await ledger.balance(member) == pb.Balance(active=100)


async def test_buy_earn_refund_keep_the_points(ledger: Ledger, member: str) -> None:
    """What a returned purchase had earned goes back, spent or not."""
    kept, spent = await ledger.accrue(member, "100"), await ledger.accrue(member, "100")
    await ledger.capture(await ledger.hold(member, 150))
    for purchase in (spent, kept):
        assert (await ledger.reverse(purchase)).transaction.points == -100
    balance = await ledger.balance(member)
    assert balance.active - balance.debt == -150


async def test_a_voided_line_still_earns(ledger: Ledger, member: str) -> None:
    """The line that is returned takes back what it had earned, and no other line does."""
    lines = [
        activities.PurchaseLine(line_id=line_id, quantity=1, amount=usd(amount))
        for line_id, amount in (("shirt", "60"), ("shoes", "40"))
    ]
    purchase = pb.Purchase(order_id=new_id(), amount=usd("100"), lines=lines)
    accrual = await ledger.accrue(member, "100", purchase=purchase)
    request = pb.ReverseAccrualRequest(
        request_id=new_id(), member_id=member, transaction_id=accrual.transaction_id,
        returned_lines=[activities.ReturnedLine(line_id="shoes", amount=usd("40"))],
    )  # fmt: skip
    for _ in range(2):
        assert (await ledger.stub.ReverseAccrual(request)).transaction.points == -40
    request.request_id = new_id()
    assert (await refused(ledger.stub.ReverseAccrual(request))).reason == "RETURN_EXCEEDED"
    assert await ledger.balance(member) == pb.Balance(active=60)


async def test_a_claw_back_at_todays_rule_instead_of_the_rule_of_the_purchase(
    ground: Ground, member: str
) -> None:
    async with ground.house() as house:
        before = calm_program(multiplied=False)
        await house.apply(before)
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        purchase = await ledger.accrue(member, "100")
        await house.apply(re.sub(r"points_per_unit: 1\b", "points_per_unit: 5", before, count=1))
        await house.settle()
        assert (await ledger.accrue(member, "1")).points == 5
        assert (await ledger.reverse(purchase, "40")).transaction.points == -40
        assert (await ledger.reverse(purchase)).transaction.points == -60
        assert await ledger.balance(member) == pb.Balance(active=5)


async def test_a_claw_back_above_the_balance_silently_dropped(ledger: Ledger, member: str) -> None:
    """What is not there is told, stays owed, and is paid by what is earned next."""
    purchase = await ledger.accrue(member, "100")
    await ledger.capture(await ledger.hold(member, 90))
    assert (await ledger.reverse(purchase)).debt_points == 90
    assert await ledger.balance(member) == pb.Balance(debt=90)
    await ledger.accrue(member, "100")
    assert await ledger.balance(member) == pb.Balance(active=10)


async def test_an_order_status_that_flips_back_and_forth_earns_twice(
    ledger: Ledger, member: str
) -> None:
    """The shop names its request by the order and its status: however often it flips, it earns
    once; and where each flip is a request of its own, what was taken back is earned anew, once.
    """
    order = new_id()
    purchase = pb.Purchase(order_id=order, amount=usd("50"))
    paid = ledger.accrual(member, "50", request_id=f"{order}:paid", purchase=purchase)
    for _ in range(3):
        await ledger.stub.AccruePoints(paid)
    assert await ledger.balance(member) == pb.Balance(active=50)
    for flip in range(3):
        again = ledger.accrual(member, "50", request_id=f"{order}:paid:{flip}", purchase=purchase)
        accrued = [(await ledger.stub.AccruePoints(again)).transaction for _ in range(2)]
        assert accrued[0] == accrued[1]
        for _ in range(2):
            await ledger.reverse(accrued[0], request_id=f"{order}:open:{flip}")
    assert await ledger.balance(member) == pb.Balance(active=50)


async def test_an_event_delivered_again_earns_twice(ledger: Ledger, member: str) -> None:
    """Whichever way it comes: alone, in a bulk call, in a stream, many at once."""
    request = ledger.accrual(member, "25")
    bulk = pb.BatchAccruePointsRequest(requests=[request, request])
    streamed = ledger.stub.StreamAccruePoints()
    await streamed.write(pb.StreamAccruePointsRequest(sequence=1, requests=[request]))
    await asyncio.gather(
        *(ledger.stub.AccruePoints(request) for _ in range(5)),
        *(ledger.stub.BatchAccruePoints(bulk) for _ in range(5)),
        streamed.read(),
    )
    streamed.cancel()
    assert await ledger.balance(member) == pb.Balance(active=25)
    assert len(await events_of(ledger.house, "points_accrued", member)) == 1


async def test_a_hold_not_counted_in_the_next_balance_check(ledger: Ledger, member: str) -> None:
    await ledger.accrue(member, "100")
    await ledger.hold(member, 70)
    assert await ledger.balance(member) == pb.Balance(active=30, held=70)
    refusal = await refused(ledger.hold(member, 31))
    assert (refusal.reason, refusal.metadata) == (
        "INSUFFICIENT_POINTS",
        {"asked": "31", "available": "30"},
    )
    await ledger.hold(member, 30)


async def test_a_retried_hold_makes_a_second_one(ledger: Ledger, member: str) -> None:
    await ledger.accrue(member, "100")
    request = ledger.holding(member, 60)
    first = await ledger.stub.HoldPoints(request)
    assert await ledger.stub.HoldPoints(request) == first
    answers = await asyncio.gather(*[ledger.stub.HoldPoints(request) for _ in range(20)])
    assert {answer.hold.hold_id for answer in answers} == {first.hold.hold_id}
    assert await ledger.balance(member) == pb.Balance(active=40, held=60)


async def test_debits_not_tied_to_lots_make_valid_points_vanish(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """What was spent is what would have expired first, so the rest stays when that day comes."""
    await ledger.accrue(member, "50", now - timedelta(days=350))
    later = await ledger.accrue(member, "50", now - timedelta(days=10))
    captured = await ledger.capture(await ledger.hold(member, 50))
    assert captured.transaction.balance_after.active == 50
    await ledger.run_expiry(now + timedelta(days=30))
    assert await ledger.balance(member) == pb.Balance(active=50)
    end = from_timestamp(later.lot_movements[0].expire_time)
    await ledger.run_expiry(end + timedelta(seconds=1))
    assert await ledger.balance(member) == pb.Balance()


async def test_only_the_nearest_expiry_date_shown(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """The balance tells every day on which points end, and every lot tells its own end."""
    earned = {300: 30, 200: 20, 100: 10}
    ends = {}
    for days, points in earned.items():
        accrual = await ledger.accrue(member, str(points), now - timedelta(days=days))
        ends[from_timestamp(accrual.lot_movements[0].expire_time)] = points
    dates = pb.GetBalanceRequest(member_id=member, view=pb.BALANCE_VIEW_DATES)
    told = (await ledger.stub.GetBalance(dates)).expirations
    assert {from_timestamp(one.first_time): one.points for one in told} == ends
    lots = (await ledger.stub.ListLots(pb.ListLotsRequest(member_id=member))).lots
    assert {from_timestamp(lot.expire_time): lot.remaining_points for lot in lots} == ends


async def test_a_time_zone_shift_expires_points_a_day_early(ledger: Ledger, member: str) -> None:
    """Twelve months of the program's own calendar: the hour that summer time moves is counted, and
    a purchase late in the evening is one of that day, whatever the date in UTC.
    """
    earned = datetime(2026, 3, 10, 3, 30, tzinfo=UTC)  # 9 March, 23:30 in New York, summer time
    accrual = await ledger.accrue(member, "10", earned)
    end = from_timestamp(accrual.lot_movements[0].expire_time)
    assert end == datetime(2027, 3, 10, 4, 30, tzinfo=UTC)  # 9 March, 23:30, winter time
    await ledger.run_expiry(end - timedelta(seconds=1))
    assert await ledger.balance(member) == pb.Balance(active=10)
    await ledger.run_expiry(end)
    assert await ledger.balance(member) == pb.Balance()


async def test_two_commits_of_one_hold_at_once(ledger: Ledger, member: str) -> None:
    await ledger.accrue(member, "100")
    hold = await ledger.hold(member, 100)
    won, lost = await settled([ledger.capture(hold, 60) for _ in range(2)])
    assert len(won) == 1
    assert [refusal.reason for refusal in lost] == ["HOLD_EXCEEDED"]
    assert (await ledger.balance(member)) == pb.Balance(held=40)


@pytest.mark.timeout(300)
async def test_an_import_that_never_ends_at_100_000_members(ground: Ground, tmp_path: Path) -> None:
    """A hundred calls; what a row costs does not grow with the rows before it."""
    file, report = tmp_path / "balances.csv", tmp_path / "refused.csv"
    with file.open("w") as handle:
        handle.write("member_id,points,earned_time,expire_time\n")
        handle.writelines(f"old-{n},{n % 500 + 1},2026-06-01,never\n" for n in range(100_000))
    async with ground.house() as house:
        await house.apply(calm_program())
        await house.start("points")
        times = []
        for counts in ((100_000, 0), (0, 100_000)):
            began = time.monotonic()
            console = Console(file=io.StringIO())
            totals = await import_file(environ_of(house), BALANCES, file, report, console)
            times.append(time.monotonic() - began)
            assert (totals.booked, totals.repeated, totals.refused.total()) == (*counts, 0)
        [row] = await house.fetch("SELECT count(*), sum(active) FROM points.account")
        assert tuple(row) == (100_000, sum(n % 500 + 1 for n in range(100_000)))
        assert max(times) < 120, times
        assert not [o for o in await run_checks(house.settings.database_url) if o.violations]


async def test_a_tills_re_sent_batch_doubles(ledger: Ledger, member: str, now: datetime) -> None:
    """The till got no answer and sends again."""
    purchase = pb.Purchase(order_id=new_id(), amount=usd("40"))
    row = pb.TillRow(member_id=member, purchase=purchase, occurred_time=to_timestamp(now))
    request = pb.SubmitTillBatchRequest(device_id=new_id(), batch_number=1, rows=[row])
    for _ in range(3):
        await ledger.stub.SubmitTillBatch(request)
    assert await ledger.balance(member) == pb.Balance(active=40)
