"""PT-01 to PT-12, PT-15 against an obvious ledger: random interleavings of the public calls, with
repeats, jumps of time and changes of the program, compared after each step.

200 runs of 50 steps, or as many as LAUREL_MODEL_RUNS says. Time is a clock that the machine holds
in its hand: every instant of every answer is foretold.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.type.money_pb2 import Money
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from cli.check import run_checks
from house import Ground, new_id, usd
from kit.clock import from_timestamp, to_timestamp
from kit.errors import info_of
from laurel.points.v1 import accounts_pb2 as accounts
from laurel.points.v1 import activities_pb2 as activities
from laurel.points.v1 import adjustments_pb2 as adjustments
from laurel.points.v1 import imports_pb2 as imports
from laurel.points.v1 import points_service_pb2 as pb
from model_hands import TIERS, Hands, call_of
from obvious_ledger import Member
from obvious_nouns import Booking, Hold, Return
from obvious_rules import NO_RULES, Basket, Purchase, Refusal
from points_model import ALONE_POINTS, VARIANTS, World, booked_by, told

RUNS = int(os.environ.get("LAUREL_MODEL_RUNS", "200"))
STEPS = 50
# To find the shortest run that fails takes minutes: for whoever asks for a number of runs.
PHASES = tuple(Phase) if "LAUREL_MODEL_RUNS" in os.environ else (Phase.reuse, Phase.generate)
NOBODYS_ID = "01900000-0000-7000-8000-000000000000"
NO_HOLD = Hold(NOBODYS_ID, NO_RULES, datetime(2026, 1, 1, tzinfo=UTC))
NO_PURCHASE = Purchase(NOBODYS_ID, NO_RULES, Basket(0), 0)
SIGNED = {"operator": "olga", "reason": "model"}

cents = st.one_of(st.integers(1, 30_000), st.sampled_from([1, 49, 50, 51, 149, 150, 10_000_000]))
parts = st.tuples(st.sampled_from(["baby", "imports", ""]), st.integers(1, 15_000))
ago = st.sampled_from([0, 0, 0, 1, 6, 20, 85, 200, 359])
share = st.one_of(st.integers(1, 40), st.integers(1, 110))
"""Percent of what a member has: mostly there is enough."""
which = st.integers(0, 99)
rarely = st.sampled_from([False, False, False, True])


class LedgerMachine(Hands):
    """One run: three members nobody has met before."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.waiting: list[tuple[str, str, int]] = []
        """Adjustments by member, id and points, decided or not."""
        self.change_count = 0

    # Earning

    @initialize(variant=st.integers(0, len(VARIANTS) - 1))
    def begin(self, variant: int) -> None:
        self.world.wait(self.world.begin(variant))
        tiers = dict(zip(self.members, TIERS, strict=True))
        self.world.wait(self.world.open_accounts(tiers))
        for who in range(len(TIERS)):
            # Something of everything, so that every step finds something to do.
            self.bring(who, 500, 0, never=who == 0)
            self.accrue_lines(who, [("baby", 3100), ("imports", 990), ("", 10_000)], 310)
            self.hold(who, 9, twice=False)
            self.redeem(who, 9, twice=False)

    @rule(who=which, cents=cents, days=ago, imports=st.booleans(), twice=rarely)
    def accrue(self, who: int, cents: int, days: int, imports: bool, twice: bool) -> None:
        self.buy(self.purchase(who, cents, days, imports), twice)

    @rule(who=which, parts=st.lists(parts, min_size=1, max_size=4), rest=st.integers(0, 300))
    def accrue_lines(self, who: int, parts: list[tuple[str, int]], rest: int) -> None:
        """A purchase told line by line, and some of it in no line."""
        request = self.purchase(who, rest + sum(paid for _, paid in parts), 0, False)
        for number, (category, paid) in enumerate(parts):
            request.purchase.lines.add(
                line_id=f"l{number}", category=category, quantity=1, amount=money(paid)
            )
        self.buy(request, False)

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
        self.compare_rows(fresh, results[: len(fresh)])
        for (_, _, response), result in zip(repeated, results[len(fresh) :], strict=False):
            assert result.accrued.transaction_id == response.transaction.transaction_id
        assert results[-1] == results[0]

    def compare_rows(
        self, requests: list[pb.AccruePointsRequest], results: Sequence[pb.AccrueResult]
    ) -> None:
        """Rows of one call may be booked in another order than they were sent: the ids tell it."""
        booked = self.world.wait(self.transactions_of(requests, results))
        for transaction_id, request in sorted(
            (result.accrued.transaction_id, number) for number, result in enumerate(results)
        ):
            self.compare_row(requests[request], results[request], booked.get(transaction_id))

    def compare_row(
        self,
        request: pb.AccruePointsRequest,
        result: pb.AccrueResult,
        transaction: pb.Transaction | None,
    ) -> None:
        try:
            booking = self.book_purchase(request, result.accrued.transaction_id)
        except Refusal as refusal:
            assert info_of(result.error).reason == str(refusal)  # noqa: PT017
            return
        assert transaction is not None, result
        assert told(transaction) == booking
        assert result.accrued.balance_after == transaction.balance_after
        response = pb.AccruePointsResponse(transaction=transaction)
        self.sent.append((self.stub.AccruePoints, request, response))

    @rule(who=which, days=st.sampled_from([0, 0, 1, 40]), twice=rarely)
    def check_in(self, who: int, days: int, twice: bool) -> None:
        """At most so many points a day, whenever they are told of."""
        member_id, member = self.choose(who)
        at = self.world.now - timedelta(days=days)
        request = pb.AccrueActivityRequest(
            request_id=new_id(), member_id=member_id, occurred_time=to_timestamp(at),
            activity=activities.Activity(event_type="check_in"),
        )  # fmt: skip
        rules = self.world.rules_at(at)
        self.compare(
            self.stub.AccrueActivity, request, twice, member_id,
            lambda answer: member.check_in(rules, at, self.world.now, booked_by(answer)),
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

    # Spending

    @rule(who=which, share=share, twice=rarely)
    def hold(self, who: int, share: int, twice: bool) -> None:
        member_id, member = self.choose(who)
        points = member.part(share)
        request = self.world.ledger.holding(member_id, points)
        rules = self.world.rules_at(self.world.now)
        self.compare(
            self.stub.HoldPoints, request, twice, member_id,
            lambda answer: member.hold(
                rules, points, self.world.now, answer.hold.hold_id if answer else ""
            ),
        )  # fmt: skip

    @rule(who=which, share=share, twice=rarely)
    def redeem(self, who: int, share: int, twice: bool) -> None:
        member_id, member = self.choose(who)
        points = member.part(share)
        request = pb.RedeemPointsRequest(
            request_id=new_id(), member_id=member_id, points=points, order_id=new_id()
        )
        rules = self.world.rules_at(self.world.now)
        self.compare(
            self.stub.RedeemPoints, request, twice, member_id,
            lambda answer: member.redeem(
                rules, points, self.world.now, answer.hold.hold_id if answer else ""
            ),
        )  # fmt: skip

    @rule(n=which, points=st.integers(0, 30), release_rest=rarely, twice=rarely)
    def capture(self, n: int, points: int, release_rest: bool, twice: bool) -> None:
        now = self.world.now
        member_id, hold = self.pick(
            self.holds(), n, lambda hold: hold.held and hold.ends > now, NO_HOLD
        )
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
        member_id, hold = self.pick(self.holds(), n, lambda hold: hold.held, NO_HOLD)
        self.let_go(member_id, hold, twice)

    def let_go(self, member_id: str, hold: Hold, twice: bool) -> None:
        request = pb.ReleaseHoldRequest(request_id=new_id(), hold_id=hold.hold_id)
        self.compare(
            self.stub.ReleaseHold, request, twice, member_id,
            lambda _: self.members[member_id].release(hold),
        )  # fmt: skip

    @rule(n=which, points=st.integers(0, 30), twice=rarely)
    def refund(self, n: int, points: int, twice: bool) -> None:
        member_id, hold = self.pick(self.holds(), n, lambda hold: hold.refundable, NO_HOLD)
        request = pb.RefundPointsRequest(request_id=new_id(), hold_id=hold.hold_id, points=points)
        self.compare(
            self.stub.RefundPoints, request, twice, member_id,
            lambda _: self.members[member_id].refund(hold, points, self.world.now),
        )  # fmt: skip

    @rule(n=which, cents=st.one_of(st.none(), st.integers(1, 20_000)), twice=rarely)
    def take_back(self, n: int, cents: int | None, twice: bool) -> None:
        member_id, purchase = self.pick(self.purchases(), n, is_kept, NO_PURCHASE)
        request = pb.ReverseAccrualRequest(
            request_id=new_id(),
            member_id=member_id,
            transaction_id=purchase.transaction_id,
            returned_amount=None if cents is None else money(cents),
        )
        self.compare_return(request, twice, purchase, cents, {})

    @rule(
        n=which,
        parts=st.dictionaries(st.sampled_from(["l0", "l0", "l1", "l2"]), st.integers(1, 9000)),
        whole=st.booleans(),
    )
    def take_back_lines(self, n: int, parts: dict[str, int], whole: bool) -> None:
        """Parts of lines or whole ones; now and then a line that there is not."""
        with_lines = [(m, one) for m, one in self.purchases() if one.basket.lines]
        member_id, purchase = self.pick(with_lines, n, is_kept, NO_PURCHASE)
        if whole:
            kept = purchase.basket.lines
            parts = {name: kept[name][1] for name in parts if name in kept and kept[name][1]}
        request = pb.ReverseAccrualRequest(
            request_id=new_id(), member_id=member_id, transaction_id=purchase.transaction_id
        )
        for name, part in parts.items():
            request.returned_lines.add(line_id=name, amount=money(part))
        self.compare_return(request, False, purchase, None, parts)

    def compare_return(
        self,
        request: pb.ReverseAccrualRequest,
        twice: bool,
        purchase: Purchase,
        cents: int | None,
        lines: dict[str, int],
    ) -> None:
        """Where each point went: taken, owed, made up for in cash, forgiven."""
        member = self.members[request.member_id]
        response = self.compare(
            self.stub.ReverseAccrual, request, twice, request.member_id,
            lambda _: member.take_back(purchase, cents, lines, self.world.now),
        )  # fmt: skip
        if response is not None:
            withheld = response.cash_to_withhold
            assert member.last_return == Return(
                response.taken_points, response.debt_points, response.cash_points,
                withheld.units * 100 + withheld.nanos // 10**7, response.forgiven_points,
            )  # fmt: skip

    # Moving and deciding

    @rule(who=which, points=st.integers(-90, 90).filter(bool), twice=rarely)
    def adjust(self, who: int, points: int, twice: bool) -> None:
        member_id, member = self.choose(who)
        request = adjustments.AdjustPointsRequest(
            request_id=new_id(), member_id=member_id, points=points, **SIGNED
        )
        rules = self.world.rules_at(self.world.now)

        def model(answer: Any) -> Booking | None:
            if abs(points) > ALONE_POINTS:
                return member.ask()
            return member.adjust(rules, points, self.world.now, booked_by(answer))

        answer = self.compare(self.stub.AdjustPoints, request, twice, member_id, model)
        if answer is not None and not booked_by(answer):
            self.waiting.append((member_id, answer.adjustment.adjustment_id, points))

    @rule(n=which, approve=st.booleans(), twice=rarely)
    def decide(self, n: int, approve: bool, twice: bool) -> None:
        """Another operator approves what waits, or rejects it; perhaps once more."""
        if not self.waiting:
            return
        member_id, adjustment_id, points = self.waiting[-1 - n % len(self.waiting)]
        self.touched.add(member_id)
        fields = {
            "request_id": new_id(), "adjustment_id": adjustment_id, "operator": "piet",
            "reason": "model",
        }  # fmt: skip
        rules, member = self.world.rules_at(self.world.now), self.members[member_id]

        def model(answer: Any) -> Booking | None:
            if adjustment_id in member.decided:
                raise Refusal("ADJUSTMENT_NOT_PENDING")
            booking = None
            if approve:
                booking = member.adjust(rules, points, self.world.now, booked_by(answer))
            member.decided.add(adjustment_id)
            return booking

        if approve:
            request = adjustments.ApproveAdjustmentRequest(**fields)
            self.compare(self.stub.ApproveAdjustment, request, twice, member_id, model)
        else:
            rejection = adjustments.RejectAdjustmentRequest(**fields)
            self.compare(self.stub.RejectAdjustment, rejection, twice, member_id, model)

    @rule(who=which, share=share, twice=rarely)
    def give(self, who: int, share: int, twice: bool) -> None:
        (giver_id, giver), (receiver_id, receiver) = self.choose(who), self.choose(who + 1)
        points = giver.part(share // 2 + 1)
        request = self.world.ledger.giving(giver_id, receiver_id, points)
        self.compare(
            self.stub.TransferPoints, request, twice, giver_id,
            lambda _: giver.give(receiver, points, self.world.now),
        )  # fmt: skip

    @rule(who=which)
    def freeze_or_unfreeze(self, who: int) -> None:
        member_id, member = self.choose(who // 3)
        if who % 3:
            # Two of three steps only unfreeze: else too little would be spent.
            if member.state == "FROZEN":
                self.world.wait(self.world.ledger.unfreeze(member_id))
                member.state = "OPEN"
        elif member.state == "OPEN":
            self.world.wait(self.world.ledger.freeze(member_id))
            member.state = "FROZEN"

    @precondition(lambda self: len(self.past) > STEPS // 3)
    @rule(settle=st.booleans(), twice=rarely)
    def close(self, settle: bool, twice: bool) -> None:
        """The first member's account, not too early in a run; again is refused, and so it is while
        points are held.
        """
        member_id, member = self.choose(0)
        for hold in [hold for hold in member.holds if settle and hold.held]:
            self.let_go(member_id, hold, twice)
        request = accounts.CloseAccountRequest(request_id=new_id(), member_id=member_id, **SIGNED)
        self.compare(self.stub.CloseAccount, request, twice, member_id, lambda _: member.close())

    @rule(n=which)
    def repeat(self, n: int) -> None:
        """The same request again: the same answer, and nothing else: all members are looked at."""
        if not self.sent:
            return
        send, request, response = self.sent[n % len(self.sent)]
        assert self.world.wait(call_of(send(request))) == response
        self.touched.update(self.members)

    @rule(n=which)
    def look_back(self, n: int) -> None:
        if self.past:
            self.world.wait(self.compare_past(n))

    # Time

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

    # Hands

    def as_of(self, lead: int | None) -> datetime:
        return self.world.now + timedelta(days=lead or 0)

    def purchase(self, who: int, cents: int, days: int, imports: bool) -> pb.AccruePointsRequest:
        member_id, _ = self.choose(who)
        purchase = pb.Purchase(
            order_id=new_id(),
            amount=money(cents),
            categories=["imports"] if imports else ["music"],
        )
        at = self.world.now - timedelta(days=days)
        return self.world.ledger.accrual(member_id, "0", at, purchase=purchase)

    async def transactions_of(
        self, requests: list[pb.AccruePointsRequest], results: Sequence[pb.AccrueResult]
    ) -> dict[str, pb.Transaction]:
        """By id, what rows of a bulk call have booked."""
        asked = [
            pb.GetTransactionRequest(
                member_id=request.member_id, transaction_id=result.accrued.transaction_id
            )
            for request, result in zip(requests, results, strict=True)
            if result.HasField("accrued")
        ]
        answers = await asyncio.gather(*(self.stub.GetTransaction(one) for one in asked))
        return {one.transaction.transaction_id: one.transaction for one in answers}

    def buy(self, request: pb.AccruePointsRequest, twice: bool) -> None:
        self.compare(
            self.stub.AccruePoints, request, twice, request.member_id,
            lambda answer: self.book_purchase(request, booked_by(answer)),
        )  # fmt: skip

    def book_purchase(self, request: pb.AccruePointsRequest, transaction_id: str) -> Booking:
        at, bought = from_timestamp(request.occurred_time), request.purchase
        lines = {one.line_id: (one.category, cents_of(one.amount)) for one in bought.lines}
        categories = {*bought.categories, *(one.category for one in bought.lines)}
        basket = Basket(cents_of(bought.amount), "imports" in categories, lines)
        member: Member = self.members[request.member_id]
        return member.accrue(self.world.rules_at(at), basket, at, self.world.now, transaction_id)


def is_kept(purchase: Purchase) -> bool:
    """Whether anything of it can still come back."""
    return purchase.basket.cents > 0 or not purchase.is_returned


def money(cents: int) -> Money:
    """An amount in cents."""
    return usd(f"{cents // 100}.{cents % 100:02}")


def cents_of(amount: Money) -> int:
    """The cents of an amount."""
    return int(amount.units * 100 + amount.nanos // 10**7)


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
