"""The promises of kit.batch: bounded, in order, fair to neighbours, honest to those who leave."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from grpc import StatusCode

from kit.batch import Batcher
from kit.errors import LaurelError, QueueFull, ShuttingDown


class Odd(LaurelError):
    """An item that is refused."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ODD"
    text = "{item} is odd"


class Work:
    """Doubles what it is given, once it is let go on; remembers every batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.go.set()
        self.failure: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return [Odd(item=item) if item % 2 else item * 2 for item in items]


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def batcher(work: Work) -> AsyncIterator[Batcher[int, int]]:
    batcher: Batcher[int, int] = Batcher(work, queue_max=8, batch_max=4)
    yield batcher
    work.go.set()
    await batcher.close()


async def test_an_idle_batcher_answers_at_once(batcher: Batcher[int, int], work: Work) -> None:
    assert await batcher.submit(2) == 4
    assert work.batches == [[2]]


async def test_who_comes_alone_does_not_wait_for_company_and_a_crowd_gathers(work: Work) -> None:
    """With `gather_turns`: after a batch of several, those who come within so many turns share the
    next one.
    """
    batcher: Batcher[int, int] = Batcher(work, queue_max=99, batch_max=50, gather_turns=10)

    async def come(item: int) -> int:
        for _ in range(item):
            await asyncio.sleep(0)
        return await batcher.submit(2 * item)

    assert await batcher.submit(0) == 0
    await asyncio.gather(*(come(0) for _ in range(4)))
    assert [len(batch) for batch in work.batches] == [1, 4]
    work.batches.clear()
    await asyncio.gather(*(come(item) for item in range(8)))
    assert [len(batch) for batch in work.batches] == [8]
    assert await batcher.submit(2) == 4
    await batcher.close()


async def test_while_one_batch_is_worked_on_the_next_one_fills(
    batcher: Batcher[int, int], work: Work
) -> None:
    work.go.clear()
    callers = [asyncio.create_task(batcher.submit(2 * i)) for i in range(7)]
    await _until(lambda: batcher.waiting_count == 3)
    work.go.set()
    assert await asyncio.gather(*callers) == [4 * i for i in range(7)]
    assert work.batches == [[0, 2, 4, 6], [8, 10, 12]]


async def test_items_are_worked_on_in_the_order_they_came(
    batcher: Batcher[int, int], work: Work
) -> None:
    for _ in range(10):
        await asyncio.gather(*(batcher.submit(2 * i) for i in range(8)))
    assert [item for batch in work.batches for item in batch] == [2 * i for i in range(8)] * 10


async def test_one_refusal_does_not_touch_its_neighbours(batcher: Batcher[int, int]) -> None:
    answers = await asyncio.gather(*(batcher.submit(i) for i in range(4)), return_exceptions=True)
    assert (answers[0], answers[2]) == (0, 4)
    assert all(isinstance(answers[i], Odd) for i in (1, 3))


async def test_a_full_queue_refuses_with_a_time_to_come_back(
    batcher: Batcher[int, int], work: Work
) -> None:
    work.go.clear()
    callers = [asyncio.create_task(batcher.submit(0)) for _ in range(4)]
    await _until(lambda: bool(work.batches))
    callers += [asyncio.create_task(batcher.submit(2)) for _ in range(8)]
    await _until(lambda: batcher.waiting_count == 8)
    with pytest.raises(QueueFull) as refusal:
        await batcher.submit(4)
    assert refusal.value.retry_after_ms
    work.go.set()
    assert await asyncio.gather(*callers) == [0] * 4 + [4] * 8


async def test_a_caller_who_left_before_the_batch_is_left_out(
    batcher: Batcher[int, int], work: Work
) -> None:
    work.go.clear()
    first = asyncio.create_task(batcher.submit(0))
    await _until(lambda: bool(work.batches))
    leaving, staying = (asyncio.create_task(batcher.submit(i)) for i in (2, 4))
    await _until(lambda: batcher.waiting_count == 2)
    leaving.cancel()
    await asyncio.sleep(0)
    work.go.set()
    assert await asyncio.gather(first, staying) == [0, 8]
    assert work.batches == [[0], [4]]


async def test_a_caller_who_times_out_during_the_batch_does_not_stop_it(
    batcher: Batcher[int, int], work: Work
) -> None:
    work.go.clear()
    staying = asyncio.create_task(batcher.submit(2))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(batcher.submit(2), 0.02)
    work.go.set()
    assert await staying == 4


async def test_when_the_work_itself_fails_everybody_hears_of_it_and_the_next_batch_works(
    batcher: Batcher[int, int], work: Work
) -> None:
    work.failure = RuntimeError("the database is gone")
    answers = await asyncio.gather(*(batcher.submit(2) for _ in range(3)), return_exceptions=True)
    assert all(answer is work.failure for answer in answers)
    work.failure = None
    assert await batcher.submit(2) == 4


async def test_closing_finishes_what_waits_and_takes_nothing_more(work: Work) -> None:
    batcher: Batcher[int, int] = Batcher(work, queue_max=100, batch_max=4)
    work.go.clear()
    callers = [asyncio.create_task(batcher.submit(2)) for _ in range(11)]
    await _until(lambda: bool(work.batches))
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDown):
        await batcher.submit(2)
    work.go.set()
    assert await asyncio.gather(*callers) == [4] * 11
    await closing


async def _until(condition: object) -> None:
    async with asyncio.timeout(5):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.001)
