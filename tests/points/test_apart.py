"""PT-15: a command that cannot be booked is found in its batch, and the others are booked."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from kit.errors import DatabaseUnavailable
from points.apart import FAILURES_MAX, work_apart
from points.errors import HoldNotFound
from points.store import Answer
from points.values import Command, Release

BATCH = [Release(str(number), b"", UUID(int=number)) for number in range(512)]


class Counter:
    """Takes whole batches, and none with a number in it that it chokes on."""

    def __init__(self, chokes_on: set[int]) -> None:
        self.chokes_on = chokes_on
        self.taken: list[int] = []
        self.batch_count = 0

    async def work(self, commands: Sequence[Command]) -> list[Answer]:
        """Each is answered with its number."""
        self.batch_count += 1
        numbers = [int(command.request_id) for command in commands]
        for number in numbers:
            if number in self.chokes_on:
                raise LookupError(number)
        self.taken += numbers
        return [HoldNotFound(hold_id=number) for number in numbers]


@pytest.mark.parametrize("chokes_on", [set(), {0}, {511}, {7, 300}, {255, 256}])
async def test_only_what_cannot_be_taken_fails(chokes_on: set[int]) -> None:
    """Every answer stands in its place, and all others are taken once, in their order."""
    counter = Counter(chokes_on)
    answers = await work_apart(BATCH, counter.work)
    failed = {n for n, answer in enumerate(answers) if isinstance(answer, LookupError)}
    assert (len(answers), failed) == (512, chokes_on)
    told = [answer.values["hold_id"] for answer in answers if isinstance(answer, HoldNotFound)]
    assert told == [str(number) for number in counter.taken]
    assert counter.taken == [number for number in range(512) if number not in chokes_on]
    assert counter.batch_count <= 1 + 2 * 9 * len(chokes_on)


async def test_a_batch_that_fails_everywhere_is_not_tried_for_ever() -> None:
    counter = Counter(set(range(512)))
    answers = await work_apart(BATCH, counter.work)
    assert all(isinstance(answer, LookupError) for answer in answers)
    assert (len(answers), counter.taken) == (512, [])
    assert counter.batch_count < 2 * FAILURES_MAX


async def test_what_is_no_commands_fault_ends_the_batch_at_once() -> None:
    """A database that is away, a race: who is answered so comes again."""
    tried = 0

    async def work(_: Sequence[Command]) -> list[Answer]:
        nonlocal tried
        tried += 1
        raise DatabaseUnavailable

    with pytest.raises(DatabaseUnavailable):
        await work_apart(BATCH, work)
    assert tried == 1
