"""StreamAccruePoints: purchases as they come, many to a commit."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any

import grpc

from kit.clock import Clock
from kit.streaming import StreamDesk
from laurel.points.v1 import points_service_pb2 as pb
from points.bulk import work_rows
from points.errors import SequenceNotRising
from points.writing import WritePath
from rules.feed import ProgramFeed

WINDOW_ROWS_MAX = 2000
BATCH_ROWS_MAX = 1000
BATCHES_MAX = 4
STREAMS_MAX = 64

Context = grpc.aio.ServicerContext[Any, Any]
Message = pb.StreamAccruePointsRequest
Answer = pb.StreamAccruePointsResponse


def open_stream_desk() -> StreamDesk[Message, Answer]:
    """The desk that all streams of a process share."""
    return StreamDesk(
        lambda message: len(message.requests),
        window_rows_max=WINDOW_ROWS_MAX, batch_rows_max=BATCH_ROWS_MAX,
        batches_max=BATCHES_MAX, streams_max=STREAMS_MAX,
    )  # fmt: skip


class StreamCalls:
    """The calls of PointsService that stream."""

    _path: WritePath
    _feed: ProgramFeed
    _clock: Clock
    _desk: StreamDesk[Message, Answer]

    async def StreamAccruePoints(
        self, request_iterator: AsyncIterator[Message], context: Context
    ) -> AsyncIterator[Answer]:
        """See the contract."""
        answers = self._desk.answer(_rising(request_iterator), self._accrue)
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    async def _accrue(self, messages: Sequence[Message]) -> list[Answer]:
        """All rows of the messages in one batch, answered message by message."""
        rows = [row for message in messages for row in message.requests]
        results = iter(await work_rows(rows, self._path, self._feed, self._clock))
        return [
            Answer(sequence=message.sequence, results=islice(results, len(message.requests)))
            for message in messages
        ]


async def _rising(messages: AsyncIterator[Message]) -> AsyncIterator[Message]:
    before = 0
    async for message in messages:
        if message.sequence <= before:
            raise SequenceNotRising(sequence=message.sequence, before=before)
        before = message.sequence
        yield message
