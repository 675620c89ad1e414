"""The hands of the model's machine: it sends, repeats, and compares what comes of it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import grpc
from hypothesis.stateful import RuleBasedStateMachine, invariant

from house import new_id
from kit.clock import from_timestamp, to_timestamp
from kit.errors import reason_of
from laurel.points.v1 import points_service_pb2 as pb
from obvious_ledger import Member
from obvious_nouns import Booking, Hold
from obvious_rules import NEVER, Purchase, Refusal
from points_model import World, booked_by, line_of_lot, line_of_model, told, without_order

TIERS = ["", "member", "silver"]
NOBODYS = 90
R = TypeVar("R")


class Hands(RuleBasedStateMachine):
    """Three members nobody has met before, and what was sent for them."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.stub = world.ledger.stub
        self.members = {f"m-{new_id()}": Member(tier) for tier in TIERS}
        self.sent: list[tuple[Any, Any, Any]] = []
        self.touched: set[str] = set(self.members)
        self.past: list[tuple[datetime, dict[str, pb.Balance]]] = []
        """At the end of each step."""
        self.calendar_ran = False

    # What is compared after each step

    @invariant()
    def balances_lots_and_history_are_the_same(self) -> None:
        balances = {m: balance_of(member) for m, member in self.members.items()}
        self.past.append((self.world.now, balances))
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

    async def compare_past(self, n: int) -> None:
        """The balances at the end of an earlier step, as the ledger had booked them by then."""
        at, balances = self.past[n % len(self.past)]
        for member_id, expected in balances.items():
            request = pb.GetBalanceRequest(member_id=member_id, read_time=to_timestamp(at))
            assert (await self.stub.GetBalance(request)).balance == expected

    def teardown(self) -> None:
        for member_id in self.members:
            self.world.wait(self.compare_history(member_id))

    # What a step reaches for

    def choose(self, who: int) -> tuple[str, Member]:
        member_id = list(self.members)[who % len(self.members)]
        self.touched.add(member_id)
        return member_id, self.members[member_id]

    def holds(self) -> list[tuple[str, Hold]]:
        return [(m, hold) for m, member in self.members.items() for hold in member.holds]

    def purchases(self) -> list[tuple[str, Purchase]]:
        return [(m, one) for m, member in self.members.items() for one in member.purchases]

    def pick(
        self, things: list[tuple[str, R]], n: int, apt: Callable[[R], object], unknown: R
    ) -> tuple[str, R]:
        """One of the latest things that are apt, mostly; now and then any, and now and then one
        that does not exist.
        """
        if n % 10:
            things = [(m, thing) for m, thing in things if apt(thing)] or things
        if not things or n == NOBODYS:
            return next(iter(self.members)), unknown
        member_id, thing = things[-1 - n % len(things)]
        self.touched.add(member_id)
        return member_id, thing

    # How a step is done

    def send(self, send: Any, request: Any, twice: bool) -> Any:
        """Sends a request, perhaps twice at once; a repeat gets the same answer."""
        answers = self.world.wait(at_once(send, request, 2 if twice else 1))
        assert all(answer == answers[0] for answer in answers)
        self.sent.append((send, request, answers[0]))
        return answers[0]

    def compare(
        self,
        send: Any,
        request: Any,
        twice: bool,
        member_id: str,
        model: Callable[[Any], Booking | None],
    ) -> Any:
        """The service and the model say the same: a booking, nothing to book, or a refusal."""
        try:
            response, reason = self.send(send, request, twice), ""
        except grpc.aio.AioRpcError as error:
            response, reason = None, reason_of(error)
        try:
            booking, refused = model(response), ""
        except Refusal as refusal:
            booking, refused = None, str(refusal)
        assert refused == reason
        if booking is None:
            assert not booked_by(response)
        else:
            assert booking == told(self.world.wait(self.transaction_of(member_id, response)))
        return response

    async def transaction_of(self, member_id: str, response: Any) -> pb.Transaction:
        """The transaction of an answer, which has it or its id."""
        if "transaction" in response.DESCRIPTOR.fields_by_name:
            return response.transaction
        request = pb.GetTransactionRequest(member_id=member_id, transaction_id=booked_by(response))
        return (await self.stub.GetTransaction(request)).transaction


def balance_of(member: Member) -> pb.Balance:
    """What a member has by what was booked."""
    return pb.Balance(
        active=member.sum_of(pending=False),
        pending=member.sum_of(pending=True),
        held=sum(hold.held for hold in member.holds),
        debt=member.debt,
    )


async def call_of(call: Any) -> Any:
    """What a call answers."""
    return await call


async def at_once(send: Any, request: Any, times: int) -> list[Any]:
    """The same request several times at once; raises when refused, and once all are answered."""
    # A refused id stays free: one that is still under way could be booked steps later.
    answers = await asyncio.gather(*(send(request) for _ in range(times)), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers
