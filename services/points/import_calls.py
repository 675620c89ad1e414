"""The calls of PointsService that bring points from other systems."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from kit.clock import Clock, parse_occurred, parse_time
from kit.errors import LaurelError, to_status
from kit.requests import content_hash
from kit.validate import check
from laurel.points.v1 import imports_pb2 as pb
from points.counter import Counter
from points.import_store import Imported, Outcome
from points.importing import Import
from rules import expiry
from rules.compiled import CompiledProgram, ProgramHistory
from rules.feed import ProgramFeed

Context = grpc.aio.ServicerContext[Any, Any]
M = TypeVar("M", bound=Message)


class ImportCalls:
    """Balances and history."""

    _counter: Counter
    _feed: ProgramFeed
    _clock: Clock

    async def ImportBalances(
        self, request: pb.ImportBalancesRequest, context: Context
    ) -> pb.ImportBalancesResponse:
        """See the contract."""
        outcomes = await self._bring(request.rows, _parse_balance)
        return pb.ImportBalancesResponse(
            results=map(_render, outcomes), repeat_indexes=_repeats(outcomes)
        )

    async def ImportTransactions(
        self, request: pb.ImportTransactionsRequest, context: Context
    ) -> pb.ImportTransactionsResponse:
        """See the contract."""
        outcomes = await self._bring(request.rows, _parse_transaction)
        return pb.ImportTransactionsResponse(
            results=map(_render, outcomes), repeat_indexes=_repeats(outcomes)
        )

    async def _bring(
        self, rows: Sequence[M], parse: Callable[[M, datetime, ProgramHistory], Import]
    ) -> list[Outcome]:
        programs, now = await self._feed.ensure(), self._clock()
        parsed: list[Import | LaurelError] = []
        for row in rows:
            try:
                check(row)
                parsed.append(parse(row, now, programs))
            except LaurelError as error:
                parsed.append(error)
        commands = [row for row in parsed if isinstance(row, Import)]
        outcomes = iter(await self._counter.imports.bring(commands))
        return [next(outcomes) if isinstance(row, Import) else row for row in parsed]


def _parse_balance(row: pb.ImportedBalance, now: datetime, programs: ProgramHistory) -> Import:
    """Raises TimeInvalid or TimeInFuture."""
    earned = parse_occurred(row.earned_time, now, "earned_time")
    program = programs.in_force(earned)
    return Import(
        row.request_id, content_hash(row), row.member_id, row.points, earned,
        _expire_time(row, earned, program), row.reference, "", program, must_live=True,
    )  # fmt: skip


def _parse_transaction(
    row: pb.ImportedTransaction, now: datetime, programs: ProgramHistory
) -> Import:
    """Raises TimeInvalid or TimeInFuture."""
    occurred = parse_occurred(row.occurred_time, now)
    program = programs.in_force(occurred)
    return Import(
        row.request_id, content_hash(row), row.member_id, row.points, occurred,
        _expire_time(row, occurred, program), row.order_id, row.description, program,
        must_live=False,
    )  # fmt: skip


def _expire_time(
    row: pb.ImportedBalance | pb.ImportedTransaction, earned: datetime, program: CompiledProgram
) -> datetime | None:
    if row.never_expires:
        return None
    if row.HasField("expire_time"):
        return parse_time(row.expire_time, "expire_time")
    return expiry.expire_time(earned, program)


def _repeats(outcomes: Sequence[Outcome]) -> list[int]:
    return [
        index
        for index, outcome in enumerate(outcomes)
        if isinstance(outcome, Imported) and outcome.repeated
    ]


def _render(outcome: Outcome) -> pb.ImportResult:
    if isinstance(outcome, Imported):
        imported = pb.ImportedPoints(
            transaction_id=str(outcome.transaction_id), active_points=outcome.active
        )
        return pb.ImportResult(imported=imported)
    return pb.ImportResult(error=to_status(outcome))
