"""PT-01, PT-05, PT-07: what a purchase earns, explained, booked once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from grpc import StatusCode
from prometheus_client import REGISTRY

from house import Ground, House, new_id, refused, usd
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger, calm_program
from points_moving import Counter

NO_SPENDING_BY_ARGENT = """\
  rules:
    - name: argent_saves
      operations: [redemption]
      when: member.tier == "argent"
      action: deny
      score: 100
"""


@pytest.fixture
async def calm_house(ground: Ground) -> AsyncIterator[House]:
    """A house of its own, whose program and services a test may change."""
    async with ground.house() as house:
        await house.apply(calm_program())
        yield await house.start("antifraud", "tier", "points")


async def test_a_purchase_earns_a_point_for_each_unit_of_currency(
    ledger: Ledger, member: str
) -> None:
    """PT-01: 1 per 1.00, rounded half up once at the end."""
    transaction = await ledger.accrue(member, "12.50")
    assert transaction.points == 13
    assert (await ledger.balance(member)).active == 13


@pytest.mark.parametrize(
    ("amount", "points"),
    [("0", 0), ("0.01", 0), ("0.49", 0), ("0.50", 1), ("1.49", 1), ("999999.50", 1000000)],
)
async def test_a_fraction_is_rounded_once_at_the_end(
    ledger: Ledger, member: str, amount: str, points: int
) -> None:
    """PT-01: the boundaries of rounding; an accrual of 0 points is booked, too."""
    transaction = await ledger.accrue(member, amount)
    assert transaction.points == points
    assert transaction.transaction_id


async def test_entries_sum_to_zero_and_every_line_is_explained(ledger: Ledger, member: str) -> None:
    """PT-05, PT-07: rule, factor, amount and version stand with the transaction."""
    accrued = await ledger.accrue(member, "100.40")
    request = pb.GetTransactionRequest(member_id=member, transaction_id=accrued.transaction_id)
    transaction = (await ledger.stub.GetTransaction(request)).transaction
    assert transaction == accrued
    assert sum(entry.points for entry in transaction.entries) == 0
    assert {line.rule for line in transaction.explanation.lines if line.applied} >= {
        "spend",
        "rounding",
    }
    assert sum(float(line.points) for line in transaction.explanation.lines) == 100
    assert transaction.explanation.spend == usd("100.40")
    assert transaction.explanation.assessment_id
    assert transaction.program_version == 1


async def test_points_stay_pending_for_the_return_window_and_then_become_active(
    ground: Ground, member: str
) -> None:
    """PT-05: pending for 14 days, then active by maturation; twice and twice at once do no harm."""
    async with ground.house() as house:
        await house.apply(calm_program(pending_days=14))
        await house.start("antifraud", "tier", "points")
        ledger = Ledger(house)
        now = datetime.now(UTC)
        await ledger.accrue(member, "50", at=now - timedelta(days=13))
        assert (await ledger.balance(member)).pending == 50
        early = await ledger.run_maturation(now)
        assert early.matured_lot_count == 0
        runs = await asyncio.gather(
            *(ledger.run_maturation(now + timedelta(days=2)) for _ in range(5))
        )
        assert sum(run.matured_points for run in runs) == 50
        balance = await ledger.balance(member)
        assert (balance.active, balance.pending) == (50, 0)


async def test_a_repeated_accrual_credits_once_and_gets_the_same_answer(
    ledger: Ledger, member: str
) -> None:
    """PT-07: the same id and content again is the stored answer."""
    request = ledger.accrual(member, "20")
    first = await ledger.stub.AccruePoints(request)
    await ledger.accrue(member, "5")
    again = await ledger.stub.AccruePoints(request)
    assert again == first
    assert (await ledger.balance(member)).active == 25


async def test_a_repeat_is_not_counted_as_issued_again(ledger: Ledger, member: str) -> None:
    """OP-02: the metric of issued points counts effects, not calls."""
    labels = {"kind": "accrual", "account": "issued"}

    def issued() -> float:
        return REGISTRY.get_sample_value("laurel_points_moved_total", labels) or 0.0

    request = ledger.accrual(member, "20")
    before = issued()
    for _ in range(3):
        await ledger.stub.AccruePoints(request)
    assert issued() - before == 20


async def test_twenty_at_once_with_one_request_id_credit_once(ledger: Ledger, member: str) -> None:
    request = ledger.accrual(member, "20")
    answers = await asyncio.gather(*[ledger.stub.AccruePoints(request) for _ in range(20)])
    assert len({answer.transaction.transaction_id for answer in answers}) == 1
    assert (await ledger.balance(member)).active == 20


async def test_single_and_bulk_calls_with_one_request_id_at_once_credit_once(
    ledger: Ledger, member: str
) -> None:
    """The bulk call enters below the queue: two batches race for the same id."""
    request = ledger.accrual(member, "20")
    bulk = pb.BatchAccruePointsRequest(requests=[request])
    calls = [ledger.stub.AccruePoints(request) for _ in range(5)]
    bulks = [ledger.stub.BatchAccruePoints(bulk) for _ in range(5)]
    await asyncio.gather(*calls, *bulks)
    assert (await ledger.balance(member)).active == 20


async def test_a_request_id_with_other_content_is_refused(ledger: Ledger, member: str) -> None:
    request = ledger.accrual(member, "20")
    await ledger.stub.AccruePoints(request)
    request.purchase.amount.units = 21
    refusal = await refused(ledger.stub.AccruePoints(request))
    assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert (await ledger.balance(member)).active == 20


async def test_a_request_id_of_another_member_is_refused(ledger: Ledger, member: str) -> None:
    """One effect per request id, for ever and for everybody."""
    request = ledger.accrual(member, "20")
    await ledger.stub.AccruePoints(request)
    request.member_id = f"other-{member}"
    assert (await refused(ledger.stub.AccruePoints(request))).reason == "REQUEST_ID_REUSED"


async def test_each_row_of_a_batch_answers_for_itself(ledger: Ledger, member: str) -> None:
    """PT-15: a bad row, a reused id and a repeated row do not touch their neighbours."""
    good = ledger.accrual(member, "10")
    reused = pb.AccruePointsRequest()
    reused.CopyFrom(good)
    reused.purchase.order_id = "another"
    foreign = ledger.accrual(member, "10")
    foreign.purchase.amount.currency_code = "EUR"
    rows = [good, ledger.accrual("", "10"), reused, good, foreign, ledger.accrual(member, "5")]
    response = await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    outcomes = [result.WhichOneof("outcome") for result in response.results]
    assert outcomes == ["accrued", "error", "error", "accrued", "error", "accrued"]
    assert response.results[0] == response.results[3]
    assert (await ledger.balance(member)).active == 15


async def test_an_order_of_the_past_is_decided_by_the_clock_of_its_time(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-06: the expiry counts from when the purchase was made."""
    old = now - timedelta(days=100)
    accrued = await ledger.accrue(member, "30", at=old)
    expire = accrued.lot_movements[0].expire_time.ToDatetime(UTC)
    assert timedelta(days=360) < expire - old < timedelta(days=370)


