"""PT-07: what the ledger says, page by page, to the point; and that nobody can change it."""

import asyncio
from datetime import datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from grpc import StatusCode

from house import House, refused
from kit.clock import from_timestamp
from kit.paging import encode_token
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger

MEMBERS = (pb.ACCOUNT_ACTIVE, pb.ACCOUNT_PENDING, pb.ACCOUNT_HELD, pb.ACCOUNT_DEBT)
TABLES = ("account", "lot", "hold", "hold_lot", "accrual_return", "transaction")


async def page(
    ledger: Ledger, member: str, size: int, token: str = ""
) -> pb.ListTransactionsResponse:
    """A page of a member's transactions."""
    request = pb.ListTransactionsRequest(member_id=member, page_size=size, page_token=token)
    return await ledger.stub.ListTransactions(request)


async def test_pages_neither_miss_nor_repeat_a_transaction_while_new_ones_come(
    ledger: Ledger, member: str
) -> None:
    """Newest first; what comes after the first page belongs on none of the later ones."""
    booked = [(await ledger.accrue(member, "1")).transaction_id for _ in range(25)]
    seen: list[str] = []
    token = ""
    for size in (10, 10, 5):
        response = await page(ledger, member, size, token)
        seen += [transaction.transaction_id for transaction in response.transactions]
        token = response.next_page_token
        await asyncio.gather(*(ledger.accrue(member, "1") for _ in range(3)))
    assert seen == booked[::-1]
    assert not token
    assert len(await ledger.transactions(member)) == 34


async def test_a_page_holds_fifty_unless_asked_and_a_thousand_at_most(
    ledger: Ledger, member: str
) -> None:
    rows = [ledger.accrual(member, "1") for _ in range(60)]
    await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    assert len((await page(ledger, member, 0)).transactions) == 50
    assert len((await page(ledger, member, 1000)).transactions) == 60
    assert (await refused(page(ledger, member, 1001))).code == StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "token", ["x", "bm90IGEgbGlzdA==", encode_token("no id"), encode_token(5), "\N{SNOWMAN}"]
)
async def test_a_page_token_that_no_list_gave_out_is_refused(
    ledger: Ledger, member: str, token: str
) -> None:
    refusal = await refused(page(ledger, member, 10, token))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_a_transaction_is_found_by_its_own_member_alone(ledger: Ledger, member: str) -> None:
    accrual = await ledger.accrue(member, "10")
    for owner, transaction_id in (
        (member, str(uuid4())),
        (f"other-{member}", accrual.transaction_id),
    ):
        request = pb.GetTransactionRequest(member_id=owner, transaction_id=transaction_id)
        refusal = await refused(ledger.stub.GetTransaction(request))
        assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "TRANSACTION_NOT_FOUND")
    assert not (await page(ledger, f"other-{member}", 10)).transactions


async def test_a_stranger_has_a_balance_of_zeros(ledger: Ledger, member: str) -> None:
    response = await ledger.stub.GetBalance(pb.GetBalanceRequest(member_id=member))
    assert response == pb.GetBalanceResponse(balance=pb.Balance())


