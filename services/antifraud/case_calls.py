"""The calls on cases and labels."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc

from antifraud.case_store import Call, CaseStore, Labelled, Query
from antifraud.cases import Case, Link, Operator, Order, Outcome
from antifraud.render import render_assessment
from kit.auth import identity_of
from kit.clock import to_timestamp
from kit.errors import InvalidArgument, Violation
from kit.paging import PageTokenInvalid, decode_id, decode_token, encode_token, page_size
from laurel.antifraud.v1 import antifraud_service_pb2 as service_pb
from laurel.antifraud.v1 import cases_pb2 as pb
from rules.feed import ProgramFeed

Context = grpc.aio.ServicerContext[Any, Any]


class CaseCalls:
    """What was put under review, and what people decide about it."""

    _cases: CaseStore
    _feed: ProgramFeed

    async def ListCases(
        self, request: pb.ListCasesRequest, context: Context
    ) -> pb.ListCasesResponse:
        """See the contract."""
        size = page_size(request.page_size)
        order = Order(request.order or Order.OLDEST)
        query = Query(request.state, request.member_id, request.claimant, order)
        found = await self._cases.list(query, _after(request.page_token, order), size + 1)
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = encode_token(int(order), last.score, str(last.case_id))
        now = self._cases.now()
        shown = [render_case(case, now) for case in found[:size]]
        return pb.ListCasesResponse(cases=shown, next_page_token=token)

    async def GetCase(
        self, request: service_pb.GetCaseRequest, context: Context
    ) -> service_pb.GetCaseResponse:
        """See the contract."""
        size = page_size(request.page_size)
        before = decode_id(request.page_token)
        found = await self._cases.get(UUID(request.case_id), before, size + 1)
        page = found.assessments[:size]
        token = encode_token(str(page[-1].assessment_id)) if len(found.assessments) > size else ""
        history = await self._feed.ensure()
        return service_pb.GetCaseResponse(
            case=render_case(found.case, self._cases.now()),
            assessments=[render_assessment(one, history) for one in page],
            links=[_render_link(link) for link in found.links],
            next_page_token=token,
        )

    async def ClaimCase(
        self, request: pb.ClaimCaseRequest, context: Context
    ) -> pb.ClaimCaseResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.ClaimCaseResponse)
        return await self._cases.claim(
            UUID(request.case_id), request.operator, call, self._render_case(pb.ClaimCaseResponse)
        )

    async def UnclaimCase(
        self, request: pb.UnclaimCaseRequest, context: Context
    ) -> pb.UnclaimCaseResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.UnclaimCaseResponse)
        return await self._cases.unclaim(
            UUID(request.case_id), request.operator, call, self._render_case(pb.UnclaimCaseResponse)
        )

    async def DecideCase(
        self, request: pb.DecideCaseRequest, context: Context
    ) -> pb.DecideCaseResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.DecideCaseResponse)
        return await self._cases.decide(
            UUID(request.case_id),
            Outcome(request.outcome),
            Operator(request.operator, identity_of(context) or "", request.reason),
            call,
            self._render_case(pb.DecideCaseResponse),
            claimant_only=request.claimant_only,
        )

    async def LabelAssessments(
        self, request: pb.LabelAssessmentsRequest, context: Context
    ) -> pb.LabelAssessmentsResponse:
        """See the contract."""
        labels = [Labelled(one.member_id, one.request_id, one.fraud) for one in request.labels]
        _check_once(labels)
        call = Call(request.request_id, request, pb.LabelAssessmentsResponse)
        return await self._cases.label(
            labels, request.operator, call,
            lambda count: pb.LabelAssessmentsResponse(labelled_count=count),
        )  # fmt: skip

    def _render_case(self, response: type[Any]) -> Callable[[Case], Any]:
        return lambda case: response(case=render_case(case, self._cases.now()))


def _after(token: str, order: Order) -> tuple[int, UUID] | None:
    key = decode_token(token, int, int, str)
    if key is None:
        return None
    try:
        score, case_id = int(str(key[1])), UUID(str(key[2]))
    except ValueError:
        raise PageTokenInvalid from None
    if key[0] != order or not 0 <= score <= 1000:
        raise PageTokenInvalid
    return score, case_id


def _check_once(labels: list[Labelled]) -> None:
    first: dict[tuple[str, str], int] = {}
    for index, one in enumerate(labels):
        known = first.setdefault((one.member_id, one.request_id), index)
        if known != index:
            problem = f"names the same operation as labels[{known}]; give each once"
            raise InvalidArgument(Violation(f"labels[{index}]", problem))


def render_case(case: Case, now: datetime) -> pb.Case:
    """A case as it stands at an instant."""
    claimant = case.claimant_at(now)
    shown = pb.Case(
        case_id=str(case.case_id),
        member_id=case.member_id,
        state=case.state,  # type: ignore[arg-type]
        score=case.score,
        assessment_count=case.assessment_count,
        open_time=to_timestamp(case.open_time),
        last_assessment_time=to_timestamp(case.last_assessment_time),
        claimant=claimant,
    )
    if claimant and case.claim_expire_time is not None:
        shown.claim_expire_time.CopyFrom(to_timestamp(case.claim_expire_time))
    if case.outcome is not None and case.decide_time is not None:
        shown.decision.CopyFrom(
            pb.CaseDecision(
                outcome=case.outcome,  # type: ignore[arg-type]
                operator=case.operator or "",
                identity=case.identity or "",
                reason=case.reason or "",
                decide_time=to_timestamp(case.decide_time),
            )
        )
    return shown


def _render_link(link: Link) -> pb.CaseLink:
    return pb.CaseLink(
        kind=int(link.kind),  # type: ignore[arg-type]
        member_id=link.member_id,
        value=link.value,
        fraud_count=link.fraud_count,
    )
