"""Many requests, one commit: concurrent callers share a batch without knowing it.

While one batch is being worked on the next one fills; there is no timer, so an idle service answers
at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from opentelemetry import context as trace_context
from opentelemetry.context import Context

from kit.errors import QueueFull, ShuttingDown

RETRY_AFTER_MS = 200

T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]]


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T, R]):
    item: T
    answer: "asyncio.Future[R]"
    context: Context = field(default_factory=trace_context.get_current)


class Batcher(Generic[T, R]):
    """Hands queued items to `work`, in the order they came, one batch at a time.

    `work` gives one answer for each item, an exception for one that is refused; when it raises,
    every item of the batch ends in that error. A caller who is gone before the batch starts is left
    out; one who leaves later changes nothing.

    Where a batch costs much more than an item of it, `gather_turns` lets the event loop turn so
    often before a batch is taken, for others to join; only after a batch of several, so that who
    comes alone is still answered at once.
    """

    def __init__(
        self, work: Work[T, R], *, queue_max: int, batch_max: int, gather_turns: int = 0
    ) -> None:
        self._work = work
        self._gather_turns = gather_turns
        self._busy = False
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._queue: deque[_Waiting[T, R]] = deque()
        self._filled = asyncio.Event()
        self._closed = False
        self._worker = asyncio.create_task(self._run(), name="batcher")

    @property
    def waiting_count(self) -> int:
        """Requests that wait for a batch now."""
        return len(self._queue)

    async def submit(self, item: T) -> R:
        """The answer to one item. Raises QueueFull or ShuttingDown when it could not even wait."""
        if self._closed:
            raise ShuttingDown(retry_after_ms=RETRY_AFTER_MS)
        if len(self._queue) >= self._queue_max:
            raise QueueFull(waiting=len(self._queue), retry_after_ms=RETRY_AFTER_MS)
        waiting: _Waiting[T, R] = _Waiting(item, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._filled.set()
        return await waiting.answer

    async def close(self) -> None:
        """Takes nothing more, finishes all that waits, then ends."""
        self._closed = True
        self._filled.set()
        await self._worker

    async def _run(self) -> None:
        while self._queue or not self._closed:
            await self._filled.wait()
            if self._busy:
                for _ in range(self._gather_turns):
                    await asyncio.sleep(0)
            batch = self._take()
            self._busy = len(batch) > 1
            if batch:
                await self._answer(batch)
            if not self._queue and not self._closed:
                self._filled.clear()

    def _take(self) -> list[_Waiting[T, R]]:
        batch: list[_Waiting[T, R]] = []
        while self._queue and len(batch) < self._batch_max:
            waiting = self._queue.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
        return batch

    async def _answer(self, batch: list[_Waiting[T, R]]) -> None:
        # The whole batch shows up in the trace of its first caller.
        token = trace_context.attach(batch[0].context)
        try:
            answers: Sequence[R | Exception] = await self._work([waiting.item for waiting in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(batch)} items were given {len(answers)} answers")
        except Exception as error:  # every caller must hear of it  # noqa: BLE001
            answers = [error] * len(batch)
        finally:
            trace_context.detach(token)
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)
