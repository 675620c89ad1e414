"""Batches of tills: which were answered, with what, and which are missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from kit.clock import Clock
from kit.db import Database, Transaction
from kit.errors import RequestIdReused

LATEST_MAX = 10_000
GAPS_MAX = 100


class Gap(NamedTuple):
    """Numbers in a row that are missing."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class TillView:
    """What is known of a till."""

    last_number: int
    last_time: datetime | None
    gaps: tuple[Gap, ...]


class TillStore:
    """One answer for each number of a device, for ever."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find(self, device_id: str, number: int, content_hash: bytes) -> bytes | None:
        """The answer of a batch that was answered before. Raises RequestIdReused."""
        async with self._database.statements() as tx:
            return await _answer_of(tx, device_id, number, content_hash)

    async def claim(self, device_id: str, number: int, content_hash: bytes) -> bytes | None:
        """Takes a number for a content, before anything of it is booked; the answer where there is
        one already.

        Raises RequestIdReused when the number was taken for another content.
        """
        async with self._database.transaction() as tx:
            await tx.execute("claim_till_batch", device_id, number, content_hash, self._clock())
            return await _answer_of(tx, device_id, number, content_hash)

    async def finish(
        self, device_id: str, number: int, render: Callable[[Sequence[Gap]], bytes]
    ) -> bytes:
        """Keeps the answer of a batch and returns it; the first one, if another was faster."""
        async with self._database.transaction() as tx:
            row = await tx.fetchrow("lock_till_batch", device_id, number)
            if row["response"] is None:
                answer = render(await _find_gaps(tx, device_id, number))
                await tx.execute("finish_till_batch", device_id, number, answer, self._clock())
                return answer
            return bytes(row["response"])

    async def get(self, device_id: str) -> TillView:
        """What is known of a till."""
        async with self._database.transaction(readonly=True) as tx:
            row = await tx.fetchrow("get_till", device_id)
            if row is None:
                return TillView(0, None, ())
            gaps = await _find_gaps(tx, device_id, 0)
        return TillView(row["batch_number"], row["submit_time"], tuple(gaps))


async def _answer_of(
    tx: Transaction, device_id: str, number: int, content_hash: bytes
) -> bytes | None:
    row = await tx.fetchrow("get_till_batch", device_id, number)
    if row is None:
        return None
    if row["content_hash"] != content_hash:
        raise RequestIdReused(request_id=f"{device_id}/{number}")
    response: bytes | None = row["response"]
    return response


async def _find_gaps(tx: Transaction, device_id: str, number: int) -> list[Gap]:
    rows = await tx.fetch("find_till_gaps", device_id, number, LATEST_MAX, GAPS_MAX)
    return [Gap(row["first"], row["last"]) for row in rows]
