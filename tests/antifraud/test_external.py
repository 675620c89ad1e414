"""AF-07: an engine of somebody else's scores operations, and rules read its score."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from fraud_desk import (
    ACCRUAL,
    ALLOW,
    DENY,
    REDEMPTION,
    REVIEW,
    Desk,
    operation,
    plain,
    program_with,
)
from prometheus_client import REGISTRY

from antifraud.parse_plain import operation_at
from cli.authority import IDENTITIES, ensure_certificates
from house import Ground, free_address
from kit.auth import Certificates
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1 import engine_pb2
from laurel.antifraud.v1.engine_pb2_grpc import (
    ExternalEngineServicer,
    add_ExternalEngineServicer_to_server,
)

RULES = """
    - {name: unsure, operations: [accrual], when: external.score > 500, action: review, score: 5}
    - {name: sure, operations: [accrual], when: external.score > 900, action: deny, score: 9}
    - {name: alone, operations: [accrual], when: external.score == -1, action: review, score: 1}
    - {name: large, operations: [redemption], when: request.points > 500, action: deny, score: 1}
"""
DEADLINE_MS = 300

Answer = Callable[[engine_pb2.BatchScoreRequest], Awaitable[engine_pb2.BatchScoreResponse]]


class Engine(ExternalEngineServicer):
    """An engine that answers as a test wants it to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        """Members of each call."""
        self.requests: list[engine_pb2.BatchScoreRequest] = []
        self.answer: Answer = by_points

    async def BatchScore(  # the name in the contract  # noqa: N802
        self, request: engine_pb2.BatchScoreRequest, context: Any
    ) -> engine_pb2.BatchScoreResponse:
        """Answers."""
        self.requests.append(request)
        self.asked.append([one.member_id for one in request.operations])
        return await self.answer(request)


def scores(*values: int) -> engine_pb2.BatchScoreResponse:
    return engine_pb2.BatchScoreResponse(
        scores=[engine_pb2.Score(score=value, reasons=["odd hour", "new"]) for value in values]
    )


async def by_points(request: engine_pb2.BatchScoreRequest) -> engine_pb2.BatchScoreResponse:
    """The points of an operation are its score."""
    return scores(*(one.points for one in request.operations))


@asynccontextmanager
async def serving(ground: Ground, address: str, engine: Engine) -> AsyncIterator[None]:
    """The engine as its owner runs it, with a certificate of Laurel's CA."""
    ensure_certificates(ground.certificates, [*IDENTITIES, "engine"])
    server = grpc.aio.server()
    add_ExternalEngineServicer_to_server(engine, server)  # type: ignore[no-untyped-call]
    credentials = Certificates.load(ground.certificates, "engine").for_server()
    server.add_secure_port(address, credentials)
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


@asynccontextmanager
async def desk_with(ground: Ground, address: str | None) -> AsyncIterator[Desk]:
    """Anti-fraud that asks an engine at an address."""
    async with ground.house(external_engine_addr=address) as house:
        external = f"\n  external: {{deadline_ms: {DEADLINE_MS}}}\n  rules:"
        await house.apply(program_with(RULES).replace("\n  rules:" + RULES, external + RULES))
        await house.start("antifraud")
        yield Desk(house)


@pytest.fixture
async def engine(ground: Ground) -> AsyncIterator[tuple[Engine, Desk]]:
    """A running engine, and anti-fraud that asks it."""
    engine, address = Engine(), free_address()
    async with serving(ground, address, engine), desk_with(ground, address) as desk:
        yield engine, desk


def counted(outcome: str) -> float:
    name = "laurel_antifraud_external_total"
    return REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0.0


async def test_its_score_joins_as_a_fact_and_is_kept_with_its_reasons(
    engine: tuple[Engine, Desk], member: str
) -> None:
    """One call for a batch; what fired says what it has read."""
    asked, desk = engine
    before = counted("answered")
    actions = await desk.actions(*(operation(member, points=p) for p in (500, 501, 901, 0)))
    assert actions == [ALLOW, REVIEW, DENY, ALLOW]
    assert asked.asked == [[member] * 4]
    assert counted("answered") - before == 4
    (denied,) = (await desk.list(member, action=DENY)).assessments
    assert dict(denied.fired_rules[1].facts) == {
        "external.score": "901",
        "external.reasons": "odd hour; new",
    }


async def test_it_is_told_what_anti_fraud_is_told(engine: tuple[Engine, Desk], member: str) -> None:
    asked, desk = engine
    one = operation(member, device="d1", tier="gold")
    await desk.assess(one)
    assert list(asked.requests[0].operations) == [one]


async def test_it_is_asked_only_about_operations_whose_rules_read_its_score(
    engine: tuple[Engine, Desk], member: str
) -> None:
    asked, desk = engine
    spending = [operation(member, kind=REDEMPTION, points=p) for p in (5, 501)]
    assert await desk.actions(*spending) == [ALLOW, DENY]
    assert asked.asked == []
    mixed = [operation(member, kind=k, points=600) for k in (REDEMPTION, ACCRUAL, REDEMPTION)]
    assert await desk.actions(*mixed) == [DENY, REVIEW, DENY]
    assert [list(r.operations) for r in asked.requests] == [[mixed[1]]]


