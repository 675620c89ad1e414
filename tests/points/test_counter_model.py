"""PT-11, PT-12, PT-17 against an obvious ledger: gifts, donations, adjustments, freezing, merges
and their undoing, households, in random order; lots and balances are compared after each step.

40 runs of 40 steps, or as many as LAUREL_MODEL_RUNS says.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import obvious_counter as obvious
from cli.check import run_checks
from house import House, new_id
from kit.clock import from_timestamp
from kit.errors import reason_of
from laurel.points.v1 import merges_pb2 as merges
from laurel.points.v1 import points_service_pb2 as pb
from points_moving import Counter

RUNS = int(os.environ.get("LAUREL_MODEL_RUNS", "40"))
STEPS = 40
MEMBERS = 4

which = st.integers(0, 99)
points = st.one_of(st.integers(1, 60), st.integers(1, 900))
# Apart by more than the program's day, so that the order of lots is never a matter of seconds.
ago = st.sampled_from([0, 30, 90, 200, 300])


class CounterMachine(RuleBasedStateMachine):
    """One run: four members nobody has met before, one of whom owns a household."""

    def __init__(self, counter: Counter, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.counter = counter
        self.loop = loop
        self.accounts = [obvious.Account(f"m-{new_id()}") for _ in range(MEMBERS)]
        self.merges: list[tuple[merges.Merge, obvious.Merge]] = []

    def wait(self, call: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self.loop).result(60)

    @initialize()
    def begin(self) -> None:
        owner = self.accounts[0]
        self.home = self.wait(self.counter.found(owner.name))
        self.pool = obvious.Account(self.home.household_id)
        owner.home = self.pool
        for account in self.accounts:
            self.earn(account, 500, 30)

    @rule(who=which, points=points, days=ago)
    def accrue(self, who: int, points: int, days: int) -> None:
        self.earn(self.choose(who), points, days)

    @rule(who=which, whom=which, points=points)
    def give(self, who: int, whom: int, points: int) -> None:
        giver, receiver = self.choose(who), self.choose(whom)
        if giver is not receiver:
            self.compare(
                self.counter.give(giver.name, receiver.name, points),
                lambda: obvious.give(giver, receiver, points),
            )

    @rule(who=which, points=points)
    def donate(self, who: int, points: int) -> None:
        account = self.choose(who)
        self.compare(
            self.counter.donate(account.name, points), lambda: obvious.donate(account, points)
        )

    @rule(who=which, points=points)
    def take_by_hand(self, who: int, points: int) -> None:
        account = self.choose(who)
        self.compare(
            self.counter.adjust(account.name, -points), lambda: obvious.adjust(account, points)
        )

    @rule(who=which)
    def freeze_or_unfreeze(self, who: int) -> None:
        account = self.choose(who)
        if account.state == "OPEN":
            self.wait(self.counter.freeze(account.name))
            account.state = "FROZEN"
        elif account.state == "FROZEN":
            self.wait(self.counter.unfreeze(account.name))
            account.state = "OPEN"

    @rule(who=which, points=points)
    def contribute(self, who: int, points: int) -> None:
        member = self.choose(who)
        self.compare(
            self.counter.contribute(self.home, member.name, points),
            lambda: obvious.contribute(member, self.pool, points),
        )

    @rule(who=which, points=points)
    def spend_of_the_pool(self, who: int, points: int) -> None:
        """Held and captured, by a member or by somebody else."""
        member = self.choose(who)

        async def spend() -> None:
            made = await self.counter.hold_pool(self.home, member.name, points)
            await self.counter.capture(made.hold)

        def obviously() -> None:
            if member.home is not self.pool:
                raise obvious.Refusal("NOT_IN_HOUSEHOLD")
            obvious.must_be_open(member)
            obvious.take(self.pool, points)

        self.compare(spend(), obviously)

    @rule(who=which)
    def join_or_leave(self, who: int) -> None:
        member = self.accounts[1 + who % (MEMBERS - 1)]
        if member.home is None:
            self.compare(
                self.counter.join(self.home, member.name), lambda: obvious.join(member, self.pool)
            )
        else:
            answer = self.wait(self.counter.leave(self.home, member.name))
            assert answer.returned_points == obvious.leave(member, self.pool)

    @rule(who=which, whom=which)
    def merge(self, who: int, whom: int) -> None:
        survivor, merged = self.choose(who), self.choose(whom)
        if survivor is merged:
            return
        done: list[obvious.Merge] = []
        made = self.compare(
            self.counter.merge(survivor.name, merged.name),
            lambda: done.append(obvious.merge(survivor, merged)),
        )
        if made is not None:
            self.merges.append((made, done[0]))

    @rule(n=which)
    def undo(self, n: int) -> None:
        if self.merges:
            made, done = self.merges[-1 - n % len(self.merges)]
            back: list[int] = []
            answer = self.compare(self.counter.undo(made), lambda: back.append(obvious.undo(done)))
            if answer is not None:
                assert answer.undoing.active_points == back[0]

    @invariant()
    def balances_and_lots_are_the_same(self) -> None:
        if hasattr(self, "pool"):
            self.wait(self.look())

    async def look(self) -> None:
        await asyncio.gather(*(self.look_at(one) for one in (*self.accounts, self.pool)))

    async def look_at(self, account: obvious.Account) -> None:
        request = pb.ListLotsRequest(member_id=account.name, page_size=1000)
        balance, lots = await asyncio.gather(
            self.counter.balance(account.name), self.counter.stub.ListLots(request)
        )
        assert balance == pb.Balance(active=account.active)
        told = [
            (lot.accrual_transaction_id, lot.remaining_points, from_timestamp(lot.expire_time))
            for lot in lots.lots
            if lot.remaining_points
        ]
        expected = [(lot.accrual, lot.left, lot.expires) for lot in account.lots if lot.left]
        assert sorted(told) == sorted(expected)

    def choose(self, who: int) -> obvious.Account:
        return self.accounts[who % MEMBERS]

    def earn(self, account: obvious.Account, points: int, days: int) -> None:
        at = datetime.now(UTC) - timedelta(days=days)
        try:
            booked = self.wait(self.counter.accrue(account.name, str(points), at))
        except grpc.aio.AioRpcError as error:
            if (reason_of(error), account.state) != ("ACCOUNT_MERGED", "MERGED"):
                raise
            return
        (lot,) = booked.lot_movements
        end = from_timestamp(lot.expire_time)
        obvious.accrue(account, booked.transaction_id, points, end)

    def compare(self, call: Coroutine[Any, Any, Any], model: Callable[[], object]) -> Any:
        """The service and the model do the same, or refuse for the same reason."""
        try:
            answer, reason = self.wait(call), ""
        except grpc.aio.AioRpcError as error:
            answer, reason = None, reason_of(error)
        expected = ""
        try:
            model()
        except obvious.Refusal as refusal:
            expected = str(refusal)
        assert reason == expected
        return answer


@pytest.mark.timeout(600 + 3 * RUNS)
async def test_what_moves_is_where_the_obvious_ledger_has_it(calm: House) -> None:
    loop, counter = asyncio.get_running_loop(), Counter(calm)
    config = settings(
        max_examples=RUNS,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # The steps that fail can be read; making them fewer would take minutes.
        phases=(Phase.generate,),
    )
    await asyncio.to_thread(
        run_state_machine_as_test, lambda: CounterMachine(counter, loop), settings=config
    )
    assert not [o for o in await run_checks(calm.settings.database_url) if o.violations]
