"""Proto to domain and back, for the anti-fraud service."""

from collections.abc import Sequence
from typing import Any

import grpc

from antifraud.store import AssessmentStore
from antifraud.values import Asked, Assessment, Decided
from kit.clock import parse_time, to_timestamp
from kit.errors import InvalidArgument, Violation
from kit.money import to_minor
from kit.paging import decode_id, encode_token, page_size
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceServicer
from rules.compiled import CompiledProgram, ProgramHistory
from rules.feed import ProgramFeed
from rules.fraud import Fired
from rules.fraud_rules import FraudFacts
from rules.values import Operation

# Postgres takes it in no text.
NUL = "\x00"
KINDS = {operation.value: operation for operation in Operation}

Context = grpc.aio.ServicerContext[Any, Any]


class AntifraudService(AntifraudServiceServicer):
    """The calls of laurel.antifraud.v1."""

    def __init__(self, store: AssessmentStore, feed: ProgramFeed) -> None:
        self._store = store
        self._feed = feed

    async def BatchAssess(
        self, request: pb.BatchAssessRequest, context: Context
    ) -> pb.BatchAssessResponse:
        """Decides up to 1,000 operations, each on its own, in the order given."""
        history = await self._feed.ensure()
        decided = await self._store.assess(parse_operations(request.operations, history))
        return pb.BatchAssessResponse(decisions=[render_decision(one) for one in decided])

    async def ListAssessments(
        self, request: pb.ListAssessmentsRequest, context: Context
    ) -> pb.ListAssessmentsResponse:
        """Lists the assessments of a member, newest first."""
        if NUL in request.member_id:
            raise InvalidArgument(Violation("member_id", "has a zero character; remove it"))
        size = page_size(request.page_size)
        found = await self._store.list_assessments(
            request.member_id, request.action, decode_id(request.page_token), size + 1
        )
        token = encode_token(str(found[size - 1].assessment_id)) if len(found) > size else ""
        shown = [render_assessment(one) for one in found[:size]]
        return pb.ListAssessmentsResponse(assessments=shown, next_page_token=token)


def parse_operations(operations: Sequence[pb.Operation], history: ProgramHistory) -> list[Asked]:
    """The operations, each with the version of the program in force when it happened.

    Raises InvalidArgument or a kind of it, which names the operation and the field.
    """
    return [_parse(operation, index, history) for index, operation in enumerate(operations)]


def _parse(operation: pb.Operation, index: int, history: ProgramHistory) -> Asked:
    stamp, origin, where = operation.occurred_time, operation.origin, f"operations[{index}]"
    occurred_time = parse_time(stamp, f"{where}.occurred_time")
    program = history.in_force(occurred_time)
    request_key = (operation.member_id, operation.request_id)
    texts = (
        origin.channel, origin.store, origin.device, origin.ip, origin.card, operation.tier_id
    )  # fmt: skip
    if NUL in "".join((*request_key, *texts)):
        raise InvalidArgument(Violation(where, "has a zero character in a text; remove it"))
    amount_minor = _amount(operation, f"{where}.amount", program)
    facts = FraudFacts(KINDS[operation.kind], operation.points, amount_minor, *texts)
    occurred_us = stamp.seconds * 1_000_000 + stamp.nanos // 1000
    return Asked(request_key, occurred_time, occurred_us, program, facts)


def _amount(operation: pb.Operation, field: str, program: CompiledProgram) -> int:
    if not operation.HasField("amount"):
        return 0
    return to_minor(operation.amount, program.currency, program.minor_digits, field)


def render_decision(decided: Decided) -> pb.Decision:
    """The short form, for the hot path."""
    return pb.Decision(
        assessment_id=str(decided.assessment_id),
        action=decided.action.value,  # type: ignore[arg-type]
        score=decided.score,
        program_version=decided.program_version,
    )


def render_assessment(assessment: Assessment) -> pb.Assessment:
    """The long form, for operators."""
    return pb.Assessment(
        assessment_id=str(assessment.assessment_id),
        request_id=assessment.request_id,
        kind=assessment.kind.value,  # type: ignore[arg-type]
        member_id=assessment.member_id,
        action=assessment.action.value,  # type: ignore[arg-type]
        score=assessment.score,
        fired_rules=[_render_fired(one) for one in assessment.fired],
        program_version=assessment.program_version,
        points=assessment.points,
        occurred_time=to_timestamp(assessment.occurred_time),
        create_time=to_timestamp(assessment.create_time),
    )


def _render_fired(fired: Fired) -> pb.FiredRule:
    return pb.FiredRule(
        rule=fired.rule,
        action=fired.action.value,  # type: ignore[arg-type]
        score=fired.score,
        facts=fired.facts,
    )
