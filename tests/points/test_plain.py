"""Plain accruals go a lean way, and nobody can tell: answers, history and refusals are the same."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from house import House, new_id, usd
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger

BATCH = 500


async def history(ledger: Ledger, transaction: pb.Transaction) -> pb.Transaction:
    """A transaction as it is read later."""
    request = pb.GetTransactionRequest(
        member_id=transaction.member_id, transaction_id=transaction.transaction_id
    )
    return (await ledger.stub.GetTransaction(request)).transaction


@pytest.mark.parametrize("amount", ["0.50", "1", "12.34", "99999999.99"])
async def test_pt_05_history_tells_the_same_as_the_answer(
    ledger: Ledger, member: str, amount: str
) -> None:
    at = datetime.now(UTC) - timedelta(days=3)
    answer = await ledger.accrue(member, amount, at)
    assert answer.explanation.lines
    assert answer.explanation.assessment_id
    assert await history(ledger, answer) == answer
    assert await ledger.transactions(member) == [answer]


async def test_pt_05_what_is_stored_of_a_plain_accrual_is_what_decided_it(
    calm: House, ledger: Ledger, member: str
) -> None:
    answer = await ledger.accrue(member, "12.34")
    owner = await asyncpg.connect(calm.settings.database_url)
    stored = await owner.fetchval(
        "SELECT explanation::text FROM points.transaction WHERE transaction_id = $1",
        answer.transaction_id,
    )
    await owner.close()
    assert '"held": "1"' in stored
    assert "lines" not in stored


async def test_pt_15_a_batch_and_single_calls_book_the_same(ledger: Ledger, member: str) -> None:
    single = await ledger.accrue(member, "12.34")
    response = await ledger.stub.BatchAccruePoints(
        pb.BatchAccruePointsRequest(requests=[ledger.accrual(member, "12.34")])
    )
    accrued = response.results[0].accrued
    assert accrued.points == single.points
    assert accrued.balance_after == pb.Balance(active=2 * single.points)
    newest = (await ledger.transactions(member))[-1]
    assert newest.transaction_id == accrued.transaction_id
    assert newest.explanation.lines == single.explanation.lines


async def test_many_rows_of_one_member_add_up_row_by_row(ledger: Ledger, member: str) -> None:
    rows = [ledger.accrual(member, "1") for _ in range(BATCH)]
    response = await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    after = [result.accrued.balance_after.active for result in response.results]
    assert after == list(range(1, BATCH + 1))
    assert (await ledger.balance(member)).active == BATCH


async def test_pt_09_a_debt_made_in_the_meantime_is_paid_first(
    calm: House, ledger: Ledger, member: str
) -> None:
    """The batch finds the account without a debt; when it books, there is one."""
    accrual = await ledger.accrue(member, "100")
    await ledger.capture(await ledger.hold(member, 100))
    owner = await asyncpg.connect(calm.settings.database_url)
    async with owner.transaction():
        await owner.execute("SELECT 1 FROM points.account WHERE member_id = $1 FOR UPDATE", member)
        reversal = asyncio.create_task(ledger.reverse(accrual))
        await asyncio.sleep(0.3)
        rows = [ledger.accrual(member, "30"), ledger.accrual(f"m-{new_id()}", "5")]
        batch = pb.BatchAccruePointsRequest(requests=rows)
        accruals = asyncio.ensure_future(ledger.stub.BatchAccruePoints(batch))
        await asyncio.sleep(0.3)
    await owner.close()
    assert (await reversal).debt_points == 100
    results = (await accruals).results
    assert [result.accrued.points for result in results] == [30, 5]
    assert results[0].accrued.balance_after == pb.Balance(debt=70)
    newest = (await ledger.transactions(member))[-1]
    assert [line.rule for line in newest.explanation.lines] == ["spend", "debt_repaid"]


async def test_a_row_at_fault_is_answered_by_itself_among_plain_ones(
    ledger: Ledger, member: str
) -> None:
    rows = [
        ledger.accrual(member, "1"),
        ledger.accrual("", "1"),
        ledger.accrual(member, "1", request_id="x" * 129),
        ledger.accrual(member, "1", purchase=pb.Purchase(order_id="o")),
        ledger.accrual(f"{member}-ü", "1"),
        ledger.accrual(member, "1", purchase=pb.Purchase(order_id="a\0b", amount=usd("1"))),
        ledger.accrual(member, "1", datetime.now(UTC) + timedelta(hours=1)),
    ]
    response = await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    booked = [result.HasField("accrued") for result in response.results]
    assert booked == [True, False, False, False, True, False, False]


async def test_crossing_batches_of_the_same_members_all_end(ledger: Ledger) -> None:
    members = [f"m-{new_id()}" for _ in range(40)]
    batches = [
        pb.BatchAccruePointsRequest(
            requests=[ledger.accrual(member, "1") for member in order for _ in range(3)]
        )
        for order in (members, members[::-1]) * 5
    ]
    responses = await asyncio.gather(*map(ledger.stub.BatchAccruePoints, batches))
    assert all(r.HasField("accrued") for response in responses for r in response.results)
    for member in members:
        balance = await ledger.balance(member)
        assert balance.active + balance.pending == 30


async def test_pt_15_rows_of_a_member_take_effect_in_their_order_plain_or_not(
    ledger: Ledger, member: str
) -> None:
    """A row that earns nothing goes the general way; what comes after it must not overtake it."""
    rows = [ledger.accrual(member, amount) for amount in ("1", "0.01", "2", "0.01", "3")]
    response = await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    accrued = [result.accrued for result in response.results]
    assert [(one.points, one.balance_after.active) for one in accrued] == [
        (1, 1), (0, 1), (2, 3), (0, 3), (3, 6),
    ]  # fmt: skip
    booked = [one.transaction_id for one in await ledger.transactions(member)]
    assert booked == [one.transaction_id for one in accrued]
