"""The calls of PointsService that only read the ledger."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from kit.clock import Clock, parse_occurred, parse_time
from kit.paging import decode_id, encode_token, page_size
from laurel.points.v1 import liability_pb2
from laurel.points.v1 import points_service_pb2 as pb
from points.errors import DatesOfNowOnly, TimesReversed
from points.reading import TransactionFilter
from points.reads import Reads
from points.render import render_told, render_totals
from points.render_balances import render_balance, render_dates, render_lot, render_member_balance
from points.render_liability import render_report
from points.values import Kind
from rules.feed import ProgramFeed

Context = grpc.aio.ServicerContext[Any, Any]


class ReadingCalls:
    """Balances, transactions, lots and totals."""

    _reads: Reads
    _feed: ProgramFeed
    _clock: Clock

    async def GetBalance(
        self, request: pb.GetBalanceRequest, context: Context
    ) -> pb.GetBalanceResponse:
        """See the contract."""
        read_time = self._past(request.read_time) if request.HasField("read_time") else None
        if request.view == pb.BALANCE_VIEW_DATES:
            if read_time is not None:
                raise DatesOfNowOnly(read_time=read_time.isoformat())
            program = (await self._feed.ensure()).in_force(self._clock())
            return render_dates(
                *await self._reads.balances.get_dates(request.member_id, program.zone.key)
            )
        if read_time is not None:
            return render_balance(
                await self._reads.balances.get_balance_at(request.member_id, read_time)
            )
        return render_balance(await self._reads.balance_queue.submit(request.member_id))

    async def BatchGetBalances(
        self, request: pb.BatchGetBalancesRequest, context: Context
    ) -> pb.BatchGetBalancesResponse:
        """See the contract."""
        views = await self._reads.balances.get_balances(request.member_ids)
        return pb.BatchGetBalancesResponse(balances=map(render_member_balance, views))

    async def WatchBalance(
        self, request: pb.WatchBalanceRequest, context: Context
    ) -> AsyncIterator[pb.WatchBalanceResponse]:
        """See the contract."""
        async with aclosing(self._reads.hub.watch(request.member_id)) as views:
            async for view in views:
                yield pb.WatchBalanceResponse(balance=render_member_balance(view))

    async def ListTransactions(
        self, request: pb.ListTransactionsRequest, context: Context
    ) -> pb.ListTransactionsResponse:
        """See the contract."""
        size = page_size(request.page_size)
        before = decode_id(request.page_token)
        found = await self._reads.ledger.list_transactions(
            request.member_id, _parse_filter(request), before, size + 1
        )
        page = found[:size]
        more = len(found) > size
        return pb.ListTransactionsResponse(
            transactions=map(render_told, page),
            next_page_token=encode_token(str(page[-1].posted.transaction_id)) if more else "",
        )

    async def ListLots(self, request: pb.ListLotsRequest, context: Context) -> pb.ListLotsResponse:
        """See the contract."""
        size = page_size(request.page_size)
        before = decode_id(request.page_token)
        found = await self._reads.ledger.list_lots(
            request.member_id, request.state, before, size + 1
        )
        page = found[:size]
        more = len(found) > size
        return pb.ListLotsResponse(
            lots=map(render_lot, page),
            next_page_token=encode_token(str(page[-1].lot_id)) if more else "",
        )

    async def GetTransaction(
        self, request: pb.GetTransactionRequest, context: Context
    ) -> pb.GetTransactionResponse:
        """See the contract."""
        transaction_id = UUID(request.transaction_id)
        told = await self._reads.ledger.get_transaction(request.member_id, transaction_id)
        return pb.GetTransactionResponse(transaction=render_told(told))

    async def GetLedgerTotals(
        self, request: pb.GetLedgerTotalsRequest, context: Context
    ) -> pb.GetLedgerTotalsResponse:
        """See the contract."""
        read_time = self._past(request.read_time) if request.HasField("read_time") else None
        return render_totals(await self._reads.ledger.get_totals(read_time))

    async def GetLiabilityReport(
        self, request: liability_pb2.GetLiabilityReportRequest, context: Context
    ) -> liability_pb2.GetLiabilityReportResponse:
        """See the contract."""
        as_of = None
        if request.HasField("as_of_time"):
            as_of = parse_occurred(request.as_of_time, self._clock(), "as_of_time")
        begin = None
        if request.HasField("from_time"):
            begin = parse_time(request.from_time, "from_time")
        report = await self._reads.liability.get_report(as_of, begin)
        return liability_pb2.GetLiabilityReportResponse(report=render_report(report))

    def _past(self, stamp: Timestamp) -> datetime:
        """Raises TimeInvalid or TimeInFuture: nobody knows what will be booked."""
        return parse_occurred(stamp, self._clock(), "read_time")


def _parse_filter(request: pb.ListTransactionsRequest) -> TransactionFilter:
    times: dict[str, datetime] = {
        name: parse_time(getattr(request, name), name)
        for name in ("from_time", "to_time")
        if request.HasField(name)
    }
    if len(times) == 2 and times["to_time"] < times["from_time"]:
        raise TimesReversed(**{name: time.isoformat() for name, time in times.items()})
    return TransactionFilter(
        kinds=[Kind(kind) for kind in request.kinds] or None,
        order_id=request.order_id or None,
        hold_id=UUID(request.hold_id) if request.hold_id else None,
        lot_id=UUID(request.lot_id) if request.lot_id else None,
        **times,
    )
