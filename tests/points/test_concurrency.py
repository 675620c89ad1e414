"""The ledger's invariants while two hundred callers write at once, and when answers get lost."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import grpc
import pytest
from grpc import StatusCode

from cli.check import run_checks
from house import Ground, House, Refused, new_id, refused, usd
from kit.clock import to_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from points_ledger import Ledger, calm_program, settled
from step_ups import until

SEED = 20_261_124
CALLERS = 200
WRITES = 6
MEMBERS = 5
EXPECTED = {
    "INSUFFICIENT_POINTS",
    "HOLD_NOT_OPEN",
    "HOLD_EXCEEDED",
    "REFUND_EXCEEDED",
    "RETURN_EXCEEDED",
}
Send = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
async def busy(ground: Ground) -> AsyncIterator[House]:
    """A house of its own: what stands in its ledger is what these tests were answered."""
    async with ground.house() as house:
        await house.apply(calm_program(multiplied=False))
        await house.start("antifraud", "tier", "points")
        yield house


class Crowd:
    """Callers that share members, holds and accruals, and note every answer they get."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.stub = ledger.stub
        self.members = [f"m-{new_id()}" for _ in range(MEMBERS)]
        self.booked: dict[str, pb.Transaction] = {}
        self.accruals: list[pb.Transaction] = []
        self.holds: list[str] = []
        self.sent: list[tuple[Send, Any]] = []
        self.refusals: Counter[str] = Counter()

    async def call_at_random(self, random: Random) -> None:
        """Writes in a row; one in four was sent before or is sent twice at once."""
        for _ in range(WRITES):
            chance = random.random()
            if chance < 0.15 and self.sent:
                await self.send(*random.choice(self.sent))
            elif chance < 0.25:
                send, request = self.choose(random)
                await asyncio.gather(self.send(send, request), self.send(send, request))
            else:
                await self.send(*self.choose(random))

    def choose(self, random: Random) -> tuple[Send, Any]:
        """A write of any kind, on anything that is known."""
        member, kind = random.choice(self.members), random.randrange(10)
        request_id = f"{random.getrandbits(64):x}"
        if kind < 3 or not self.accruals:
            amount = str(random.randint(1, 100))
            return self.stub.AccruePoints, self.ledger.accrual(
                member,
                amount,
                request_id=request_id,
                purchase=pb.Purchase(order_id=request_id, amount=usd(amount)),
            )
        if kind < 5 or not self.holds:
            points = random.randint(1, 60)
            holding = self.ledger.holding(
                member, points, request_id=request_id, order_id=request_id
            )
            return self.stub.HoldPoints, holding
        if kind == 5:
            return self.stub.ReverseAccrual, self.returning(random, request_id)
        hold_id, points = random.choice(self.holds), random.randint(0, 30)
        if kind < 8:
            return self.stub.CapturePoints, pb.CapturePointsRequest(
                request_id=request_id,
                hold_id=hold_id,
                points=points,
                release_rest=random.random() < 0.2,
            )
        if kind == 8:
            release = pb.ReleaseHoldRequest(request_id=request_id, hold_id=hold_id)
            return self.stub.ReleaseHold, release
        refund = pb.RefundPointsRequest(request_id=request_id, hold_id=hold_id, points=points)
        return self.stub.RefundPoints, refund

    def returning(self, random: Random, request_id: str) -> pb.ReverseAccrualRequest:
        """A return of a part of some purchase, or of all that is left of it."""
        accrual = random.choice(self.accruals)
        amount = usd(str(random.randint(1, 40))) if random.random() < 0.6 else None
        return pb.ReverseAccrualRequest(
            request_id=request_id,
            member_id=accrual.member_id,
            transaction_id=accrual.transaction_id,
            returned_amount=amount,
        )

    async def send(self, send: Send, request: Any) -> None:
        """Sends a request and notes what came of it."""
        self.sent.append((send, request))
        try:
            answer = await send(request)
        except grpc.aio.AioRpcError as error:
            self.refusals[Refused(error).reason] += 1
            return
        transaction = answer.transaction
        known = self.booked.setdefault(request.request_id, transaction)
        assert known == transaction, "two answers to one request"
        if transaction.kind == pb.TRANSACTION_KIND_ACCRUAL:
            self.accruals.append(transaction)
        elif transaction.kind == pb.TRANSACTION_KIND_HOLD:
            self.holds.append(transaction.hold_id)


