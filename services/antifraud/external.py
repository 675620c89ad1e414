"""The external engine: a score of somebody else's, which rules read as `external.score` (AF-07).

It is asked before the transaction, once for a batch, and only about operations with a rule that
reads its score. Whatever goes wrong, the decision goes on without it.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import grpc

from antifraud import metrics
from antifraud.parse_plain import operation_at
from antifraud.values import Asked
from kit import deadline
from kit.breaker import Breaker
from kit.telemetry import log
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1 import engine_pb2
from laurel.antifraud.v1.engine_pb2_grpc import ExternalEngineStub
from rules.fraud import SCORE_MAX

REASONS_MAX = 10
REASON_LENGTH_MAX = 200
NUL = "\x00"


class Opinion(NamedTuple):
    """What the engine thinks of an operation."""

    score: int
    reasons: tuple[str, ...]


class ExternalEngine:
    """Asks the engine, or nobody where none is configured."""

    def __init__(self, channel: grpc.aio.Channel | None, breaker: Breaker) -> None:
        self._stub = None if channel is None else ExternalEngineStub(channel)
        self._breaker = breaker
        self._log = log("antifraud")

    async def add_scores(
        self, asked: Sequence[Asked], request: pb.BatchAssessRequest
    ) -> Sequence[Asked]:
        """The operations of a request, with the engine's score where a rule reads it and it gave
        one.
        """
        if not any(program.antifraud.reads_external for program in {a.program for a in asked}):
            return asked
        places = [place for place, one in enumerate(asked) if _reads_score(one)]
        if not places:
            return asked
        seconds = min(asked[place].program.antifraud.external_deadline_ms for place in places)
        opinions = await self._ask([_operation(request, place) for place in places], seconds / 1000)
        scored = list(asked)
        for place, opinion in zip(places, opinions, strict=True):
            if opinion is not None:
                facts = asked[place].facts._replace(
                    external_score=opinion.score, external_reasons=opinion.reasons
                )
                scored[place] = asked[place]._replace(facts=facts)
        return scored

    async def _ask(
        self, operations: Sequence[pb.Operation], seconds_max: float
    ) -> Sequence[Opinion | None]:
        """An opinion of each operation, None without an answer about it."""
        nothing = [None] * len(operations)
        if self._stub is None:
            metrics.EXTERNAL.labels("not_configured").inc(len(operations))
            return nothing
        if not self._breaker.admits():
            metrics.EXTERNAL.labels("paused").inc(len(operations))
            return nothing
        seconds = deadline.left(seconds_max)
        start = time.perf_counter()
        try:
            response = await self._stub.BatchScore(
                engine_pb2.BatchScoreRequest(operations=operations), timeout=seconds
            )
        except grpc.aio.AioRpcError as error:
            late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            if not late or seconds >= seconds_max:
                # A caller in a hurry proves nothing.
                self._breaker.fail()
            metrics.EXTERNAL.labels("late" if late else "failed").inc(len(operations))
            self._log.warning("engine.silent", code=error.code().name, detail=error.details())
            return nothing
        finally:
            metrics.EXTERNAL_SECONDS.observe(time.perf_counter() - start)
        if len(response.scores) != len(operations):
            self._breaker.fail()
            metrics.EXTERNAL.labels("invalid").inc(len(operations))
            self._log.warning(
                "engine.wrong_count", asked=len(operations), answered=len(response.scores)
            )
            return nothing
        self._breaker.succeed()
        return self._read(response.scores)

    def _read(self, scores: Sequence[engine_pb2.Score]) -> list[Opinion | None]:
        opinions = [_opinion(score) for score in scores]
        invalid = opinions.count(None)
        if invalid:
            metrics.EXTERNAL.labels("invalid").inc(invalid)
            wrong = next(s.score for s, o in zip(scores, opinions, strict=True) if o is None)
            self._log.warning("engine.out_of_range", score=wrong, count=invalid)
        metrics.EXTERNAL.labels("answered").inc(len(opinions) - invalid)
        return opinions


def _operation(request: pb.BatchAssessRequest, place: int) -> pb.Operation:
    plain = place - len(request.operations)
    return request.operations[place] if plain < 0 else operation_at(request.plain, plain)


def _reads_score(asked: Asked) -> bool:
    return asked.program.antifraud.by_operation[asked.facts.operation].reads_external


def _opinion(score: engine_pb2.Score) -> Opinion | None:
    if not 0 <= score.score <= SCORE_MAX:
        return None
    reasons = score.reasons[:REASONS_MAX]
    # Postgres takes no zero character in any text.
    return Opinion(score.score, tuple(one.replace(NUL, "")[:REASON_LENGTH_MAX] for one in reasons))
