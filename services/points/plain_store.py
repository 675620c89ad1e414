"""Books plain accruals: four statements for a whole batch, and its events."""

from collections.abc import Sequence
from datetime import datetime

from kit.clock import NewId
from kit.db import Transaction
from kit.events import publish_batches
from points.events import render_accrued_batches
from points.plain import Allowed, Balance, PlainAccrual, Terms, settle, short_explanation
from points.values import Account, Standing


async def book_plain(
    tx: Transaction, allowed: Sequence[Allowed], now: datetime, new_id: NewId
) -> list[PlainAccrual]:
    """Books accruals, but for those of members whose account is not plain any more.

    Raises RequestRaced when one of the requests was booked before.
    """
    members = {one.offer.command.member_id for one in allowed}
    balances = {
        member: Balance(active, pending, held)
        for member, active, pending, held, debt, state, _ in await tx.fetch(
            "lock_accounts", list(members)
        )
        if not debt and state == Standing.OPEN
    }
    accruals = settle(allowed, balances, now, new_id)
    if accruals:
        await _insert(tx, accruals, now)
        await tx.execute(
            "set_balances",
            list(balances),
            [balance.active for balance in balances.values()],
            [balance.pending for balance in balances.values()],
        )
        await publish_batches(tx, new_id, "points_accrued", render_accrued_batches(accruals))
    return accruals


async def _insert(tx: Transaction, accruals: Sequence[PlainAccrual], now: datetime) -> None:
    numbers: dict[int, int] = {}
    shared: list[Terms] = []
    terms = []
    for accrual in accruals:
        number = numbers.get(id(accrual.terms))
        if number is None:
            shared.append(accrual.terms)
            number = numbers[id(accrual.terms)] = len(shared)
        terms.append(number)
    commands = [accrual.allowed.offer.command for accrual in accruals]
    members = [command.member_id for command in commands]
    ids = [accrual.transaction_id for accrual in accruals]
    points = [accrual.allowed.offer.points for accrual in accruals]
    await tx.execute(
        "record_accruals",
        members,
        ids,
        [command.request_id for command in commands],
        [command.order_id for command in commands],
        points,
        [accrual.after.active for accrual in accruals],
        [accrual.after.pending for accrual in accruals],
        [accrual.after.held for accrual in accruals],
        [short_explanation(accrual) for accrual in accruals],
        terms,
        [Account.PENDING if one.pending else Account.ACTIVE for one in shared],
        [one.program.version for one in shared],
        [one.occurred_time for one in shared],
        now,
    )
    await tx.execute(
        "open_lots",
        members,
        ids,
        points,
        terms,
        [one.pending for one in shared],
        [one.mature_time for one in shared],
        [one.expire_time for one in shared],
        [one.due_time for one in shared],
    )
    # In the order of the request ids, as everywhere: two batches must not deadlock over them.
    requests = sorted(
        (command.request_id, command.digest, transaction_id, command.member_id)
        for command, transaction_id in zip(commands, ids, strict=True)
    )
    await tx.execute("remember_accruals", *(list(column) for column in zip(*requests, strict=True)))
