"""Single calls share batches: each is read when its batch begins, and answered for itself.

So all of a batch that name no time have happened at one instant, and the terms of what they earn,
and much of what is told of it, are worked out once.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from kit.clock import Clock
from points.apart import Work
from points.bulk import answer_rows
from points.store import Answer
from points.values import Command
from rules.compiled import ProgramHistory
from rules.feed import ProgramFeed

Reading = Callable[[datetime, ProgramHistory], Command]
"""Makes a command of a request, now, by the programs; raises what is wrong with the request."""


class Singles:
    """Works off batches of single calls."""

    def __init__(self, work: Work, feed: ProgramFeed, clock: Clock) -> None:
        self._work = work
        self._feed = feed
        self._clock = clock

    async def work(self, readings: Sequence[Reading]) -> list[Answer | Exception]:
        """One answer for each, in the order they came."""
        programs = await self._feed.ensure()
        now = self._clock()
        return await answer_each([_read(one, now, programs) for one in readings], self._work)


async def answer_each(read: Sequence[Command | Exception], work: Work) -> list[Answer | Exception]:
    """What becomes of each; where all of a batch fail, who could not be read keeps that refusal."""
    try:
        return await answer_rows(read, work)
    except Exception as error:  # their callers must hear of it  # noqa: BLE001
        return [one if isinstance(one, Exception) else error for one in read]


def _read(reading: Reading, now: datetime, programs: ProgramHistory) -> Command | Exception:
    try:
        return reading(now, programs)
    except Exception as error:  # the others of the batch are not to hear of it  # noqa: BLE001
        return error