async def test_what_anti_fraud_denies_is_not_booked(house: House, member: str) -> None:
    """AF-01: DENY and REVIEW of the sample program, and nothing of the rules in the answer."""
    await house.start("antifraud", "tier", "points")
    ledger = Ledger(house)
    refusal = await refused(ledger.accrue(member, "10000.01"))
    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "DENIED")
    assert "absurd" not in str(refusal.status)
    reviewed = await ledger.accrue(member, "1000.01")
    assert reviewed.explanation.under_review
    balance = await ledger.balance(member)
    assert (balance.active, balance.pending) == (0, 1000)


async def test_a_silent_anti_fraud_books_small_accruals_as_pending_and_refuses_the_rest(
    calm_house: House, member: str
) -> None:
    """AF-06: redemption closed, small accruals pending until a review, above the limit refused."""
    ledger, house = Ledger(calm_house), calm_house
    await ledger.accrue(member, "300")
    await house.stop("antifraud")
    small = await ledger.accrue(member, "500")
    assert small.explanation.under_review
    large = await refused(ledger.accrue(member, "501"))
    assert (large.code, large.reason) == (StatusCode.UNAVAILABLE, "ANTIFRAUD_UNAVAILABLE")
    hold = await refused(ledger.stub.HoldPoints(ledger.holding(member, 100)))
    assert (hold.code, hold.reason) == (StatusCode.UNAVAILABLE, "ANTIFRAUD_UNAVAILABLE")
    balance = await ledger.balance(member)
    assert (balance.active, balance.pending, balance.held) == (300, 500, 0)


