"""The calls that try draft rules on the past, and tell what the live ones did to it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from antifraud.back_test_render import render_progress, render_report, render_result
from antifraud.back_test_store import BackTestStore, Progress, TimeRange
from antifraud.drafts import load_draft
from antifraud.errors import RulesInvalid
from antifraud.rule_report import rule_report
from kit.clock import parse_time
from laurel.antifraud.v1 import backtests_pb2 as pb
from rules.document import ProgramInvalid
from rules.feed import ProgramFeed

Context = grpc.aio.ServicerContext[Any, Any]
FILE = "rules.yaml"


class BackTestCalls:
    """Back-tests and reports of rules."""

    _feed: ProgramFeed
    _back_tests: BackTestStore

    async def BackTest(
        self, request: pb.BackTestRequest, context: Context
    ) -> AsyncGenerator[pb.BackTestResponse, None]:
        """See the contract."""
        history = await self._feed.ensure()
        span = self._time_range(request)
        with self._back_tests.sole():
            try:
                # Beside the event loop: a document may be large.
                draft = await asyncio.to_thread(
                    load_draft, request.source_yaml, request.file or FILE, history
                )
            except ProgramInvalid as invalid:
                raise RulesInvalid.of(invalid.mistakes) from None
            async with aclosing(self._back_tests.run(draft, span)) as told:
                async for news in told:
                    if isinstance(news, Progress):
                        yield pb.BackTestResponse(progress=render_progress(news))
                    else:
                        yield pb.BackTestResponse(result=render_result(news, span))

    async def GetRuleReport(
        self, request: pb.GetRuleReportRequest, context: Context
    ) -> pb.GetRuleReportResponse:
        """See the contract."""
        history = await self._feed.ensure()
        span = self._time_range(request)
        report = rule_report(*await self._back_tests.report(span), history)
        return render_report(report, span)

    def _time_range(self, request: pb.BackTestRequest | pb.GetRuleReportRequest) -> TimeRange:
        start, end = (
            parse_time(getattr(request, name), name) if request.HasField(name) else None
            for name in ("from_time", "to_time")
        )
        return self._back_tests.time_range(start, end)
