"""OP-02, OP-03: traces across services, metrics, health, and logs found by their trace."""

import asyncio
import re
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import asyncpg
import grpc
import orjson
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cli.connect import Client
from cli.supervisor import Supervisor
from house import Ground, House, new_id, refused, usd
from kit import telemetry
from kit.server import PING_SECONDS
from laurel.checkout.v1 import checkout_service_pb2 as checkout_pb
from laurel.checkout.v1.checkout_service_pb2_grpc import CheckoutServiceStub
from laurel.program.v1.program_service_pb2 import ApplyProgramRequest
from points_ledger import Ledger, calm_program

SERVICES = ("antifraud", "points", "tier", "benefits", "checkout")
AUTHORIZE = "laurel.checkout.v1.CheckoutService/AuthorizeCheckout"


@dataclass(slots=True)
class Collector(otlp_grpc.TraceServiceServicer):
    """An OpenTelemetry collector that keeps what it is sent: (service, span)."""

    spans: list[tuple[str, Span]] = field(default_factory=list)

    async def Export(  # noqa: N802  # the contract names the methods
        self, request: otlp.ExportTraceServiceRequest, context: Any
    ) -> otlp.ExportTraceServiceResponse:
        for sent in request.resource_spans:
            names = {a.key: a.value.string_value for a in sent.resource.attributes}
            for scope in sent.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]
        return otlp.ExportTraceServiceResponse()

    def trace_of(self, name: str) -> list[tuple[str, Span]]:
        """All spans of the newest trace with a span of that name."""
        found = [span for _, span in self.spans if span.name == name]
        trace_id = found[-1].trace_id if found else b""
        return [(service, span) for service, span in self.spans if span.trace_id == trace_id]