async def test_repeats_get_their_first_answers_while_anti_fraud_is_silent(
    calm_house: House, member: str
) -> None:
    """PT-07, AF-06: what was booked is answered, whatever would become of it today."""
    ledger, house = Ledger(calm_house), calm_house
    accrual, holding = ledger.accrual(member, "5000"), ledger.holding(member, 100)
    accrued = await ledger.stub.AccruePoints(accrual)
    held = await ledger.stub.HoldPoints(holding)
    await house.stop("antifraud")
    assert await ledger.stub.AccruePoints(accrual) == accrued
    assert await ledger.stub.HoldPoints(holding) == held
    reused = pb.AccruePointsRequest()
    reused.CopyFrom(accrual)
    reused.purchase.amount.units = 6000
    assert (await refused(ledger.stub.AccruePoints(reused))).reason == "REQUEST_ID_REUSED"


async def test_a_reused_request_id_does_not_send_its_batch_past_anti_fraud(
    ledger: Ledger, member: str
) -> None:
    """AF-06: only its own row is refused; the neighbours are assessed as ever."""
    first = ledger.accrual(member, "20")
    booked = (await ledger.stub.AccruePoints(first)).transaction
    reused = pb.AccruePointsRequest()
    reused.CopyFrom(first)
    reused.purchase.amount.units = 21
    rows = [reused, ledger.accrual(member, "700"), first]
    response = await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    outcomes = [result.WhichOneof("outcome") for result in response.results]
    assert outcomes == ["error", "accrued", "accrued"]
    assert not response.results[1].accrued.under_review
    assert response.results[2].accrued.transaction_id == booked.transaction_id
    assert (await ledger.balance(member)).active == 720


async def test_the_tier_multiplies_even_for_a_member_whom_points_meets_for_the_first_time(
    calm_house: House,
) -> None:
    """PT-01: 128.50 spent by a silver member at 1 per 1.00 x 1.2 makes 154."""
    house = calm_house
    ledger, member = Ledger(house), new_id()
    await ledger.accrue(member, "120")
    await house.settle()
    accrued = await ledger.accrue(member, "128.50")
    assert accrued.points == 154
    assert accrued.explanation.tier_id == "silver"
    # Points has forgotten the member: it asks the tier service.
    await house.fetch("UPDATE points.account SET tier_id = NULL WHERE member_id = $1", member)
    assert (await ledger.accrue(member, "128.50")).points == 154
    # The news of gold has come, and cannot come once it is forgotten.
    await house.settle()
    await house.fetch("UPDATE points.account SET tier_id = NULL WHERE member_id = $1", member)
    await house.stop("tier")
    unknown = await ledger.accrue(member, "128.50")
    assert unknown.points == 129
    assert any(
        line.rule == "tier_multiplier" and not line.applied for line in unknown.explanation.lines
    )


async def test_pt_01_a_tier_that_left_the_ladder_multiplies_as_the_one_that_it_counts_as(
    calm_house: House, member: str
) -> None:
    """TR-03: silver has another id now; who holds it keeps it, and its factor, until the review."""
    ledger, house = Ledger(calm_house), calm_house
    await ledger.accrue(member, "120")
    await house.settle()
    renamed = calm_program().replace("id: silver", "id: argent")
    await house.apply(renamed.replace("tier_id: silver", "tier_id: argent"))
    await house.settle()
    accrued = await ledger.accrue(member, "128.50")
    assert (accrued.points, accrued.explanation.tier_id) == (154, "argent")
    assert (await ledger.reverse(accrued)).transaction.points == -154
    assert (await ledger.balance(member)).active == 120


async def test_af_02_rules_on_spending_see_the_tier_that_one_which_left_the_ladder_counts_as(
    calm_house: House, member: str
) -> None:
    """As those on earning do: holds and donations of who holds silver, which is now argent."""
    house = calm_house
    counter = Counter(house)
    # Silver, and with points enough.
    await counter.accrue(member, "120")
    await counter.adjust(member, 1000)
    await house.settle()
    renamed = calm_program().replace("id: silver", "id: argent")
    await house.apply(renamed.replace("  rules: []\n", NO_SPENDING_BY_ARGENT))
    await house.settle()
    for spending in (counter.hold(member, 100), counter.donate(member, 1000)):
        assert (await refused(spending)).reason == "DENIED"
