"""What points asks anti-fraud: purchases in columns, all else one by one, in the order of each
member (AF-01).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from hypothesis import given
from hypothesis import strategies as st

from antifraud.parse_plain import operation_at
from house import SAMPLE, free_address
from kit.breaker import Breaker
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import (
    AntifraudServiceServicer,
    add_AntifraudServiceServicer_to_server,
)
from points.questions import Asked, question_of, render_operation
from points.remote import AntifraudClient
from points.values import NOWHERE, Accrue, Hold, Origin
from rules.compiled import compile_program
from rules.document import load
from rules.values import Action

NOW = datetime(2026, 11, 24, 12, 0, 0, 250_001, tzinfo=UTC)
PROGRAM = compile_program(1, load(SAMPLE.read_text()).program, NOW)
AT_HOME = Origin(device="d1")


def purchase(number: int, member: str, *, origin: Origin = NOWHERE, late: int = 0) -> Asked:
    instant = NOW - timedelta(microseconds=late)
    command = Accrue(
        f"r{number}", b"", member, f"o{number}" if number % 2 else "", 1234 + number, (), origin,
        instant, PROGRAM,
    )  # fmt: skip
    return Asked(command, number, "gold" if number % 3 else "")


def hold(number: int, member: str) -> Asked:
    command = Hold(f"r{number}", b"", member, 7, "", None, NOWHERE, NOW, PROGRAM)
    return Asked(command, 7, "")


def operations(request: pb.BatchAssessRequest) -> list[pb.Operation]:
    """All that is asked, in the order of deciding."""
    plain = request.plain
    columns = [operation_at(plain, index) for index in range(len(plain.request_ids))]
    return [*request.operations, *columns]


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.sampled_from(["plain", "origin", "hold"]),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=8,
)  # fmt: skip


@given(ROWS)
def test_each_is_asked_about_once_and_answered_in_its_place(
    rows: list[tuple[str, str, int]],
) -> None:
    asked = [
        hold(number, member) if kind == "hold"
        else purchase(number, member, origin=AT_HOME if kind == "origin" else NOWHERE, late=late)
        for number, (member, kind, late) in enumerate(rows)
    ]  # fmt: skip
    question = question_of(asked)
    told = operations(question.request)
    expected = [pb.Operation.FromString(render_operation(one)) for one in asked]
    assert question.in_order(told) == expected
    for member in "abc":
        in_order = [one.request_id for one in expected if one.member_id == member]
        assert [one.request_id for one in told if one.member_id == member] == in_order


def test_purchases_from_nowhere_all_go_in_columns() -> None:
    request = question_of([purchase(number, "a") for number in range(3)]).request
    assert not request.operations
    assert len(request.plain.request_ids) == 3
    assert len(request.plain.occurred_micros) == 1


class Older(AntifraudServiceServicer):
    """Anti-fraud of a version that has never heard of columns: it passes them over."""

    async def BatchAssess(  # noqa: N802
        self, request: pb.BatchAssessRequest, context: Any
    ) -> pb.BatchAssessResponse:
        """See the contract."""
        decision = pb.Decision(assessment_id="x", action=int(Action.ALLOW))  # type: ignore[arg-type]
        return pb.BatchAssessResponse(decisions=[decision for _ in request.operations])


@asynccontextmanager
async def older() -> AsyncIterator[AntifraudClient]:
    server, address = grpc.aio.server(), free_address()
    add_AntifraudServiceServicer_to_server(Older(), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(address)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield AntifraudClient(channel, Breaker("test"))
    await server.stop(None)


async def test_too_few_decisions_are_no_answer() -> None:
    """While versions are replaced: no operation gets the decision on another one."""
    async with older() as client:
        assert await client.assess([hold(1, "a")], 1000) is not None
        assert await client.assess([hold(1, "a"), purchase(2, "b")], 1000) is None
