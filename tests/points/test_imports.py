"""PT-15: balances and history from another system; each row answers for itself, once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from house import new_id
from kit.clock import from_timestamp, to_timestamp
from kit.errors import info_of
from laurel.points.v1 import imports_pb2 as imports
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger
from points_moving import Counter


def balance_row(
    member: str, points: int, earned: datetime, **fields: Any
) -> imports.ImportedBalance:
    """A row of ImportBalances."""
    fields = {"request_id": new_id(), "earned_time": to_timestamp(earned), **fields}
    return imports.ImportedBalance(member_id=member, points=points, **fields)


def history_row(
    member: str, points: int, at: datetime, **fields: Any
) -> imports.ImportedTransaction:
    """A row of ImportTransactions."""
    fields = {"request_id": new_id(), "occurred_time": to_timestamp(at), **fields}
    return imports.ImportedTransaction(member_id=member, points=points, **fields)


async def bring(ledger: Ledger, *rows: imports.ImportedBalance) -> list[imports.ImportResult]:
    """Imports balances."""
    request = imports.ImportBalancesRequest(rows=rows)
    return list((await ledger.stub.ImportBalances(request)).results)


async def bring_history(
    ledger: Ledger, *rows: imports.ImportedTransaction
) -> list[imports.ImportResult]:
    """Imports history."""
    request = imports.ImportTransactionsRequest(rows=rows)
    return list((await ledger.stub.ImportTransactions(request)).results)


def reasons(results: list[imports.ImportResult]) -> list[str]:
    """Why rows were refused; empty for those that were not."""
    return [info_of(r.error).reason if r.HasField("error") else "" for r in results]


async def test_a_balance_has_its_own_earning_time_and_end(
    ledger: Ledger, member: str, now: datetime
) -> None:
    earned, end = now - timedelta(days=400), now + timedelta(days=20)
    results = await bring(
        ledger,
        balance_row(member, 100, earned, expire_time=to_timestamp(end), reference="old-1"),
        balance_row(member, 50, now - timedelta(days=100)),
        balance_row(member, 7, earned, never_expires=True),
    )
    assert [result.imported.active_points for result in results] == [100, 150, 157]
    lots = (await ledger.stub.ListLots(pb.ListLotsRequest(member_id=member))).lots
    forever, year, own = lots
    assert from_timestamp(own.expire_time) == end
    assert from_timestamp(own.origin_time) == earned
    assert own.origin_kind == pb.TRANSACTION_KIND_IMPORT
    assert not forever.HasField("expire_time")
    assert 260 < (from_timestamp(year.expire_time) - now).days < 270
    transactions = await ledger.transactions(member)
    assert {e.account: e.points for e in transactions[0].entries} == {
        pb.ACCOUNT_PARTNER: -100,
        pb.ACCOUNT_ACTIVE: 100,
    }
    assert transactions[0].order_id == "old-1"
    await ledger.hold(member, 157)


async def test_each_row_of_an_import_answers_for_itself(
    ledger: Ledger, member: str, now: datetime
) -> None:
    good = balance_row(member, 10, now)
    reused = balance_row(member, 11, now, request_id=good.request_id)
    results = await bring(
        ledger,
        good,
        balance_row("", 10, now),
        balance_row(member, 10, now - timedelta(days=500)),
        balance_row(member, 10, now + timedelta(days=1)),
        balance_row(member, 10, now, never_expires=True, expire_time=to_timestamp(now)),
        reused,
        good,
        balance_row(member, 5, now),
    )
    assert reasons(results) == [
        "", "INVALID_ARGUMENT", "POINTS_EXPIRED", "TIME_IN_FUTURE", "INVALID_ARGUMENT",
        "REQUEST_ID_REUSED", "", "",
    ]  # fmt: skip
    assert results[0] == results[6]
    assert await ledger.balance(member) == pb.Balance(active=15)


async def test_an_end_that_is_too_far_away_is_told_as_it_was_written(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """Times are moved on from: the last year there is must stay free for that."""
    last, beyond = (datetime(9999, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
    results = await bring(
        ledger, balance_row(member, 1, now, expire_time=to_timestamp(last)),
        balance_row(member, 2, now, expire_time=to_timestamp(beyond)),
    )  # fmt: skip
    assert reasons(results) == ["", "TIME_INVALID"]
    assert results[1].error.message.startswith(
        "9999-12-31T00:00:00Z does not lie between 1900-01-01 and 9999-01-01; give a time that does"
    )
    assert info_of(results[1].error).metadata["time"] == "9999-12-31T00:00:00Z"


async def test_the_answer_says_which_rows_were_booked_before(
    ledger: Ledger, member: str, now: datetime
) -> None:
    first, second, third = (balance_row(member, 10, now) for _ in range(3))
    refused = balance_row(member, 10, now + timedelta(days=1))
    calls = ([first, second, first, refused, refused], [third, second, first, first])
    answers = [
        await ledger.stub.ImportBalances(imports.ImportBalancesRequest(rows=rows)) for rows in calls
    ]
    assert [list(answer.repeat_indexes) for answer in answers] == [[2], [1, 2, 3]]
    assert answers[1].results[1] == answers[0].results[1], "as it was told the first time"


async def test_a_repeated_row_gets_its_first_answer_alone_and_at_once(
    ledger: Ledger, member: str, now: datetime
) -> None:
    rows = [balance_row(member, 10, now) for _ in range(5)]
    answers = await asyncio.gather(*(bring(ledger, *rows) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    await ledger.accrue(member, "1")
    assert await bring(ledger, *rows) == answers[0]
    [other] = await bring(ledger, balance_row(member, 11, now, request_id=rows[0].request_id))
    assert reasons([other]) == ["REQUEST_ID_REUSED"]
    accrual = ledger.accrual(member, "10", request_id=rows[0].request_id)
    bulk = await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=[accrual]))
    assert info_of(bulk.results[0].error).reason == "REQUEST_ID_REUSED"
    assert await ledger.balance(member) == pb.Balance(active=51)


async def test_a_row_under_the_request_id_of_another_call_is_refused_alone(
    counter: Counter, member: str, now: datetime
) -> None:
    """Whatever that call keeps as its answer: it is not the transaction of a row."""
    used = [new_id() for _ in range(4)]
    frozen = f"frozen-{member}"
    await counter.accrue(frozen, "10", request_id=used[0])
    await counter.freeze(frozen, request_id=used[1])
    await counter.unfreeze(frozen, request_id=used[2])
    await counter.adjust(frozen, 5, request_id=used[3])
    rows = [balance_row(member, 10, now, request_id=request_id) for request_id in used]
    results = await bring(counter, *rows, balance_row(member, 7, now))
    assert reasons(results) == [*["REQUEST_ID_REUSED"] * 4, ""]
    history = [history_row(member, 1, now, request_id=used[1]), history_row(member, 2, now)]
    assert reasons(await bring_history(counter, *history)) == ["REQUEST_ID_REUSED", ""]
    assert await counter.balance(member) == pb.Balance(active=9)


async def test_history_opens_lots_and_draws_from_them(
    ledger: Ledger, member: str, now: datetime
) -> None:
    """What was lost there is drawn from what expires first, even where that has expired since."""
    results = await bring_history(
        ledger,
        history_row(member, 100, now - timedelta(days=700), description="a purchase"),
        history_row(member, 60, now - timedelta(days=300)),
        history_row(member, -90, now - timedelta(days=290), order_id="o-1"),
        history_row(member, -10, now - timedelta(days=200), description="expired"),
        history_row(member, -61, now - timedelta(days=100)),
        history_row(member, -20, now - timedelta(days=90)),
    )
    assert reasons(results) == ["", "", "", "", "INSUFFICIENT_POINTS", ""]
    told = [result.imported.active_points for result in results]
    assert told == [100, 160, 70, 60, 0, 40]
    transactions = await ledger.transactions(member)
    assert [t.points for t in transactions] == [100, 60, -90, -10, -20]
    assert transactions[0].explanation.lines[0].reason == "a purchase"
    assert await ledger.balance(member) == pb.Balance(active=40)


async def test_imports_and_purchases_at_once_leave_every_invariant_whole(
    ledger: Ledger, now: datetime
) -> None:
    """`laurel check` looks at the house when the session ends."""
    members = [f"m-{new_id()}" for _ in range(20)]
    await asyncio.gather(
        *(bring(ledger, *(balance_row(m, 10, now) for m in members)) for _ in range(10)),
        *(
            bring_history(ledger, *(history_row(m, 5, now) for m in reversed(members)))
            for _ in range(10)
        ),
        *(ledger.accrue(m, "10") for m in members for _ in range(5)),
    )
    for member in members:
        assert await ledger.balance(member) == pb.Balance(active=10 * 10 + 10 * 5 + 5 * 10)
