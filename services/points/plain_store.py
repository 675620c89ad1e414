"""Books plain accruals: one statement for a whole batch, and its events."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from kit.clock import NewId
from kit.db import Transaction, one_for_all, packed_texts
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
    after = await tx.fetchrow("book_accruals", *_columns(drafts), now, batch_ids, payloads)
    balances = map(Balance, *after)
    return [PlainAccrual(*one, left, now) for one, left in zip(drafts, balances, strict=True)]


def _columns(drafts: Sequence[Draft]) -> list[object]:
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
    active, pending = _sums(drafts, pending=False), _sums(drafts, pending=True)
    return [
        packed_texts(list(active.totals)),
        _sparse(active.totals.values()),
        _sparse(pending.totals.values()),
        packed_texts([command.member_id for command in commands]),
        [one.transaction_id for one in drafts],
        packed_texts([command.request_id for command in commands]),
        b"".join([command.digest for command in commands]),
        packed_texts([command.order_id for command in commands]),
        [one.allowed.offer.points for one in drafts],
        packed_texts([short_explanation(one.allowed) for one in drafts]),
        _sparse(active.later),
        _sparse(pending.later),
        one_for_all(terms),
        [Account.PENDING if one.pending else Account.ACTIVE for one in shared],
        [one.program.version for one in shared],
        [one.occurred_time for one in shared],
        [one.pending for one in shared],
        [one.mature_time for one in shared],
        [one.expire_time for one in shared],
        [one.due_time for one in shared],
    ]


class Sums(NamedTuple):
    """What a batch adds to the active or to the pending points."""

    totals: dict[str, int]
    """By member."""
    later: list[int]
    """For each draft, what those behind it add to the points of the same member."""


def _sums(drafts: Sequence[Draft], *, pending: bool) -> Sums:
    totals: dict[str, int] = {}
    later = []
    for one in reversed(drafts):
        offer = one.allowed.offer
        member_id = offer.command.member_id
        known = totals.get(member_id, 0)
        later.append(known)
        totals[member_id] = known + offer.points if one.terms.pending is pending else known
    later.reverse()
    return Sums(totals, later)


def _sparse(points: Collection[int]) -> list[int] | None:
    """Numbers that are all 0 most of the time."""
    return list(points) if any(points) else None
