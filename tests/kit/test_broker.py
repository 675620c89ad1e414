"""OP-03: events outlive a broker that is away, that comes back empty, and messages that nobody can
take.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from house import Ground, House, new_id
from kit.clock import new_id as new_uuid
from kit.db import Transaction
from kit.events import STREAM, Consumer, Listener, publish
from laurel.event.v1.event_pb2 import AccrualReversed, Event, LostBonus, MemberEnrolled

PATIENCE_SECONDS = 20.0
# From the 1,024th delivery on the wait before the next one, doubled each time, was no number.
DELIVERIES = 1030


@pytest.fixture
async def house(ground: Ground) -> AsyncIterator[House]:
    """A house whose broker a test may take away; program itself listens to nothing."""
    async with ground.house() as house:
        yield await house.start("program")


class Ear:
    """A consumer that notes whom it heard of; it can take no message about `poison`."""

    def __init__(self, house: House) -> None:
        running = house.running["program"]
        assert running.broker is not None
        self.heard: list[str] = []
        self.database, self.broker = running.service.database, running.broker
        consumer = Consumer(("member_enrolled", "accrual_reversed"), self._take)
        self.listener = Listener("program", consumer, self.database, self.broker)
        self._stopping = asyncio.Event()

    async def _take(self, _: Transaction, events: Sequence[Event]) -> None:
        if any(event.member_id == "poison" for event in events):
            raise ValueError("it cannot be taken")
        self.heard += [event.member_id for event in events]

    async def tell(self, member_id: str) -> None:
        """An event, as any service tells one; the house's own relay publishes it."""
        await self.tell_all(
            [Event(event_id=new_id(), member_id=member_id, member_enrolled=MemberEnrolled())]
        )

    async def tell_all(self, events: Sequence[Event]) -> None:
        """Events of one commit."""
        async with self.database.transaction() as tx:
            await publish(tx, new_uuid, events)

    async def __aenter__(self) -> "Ear":
        self._task = asyncio.create_task(self.listener.run(self._stopping))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        await self._task


async def eventually(is_so: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not is_so():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


async def test_a_message_that_failed_a_thousand_times_stops_nobody(house: House) -> None:
    ear = Ear(house)
    await ear.tell("poison")
    js = await ear.broker.jetstream()
    subscription = await ear.listener._subscribe()
    for _ in range(DELIVERIES):
        [message] = await subscription.fetch(1, timeout=5)
        await message.nak()
    async with ear:
        await ear.tell("another")
        await eventually(lambda: ear.heard == ["another"])
        # It comes again, ever more slowly; the other one is acknowledged once its commit is done.
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await js.consumer_info(STREAM, "program")).num_ack_pending != 1:
                await asyncio.sleep(0.05)


async def test_who_starts_without_a_broker_can_leave_and_hears_once_there_is_one(
    ground: Ground,
) -> None:
    async with ground.house() as house:
        await house.broker.stop()
        await house.start("tier")
        await asyncio.sleep(1)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await house.stop("tier")
        await house.start("program")
        ear = Ear(house)
        async with ear:
            await ear.tell("early")
            await house.broker.start()
            await eventually(lambda: ear.heard == ["early"])


async def test_a_broker_that_comes_back_empty_is_given_its_stream_again(house: House) -> None:
    """What it had acknowledged is lost with it; what is told from then on is not."""
    async with Ear(house) as ear:
        await ear.tell("before")
        await eventually(lambda: ear.heard == ["before"])
        await house.broker.stop()
        shutil.rmtree(house.broker.folder / "data")
        await ear.tell("meanwhile")
        await house.broker.start()
        await ear.tell("after")
        await eventually(lambda: ear.heard == ["before", "meanwhile", "after"])
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await house.fetch("SELECT 1 FROM program.outbox"):
                await asyncio.sleep(0.05)


async def test_returns_that_lose_many_bonuses_are_told_in_as_many_messages_as_it_takes(
    house: House,
) -> None:
    """The broker takes 1 MiB, and what it does not take would hold up all that comes after."""
    lost: Any = [LostBonus(transaction_id=new_id(), region="r" * 64) for _ in range(50)]
    returns = [
        Event(
            event_id=new_id(), member_id=f"m{number}",
            accrual_reversed=AccrualReversed(transaction_id=new_id(), lost_bonuses=lost),
        )
        for number in range(300)
    ]  # fmt: skip
    async with Ear(house) as ear:
        await ear.tell_all(returns)
        await eventually(lambda: len(ear.heard) >= len(returns))
        assert sorted(ear.heard) == sorted(event.member_id for event in returns)


async def test_a_broker_that_went_away_keeps_nobody_from_leaving(ground: Ground) -> None:
    """What was to be sent to it still waits in the client; that is lost, and nothing else fails."""
    async with ground.house() as house:
        await house.start("tier")
        running = house.running["tier"]
        assert running.broker is not None
        await running.broker.jetstream()
        await asyncio.sleep(1)
        await house.broker.stop()
        await asyncio.sleep(2)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await house.stop("tier")
        assert all(task.done() for task in running._tasks)
        await house.broker.start()
