"""PT-14: the liability report ties to the ledger, to the point and at any past instant."""

import asyncio
import csv
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from grpc import StatusCode

from house import REPOSITORY, Ground, House, refused
from kit.clock import from_timestamp, to_timestamp
from laurel.points.v1 import liability_pb2 as report_pb
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger, calm_program, settled
from points_moving import Counter

ZONE = ZoneInfo("America/New_York")
CUSTOMERS = 60
MONTHS = 9
FIRST = datetime(1997, 1, 1, 12, tzinfo=UTC)


@dataclass
class Past:
    """A house that lived through some months of real orders, and the instants to ask about."""

    house: House
    ledger: Ledger
    instants: list[datetime] = field(default_factory=list)
    members: list[str] = field(default_factory=list)


def orders() -> dict[date, list[tuple[str, datetime, str]]]:
    """By month, the orders of the first customers of the CDNOW data."""
    found: dict[date, list[tuple[str, datetime, str]]] = defaultdict(list)
    with (REPOSITORY / "deploy/data/cdnow_orders.csv").open() as file:
        for row in csv.DictReader(file):
            if int(row["customer_id"]) <= CUSTOMERS:
                at = datetime.fromisoformat(row["order_date"]).replace(hour=17, tzinfo=UTC)
                found[at.date().replace(day=1)].append((row["customer_id"], at, row["amount_usd"]))
    return found


def month_start(number: int) -> datetime:
    """The middle of the first day of a month, counted from the first."""
    years, month = divmod(number, 12)
    return FIRST.replace(year=FIRST.year + years, month=month + 1)


@pytest.fixture(scope="module")
async def past(ground: Ground) -> AsyncIterator[Past]:
    """Month by month: orders, then the clock moves on; points mature, are spent, returned and
    expire after five months.
    """
    program = calm_program(pending_days=10).replace("rolling_months: 12", "rolling_months: 5")
    async with ground.house() as house:
        await house.apply(program)
        past = Past(house, Ledger(house))
        booked = orders()
        for number in range(MONTHS):
            now = month_start(number + 1)
            if number:
                await house.stop("points", "antifraud")
            house.settings = house.settings.model_copy(update={"clock_start": now})
            await house.start("antifraud", "points")
            await live_a_month(past, booked[month_start(number).date()], now, number)
        yield past