async def test_what_was_acknowledged_is_what_the_ledger_holds(busy: House) -> None:
    """Invariants 1 to 6 and 10, under 200 callers on 5 members with every kind of write."""
    crowd = Crowd(Ledger(busy))
    await asyncio.gather(
        *(crowd.call_at_random(Random(SEED + number)) for number in range(CALLERS))
    )
    assert set(crowd.refusals) <= EXPECTED, crowd.refusals
    kinds = {transaction.kind for transaction in crowd.booked.values()}
    assert len(kinds) == 6, kinds
    sums: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for transaction in crowd.booked.values():
        for entry in transaction.entries:
            sums[transaction.member_id][entry.account] += entry.points
    for member in crowd.members:
        balance = await crowd.ledger.balance(member)
        assert balance == pb.Balance(
            active=sums[member][pb.ACCOUNT_ACTIVE],
            pending=sums[member][pb.ACCOUNT_PENDING],
            held=sums[member][pb.ACCOUNT_HELD],
            debt=-sums[member][pb.ACCOUNT_DEBT],
        )
    stored = [t for member in crowd.members for t in await crowd.ledger.transactions(member)]
    for transaction in stored:
        # Told by reads alone.
        transaction.ClearField("spent_lots")
    assert {t.request_id: t for t in stored} == crowd.booked
    assert len(stored) == len(crowd.booked)


async def test_two_processes_share_one_ledger(busy: House) -> None:
    """Invariant 4: who loses the race for a request id gives the winner's answer."""
    ledger, member = Ledger(busy), f"m-{new_id()}"
    async with busy.twin("points") as channel:
        stubs = (ledger.stub, PointsServiceStub(channel))
        for _ in range(5):
            request = ledger.accrual(member, "15")
            answers = await asyncio.gather(
                *(stubs[number % 2].AccruePoints(request) for number in range(20))
            )
            assert all(answer == answers[0] for answer in answers)
        won, lost = await settled(
            [stubs[n % 2].HoldPoints(ledger.holding(member, 10)) for n in range(20)]
        )
        assert (len(won), {one.reason for one in lost}) == (7, {"INSUFFICIENT_POINTS"})
        due = pb.RunExpiryRequest(as_of_time=to_timestamp(datetime.now(UTC) + timedelta(hours=1)))
        runs = await asyncio.gather(*(stub.RunExpiry(due) for stub in stubs))
        assert sum(run.expired_hold_count for run in runs) >= 7
        assert await ledger.balance(member) == pb.Balance(active=75)


@pytest.mark.parametrize("kind", ["hold", "redeem", "capture", "release", "refund", "reverse"])
async def test_a_repeat_at_another_process_is_not_refused_for_what_it_did_itself(
    busy: House, kind: str
) -> None:
    """Invariant 4: whoever waits for the account longer finds what the other one has booked."""
    ledger, member = Ledger(busy), f"m-{new_id()}"
    method, request = await a_write_of_all_points(ledger, member, kind)
    # News of the tier would wait for the account, too.
    await busy.settle()
    owner = await asyncpg.connect(busy.settings.database_url)
    async with busy.twin("points") as channel:
        async with owner.transaction():
            lock = "SELECT 1 FROM points.account WHERE member_id = $1 FOR UPDATE"
            await owner.execute(lock, member)
            stubs = (ledger.stub, PointsServiceStub(channel))
            calls = asyncio.gather(*(getattr(stub, method)(request) for stub in stubs))
            await until(lambda: two_wait_for_a_lock(busy))
        first, second = await calls
    await owner.close()
    assert first == second


async def a_write_of_all_points(ledger: Ledger, member: str, kind: str) -> tuple[str, Any]:
    """A write that could not be made twice, all points of a member being needed for it."""
    accrual = await ledger.accrue(member, "100")
    if kind == "hold":
        return "HoldPoints", ledger.holding(member, 100)
    if kind == "redeem":
        values = {"request_id": new_id(), "order_id": new_id(), "member_id": member}
        return "RedeemPoints", pb.RedeemPointsRequest(points=100, **values)
    if kind == "reverse":
        return "ReverseAccrual", pb.ReverseAccrualRequest(
            request_id=new_id(), member_id=member, transaction_id=accrual.transaction_id
        )
    hold = await ledger.hold(member, 100)
    known = {"request_id": new_id(), "hold_id": hold.hold_id}
    if kind == "capture":
        return "CapturePoints", pb.CapturePointsRequest(**known)
    if kind == "release":
        return "ReleaseHold", pb.ReleaseHoldRequest(**known)
    await ledger.capture(hold)
    return "RefundPoints", pb.RefundPointsRequest(**known)


async def two_wait_for_a_lock(house: House) -> bool:
    """Whether two transactions of points stand still, each behind another one."""
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND application_name = 'laurel-points' AND datname = current_database()"
    )
    return len(await house.fetch(waiting)) == 2


