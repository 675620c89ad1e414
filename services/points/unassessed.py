"""Keeps accruals that were booked pending because anti-fraud gave no answer."""

from collections.abc import Sequence

from kit.db import Transaction
from points.posting import Desk
from points.values import Unassessed


async def note_unassessed(tx: Transaction, booked: Sequence[Unassessed], desk: Desk) -> None:
    """Keeps what was booked without an answer, in the transaction that booked it."""
    columns = [list(column) for column in zip(*booked, strict=True)]
    await tx.execute("insert_unassessed", *columns, desk.now)
