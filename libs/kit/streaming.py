"""Calls that stream: how they pass the gate, and how a stream of rows is worked off in batches.

The gate reads for the servicer, so that every message is checked like a request of its own, and so
that it can stop reading when the server is to leave: the servicer sees the end of its requests,
finishes what was read and answers it; the caller is then told UNAVAILABLE.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import grpc
from grpc import StatusCode

from kit.errors import LaurelError, ShuttingDown

RETRY_AFTER_MS = 500

Q = TypeVar("Q")
R = TypeVar("R")
Handler = Callable[..., AsyncIterator[Any]]


class TooManyStreams(LaurelError):
    """As many streams are open as the server serves at once."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "TOO_MANY_STREAMS"
    text = "{open} streams are open already; nothing was done, try again later or share a stream"


class Requests:
    """The requests of one stream: read one at a time, each parsed and checked."""

    def __init__(self, context: Any, parse: Callable[[bytes], Any]) -> None:
        self._context = context
        self._parse = parse
        self._reading: asyncio.Future[Any] | None = None
        self._cut = False

    def __aiter__(self) -> "Requests":
        return self

    async def __anext__(self) -> Any:
        if self._cut:
            raise StopAsyncIteration
        self._reading = asyncio.ensure_future(self._context.read())
        try:
            raw = await self._reading
        except asyncio.CancelledError:
            if self._cut:
                raise StopAsyncIteration from None
            raise
        if raw is grpc.aio.EOF:
            raise StopAsyncIteration
        return self._parse(raw)

    def cut(self) -> None:
        """Ends the requests here, as if the caller had sent no more."""
        self._cut = True
        if self._reading is not None:
            self._reading.cancel()


async def serve_stream(
    handler: Handler, request: Any, context: Any, stopping: asyncio.Event
) -> None:
    """Writes what a handler yields. Raises ShuttingDown once the server is to leave: after all
    that was read is answered, or at once where the caller sends no stream.
    """
    answering = asyncio.create_task(_answer(handler, request, context))
    leaving = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            if isinstance(request, Requests):
                request.cut()
                await answering
            raise ShuttingDown(retry_after_ms=RETRY_AFTER_MS)
        answering.result()
    finally:
        leaving.cancel()
        answering.cancel()
        # The handler has let go of all it holds before the call ends.
        await asyncio.gather(answering, return_exceptions=True)


async def _answer(handler: Handler, request: Any, context: Any) -> None:
    responses: Any = handler(request, context)
    async with aclosing(responses):
        async for response in responses:
            await context.write(response)


class StreamDesk(Generic[Q, R]):
    """Works off streams of messages in batches, and answers each message in the order it came.

    While one batch of a stream is worked on, its next messages are read ahead, but never more rows
    than the window holds: a row leaves it when its answer was written. So a slow ledger, or a
    caller who reads no answers, stops the reading, and with it, by HTTP/2, the caller.
    """

    def __init__(
        self,
        weigh: Callable[[Q], int],
        *,
        window_rows_max: int,
        batch_rows_max: int,
        batches_max: int,
        streams_max: int,
    ) -> None:
        self._weigh = weigh
        self._window_rows_max = window_rows_max
        self._batch_rows_max = batch_rows_max
        self._slots = asyncio.Semaphore(batches_max)
        self._streams_max = streams_max
        self._open_count = 0

    async def answer(
        self, requests: AsyncIterator[Q], work: Callable[[Sequence[Q]], Awaitable[Sequence[R]]]
    ) -> AsyncGenerator[R, None]:
        """The answers to a stream of messages; close it when done with it.

        What was read before a message that cannot be read is answered first. Raises TooManyStreams.
        """
        if self._open_count >= self._streams_max:
            raise TooManyStreams(open=self._open_count, retry_after_ms=RETRY_AFTER_MS)
        self._open_count += 1
        window: _Window[Q] = _Window(self._weigh, self._window_rows_max)
        reader = asyncio.create_task(window.fill(requests))
        try:
            while await window.has_messages():
                # Taken with the slot in hand: what comes while waiting for it is in the batch, too.
                async with self._slots:
                    batch = window.take(self._batch_rows_max)
                    answers = await work(batch)
                for message, answer in zip(batch, answers, strict=True):
                    yield answer
                    window.leave(message)
            await reader
        finally:
            self._open_count -= 1
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


class _Window(Generic[Q]):
    """Messages that were read and are not answered yet, bounded by their rows."""

    def __init__(self, weigh: Callable[[Q], int], rows_max: int) -> None:
        self._weigh = weigh
        self._rows_max = rows_max
        self._rows = 0
        self._waiting: deque[Q] = deque()
        self._ended = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def fill(self, requests: AsyncIterator[Q]) -> None:
        """Reads to the end, and waits wherever the window is full."""
        try:
            async for message in requests:
                self._waiting.append(message)
                self._rows += self._weigh(message)
                self._changed.set()
                while self._rows >= self._rows_max:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._ended = True
            self._changed.set()

    async def has_messages(self) -> bool:
        """Waits for a message to work on; False once there will be none."""
        while not self._waiting and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return bool(self._waiting)

    def take(self, rows_max: int) -> list[Q]:
        """The messages that fit into a batch, one at least."""
        batch = [self._waiting.popleft()]
        rows = self._weigh(batch[0])
        while self._waiting and rows + self._weigh(self._waiting[0]) <= rows_max:
            batch.append(self._waiting.popleft())
            rows += self._weigh(batch[-1])
        return batch

    def leave(self, message: Q) -> None:
        """The message is answered."""
        self._rows -= self._weigh(message)
        self._room.set()