async def test_processes_that_start_at_once_make_each_partition_once(busy: House) -> None:
    """Every process makes the partitions of the months ahead when it starts."""
    database = busy.running["points"].service.database
    assert database is not None
    month = datetime(2031, 5, 15, tzinfo=UTC)

    async def ensure() -> Any:
        async with database.transaction() as tx:
            return await tx.fetchval("ensure_partitions", month)

    made = await asyncio.gather(*(ensure() for _ in range(5)))
    assert sorted(made) == [0, 0, 0, 0, 3]


async def test_history_in_the_default_partition_stops_nobody_from_starting(busy: House) -> None:
    """Rows of a month without a partition stay where they are; the months after it get theirs."""
    connection = await asyncpg.connect(busy.settings.database_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SET LOCAL search_path = points")
        await connection.execute(
            "INSERT INTO transaction (member_id, transaction_id, kind, sources, targets, points,"
            " lot_ids, lot_points, active_after, pending_after, held_after, debt_after,"
            " program_version, occurred_time, record_time) VALUES"
            " ('m', uuid7_floor('2033-03-10'), 1, '{}', '{}', '{}', '{}', '{}', 0, 0, 0, 0, 1,"
            " now(), now())"
        )
        made = await connection.fetchval("SELECT ensure_partitions('2033-03-15')")
        assert made == 2
        await transaction.rollback()
    finally:
        await connection.close()


async def test_an_answer_that_came_too_late_is_given_again(busy: House) -> None:
    """Invariant 4: the batch commits after the deadline; the retry has no second effect."""
    ledger, member = Ledger(busy), f"m-{new_id()}"
    await ledger.accrue(member, "100")
    holding = ledger.holding(member, 30)
    owner = await asyncpg.connect(busy.settings.database_url)
    async with owner.transaction():
        await owner.execute("SELECT 1 FROM points.account WHERE member_id = $1 FOR UPDATE", member)
        late = await refused(ledger.stub.HoldPoints(holding, timeout=0.3))
        assert late.code is StatusCode.DEADLINE_EXCEEDED
        assert (await ledger.balance(member)).held == 0
    await owner.close()
    answers = await asyncio.gather(*[ledger.stub.HoldPoints(holding) for _ in range(5)])
    assert all(answer == answers[0] for answer in answers)
    assert await ledger.balance(member) == pb.Balance(active=70, held=30)
    assert len(await ledger.transactions(member)) == 2


async def test_whoever_retries_until_an_answer_comes_has_one_effect(busy: House) -> None:
    """Deadlines of a few milliseconds, on every write, before and after the commit."""
    ledger, member = Ledger(busy), f"m-{new_id()}"
    lost = 0

    async def insist(send: Send, request: Any) -> Any:
        nonlocal lost
        for attempt in range(100):
            try:
                return await send(request, timeout=0.001 * (attempt + 1))
            except grpc.aio.AioRpcError as error:
                assert error.code() is StatusCode.DEADLINE_EXCEEDED  # noqa: PT017
                lost += 1
        raise AssertionError("no answer came")

    stub = ledger.stub
    for _ in range(5):
        accrual = (await insist(stub.AccruePoints, ledger.accrual(member, "20"))).transaction
        hold_id = (await insist(stub.HoldPoints, ledger.holding(member, 15))).hold.hold_id
        capture = pb.CapturePointsRequest(request_id=new_id(), hold_id=hold_id, points=10)
        await insist(stub.CapturePoints, capture)
        release = pb.ReleaseHoldRequest(request_id=new_id(), hold_id=hold_id)
        await insist(stub.ReleaseHold, release)
        refund = pb.RefundPointsRequest(request_id=new_id(), hold_id=hold_id, points=4)
        await insist(stub.RefundPoints, refund)
        returning = pb.ReverseAccrualRequest(
            request_id=new_id(),
            member_id=member,
            transaction_id=accrual.transaction_id,
            returned_amount=usd("5"),
        )
        await insist(stub.ReverseAccrual, returning)
    assert lost
    assert await ledger.balance(member) == pb.Balance(active=5 * (20 - 10 + 4 - 5))
    assert len(await ledger.transactions(member)) == 5 * 6


async def test_the_checks_find_nothing_in_what_the_callers_have_left(busy: House) -> None:
    """What `laurel check` verifies, right after the crowd has left."""
    await busy.settle()
    outcomes = await run_checks(busy.settings.database_url)
    assert outcomes
    assert not [outcome for outcome in outcomes if outcome.violations]
