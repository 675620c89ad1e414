"""PT-01 to PT-12, PT-15 against an obvious ledger: random interleavings of the public calls, with
repeats, jumps of time and changes of the program, compared after each step.

200 runs of 50 steps, or as many as LAUREL_MODEL_RUNS says. Time is a clock that the machine holds
in its hand: every instant of every answer is foretold.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, TypeVar

import grpc
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cli.check import run_checks
from house import Ground, House, new_id, usd
from kit.clock import from_timestamp, to_timestamp
from kit.errors import info_of, reason_of
from laurel.points.v1 import adjustments_pb2 as adjustments
from laurel.points.v1 import imports_pb2 as imports
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1 import transfers_pb2 as transfers
from obvious_ledger import NEVER, Booking, Hold, Lot, Member, Purchase, Refusal, Rules
from points_moving import Counter as Ledger
from rules.feed import ProgramFeed

RUNS = int(os.environ.get("LAUREL_MODEL_RUNS", "200"))
STEPS = 50
# To find the shortest run that fails takes minutes: for whoever asks for a number of runs.
PHASES = tuple(Phase) if "LAUREL_MODEL_RUNS" in os.environ else (Phase.reuse, Phase.generate)
MEMBERS = 3
VARIANTS = [
    {"rate": rate, "pending_days": pending, "months": months, "floor_days": floor}
    for rate, pending, months, floor in [
        (1, 0, 12, 30), (2, 7, 12, 30), (1, 14, 3, 5), (3, 0, 0, 30), (5, 3, 1, 45),
    ]
]  # fmt: skip
PROGRAM = """
name: A model of a program
time_zone: America/New_York
currency: USD
earning:
  rules:
    - name: spend
      points_per_unit: {rate}
    - name: imports
      when: '"imports" in order.categories'
      points_per_unit: 0.5
  pending_days: {pending_days}
  rounding: half_up
expiry:
  rolling_months: {months}
  warning_days: [30, 7]
  restored_days_min: {floor_days}
redemption:
  points_per_unit: 100
  points_share_max: 0.5
  points_min: 1
  hold_minutes: 30
  quote_minutes: 15
gifts:
  share_max: "0.5"
  month_points_max: 1000000000000
  fee_share: "0.1"
adjustments:
  alone_points_max: 1000
tiers:
  window_months: 12
  validity_months: 12
  ladder:
    - {{id: member, name: Member, qualify_spend: 0, retain_spend: 0, points_multiplier: 1}}
antifraud:
  deadline_ms: 2000
  fallback_accrual_points_max: 0
  rules: []
"""
NOBODYS_ID = "01900000-0000-7000-8000-000000000000"
NOWHEN = datetime(2026, 1, 1, tzinfo=UTC)
NO_HOLD = Hold(NOBODYS_ID, Rules(NOWHEN, 0, Fraction(0), 0, 0, 0), NOWHEN)
NO_PURCHASE = Purchase(NOBODYS_ID, NO_HOLD.rules, 0, False, 0)
R = TypeVar("R")

cents = st.one_of(st.integers(1, 30_000), st.sampled_from([1, 49, 50, 51, 149, 150, 10_000_000]))
ago = st.sampled_from([0, 0, 0, 1, 6, 20, 85, 200, 370])
points = st.one_of(st.integers(1, 400), st.integers(1, 40))
which = st.integers(0, 99)
rarely = st.sampled_from([False, False, False, True])


class World:
    """The house, its clock and the versions of its program: one for all runs."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        self.house = house
        self.ledger = Ledger(house)
        self.loop = loop
        self.now = datetime(2026, 1, 5, 14, 0, tzinfo=UTC)
        self.versions: list[Rules] = []
        self.variant = -1

    def wait(self, call: Coroutine[Any, Any, R]) -> R:
        """What a coroutine on the loop of the house gives."""
        return asyncio.run_coroutine_threadsafe(call, self.loop).result(60)

    async def apply(self, variant: int) -> None:
        """Changes the program; points knows it at once."""
        if variant == self.variant:
            return
        chosen = VARIANTS[variant]
        version = await self.house.apply(PROGRAM.format(**chosen))
        begins = from_timestamp(version.effective_time)
        self.versions.append(Rules(begins, imports_rate=Fraction(1, 2), **chosen))
        self.variant = variant
        for loop in self.house.running["points"].service.loops:
            if isinstance(feed := getattr(loop, "__self__", None), ProgramFeed):
                await feed.refresh()

    async def open_accounts(self, member_ids: list[str]) -> None:
        """Accounts of whom the tier service, which does not run, knows nothing."""
        await self.house.fetch(
            "INSERT INTO points.account (member_id, tier_id) SELECT unnest($1::text[]), ''",
            member_ids,
        )

    def rules_at(self, at: datetime) -> Rules:
        """The version in force at an instant."""
        begun = [rules for rules in self.versions if rules.begins <= at]
        return begun[-1] if begun else self.versions[0]


