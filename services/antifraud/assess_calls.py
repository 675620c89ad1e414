"""The calls that decide operations and list what was decided."""

from typing import Any

import grpc

from antifraud.external import ExternalEngine
from antifraud.parse import parse_operations
from antifraud.parse_plain import parse_plain
from antifraud.render import render_assessment, render_decisions
from antifraud.store import AssessmentStore
from kit.errors import InvalidArgument, Violation
from kit.paging import decode_id, encode_token, page_size
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from rules.feed import ProgramFeed

# Postgres takes it in no text.
NUL = "\x00"

Context = grpc.aio.ServicerContext[Any, Any]


class AssessCalls:
    """Decisions."""

    _store: AssessmentStore
    _feed: ProgramFeed
    _engine: ExternalEngine

    async def BatchAssess(
        self, request: pb.BatchAssessRequest, context: Context
    ) -> pb.BatchAssessResponse:
        """See the contract."""
        history = await self._feed.ensure()
        asked = parse_operations(request.operations, history)
        asked += parse_plain(request.plain, history)
        scored = await self._engine.add_scores(asked, request)
        decided = await self._store.assess(scored, took_effect=request.took_effect)
        return render_decisions(decided, len(request.operations))

    async def ListAssessments(
        self, request: pb.ListAssessmentsRequest, context: Context
    ) -> pb.ListAssessmentsResponse:
        """See the contract."""
        if NUL in request.member_id:
            raise InvalidArgument(Violation("member_id", "has a zero character; remove it"))
        size = page_size(request.page_size)
        found = await self._store.list_assessments(
            request.member_id, request.action, decode_id(request.page_token), size + 1
        )
        token = encode_token(str(found[size - 1].assessment_id)) if len(found) > size else ""
        history = await self._feed.ensure()
        shown = [render_assessment(one, history) for one in found[:size]]
        return pb.ListAssessmentsResponse(assessments=shown, next_page_token=token)