async def live_a_month(
    past: Past, month: list[tuple[str, datetime, str]], now: datetime, number: int
) -> None:
    """Books a month of orders, and lets members do a little of everything."""
    ledger = past.ledger
    rows = [ledger.accrual(member, amount, at) for member, at, amount in month]
    booked = (
        await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    ).results
    assert not any(result.HasField("error") for result in booked)
    past.members = sorted({*past.members, *(member for member, _, _ in month)})
    await ledger.run_maturation(now)
    await ledger.run_expiry(now)
    for index, member in enumerate(past.members):
        active = (await ledger.balance(member)).active
        if active < 5 or (index + number) % 4:
            continue
        hold = await ledger.hold(member, active // 2)
        if index % 3 == 0:
            await ledger.capture(hold, active // 3 or 1, release_rest=True)
            await ledger.refund(hold, 1)
        elif index % 3 == 1:
            await ledger.capture(hold)
    if number % 2:
        [accrual, *_] = [
            one
            for one in await ledger.transactions(past.members[number])
            if one.kind == pb.TRANSACTION_KIND_ACCRUAL
        ]
        await ledger.reverse(accrual)
    last = [(await ledger.transactions(member))[-1].record_time for member in past.members]
    past.instants.append(max(map(from_timestamp, last)))


async def report(
    ledger: Ledger, at: datetime | None = None, since: datetime | None = None
) -> report_pb.LiabilityReport:
    """The report of an instant."""
    request = report_pb.GetLiabilityReportRequest()
    if at is not None:
        request.as_of_time.CopyFrom(to_timestamp(at))
    if since is not None:
        request.from_time.CopyFrom(to_timestamp(since))
    return (await ledger.stub.GetLiabilityReport(request)).report


# An independent computation: nothing but the history that callers can read.

USES = {
    pb.TRANSACTION_KIND_HOLD, pb.TRANSACTION_KIND_CAPTURE, pb.TRANSACTION_KIND_RELEASE,
    pb.TRANSACTION_KIND_REFUND,
}  # fmt: skip


@dataclass
class Obvious:
    """The same numbers, added up slowly."""

    balances: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    months: dict[date, dict[int, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    cohorts: dict[date, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * 4))
    expiry: dict[datetime, int] = field(default_factory=lambda: defaultdict(int))


def month_of(stamp: datetime) -> date:
    """The month of an instant where the program lives."""
    return stamp.astimezone(ZONE).date().replace(day=1)


async def obvious(past: Past, at: datetime) -> Obvious:
    """Adds up all transactions of all members that were recorded by an instant."""
    sums = Obvious()
    for member in past.members:
        history = await past.ledger.transactions(member)
        earned = {one.transaction_id: from_timestamp(one.occurred_time) for one in history}
        for one in history:
            recorded = from_timestamp(one.record_time)
            if recorded > at:
                continue
            for entry in one.entries:
                sums.balances[entry.account] += entry.points
                if entry.account >= pb.ACCOUNT_ISSUED:
                    sums.months[month_of(recorded)][entry.account] -= entry.points
            for moved in one.lot_movements:
                sums.expiry[from_timestamp(moved.expire_time)] += moved.points
                cohort = sums.cohorts[month_of(earned[moved.accrual_transaction_id])]
                if one.kind in USES:
                    cohort[2] -= moved.points
                elif one.kind == pb.TRANSACTION_KIND_EXPIRY:
                    cohort[3] -= moved.points
                elif moved.points > 0:
                    cohort[0] += moved.points
                else:
                    cohort[1] -= moved.points
    return sums


async def test_the_report_is_what_the_history_adds_up_to_at_every_month_end(past: Past) -> None:
    for at in past.instants:
        told, sums = await report(past.ledger, at, FIRST), await obvious(past, at)
        balances = sums.balances
        assert (told.active_points, told.pending_points, told.held_points, told.debt_points) == (
            balances[pb.ACCOUNT_ACTIVE], balances[pb.ACCOUNT_PENDING], balances[pb.ACCOUNT_HELD],
            -balances[pb.ACCOUNT_DEBT],
        )  # fmt: skip
        cohorts = {
            date(c.month.year, c.month.month, c.month.day): [
                c.issued_points, c.withdrawn_points, c.used_points, c.expired_points,
            ]
            for c in told.cohorts
        }  # fmt: skip
        assert cohorts == sums.cohorts
        for cohort in told.cohorts:
            issued, *left = cohorts[date(cohort.month.year, cohort.month.month, 1)]
            assert cohort.remaining_points == issued - sum(left)
        unspent = told.active_points + told.pending_points
        assert sum(cohort.remaining_points for cohort in told.cohorts) == unspent
        assert sum(bucket.points for bucket in told.age_buckets) == unspent
        assert sum(bucket.points for bucket in told.expiry_buckets) == unspent
        for bucket in told.expiry_buckets[1:-1]:
            begin, end = (timedelta(days=days) for days in (getattr(bucket, "from"), bucket.to))
            expected = sum(
                points
                for expire, points in sums.expiry.items()
                if expire > at and begin <= expire - at and (not bucket.to or expire - at < end)
            )
            assert bucket.points == expected


async def test_it_ties_to_the_totals_of_the_ledger(past: Past) -> None:
    for at in past.instants[::3]:
        told = await report(past.ledger, at)
        request = pb.GetLedgerTotalsRequest(read_time=to_timestamp(at))
        answer = await past.ledger.stub.GetLedgerTotals(request)
        totals = {entry.account: entry.points for entry in answer.totals}
        mine = (told.active_points, told.pending_points, told.held_points, -told.debt_points)
        assert mine == tuple(totals.get(account, 0) for account in (1, 2, 3, 4))
        closing = told.roll_forward[-1].closing_points
        assert closing == sum(mine)
        assert closing == -sum(points for account, points in totals.items() if account > 10)


async def test_every_month_opens_with_what_the_one_before_closed_with(past: Past) -> None:
    """The movements of each month are those of the history, cause by cause."""
    at = past.instants[-1]
    told, sums = await report(past.ledger, at, FIRST), await obvious(past, at)
    assert told.roll_forward[0].opening_points == 0
    assert len(told.roll_forward) == MONTHS + 1
    for before, after in zip(told.roll_forward, told.roll_forward[1:], strict=False):
        assert (before.closing_points, before.end_time) == (after.opening_points, after.start_time)
    for period in told.roll_forward:
        moved = {movement.cause: movement.points for movement in period.movements}
        assert period.closing_points == period.opening_points + sum(moved.values())
        expected = sums.months.get(month_of(from_timestamp(period.start_time)), {})
        redeemed = moved.get(report_pb.MOVEMENT_CAUSE_REDEEMED, 0)
        refunded = moved.get(report_pb.MOVEMENT_CAUSE_REFUNDED, 0)
        assert moved.get(report_pb.MOVEMENT_CAUSE_ISSUED, 0) == expected.get(pb.ACCOUNT_ISSUED, 0)
        assert redeemed + refunded == expected.get(pb.ACCOUNT_REDEEMED, 0)
        assert (redeemed <= 0, refunded >= 0) == (True, True)
        assert moved.get(report_pb.MOVEMENT_CAUSE_EXPIRED, 0) == expected.get(pb.ACCOUNT_EXPIRED, 0)
    causes = {m.cause for period in told.roll_forward for m in period.movements}
    assert {1, 2, 3, 4, 5} <= causes


async def test_a_report_of_the_past_stays_what_it_was(past: Past) -> None:
    """What is booked later changes nothing of it, and it can start anywhere."""
    at = past.instants[4]
    before = await report(past.ledger, at)
    await past.ledger.accrue("late", "30", at=FIRST)
    past.members.append("late")
    assert await report(past.ledger, at) == before
    middle = await report(past.ledger, at, past.instants[2])
    assert middle.roll_forward[-1].closing_points == before.roll_forward[-1].closing_points
    opening = await report(past.ledger, past.instants[2] - timedelta(microseconds=1))
    assert middle.roll_forward[0].opening_points == opening.roll_forward[-1].closing_points


async def test_deferred_revenue_is_the_value_of_what_will_be_used(past: Past) -> None:
    """100 points pay 1.00; shares of cohorts add up to the cent, and breakage has its curve."""
    told = await report(past.ledger, past.instants[-1])

    def cents(money: object) -> int:
        return int(Decimal(money.units) * 100 + Decimal(money.nanos) / 10**7)  # type: ignore[attr-defined]

    breakage = sum(cohort.expected_breakage_points for cohort in told.cohorts)
    assert told.expected_breakage_points == breakage > 0
    assert cents(told.face_value) == told.outstanding_points
    assert cents(told.deferred_revenue) == told.outstanding_points - breakage
    shares = sum(cents(cohort.deferred_revenue) for cohort in told.cohorts)
    assert shares + told.held_points == cents(told.deferred_revenue)
    assert "life table" in told.method
    ages = [step.age_months for step in told.breakage_curve]
    assert ages == list(range(len(ages)))
    by_age = {step.age_months: step.expected_breakage_rate for step in told.breakage_curve}
    latest = month_of(past.instants[-1])
    for cohort in told.cohorts:
        age = (latest.year - cohort.month.year) * 12 + latest.month - cohort.month.month
        rate = Decimal(by_age.get(age, "0"))
        assert cohort.expected_breakage_rate == by_age.get(age, "0")
        assert cohort.expected_breakage_points - cohort.remaining_points * rate < 1
    # Points live five months: what reaches the last of them breaks, unless it is used.
    assert Decimal(by_age[4]) > Decimal(by_age[0]) > 0


async def test_it_ties_when_points_have_moved_in_every_way(ground: Ground) -> None:
    """Gifts, fees, donations, adjustments, closures and mergers each have a line of their own, and
    points that moved stay in the cohort that they were earned in.
    """
    async with ground.house() as house:
        await house.apply(calm_program(multiplied=False))
        await house.start("antifraud", "points")
        counter = Counter(house)
        long_ago = datetime.now(UTC) - timedelta(days=100)
        for member in ("ada", "bea", "cai", "dan"):
            await counter.accrue(member, "1000", at=long_ago)
        await counter.give("ada", "bea", 100)
        await counter.donate("ada", 200)
        await counter.adjust("bea", 50)
        await counter.adjust("bea", -20)
        await counter.close("cai")
        merge = await counter.merge("bea", "dan")
        told = await report(counter)
        [period] = told.roll_forward
        moved = {movement.cause: movement.points for movement in period.movements}
        # What a merger moves leaves one account and enters the other: together it is nothing.
        assert moved == {
            report_pb.MOVEMENT_CAUSE_ISSUED: 4000,
            report_pb.MOVEMENT_CAUSE_FEES: -10,
            report_pb.MOVEMENT_CAUSE_DONATED: -200,
            report_pb.MOVEMENT_CAUSE_ADJUSTED: 30,
            report_pb.MOVEMENT_CAUSE_FORFEITED: -1000,
            report_pb.MOVEMENT_CAUSE_TRANSFERRED_OUT: -1090,
            report_pb.MOVEMENT_CAUSE_TRANSFERRED_IN: 1090,
        }
        assert period.closing_points == told.outstanding_points == 2820
        adjusted, old = sorted(told.cohorts, key=lambda one: one.issued_points)
        assert (adjusted.issued_points, adjusted.remaining_points) == (50, 50)
        assert (old.remaining_points, old.expired_points, old.used_points) == (2770, 1000, 200)
        assert old.issued_points - old.withdrawn_points == 3970
        await counter.undo(merge)
        assert (await report(counter)).outstanding_points == 2820


async def test_what_is_refunded_to_a_closed_account_has_expired_unused(ground: Ground) -> None:
    """The cohort says what the accounts say: nothing of it was used, all of it was forfeited."""
    async with ground.house() as house:
        await house.apply(calm_program(multiplied=False))
        await house.start("antifraud", "points")
        counter = Counter(house)
        await counter.accrue("ada", "110")
        hold = await counter.hold("ada", 100)
        await counter.capture(hold)
        await counter.close("ada")
        [cohort] = (await report(counter)).cohorts
        assert (cohort.used_points, cohort.expired_points) == (100, 10)
        await counter.refund(hold)
        told = await report(counter)
        [cohort] = told.cohorts
        assert (cohort.used_points, cohort.expired_points) == (0, 110)
        [period] = told.roll_forward
        moved = {movement.cause: movement.points for movement in period.movements}
        assert moved == {
            report_pb.MOVEMENT_CAUSE_ISSUED: 110,
            report_pb.MOVEMENT_CAUSE_REDEEMED: -100,
            report_pb.MOVEMENT_CAUSE_REFUNDED: 100,
            report_pb.MOVEMENT_CAUSE_FORFEITED: -110,
        }


async def test_what_is_refunded_after_a_merge_stays_in_the_cohort_it_was_earned_in(
    ground: Ground,
) -> None:
    """Also where the refund opens a lot of its own."""
    async with ground.house() as house:
        await house.apply(calm_program(multiplied=False))
        await house.start("antifraud", "points")
        counter = Counter(house)
        await counter.accrue("ada", "100", at=datetime.now(UTC) - timedelta(days=350))
        hold = await counter.hold("ada", 100)
        await counter.capture(hold)
        await counter.accrue("bea", "1")
        merge = await counter.merge("bea", "ada")
        await counter.refund(hold, 70)
        for undone in (False, True):
            if undone:
                await counter.undo(merge)
            told = [
                (c.issued_points - c.withdrawn_points, c.used_points, c.remaining_points)
                for c in (await report(counter)).cohorts
            ]
            assert told == [(100, 30, 70), (1, 0, 1)]


async def test_an_empty_ledger_owes_nothing(ground: Ground) -> None:
    async with ground.house() as house:
        await house.apply(calm_program())
        await house.start("points")
        told = await report(Ledger(house))
        assert (told.outstanding_points, told.deferred_revenue.units) == (0, 0)
        assert len(told.roll_forward) == 1
        assert not told.cohorts
        assert not told.breakage_curve


async def test_it_ties_while_the_ledger_is_being_written(ledger: Ledger, member: str) -> None:
    """One snapshot, however many steps it takes; one report at a time."""
    writing = True

    async def write(number: int) -> None:
        own = f"{member}-{number}"
        while writing:
            await ledger.accrue(own, "20")
            await ledger.capture(await ledger.hold(own, 10), 5)

    writers = [asyncio.create_task(write(number)) for number in range(8)]
    try:
        for _ in range(5):
            told = await report(ledger)
            assert told.outstanding_points >= 0
    finally:
        writing = False
        await asyncio.gather(*writers)
    answers, refusals = await settled(report(ledger) for _ in range(10))
    assert answers
    assert {(r.code, r.reason) for r in refusals} <= {
        (StatusCode.RESOURCE_EXHAUSTED, "REPORT_BUSY")
    }


async def test_a_report_that_cannot_be_made_says_why(ledger: Ledger, now: datetime) -> None:
    for at, since, reason in (
        (now + timedelta(days=1), None, "TIME_IN_FUTURE"),
        (now, now + timedelta(minutes=1), "TIMES_REVERSED"),
        (now, now - timedelta(days=37 * 31), "REPORT_TOO_LONG"),
    ):
        refusal = await refused(report(ledger, at, since))
        assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, reason)


async def test_lots_that_do_not_add_up_to_the_balances_are_told(ground: Ground) -> None:
    """The report does not paper over a ledger that somebody changed behind its back."""
    async with ground.house() as house:
        await house.apply(calm_program())
        await house.start("antifraud", "points")
        ledger = Ledger(house)
        await ledger.accrue("ada", "10")
        await house.fetch("UPDATE points.transaction SET lot_points = ARRAY[9]")
        refusal = await refused(report(ledger))
        assert (refusal.code, refusal.reason) == (StatusCode.DATA_LOSS, "LEDGER_DOES_NOT_TIE")
        assert refusal.metadata == {"balances": "10", "lots": "9"}
