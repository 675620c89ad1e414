"""Books plain accruals: one statement for a whole batch, and its events."""

from collections.abc import Sequence
from datetime import datetime

from kit.clock import NewId
from kit.db import Transaction
from kit.events import seal_batches
from points.events import render_accrued_batches
from points.plain import Allowed, Balance, Draft, PlainAccrual, Terms, draft, short_explanation
from points.values import Account


async def book_plain(
    tx: Transaction, allowed: Sequence[Allowed], now: datetime, new_id: NewId
) -> list[PlainAccrual]:
    """Books accruals, all of them or none.

    Raises RequestRaced when one of the requests was booked before, NotPlain when an account is not
    plain any more.
    """
    drafts = draft(allowed, now, new_id)
    batch_ids, payloads = seal_batches(render_accrued_batches(drafts, now), new_id)
    rows = await tx.fetch("book_accruals", *_columns(drafts), now, batch_ids, payloads)
    return [PlainAccrual(*one, Balance(*row), now) for one, row in zip(drafts, rows, strict=True)]


def _columns(drafts: Sequence[Draft]) -> list[Sequence[object]]:
    numbers: dict[int, int] = {}
    shared: list[Terms] = []
    terms = []
    for one in drafts:
        number = numbers.get(id(one.terms))
        if number is None:
            shared.append(one.terms)
            number = numbers[id(one.terms)] = len(shared)
        terms.append(number)
    commands = [one.allowed.offer.command for one in drafts]
    return [
        [command.member_id for command in commands],
        [one.transaction_id for one in drafts],
        [command.request_id for command in commands],
        [command.digest for command in commands],
        [command.order_id for command in commands],
        [one.allowed.offer.points for one in drafts],
        [short_explanation(one.allowed) for one in drafts],
        terms,
        [Account.PENDING if one.pending else Account.ACTIVE for one in shared],
        [one.program.version for one in shared],
        [one.occurred_time for one in shared],
        [one.pending for one in shared],
        [one.mature_time for one in shared],
        [one.expire_time for one in shared],
        [one.due_time for one in shared],
    ]
