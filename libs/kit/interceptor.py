"""What happens around every call: identity, validation, trace, metrics, errors."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from inspect import isasyncgenfunction
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import StatusCode
from grpc_status import rpc_status
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from prometheus_client import Histogram

from kit import deadline, telemetry
from kit.auth import Policy, identity_of
from kit.errors import FIXED_INTERNAL_TEXT, LaurelError, to_status
from kit.native import NativeServer
from kit.streaming import Requests, serve_stream
from kit.validate import check

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Awaitable[Any]]
Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


def checks_itself(method: Method) -> Method:
    """Marks a method that checks its requests against the contract itself, for a hot path that can
    tell plain ones faster.
    """
    method.checks_itself = True  # type: ignore[attr-defined]
    return method


class Internal(LaurelError):
    """Something that was not foreseen; its cause is in the log."""

    code = StatusCode.INTERNAL
    reason = "INTERNAL"
    text = FIXED_INTERNAL_TEXT


class Malformed(LaurelError):
    """The bytes of the request cannot be read."""

    code = StatusCode.INVALID_ARGUMENT
    reason = "MALFORMED"
    text = "the request is no message of the contract: {problem}; generate the client from protos/"


class Gate:
    """Lets in who may call, refuses what breaks the contract, and turns every error into a rich
    status. Streams end when `stopping` is set.

    Stands in for the server when servicers are added, and wraps each method once. Interceptors of
    grpc.aio would do the same for every call anew, at a tenth of what a call costs.
    """

    def __init__(
        self,
        service: str,
        policy: Policy,
        tracer: trace.Tracer,
        server: Any,
        stopping: asyncio.Event,
        identify: Callable[[Context], str | None] = identity_of,
    ) -> None:
        self._server = server
        self._identify = identify
        self._service = service
        self._policy = policy
        self._tracer = tracer
        self._stopping = stopping
        self._log = telemetry.log(service)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Generated code offers its handlers twice; they are taken the second time, by name."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Adds the methods of a service to the server, each behind the gate."""
        guarded = {name: self._wrap(h, f"{service}/{name}") for name, h in handlers.items()}
        # The native front takes methods by name, grpc.aio should not: for each method that it knows
        # by name it waits apart, and begins all these waits anew with every call.
        if isinstance(self._server, NativeServer):
            self._server.add_registered_method_handlers(service, guarded)
        else:
            generic = grpc.method_handlers_generic_handler(service, guarded)
            self._server.add_generic_rpc_handlers((generic,))

    def _wrap(self, handler: Any, method: str) -> Any:
        if handler.unary_unary is None:
            return self._wrap_stream(handler, method)
        behaviour = self._around(handler.unary_unary, handler.request_deserializer, method)
        # Bytes come in as they are: who may not call is refused before anything is parsed.
        return grpc.unary_unary_rpc_method_handler(behaviour, None, handler.response_serializer)

    def _wrap_stream(self, handler: Any, method: str) -> Any:
        if handler.stream_stream is not None:
            make, inner = grpc.stream_stream_rpc_method_handler, handler.stream_stream
        else:
            make, inner = grpc.unary_stream_rpc_method_handler, handler.unary_stream
        streams_in = handler.stream_stream is not None
        answer = inner if isasyncgenfunction(inner) else _yielding(inner)

        def parse(raw: bytes) -> Message:
            request = _parsed(raw, handler.request_deserializer)
            check(request)
            return request

        async def behaviour(raw: Any, context: Context) -> None:
            async with self._streaming(method, context):
                request = Requests(context, parse) if streams_in else parse(raw)
                deadline.set_left(context.time_remaining())
                await serve_stream(answer, request, context, self._stopping)

        return make(behaviour, None, handler.response_serializer)

    @asynccontextmanager
    async def _streaming(self, method: str, context: Context) -> AsyncIterator[None]:
        """Around a stream: as around every other call, but for what concerns its messages."""
        began = time.perf_counter()
        code = StatusCode.CANCELLED
        parent = telemetry.extract(context.invocation_metadata())
        with telemetry.span(self._tracer, method, SpanKind.SERVER, context=parent) as span:
            try:
                self._policy.check(self._identify(context), method)
                yield
                code = StatusCode.OK
            except Exception as error:  # nothing may reach the caller as it is  # noqa: BLE001
                refusal = self._refusal(error, method)
                code = refusal.code
                await _abort(context, refusal)
            finally:
                span.set_attribute("rpc.grpc.status_code", code.value[0])
                labels = (self._service, method.rpartition("/")[2], code.name)
                telemetry.RPC_SECONDS.labels(*labels).observe(time.perf_counter() - began)

    def _around(
        self, inner: Behaviour, parse: Callable[[bytes], Message], method: str
    ) -> Behaviour:
        name = method.rpartition("/")[2]
        checked = not getattr(inner, "checks_itself", False)
        seconds: dict[StatusCode, Histogram] = {}

        async def behaviour(raw: bytes, context: Context) -> Any:
            began = time.perf_counter()
            code = StatusCode.CANCELLED
            parent = telemetry.extract(context.invocation_metadata())
            with telemetry.span(self._tracer, method, SpanKind.SERVER, context=parent) as span:
                try:
                    self._policy.check(self._identify(context), method)
                    request = _parsed(raw, parse)
                    if checked:
                        check(request)
                    deadline.set_left(context.time_remaining())
                    response = await inner(request, context)
                    code = StatusCode.OK
                    return response
                except grpc.aio.AbortError:
                    code = context.code() or StatusCode.UNKNOWN
                    raise
                except Exception as error:  # nothing may reach the caller as it is  # noqa: BLE001
                    refusal = self._refusal(error, method)
                    code = refusal.code
                    await _abort(context, refusal)
                finally:
                    span.set_attribute("rpc.grpc.status_code", code.value[0])
                    if code not in seconds:
                        labels = (self._service, name, code.name)
                        seconds[code] = telemetry.RPC_SECONDS.labels(*labels)
                    seconds[code].observe(time.perf_counter() - began)

        return behaviour

    def _refusal(self, error: Exception, method: str) -> LaurelError:
        if not isinstance(error, LaurelError):
            self._log.error("rpc.failed", method=method, error=repr(error), exc_info=error)
        return refusal_of(error)


def _yielding(inner: Behaviour) -> Callable[[Any, Context], AsyncIterator[Any]]:
    """The health service's Watch writes its answers into the context instead of yielding them."""

    async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
        yielded: tuple[Any, ...] = ()
        await inner(request, context)
        for response in yielded:
            yield response

    return answer


def _parsed(raw: bytes, parse: Callable[[bytes], Message]) -> Message:
    try:
        return parse(raw)
    except DecodeError as error:
        raise Malformed(problem=error) from error


def refusal_of(error: Exception) -> LaurelError:
    """What the caller is told of an error: itself when meant for callers, else Internal."""
    return error if isinstance(error, LaurelError) else Internal()


async def _abort(context: Context, error: LaurelError) -> None:
    status = rpc_status.to_status(to_status(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
