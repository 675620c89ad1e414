"""Batches with a command in them that cannot be booked: it is found, and the others are booked."""

from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from kit.errors import LaurelError
from kit.telemetry import log
from points.errors import BalanceExceeded
from points.store import Answer
from points.values import Command

Work = Callable[[Sequence[Command]], Awaitable[list[Answer]]]
"""Books a batch: an answer for each command, in the order they came."""

# So often a batch is tried that fails: of 512 with one or two bad ones, 10 to 20 times.
FAILURES_MAX = 40
# What the values of a command lead to, in the database or in a mistake of ours. What has to do
# with the state of things (no database, a race) ends the whole batch: it is not the command's.
OF_A_COMMAND = (
    BalanceExceeded,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    ArithmeticError,
    AssertionError,
    LookupError,
    TypeError,
    ValueError,
)
_log = log("points")


async def work_apart(commands: Sequence[Command], work: Work) -> list[Answer]:
    """What becomes of each, in order. A batch that fails is halved until the command that fails
    stands alone, and only that one ends in the error. What the batch had booked before it failed,
    its plain accruals, is found to be a repeat then.

    Where too many fail, those that are left together share the error.
    """
    answers: list[Answer] = []
    parts, failures = [commands], 0
    while parts:
        part = parts.pop()
        try:
            answers += await work(part)
        except OF_A_COMMAND as error:
            failures += 1
            if len(part) > 1 and failures < FAILURES_MAX:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
                continue
            if not isinstance(error, LaurelError):
                ids = [command.request_id for command in part]
                _log.error("commands.failed", request_ids=ids, error=repr(error), exc_info=error)
            answers += [error] * len(part)
    return answers
