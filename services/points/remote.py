"""The two services that points asks: anti-fraud before every batch, tier about members it does not
know.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import grpc
from grpc import StatusCode

from kit import deadline
from kit.breaker import Breaker
from kit.clock import from_timestamp
from kit.telemetry import log
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.tier.v1.tier_service_pb2 import BatchGetTiersRequest, MemberTier
from laurel.tier.v1.tier_service_pb2_grpc import TierServiceStub
from points import metrics
from points.questions import Asked, question_of
from rules.values import Action

OPERATIONS_MAX = 1000
MEMBERS_MAX = 1000
TIER_DEADLINE_SECONDS = 0.5
TIER_PAUSE_SECONDS = 5.0
_ACTIONS = {int(action): action for action in Action}


class MemberFact(NamedTuple):
    """What tier says of a member: month of birth, 0 when unknown, and enrolment."""

    member_id: str
    birth_month: int
    enrol_time: datetime | None


class Decided(NamedTuple):
    """What anti-fraud answered."""

    action: Action
    assessment_id: str
    challenge_id: str = ""
    """With CHALLENGE, what the member has to solve; empty where no more can be asked of them."""


# Nothing ails anti-fraud then: the fault is in the question, or nobody waits any more.
_ANSWERS = frozenset(
    {StatusCode.INVALID_ARGUMENT, StatusCode.FAILED_PRECONDITION, StatusCode.CANCELLED}
)


class QuestionRefused(Exception):
    """Anti-fraud finds a mistake in an operation that it is asked about."""


class AntifraudClient:
    """Asks the anti-fraud service; after failures one after another it is left alone for a moment,
    so that writes do not wait for it.
    """

    def __init__(self, channel: grpc.aio.Channel, breaker: Breaker) -> None:
        self._stub = AntifraudServiceStub(channel)
        self._breaker = breaker
        self._log = log("points")

    async def assess(self, asked: Sequence[Asked], deadline_ms: int) -> list[Decided] | None:
        """A decision for each operation, in order; None when there is no answer in time: that of
        the program, or what is left of the caller's.
        """
        decided: list[Decided] = []
        for start in range(0, len(asked), OPERATIONS_MAX):
            if not self._breaker.admits():
                return None
            question = question_of(asked[start : start + OPERATIONS_MAX])
            answer = await self._ask(question.request, deadline_ms / 1000)
            if answer is None:
                return None
            decided += question.in_order(answer)
        return decided

    async def assess_again(
        self, operations: Sequence[bytes], seconds_max: float
    ) -> list[Decided] | None:
        """The same of operations that took effect already, as `render_operation` keeps them, by a
        deadline of their own.

        Raises QuestionRefused where one of them is at fault.
        """
        if not self._breaker.admits():
            return None
        request = pb.BatchAssessRequest(
            operations=[pb.Operation.FromString(one) for one in operations], took_effect=True
        )
        return await self._ask(request, seconds_max, refusable=True)

    async def _ask(
        self, request: pb.BatchAssessRequest, seconds_max: float, *, refusable: bool = False
    ) -> list[Decided] | None:
        seconds = deadline.left(seconds_max)
        start = time.perf_counter()
        try:
            response = await self._stub.BatchAssess(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            metrics.ANTIFRAUD_SECONDS.labels("false").observe(time.perf_counter() - start)
            self._log.warning("antifraud.silent", code=error.code().name, detail=error.details())
            if error.code() in _ANSWERS:
                self._breaker.succeed()
            elif error.code() is not StatusCode.DEADLINE_EXCEEDED or seconds >= seconds_max:
                # A caller in a hurry proves nothing.
                self._breaker.fail()
            if refusable and error.code() is StatusCode.INVALID_ARGUMENT:
                raise QuestionRefused(error.details()) from error
            return None
        metrics.ANTIFRAUD_SECONDS.labels("true").observe(time.perf_counter() - start)
        decided = _decided(response)
        if len(decided) != len(request.operations) + len(request.plain.request_ids):
            # From a version that has never heard of columns, where both are being replaced.
            self._breaker.fail()
            self._log.warning("antifraud.wrong_count", answered=len(decided))
            return None
        self._breaker.succeed()
        return decided


def _decided(response: pb.BatchAssessResponse) -> list[Decided]:
    decided = [
        # An action that is not known here is refused.
        Decided(
            _ACTIONS.get(decision.action, Action.DENY),
            decision.assessment_id,
            decision.challenge_id,
        )
        for decision in response.decisions
    ]
    decided += [Decided(Action.ALLOW, assessment_id) for assessment_id in response.allowed_ids]
    return decided


class TierClient:
    """Asks the tier service; after a failure it lets it rest for a while, so that accruals do not
    wait for it.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = TierServiceStub(channel)
        self._rest_until = 0.0
        self._log = log("points")

    async def get_tiers(self, member_ids: Sequence[str]) -> dict[str, str] | None:
        """By member, the id of the tier, empty for one that tier does not know; None without an
        answer.
        """
        rows = await self._ask(member_ids)
        return None if rows is None else {row.member_id: row.tier_id for row in rows}

    async def get_facts(self, member_ids: Sequence[str]) -> list[MemberFact] | None:
        """Birthdays and enrolments, of month 0 and no time where tier does not know; None without
        an answer.
        """
        rows = await self._ask(member_ids)
        if rows is None:
            return None
        return [
            MemberFact(
                row.member_id,
                row.birth_month,
                from_timestamp(row.enrol_time) if row.HasField("enrol_time") else None,
            )
            for row in rows
        ]

    async def _ask(self, member_ids: Sequence[str]) -> list[MemberTier] | None:
        if time.monotonic() < self._rest_until:
            return None
        rows: list[MemberTier] = []
        try:
            for start in range(0, len(member_ids), MEMBERS_MAX):
                request = BatchGetTiersRequest(member_ids=member_ids[start : start + MEMBERS_MAX])
                response = await self._stub.BatchGetTiers(request, timeout=TIER_DEADLINE_SECONDS)
                rows += response.member_tiers
        except grpc.aio.AioRpcError as error:
            self._rest_until = time.monotonic() + TIER_PAUSE_SECONDS
            self._log.warning("tier.silent", code=error.code().name, detail=error.details())
            return None
        return rows