@pytest.fixture(scope="module")
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    """A collector and its address."""
    kept, server = Collector(), grpc.aio.server()
    otlp_grpc.add_TraceServiceServicer_to_server(kept, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield kept, f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture(scope="module")
async def house(ground: Ground, collector: tuple[Collector, str]) -> AsyncIterator[House]:
    """A house of its own that sends its traces to the collector."""
    # Tracers live as long as the process; those of this house must not outlive its collector.
    with patch.object(telemetry, "_providers", {}):
        async with ground.house(otlp_endpoint=collector[1]) as house:
            await house.apply(calm_program())
            yield await house.start(*SERVICES)
        await asyncio.to_thread(telemetry.flush_traces)


async def eventually(is_so: Callable[[], Any], seconds: float = 15) -> Any:
    """What `is_so` answers once that is true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        if answer := is_so():
            return answer
        await asyncio.sleep(0.1)
    raise AssertionError(f"not so after {seconds} s")


async def get(address: str, path: str) -> tuple[int, str]:
    """Status and body of a plain HTTP request."""

    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


# Traces


async def check_out(house: House, member: str) -> None:
    """Quotes and authorises an order of 40.00, for which 1,000 points pay."""
    await Ledger(house).accrue(member, "2000.00")
    stub = house.stub(CheckoutServiceStub, "checkout")
    line = checkout_pb.Line(line_id="1", quantity=1, unit_price=usd("40.00"))
    quote = checkout_pb.QuoteCheckoutRequest(
        request_id=new_id(), member_id=member, order_id=new_id(), lines=[line], points_wanted=1000
    )
    quoted = (await stub.QuoteCheckout(quote)).checkout
    assert quoted.price.points == 1000
    request = checkout_pb.AuthorizeCheckoutRequest(
        request_id=new_id(), checkout_id=quoted.checkout_id
    )
    await stub.AuthorizeCheckout(request)


async def test_one_trace_leads_from_the_checkout_to_the_statements_of_antifraud(
    house: House, collector: tuple[Collector, str], member: str
) -> None:
    await check_out(house, member)
    kept, _ = collector

    def whole_trace() -> list[tuple[str, Span]]:
        spans = kept.trace_of(AUTHORIZE)
        ids = {span.span_id for _, span in spans}
        # Spans are sent by each service when it suits it: the trace is whole when no parent lacks.
        parents = {span.parent_span_id for _, span in spans if span.parent_span_id}
        reached = {service for service, span in spans if span.name.startswith("SQL ")}
        wanted = {"laurel-checkout", "laurel-points", "laurel-antifraud"}
        return spans if spans and parents <= ids and wanted <= reached else []

    spans = await eventually(whole_trace)
    by_id = {span.span_id: (service, span) for service, span in spans}
    roots = [span.name for _, span in spans if not span.parent_span_id]
    assert roots == [AUTHORIZE]

    statement = next(
        span for service, span in spans
        if service == "laurel-antifraud" and span.name.startswith("SQL ")
    )  # fmt: skip
    way: list[tuple[str, str]] = []
    span: Span | None = statement
    while span is not None:
        service, span = by_id[span.span_id]
        way.append((service, span.name))
        span = by_id[span.parent_span_id][1] if span.parent_span_id else None
    servers = [name for name in way if not name[1].startswith("SQL ")]
    assert servers[-1] == ("laurel-checkout", AUTHORIZE)
    assert ("laurel-points", "laurel.points.v1.PointsService/HoldPoints") in servers
    assert servers[0] == ("laurel-antifraud", "laurel.antifraud.v1.AntifraudService/BatchAssess")


async def test_a_trace_of_the_caller_goes_on_and_a_refusal_shows_in_it(
    house: House, collector: tuple[Collector, str], member: str
) -> None:
    ledger, trace_id = Ledger(house), new_id()
    metadata = [("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01")]
    told = await refused(ledger.stub.HoldPoints(ledger.holding(member, 7), metadata=metadata))
    assert told.reason == "INSUFFICIENT_POINTS"

    def server_span() -> Span | None:
        name = "laurel.points.v1.PointsService/HoldPoints"
        of_trace = [s for _, s in collector[0].spans if s.trace_id.hex() == trace_id]
        return next((span for span in of_trace if span.name == name), None)

    span = await eventually(server_span)
    assert span.parent_span_id.hex() == "00f067aa0ba902b7"
    codes = {a.key: a.value.int_value for a in span.attributes}
    assert codes["rpc.grpc.status_code"] == grpc.StatusCode.FAILED_PRECONDITION.value[0]


# Metrics


def metric(page: str, name: str, **labels: str) -> float:
    """A value on a /metrics page; 0 when it is not there yet."""
    for line in page.splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if match and match[1] == name:
            found = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            if labels.items() <= found.items():
                return float(match[3])
    return 0.0


async def test_metrics_count_calls_points_and_refusals(house: House, member: str) -> None:
    address = house.settings.points_admin_addr or ""
    ledger = Ledger(house)
    watched = {
        "calls": ("laurel_rpc_seconds_count",
                  {"service": "points", "method": "AccruePoints", "code": "OK"}),
        "refused calls": ("laurel_rpc_seconds_count",
                          {"method": "HoldPoints", "code": "FAILED_PRECONDITION"}),
        "issued": ("laurel_points_moved_total", {"kind": "accrual", "account": "issued"}),
        "refused": ("laurel_points_refused_total", {"reason": "INSUFFICIENT_POINTS"}),
        "assessed": ("laurel_antifraud_decisions_total",
                     {"operation": "accrual", "action": "allow"}),
        "published": ("laurel_outbox_published_total",
                      {"service": "points", "type": "points_accrued"}),
        "handled": ("laurel_inbox_handled_total", {"service": "tier", "type": "points_accrued"}),
    }  # fmt: skip

    async def read() -> dict[str, float]:
        status, page = await get(address, "/metrics")
        assert status == 200
        return {key: metric(page, name, **labels) for key, (name, labels) in watched.items()}

    await house.settle()
    before = await read()
    await ledger.accrue(member, "30.00")
    await refused(ledger.hold(member, 31))
    await house.settle()
    after = await read()
    grown = {key: abs(after[key] - before[key]) for key in watched}
    assert grown["calls"] == grown["refused calls"] == grown["refused"] == 1
    assert grown["issued"] == 30
    assert grown["published"] == grown["handled"] == 1
    assert grown["assessed"] > 0


# Health


async def test_probes_are_answered_by_every_service(house: House) -> None:
    for service in house.running:
        address = house.settings.admin_addr(service) or ""
        assert await get(address, "/healthz") == (200, "ok\n")
        assert await get(address, "/readyz") == (200, "ready\n")
        assert (await get(address, "/secrets"))[0] == 404


async def test_the_standard_health_service_answers_and_can_be_watched(house: House) -> None:
    stub = house.stub(HealthStub, "points")
    for name in ("", "laurel.points.v1.PointsService"):
        answer = await stub.Check(HealthCheckRequest(service=name))
        assert answer.status == HealthCheckResponse.SERVING
    unknown = await refused(stub.Check(HealthCheckRequest(service="no.such.Service")))
    assert unknown.code is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(HealthCheckRequest(service="laurel.points.v1.PointsService"))
    assert (await watch.read()).status == HealthCheckResponse.SERVING
    watch.cancel()


async def test_a_version_ahead_of_the_schema_is_not_ready_until_its_migrations_ran(
    ground: Ground,
) -> None:
    """In a rolling update new containers may start before `bootstrap` has."""
    name = "tier/002_ceilings.sql"
    async with ground.house() as house:
        owner = await asyncpg.connect(house.settings.database_url)
        digest = await owner.fetchval(
            "DELETE FROM laurel.migration WHERE service = 'tier' AND name = $1 RETURNING sha256",
            name,
        )
        await house.start("tier")
        address = house.settings.admin_addr("tier") or ""
        stub = house.stub(HealthStub, "tier")
        await asyncio.sleep(2 * PING_SECONDS)
        assert (await get(address, "/readyz"))[0] == 503
        assert (await stub.Check(HealthCheckRequest())).status == HealthCheckResponse.NOT_SERVING
        await owner.execute("INSERT INTO laurel.migration VALUES ('tier', $1, $2)", name, digest)
        await until_status(address, 200)
        assert (await stub.Check(HealthCheckRequest())).status == HealthCheckResponse.SERVING
        await owner.close()


async def listed(house: House, service: str, identity: str = "admin") -> set[str]:
    """What a server says that it serves."""
    stub = house.stub(ServerReflectionStub, service, identity)
    call = stub.ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
    return {one.name for one in (await call.read()).list_services_response.service}


async def test_servers_describe_themselves(house: House) -> None:
    assert "laurel.points.v1.PointsService" in await listed(house, "points")
    assert {"laurel.tier.v1.TierService", "laurel.tier.v1.MemberService"} <= await listed(
        house, "tier"
    )


async def test_self_description_can_be_switched_off(ground: Ground) -> None:
    async with ground.house(reflection=False) as quiet:
        await quiet.start("program")
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await listed(quiet, "program")
        assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


# A process


def log_lines(house: Supervisor, service: str) -> list[dict[str, Any]]:
    """The log of a service, each line of which is JSON."""
    text = (house.logs / f"{service}.log").read_text()
    return [orjson.loads(line) for line in text.splitlines()]


async def test_logs_are_json_with_the_trace_and_readiness_follows_the_database(
    tmp_path: Path, member: str, collector: tuple[Collector, str]
) -> None:
    services = ("program", "antifraud", "points")
    settings = {"LAUREL_SCHEDULER": "false", "LAUREL_OTLP_ENDPOINT": collector[1]}
    async with Supervisor(tmp_path, services=services, extra_env=settings) as house:
        trace_id = new_id()
        async with Client(house.env) as client:
            apply = ApplyProgramRequest(request_id=new_id(), source_yaml=calm_program())
            await client.program.ApplyProgram(apply)
            request = Ledger.accrual(None, member, "5.00")  # type: ignore[arg-type]
            metadata = [("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01")]
            await client.points.AccruePoints(request, metadata=metadata, timeout=10)
        # Nobody serves tier: points books all the same, and says so.
        lines = log_lines(house, "points")
        silent = [line for line in lines if line["event"] == "tier.silent"]
        assert [line.get("trace_id") for line in silent] == [trace_id]
        assert {line["service"] for line in lines if "service" in line} == {"points"}
        assert all({"level", "event"} <= line.keys() for line in lines)
        assert "service.started" in {line["event"] for line in lines}
        assert all(member not in str(line) for line in lines), "no member's data in logs"

        probe = house.env["LAUREL_POINTS_ADMIN_ADDR"]
        await house.stop_service("postgres")
        await until_status(probe, 503)
        assert (await get(probe, "/healthz"))[0] == 200, "alive: a restart would not help"
        await house.start_service("postgres")
        await until_status(probe, 200)
        log_lines(house, "points")


async def until_status(address: str, status: int) -> None:
    """Waits until /readyz answers so."""
    deadline = asyncio.get_running_loop().time() + 15
    while (await get(address, "/readyz"))[0] != status:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)
