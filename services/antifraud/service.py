"""Proto to domain and back, for the anti-fraud service."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from antifraud.store import AssessmentStore
from antifraud.values import Asked, Assessment, Decided
from kit.clock import parse_time, to_timestamp
from kit.errors import InvalidArgument, Violation
from kit.money import to_minor
from kit.paging import decode_id, encode_token, page_size
from kit.validate import check, is_plain_text
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceServicer
from rules.compiled import CompiledProgram, ProgramHistory
from rules.feed import ProgramFeed
from rules.fraud import Fired
from rules.fraud_rules import FraudFacts
from rules.values import Operation

# Postgres takes it in no text.
NUL = "\x00"
TIER_ID_LENGTH_MAX = 64
NOWHERE = ("", "", "", "", "")
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
    instants: dict[tuple[int, int], Instant] = {}
    asked = []
    for index, operation in enumerate(operations):
        stamp = operation.occurred_time
        moment = (stamp.seconds, stamp.nanos)
        # Those of a batch have often happened at one instant: now.
        instant = instants.get(moment)
        if instant is None:
            check(operation, f"operations[{index}].")
            instant = _instant(stamp, f"operations[{index}].occurred_time", history)
            instants[moment] = instant
        asked.append(_parse(operation, index, instant))
    return asked


class Instant(NamedTuple):
    """When operations happened, and the version of the program in force then."""

    time: datetime
    time_us: int
    program: CompiledProgram


def _instant(stamp: Timestamp, field: str, history: ProgramHistory) -> Instant:
    time = parse_time(stamp, field)
    time_us = stamp.seconds * 1_000_000 + stamp.nanos // 1000
    return Instant(time, time_us, history.in_force(time))


def _parse(operation: pb.Operation, index: int, instant: Instant) -> Asked:
    request_id, member_id = operation.request_id, operation.member_id
    tier_id, points = operation.tier_id, operation.points
    kind = KINDS.get(operation.kind)
    has_origin = operation.HasField("origin")
    # Most operations are so plain that they surely break no rule of the contract; the full check of
    # one costs as much as all else that is parsed of it.
    if (
        kind is None
        or has_origin
        or points < 0
        or len(tier_id) > TIER_ID_LENGTH_MAX
        or not is_plain_text(request_id)
        or not is_plain_text(member_id)
        or not is_plain_text(tier_id or "-")
        or not is_plain_text(operation.order_id or "-")
    ):
        check(operation, f"operations[{index}].")
    program = instant.program
    amount_minor = 0
    if operation.HasField("amount"):
        field = f"operations[{index}].amount"
        amount_minor = to_minor(operation.amount, program.currency, program.minor_digits, field)
    places = NOWHERE
    if has_origin:
        origin = operation.origin
        places = (origin.channel, origin.store, origin.device, origin.ip, origin.card)
    facts = FraudFacts(KINDS[operation.kind], points, amount_minor, *places, tier_id)
    return Asked((member_id, request_id), instant.time, instant.time_us, program, facts)


def render_decision(decided: Decided) -> pb.Decision:
    """The short form, for the hot path."""
    decision = pb.Decision()
    decision.assessment_id = str(decided.assessment_id)
    decision.action = decided.action.value  # type: ignore[assignment]
    decision.score = decided.score
    decision.program_version = decided.program_version
    return decision


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
