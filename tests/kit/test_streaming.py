"""kit.streaming: how far a stream is read ahead, and what shares a batch."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from kit.streaming import StreamDesk, TooManyStreams


def desk(**limits: int) -> StreamDesk[int, str]:
    """A desk for messages that are as many rows as they say."""
    bounds = {"window_rows_max": 10, "batch_rows_max": 6, "batches_max": 1, "streams_max": 2}
    return StreamDesk(lambda rows: rows, **{**bounds, **limits})


class Source:
    """Messages, and how many of them were read."""

    def __init__(self, *messages: int) -> None:
        self.messages = messages
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[int]:
        for message in self.messages:
            self.read += 1
            yield message


async def test_never_more_is_read_than_the_window_holds_until_answers_are_taken() -> None:
    source, started, released = Source(*[2] * 50), asyncio.Event(), asyncio.Event()

    async def work(batch: Sequence[int]) -> list[str]:
        started.set()
        await released.wait()
        return [str(message) for message in batch]

    answers = desk().answer(source, work)
    first = asyncio.ensure_future(anext(answers))
    await started.wait()
    await asyncio.sleep(0.01)
    assert source.read == 5
    released.set()
    await first
    await asyncio.sleep(0.01)
    assert source.read == 5, "an answer that nobody has written yet is still in the window"
    await anext(answers)
    await asyncio.sleep(0.01)
    assert source.read == 6
    assert len([answer async for answer in answers]) == 48


async def test_a_batch_holds_what_has_come_up_to_its_bound_and_one_message_at_least() -> None:
    sizes: list[list[int]] = []

    async def work(batch: Sequence[int]) -> list[str]:
        sizes.append(list(batch))
        await asyncio.sleep(0.01)
        return ["" for _ in batch]

    answers = desk(window_rows_max=100).answer(Source(9, 2, 3, 2, 1, 7), work)
    assert len([answer async for answer in answers]) == 6
    assert sizes == [[9], [2, 3], [2, 1], [7]]


async def test_a_stream_that_is_left_gives_its_place_back() -> None:
    async def work(batch: Sequence[int]) -> list[str]:
        return ["" for _ in batch]

    one = desk(streams_max=1)
    answers = one.answer(Source(1, 1), work)
    await anext(answers)
    with pytest.raises(TooManyStreams):
        await anext(one.answer(Source(1), work))
    await answers.aclose()
    assert len([answer async for answer in one.answer(Source(1), work)]) == 1


async def test_work_that_fails_ends_the_stream_with_its_error() -> None:
    async def work(batch: Sequence[int]) -> list[str]:
        raise ValueError(batch)

    with pytest.raises(ValueError, match="1"):
        await anext(desk().answer(Source(1), work))
