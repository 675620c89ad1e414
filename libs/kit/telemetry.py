"""Traces, metrics and logs, the same in every service."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import orjson
import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram

RPC_SECONDS = Histogram(
    "laurel_rpc_seconds",
    "Time to answer a call, by service, method and gRPC code",
    ("service", "method", "code"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
OUTBOX_PUBLISHED = Counter("laurel_outbox_published_total", "Events published", ("service", "type"))
INBOX_HANDLED = Counter(
    "laurel_inbox_handled_total", "Events that took effect", ("service", "type")
)
INBOX_FAILED = Counter(
    "laurel_inbox_failed_total", "Deliveries that failed and come again", ("service",)
)
SCHEDULE_FAILED = Counter(
    "laurel_schedule_failed_total", "Scheduled runs that failed", ("service", "name")
)
UP = Gauge("laurel_ready", "1 while the service is ready", ("service",))

_propagator = TraceContextTextMapPropagator()
_providers: dict[str, TracerProvider] = {}


def set_up_logs(level: str) -> None:
    """Logs are JSON lines on stderr, with the ids of the running trace."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_trace,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(
                serializer=lambda event, **_: orjson.dumps(event, default=str).decode()
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # What libraries log, in the same form.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, whatever the message holds."""
        event = {
            "event": record.getMessage(),
            "logger": record.name,
            "level": record.levelname.lower(),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(event, default=str).decode()


def _add_trace(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = format(span.trace_id, "032x")
        event["span_id"] = format(span.span_id, "016x")
    return event


def log(service: str) -> Any:
    """A logger that names the service on every line."""
    return structlog.get_logger(service=service)


def tracer(service: str, otlp_endpoint: str | None) -> trace.Tracer:
    """The tracer of a service; it records nothing when there is no collector."""
    if otlp_endpoint is None:
        return trace.NoOpTracer()
    if service not in _providers:
        provider = TracerProvider(resource=Resource.create({"service.name": f"laurel-{service}"}))
        exporter = OTLPSpanExporter(endpoint=otlp_endpoint, insecure=True)
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
        _providers[service] = provider
    return _providers[service].get_tracer("laurel")


def flush_traces() -> None:
    """Sends what is recorded; called once, when the process ends."""
    for provider in _providers.values():
        provider.shutdown()


def extract(metadata: Any) -> Any:
    """The trace context in a call's metadata."""
    for key, value in metadata or ():
        if key == "traceparent":
            return _propagator.extract({"traceparent": value})
    return None


def trace_parent() -> str:
    """W3C `traceparent` of the running span, empty outside of a trace."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")


class _NoSpan:
    """Stands where a span would, at the cost of nothing."""

    def __enter__(self) -> trace.Span:
        return trace.INVALID_SPAN

    def __exit__(self, *_: object) -> None:
        pass


_NO_SPAN = _NoSpan()


def span(
    tracer_: trace.Tracer,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, str] | None = None,
    context: Context | None = None,
) -> AbstractContextManager[trace.Span]:
    """A span around a block, within `context` where given.

    Without a collector a caller's trace is passed on all the same, to logs and to further calls;
    where there is none either, this costs nothing.
    """
    if context is None and isinstance(tracer_, trace.NoOpTracer):
        return _NO_SPAN
    return tracer_.start_as_current_span(name, context=context, kind=kind, attributes=attributes)