async def test_a_repeat_keeps_the_first_decision_whatever_the_engine_thinks_now(
    engine: tuple[Engine, Desk], member: str
) -> None:
    asked, desk = engine
    one = operation(member, points=901)
    first = await desk.assess(one)

    async def mild(_: engine_pb2.BatchScoreRequest) -> engine_pb2.BatchScoreResponse:
        return scores(0)

    asked.answer = mild
    assert await desk.assess(one) == first
    assert await asyncio.gather(*(desk.assess(one) for _ in range(5))) == [first] * 5


async def late(request: engine_pb2.BatchScoreRequest) -> engine_pb2.BatchScoreResponse:
    await asyncio.sleep(3 * DEADLINE_MS / 1000)
    return await by_points(request)


async def one_too_few(request: engine_pb2.BatchScoreRequest) -> engine_pb2.BatchScoreResponse:
    return scores(*[901] * (len(request.operations) - 1))


async def broken(_: engine_pb2.BatchScoreRequest) -> engine_pb2.BatchScoreResponse:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("answer", "outcome"), [(late, "late"), (one_too_few, "invalid"), (broken, "failed")]
)
async def test_without_a_usable_answer_the_score_is_minus_1(
    engine: tuple[Engine, Desk], member: str, answer: Answer, outcome: str
) -> None:
    asked, desk = engine
    asked.answer = answer
    before = counted(outcome)
    actions = await desk.actions(*(operation(member, points=950) for _ in range(2)))
    assert actions == [REVIEW, REVIEW]
    assert counted(outcome) - before == 2
    fired = (await desk.list(member)).assessments[0].fired_rules[0]
    assert (fired.rule, dict(fired.facts)) == ("alone", {"external.score": "-1"})


async def test_a_score_out_of_range_counts_as_no_answer_about_that_operation_alone(
    engine: tuple[Engine, Desk], member: str
) -> None:
    asked, desk = engine

    async def odd(_: engine_pb2.BatchScoreRequest) -> engine_pb2.BatchScoreResponse:
        return scores(1001, 901, -5, 1000, 0)

    asked.answer = odd
    before = counted("invalid"), counted("answered")
    actions = await desk.actions(*(operation(member) for _ in range(5)))
    assert actions == [REVIEW, DENY, REVIEW, DENY, ALLOW]
    assert (counted("invalid") - before[0], counted("answered") - before[1]) == (2, 3)


async def test_reasons_are_kept_within_bounds(engine: tuple[Engine, Desk], member: str) -> None:
    asked, desk = engine

    async def talkative(_: engine_pb2.BatchScoreRequest) -> engine_pb2.BatchScoreResponse:
        return engine_pb2.BatchScoreResponse(
            scores=[engine_pb2.Score(score=950, reasons=["a\0b", *["x" * 5000] * 50])]
        )

    asked.answer = talkative
    assert await desk.actions(operation(member)) == [DENY]
    reasons = (await desk.list(member)).assessments[0].fired_rules[0].facts["external.reasons"]
    assert reasons == "; ".join(["ab", *["x" * 200] * 9])


async def test_an_engine_that_is_down_is_left_alone_and_asked_again_when_it_is_back(
    ground: Ground, member: str
) -> None:
    address, engine = free_address(), Engine()
    before = counted("failed") + counted("late"), counted("paused")
    async with desk_with(ground, address) as desk:
        for _ in range(8):
            assert await desk.actions(operation(member, points=950)) == [REVIEW]
        assert counted("failed") + counted("late") - before[0] >= 5
        assert counted("paused") > before[1]
        async with serving(ground, address, engine):
            async with asyncio.timeout(20):
                while await desk.actions(operation(member, points=950)) != [DENY]:
                    await asyncio.sleep(0.1)


async def test_without_an_address_nobody_is_asked(ground: Ground, member: str) -> None:
    before = counted("not_configured")
    async with desk_with(ground, None) as desk:
        assert await desk.actions(operation(member, points=950)) == [REVIEW]
        assert counted("not_configured") - before == 1
        (only,) = (await desk.list(member)).assessments
        assert isinstance(only, pb.Assessment)
        assert [fired.rule for fired in only.fired_rules] == ["alone"]


async def test_operations_in_columns_are_asked_about_as_messages(
    engine: tuple[Engine, Desk], member: str
) -> None:
    asked, desk = engine
    columns = plain(member, member, points=[400, 901])
    request = pb.BatchAssessRequest(operations=[operation(member, points=600)], plain=columns)
    decisions = (await desk.stub.BatchAssess(request)).decisions
    assert [decision.action for decision in decisions] == [REVIEW, ALLOW, DENY]
    [told] = asked.requests
    assert list(told.operations)[1:] == [operation_at(columns, 0), operation_at(columns, 1)]