def told(transaction: pb.Transaction) -> Booking:
    """A transaction in the words of the model."""
    after = transaction.balance_after
    return Booking(
        pb.TransactionKind.Name(transaction.kind).removeprefix("TRANSACTION_KIND_"),
        {
            pb.Account.Name(entry.account).removeprefix("ACCOUNT_"): entry.points
            for entry in transaction.entries
        },
        tuple(
            (move.accrual_transaction_id, move.points, end_of(move))
            for move in transaction.lot_movements
        ),
        after.active,
        after.pending,
        after.held,
        after.debt,
    )


def end_of(thing: pb.LotMovement | pb.Lot) -> datetime | None:
    """When a lot expires."""
    return from_timestamp(thing.expire_time) if thing.HasField("expire_time") else None


class LedgerMachine(RuleBasedStateMachine):
    """One run: three members nobody has met before."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.stub = world.ledger.stub
        self.members = {f"m-{new_id()}": Member() for _ in range(MEMBERS)}
        self.sent: list[tuple[Any, Any, Any]] = []
        self.touched: set[str] = set(self.members)
        self.change_count = 0
        self.calendar_ran = False

    # Steps

    @initialize(variant=st.integers(0, len(VARIANTS) - 1))
    def begin(self, variant: int) -> None:
        """Every run begins on a 5 January, so that what one has found another finds again."""
        self.world.now = datetime(self.world.now.year + 1, 1, 5, 14, tzinfo=UTC)
        self.world.wait(self.world.apply(variant))
        self.world.wait(self.world.open_accounts(list(self.members)))

    @rule(who=which, cents=cents, days=ago, imports=st.booleans(), twice=rarely)
    def accrue(self, who: int, cents: int, days: int, imports: bool, twice: bool) -> None:
        request = self.purchase(who, cents, days, imports)
        response = self.send(self.stub.AccruePoints, request, twice)
        assert told(response.transaction) == self.book_purchase(
            request, response.transaction.transaction_id
        )

    @rule(
        rows=st.lists(st.tuples(which, cents, ago, st.booleans()), min_size=1, max_size=6),
        again=st.lists(which, max_size=2),
    )
    def accrue_many(self, rows: list[tuple[int, int, int, bool]], again: list[int]) -> None:
        """A bulk call, with rows that were booked before or stand in it twice."""
        fresh = [self.purchase(*row) for row in rows]
        accruals = [sent for sent in self.sent if isinstance(sent[1], pb.AccruePointsRequest)]
        repeated = [accruals[n % len(accruals)] for n in again if accruals]
        requests = [*fresh, *(request for _, request, _ in repeated), fresh[0]]
        call = self.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=requests))
        results = self.world.wait(call_of(call)).results
        booked = self.world.wait(self.transactions_of(fresh, results))
        for request, result, transaction in zip(fresh, results, booked, strict=False):
            booking = self.book_purchase(request, result.accrued.transaction_id)
            # Rows of one call may be booked in another order, where that changes nothing else.
            assert without_order(told(transaction)) == without_order(booking)
            assert result.accrued.balance_after == transaction.balance_after
            response = pb.AccruePointsResponse(transaction=transaction)
            self.sent.append((self.stub.AccruePoints, request, response))
        for (_, _, response), result in zip(repeated, results[len(fresh) :], strict=False):
            assert result.accrued.transaction_id == response.transaction.transaction_id
        assert results[-1] == results[0]

    @rule(who=which, points=points, twice=rarely)
    def hold(self, who: int, points: int, twice: bool) -> None:
        member_id, member = self.choose(who)
        request = self.world.ledger.holding(member_id, points)
        rules = self.world.rules_at(self.world.now)
        self.compare(
            self.stub.HoldPoints, request, twice, member_id,
            lambda answer: member.hold(
                rules, points, self.world.now, answer.hold.hold_id if answer else ""
            ),
        )  # fmt: skip

    @rule(n=which, points=st.integers(0, 60), release_rest=st.booleans(), twice=rarely)
    def capture(self, n: int, points: int, release_rest: bool, twice: bool) -> None:
        member_id, hold = self.pick(self.holds(), n, NO_HOLD)
        request = pb.CapturePointsRequest(
            request_id=new_id(), hold_id=hold.hold_id, points=points, release_rest=release_rest
        )
        self.compare(
            self.stub.CapturePoints, request, twice, member_id,
            lambda _: self.members[member_id].capture(
                hold, points, self.world.now, release_rest=release_rest
            ),
        )  # fmt: skip

    @rule(n=which, twice=rarely)
    def release(self, n: int, twice: bool) -> None:
        member_id, hold = self.pick(self.holds(), n, NO_HOLD)
        request = pb.ReleaseHoldRequest(request_id=new_id(), hold_id=hold.hold_id)
        self.compare(
            self.stub.ReleaseHold, request, twice, member_id,
            lambda _: self.members[member_id].release(hold),
        )  # fmt: skip

    @rule(n=which, points=st.integers(0, 60), twice=rarely)
    def refund(self, n: int, points: int, twice: bool) -> None:
        member_id, hold = self.pick(self.holds(), n, NO_HOLD)
        request = pb.RefundPointsRequest(request_id=new_id(), hold_id=hold.hold_id, points=points)
        self.compare(
            self.stub.RefundPoints, request, twice, member_id,
            lambda _: self.members[member_id].refund(hold, points, self.world.now),
        )  # fmt: skip

    @rule(n=which, cents=st.one_of(st.none(), st.integers(1, 20_000)), twice=rarely)
    def take_back(self, n: int, cents: int | None, twice: bool) -> None:
        member_id, purchase = self.pick(self.purchases(), n, NO_PURCHASE)
        request = pb.ReverseAccrualRequest(
            request_id=new_id(),
            member_id=member_id,
            transaction_id=purchase.transaction_id,
            returned_amount=None if cents is None else usd(f"{cents // 100}.{cents % 100:02}"),
        )
        self.compare(
            self.stub.ReverseAccrual, request, twice, member_id,
            lambda _: self.members[member_id].take_back(purchase, cents),
        )  # fmt: skip

    @rule(who=which, points=st.integers(-60, 90).filter(bool), twice=rarely)
    def adjust(self, who: int, points: int, twice: bool) -> None:
        member_id, member = self.choose(who)
        request = adjustments.AdjustPointsRequest(
            request_id=new_id(), member_id=member_id, points=points, operator="olga", reason="model"
        )
        rules = self.world.rules_at(self.world.now)
        self.compare(
            self.stub.AdjustPoints, request, twice, member_id,
            lambda answer: member.adjust(rules, points, self.world.now, booked_by(answer)),
        )  # fmt: skip

    @rule(who=which, points=points, twice=rarely)
    def give(self, who: int, points: int, twice: bool) -> None:
        (giver_id, giver), (receiver_id, receiver) = self.choose(who), self.choose(who + 1)
        request = self.world.ledger.giving(giver_id, receiver_id, points)
        self.compare(
            self.stub.TransferPoints, request, twice, giver_id,
            lambda _: giver.give(receiver, points, self.world.now),
        )  # fmt: skip

    @rule(who=which, points=st.integers(-90, 90).filter(bool), days=ago, never=st.booleans())
    def bring(self, who: int, points: int, days: int, never: bool) -> None:
        """A row of another system's history."""
        member_id, member = self.choose(who)
        at = self.world.now - timedelta(days=days)
        row = imports.ImportedTransaction(
            request_id=new_id(), member_id=member_id, points=points, never_expires=never,
            occurred_time=to_timestamp(at),
        )  # fmt: skip
        request = imports.ImportTransactionsRequest(rows=[row, row])
        call = self.stub.ImportTransactions(request)
        [result, again] = self.world.wait(call_of(call)).results
        assert result == again
        expires = None if never else self.world.rules_at(at).expires(at)
        try:
            member.put("IMPORT", "PARTNER", points, expires, result.imported.transaction_id)
        except Refusal as refusal:
            told_reason = info_of(result.error).reason
            if told_reason != str(refusal):
                raise AssertionError(told_reason) from refusal
        else:
            assert result.imported.active_points == member.sum_of(pending=False)

    @rule(who=which)
    def freeze_or_unfreeze(self, who: int) -> None:
        member_id, member = self.choose(who // 3)
        if who % 3:
            # Two of three steps only unfreeze: else too little would be spent.
            if member.frozen:
                self.world.wait(self.world.ledger.unfreeze(member_id))
            member.frozen = False
        elif not member.frozen:
            self.world.wait(self.world.ledger.freeze(member_id))
            member.frozen = True

    @rule(n=which)
    def repeat(self, n: int) -> None:
        """The same request again: the same answer, and nothing else."""
        if not self.sent:
            return
        send, request, response = self.sent[n % len(self.sent)]
        assert self.world.wait(call_of(send(request))) == response

    @rule(hours=st.sampled_from([1, 24, 8 * 24, 32 * 24, 100 * 24]))
    def jump(self, hours: int) -> None:
        self.world.now += timedelta(hours=hours)

    @rule(lead=st.sampled_from([None, 0, -5, 31]))
    def expire(self, lead: int | None) -> None:
        as_of = self.as_of(lead)
        request = pb.RunExpiryRequest(as_of_time=None if lead is None else to_timestamp(as_of))
        self.world.wait(call_of(self.stub.RunExpiry(request)))
        for member in self.members.values():
            member.expire(as_of)
        self.touched.update(self.members)
        self.calendar_ran = True

    @rule(lead=st.sampled_from([None, 0, -5, 10]))
    def mature(self, lead: int | None) -> None:
        as_of = self.as_of(lead)
        request = pb.RunMaturationRequest(as_of_time=None if lead is None else to_timestamp(as_of))
        self.world.wait(call_of(self.stub.RunMaturation(request)))
        for member in self.members.values():
            member.mature(as_of)
        self.touched.update(self.members)
        self.calendar_ran = True

    @precondition(lambda self: self.change_count < 2)
    @rule(variant=st.integers(1, len(VARIANTS) - 1))
    def change_program(self, variant: int) -> None:
        """Twice a run at most: it takes as long as ten other steps."""
        self.change_count += 1
        self.world.wait(self.world.apply((self.world.variant + variant) % len(VARIANTS)))

    # What is compared

    @invariant()
    def balances_lots_and_history_are_the_same(self) -> None:
        self.world.now += timedelta(seconds=1)
        if self.touched:
            self.world.wait(self.look())
            self.touched.clear()
            self.calendar_ran = False

    async def look(self) -> None:
        await asyncio.gather(*(self.look_at(member_id) for member_id in self.touched))

    async def look_at(self, member_id: str) -> None:
        member = self.members[member_id]
        balance, lots = await asyncio.gather(
            self.stub.GetBalance(pb.GetBalanceRequest(member_id=member_id)),
            self.stub.ListLots(pb.ListLotsRequest(member_id=member_id, page_size=1000)),
        )
        ends = [
            (lot.expires or NEVER, lot.left)
            for lot in member.lots
            if not lot.pending and lot.left and (lot.expires or NEVER) > self.world.now
        ]
        assert balance.balance == pb.Balance(
            active=sum(left for _, left in ends),
            pending=member.sum_of(pending=True),
            held=sum(hold.held for hold in member.holds),
            debt=member.debt,
        )
        first = min(ends, default=(NEVER, 0))[0]
        assert balance.next_expire_points == sum(left for end, left in ends if end == first < NEVER)
        if first < NEVER:
            assert from_timestamp(balance.next_expire_time) == first
        assert sorted(map(line_of_lot, lots.lots), key=str) == sorted(
            map(line_of_model, member.lots), key=str
        )
        if self.calendar_ran:
            await self.compare_history(member_id)

    async def compare_history(self, member_id: str) -> None:
        """All transactions; each that a call has answered was compared with its answer, too."""
        member = self.members[member_id]
        request = pb.ListTransactionsRequest(member_id=member_id, page_size=1000)
        response = await self.stub.ListTransactions(request)
        booked = [told(transaction) for transaction in reversed(response.transactions)]
        # Of what is booked at once, the order is nobody's business.
        expected = Counter(map(without_order, member.history))
        assert Counter(map(without_order, booked)) == expected

    def teardown(self) -> None:
        for member_id in self.members:
            self.world.wait(self.compare_history(member_id))

    # Hands

    def as_of(self, lead: int | None) -> datetime:
        return self.world.now + timedelta(days=lead or 0)

    def choose(self, who: int) -> tuple[str, Member]:
        member_id = list(self.members)[who % MEMBERS]
        self.touched.add(member_id)
        return member_id, self.members[member_id]

    def holds(self) -> list[tuple[str, Hold]]:
        return [(m, hold) for m, member in self.members.items() for hold in member.holds]

    def purchases(self) -> list[tuple[str, Purchase]]:
        return [(m, one) for m, member in self.members.items() for one in member.purchases]

    def pick(self, things: list[tuple[str, R]], n: int, unknown: R) -> tuple[str, R]:
        """One of the latest things, or one that does not exist while there is none."""
        if not things:
            return next(iter(self.members)), unknown
        member_id, thing = things[-1 - n % len(things)]
        self.touched.add(member_id)
        return member_id, thing

    def purchase(self, who: int, cents: int, days: int, imports: bool) -> pb.AccruePointsRequest:
        member_id, _ = self.choose(who)
        purchase = pb.Purchase(
            order_id=new_id(),
            amount=usd(f"{cents // 100}.{cents % 100:02}"),
            categories=["imports"] if imports else ["music"],
        )
        at = self.world.now - timedelta(days=days)
        return self.world.ledger.accrual(member_id, "0", at, purchase=purchase)

    async def transactions_of(
        self, requests: list[pb.AccruePointsRequest], results: Sequence[pb.AccrueResult]
    ) -> list[pb.Transaction]:
        """What rows of a bulk call have booked."""
        asked = [
            self.stub.GetTransaction(
                pb.GetTransactionRequest(
                    member_id=request.member_id, transaction_id=result.accrued.transaction_id
                )
            )
            for request, result in zip(requests, results, strict=False)
        ]
        return [response.transaction for response in await asyncio.gather(*asked)]

    def book_purchase(self, request: pb.AccruePointsRequest, transaction_id: str) -> Booking:
        at = from_timestamp(request.occurred_time)
        amount = request.purchase.amount
        return self.members[request.member_id].accrue(
            self.world.rules_at(at),
            amount.units * 100 + amount.nanos // 10**7,
            at,
            self.world.now,
            transaction_id,
            imports="imports" in request.purchase.categories,
        )

    def send(self, send: Any, request: Any, twice: bool) -> Any:
        """Sends a request, perhaps twice at once; a repeat gets the same answer."""
        answers = self.world.wait(at_once(send, request, 2 if twice else 1))
        assert all(answer == answers[0] for answer in answers)
        self.sent.append((send, request, answers[0]))
        return answers[0]

    def compare(self, send: Any, request: Any, twice: bool, member_id: str, model: Any) -> None:
        """The service and the model say the same: a booking, or a refusal."""
        try:
            response, reason = self.send(send, request, twice), ""
        except grpc.aio.AioRpcError as error:
            response, reason = None, reason_of(error)
        booking: Booking | str
        try:
            booking = model(response)
        except Refusal as refusal:
            booking = str(refusal)
        if response is None:
            assert booking == reason
            return
        transaction = self.world.wait(self.transaction_of(member_id, response))
        assert booking == told(transaction)

    async def transaction_of(self, member_id: str, response: Any) -> pb.Transaction:
        """The transaction of an answer, which has it or its id."""
        if "transaction" in response.DESCRIPTOR.fields_by_name:
            return response.transaction
        request = pb.GetTransactionRequest(member_id=member_id, transaction_id=booked_by(response))
        return (await self.stub.GetTransaction(request)).transaction


def booked_by(response: Any) -> str:
    """The id of the transaction behind an adjustment or a gift; empty for a refusal."""
    match response:
        case adjustments.AdjustPointsResponse():
            return response.adjustment.transaction_id
        case transfers.TransferPointsResponse():
            return response.gift.transaction_id
        case _:
            return ""


async def call_of(call: Any) -> Any:
    """What a call answers."""
    return await call


async def at_once(send: Any, request: Any, times: int) -> list[Any]:
    """The same request several times at once."""
    return await asyncio.gather(*(send(request) for _ in range(times)))


def without_order(booking: Booking) -> str:
    """A booking without the balance after it, which tells the order of bookings made at once."""
    entries = sorted(booking.entries.items())
    return repr((entries, replace(booking, entries={}, active=0, pending=0, held=0, debt=0)))


def line_of_lot(lot: pb.Lot) -> tuple[object, ...]:
    """A lot as the service tells of it."""
    left = (lot.points, lot.remaining_points, lot.expired_points)
    return (lot.accrual_transaction_id, left, end_of(lot))


def line_of_model(lot: Lot) -> tuple[object, ...]:
    """A lot as the model has it."""
    left = (lot.points, lot.left, lot.expired)
    return (lot.purchase.transaction_id, left, lot.expires)


@pytest.fixture
async def world(ground: Ground) -> AsyncIterator[World]:
    """A house whose services go by the machine's clock."""
    async with ground.house() as house:
        world = World(house, asyncio.get_running_loop())
        house.clock = lambda: world.now
        # Nothing is killed here: what counts is how many steps fit into a minute.
        name = house.settings.database_url.rpartition("/")[2]
        await house.fetch(f"ALTER DATABASE {name} SET synchronous_commit = off")
        await house.start("program", "antifraud", "points")
        await world.apply(0)
        yield world
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


@pytest.mark.timeout(600 + 3 * RUNS)
async def test_the_ledger_is_the_obvious_ledger(world: World) -> None:
    config = settings(
        phases=PHASES,
        max_examples=RUNS,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(
        run_state_machine_as_test, lambda: LedgerMachine(world), settings=config
    )