async def test_a_balance_says_when_the_next_points_expire(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """Of all lots that end at that instant, what is left in them."""
    soon = now - timedelta(days=200)
    lots = [await ledger.accrue(member, "10", at=soon) for _ in range(2)]
    late = await ledger.accrue(member, "50", at=now - timedelta(days=100))
    request = pb.GetBalanceRequest(member_id=member)
    await ledger.hold(member, 5)
    response = await ledger.stub.GetBalance(request)
    assert response.next_expire_time == lots[0].lot_movements[0].expire_time
    assert response.next_expire_points == 15
    await ledger.hold(member, 15)
    response = await ledger.stub.GetBalance(request)
    assert response.next_expire_time == late.lot_movements[0].expire_time
    assert response.next_expire_points == 50
    await ledger.hold(member, 50)
    response = await ledger.stub.GetBalance(request)
    assert (response.HasField("next_expire_time"), response.next_expire_points) == (False, 0)


async def test_each_transaction_shows_the_balance_that_its_entries_made(
    ledger: Ledger, member: str
) -> None:
    """PT-07: so the balance at any past instant is that of the last transaction before it."""
    accrual = await ledger.accrue(member, "100")
    hold = await ledger.hold(member, 60)
    await ledger.capture(hold, 20, release_rest=True)
    await ledger.reverse(accrual)
    await ledger.refund(hold, 15)
    await ledger.accrue(member, "12")
    sums = dict.fromkeys(MEMBERS, 0)
    transactions = await ledger.transactions(member)
    assert len(transactions) == 6
    for transaction in transactions:
        for entry in transaction.entries:
            if entry.account in sums:
                sums[entry.account] += entry.points
        after = transaction.balance_after
        assert [after.active, after.pending, after.held, -after.debt] == list(sums.values())
        assert sum(entry.points for entry in transaction.entries) == 0
    assert transactions[-1].balance_after == await ledger.balance(member)
    times = [from_timestamp(transaction.record_time) for transaction in transactions]
    assert times == sorted(times)


async def test_every_point_spent_names_its_lot_and_the_accrual_that_earned_it(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """PT-07: of a hold that is captured in parts, each capture names its own stretch."""
    accruals = [
        await ledger.accrue(member, amount, at=now - timedelta(days=days))
        for amount, days in (("10", 30), ("25", 20), ("40", 10))
    ]
    hold = await ledger.hold(member, 60)
    captures = [
        (await ledger.capture(hold, points, release_rest=last)).transaction.transaction_id
        for points, last in ((7, False), (20, False), (20, True))
    ]
    spent = []
    for transaction_id in captures:
        request = pb.GetTransactionRequest(member_id=member, transaction_id=transaction_id)
        told = (await ledger.stub.GetTransaction(request)).transaction
        spent.append([(lot.accrual_transaction_id, lot.points) for lot in told.spent_lots])
        assert told in await ledger.transactions(member)
    first, second, third = (accrual.transaction_id for accrual in accruals)
    assert spent == [[(first, 7)], [(first, 3), (second, 17)], [(second, 8), (third, 12)]]
    parts = await ledger.house.fetch(
        "SELECT captured FROM points.hold_lot WHERE member_id = $1 ORDER BY ordinal", member
    )
    assert [row["captured"] for row in parts] == [10, 25, 12]


async def test_totals_sum_to_zero_and_tie_to_the_balances(ledger: Ledger, member: str) -> None:
    """Invariant 10: what members hold is what was issued less what was taken back."""
    await ledger.reverse(await ledger.accrue(member, "100"), "30")
    await ledger.capture(await ledger.hold(member, 20), 10)
    response = await ledger.stub.GetLedgerTotals(pb.GetLedgerTotalsRequest())
    totals = {entry.account: entry.points for entry in response.totals}
    assert sum(totals.values()) == 0
    [row] = await ledger.house.fetch(
        "SELECT sum(active) AS active, sum(pending) AS pending, sum(held) AS held,"
        " -sum(debt) AS debt, count(*) AS members,"
        " (SELECT count(*) FROM points.transaction) AS transactions FROM points.account"
    )
    assert [totals.get(account, 0) for account in MEMBERS] == list(row)[:4]
    assert (response.member_count, response.transaction_count) == (row[4], row[5])
    before = totals
    await ledger.accrue(member, "7")
    response = await ledger.stub.GetLedgerTotals(pb.GetLedgerTotalsRequest())
    totals = {entry.account: entry.points for entry in response.totals}
    assert totals[pb.ACCOUNT_ISSUED] == before[pb.ACCOUNT_ISSUED] - 7
    assert totals[pb.ACCOUNT_ACTIVE] == before[pb.ACCOUNT_ACTIVE] + 7


async def test_partitions_to_come_are_as_closed_as_those_there_are(calm: House) -> None:
    """PT-07, SC-02: the service may read history and add to it, now and next year."""
    await calm.fetch("SELECT points.ensure_partitions(now() + interval '1 year')")
    may = await calm.fetch(
        "SELECT c.relname, p.privilege FROM pg_class AS c CROSS JOIN unnest(ARRAY["
        "'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'"
        "]) AS p (privilege) WHERE c.relnamespace = 'points'::regnamespace"
        " AND c.relname ~ '^transaction' AND c.relkind IN ('r', 'p')"
        " AND has_table_privilege('laurel_points', c.oid, p.privilege)"
    )
    assert {tuple(row) for row in may} == {("transaction", "SELECT"), ("transaction", "INSERT")}
    owned = await calm.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'points'::regnamespace"
        " AND relowner = 'laurel_points'::regrole"
    )
    assert owned == [], "an owner may do everything, and give itself more"


async def test_the_service_itself_cannot_change_history(calm: House, ledger: Ledger) -> None:
    """PT-07, SC-02: append-only by permission of the database, in every partition."""
    await ledger.accrue("history", "1")
    partitions = await calm.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'points.transaction'::regclass"
    )
    history = ["points.transaction", *(row["name"] for row in partitions)]
    assert len(history) >= 4
    statements = [f"UPDATE {table} SET kind = 2" for table in history]
    statements += [f"TRUNCATE {table}" for table in history]
    statements += [f"DELETE FROM {table}" for table in history]
    statements += [f"DELETE FROM points.{table}" for table in TABLES]
    statements += [f"DROP TABLE points.{table}" for table in TABLES]
    connection = await asyncpg.connect(calm.settings.database_url)
    try:
        await connection.execute("SET ROLE laurel_points")
        assert await connection.fetchval("SELECT count(*) FROM points.transaction")
        for statement in statements:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
