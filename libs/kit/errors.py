"""One kind of error, and the one place where it becomes a gRPC status."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Never

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

DOMAIN = "laurel"
FIXED_INTERNAL_TEXT = "an internal error occurred; it was logged with this trace"
METADATA_VALUE_MAX = 200
# An error travels in HTTP/2 trailers, which clients cap at 8 KiB by default: in base64, and its
# text once more, in which each byte that is no ASCII takes three.
SUMMARY_BYTES_MAX = 1000
VIOLATION_BYTES_MAX = 2000


@dataclass(frozen=True, slots=True)
class Violation:
    """A mistake in one field of a request."""

    field: str
    description: str


class LaurelError(Exception):
    """What a caller is told. A class carries its code, its reason and a text with the values in it.

    The keyword arguments fill the text and travel as the metadata of the ErrorInfo.
    """

    code: ClassVar[StatusCode]
    reason: ClassVar[str]
    text: ClassVar[str]

    def __init__(
        self,
        *,
        violations: Sequence[Violation] = (),
        retry_after_ms: int | None = None,
        **values: object,
    ) -> None:
        self.values = {name: _bounded(value) for name, value in values.items()}
        self.violations = tuple(violations)
        self.retry_after_ms = retry_after_ms
        super().__init__(self.text.format_map(self.values))


class InvalidArgument(LaurelError):
    """Fields of the request are at fault; each is named with the reason."""

    code = StatusCode.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"
    text = "{summary}"

    def __init__(self, *violations: Violation) -> None:
        shown = "; ".join(f"{_bounded(v.field)}: {v.description}" for v in violations[:5])
        more = f"; and {len(violations) - 5} more" if len(violations) > 5 else ""
        summary = _bounded_bytes(shown, SUMMARY_BYTES_MAX) + more
        super().__init__(violations=_that_fit(violations), summary="")
        # As it is: a value in a text is cut shorter than this, which is bounded already.
        self.args = (summary,)
        self.values = {"fields": _bounded(",".join(v.field for v in violations))}


class FieldInvalid(LaurelError):
    """One field is at fault, for a reason that has a name of its own."""

    code = StatusCode.INVALID_ARGUMENT
    field: ClassVar[str]

    def __init__(self, field: str | None = None, **values: object) -> None:
        LaurelError.__init__(self, **values)  # type: ignore[arg-type]
        where = field or self.field
        self.values["field"] = where
        self.violations = (Violation(where, str(self)),)


class TimeInFuture(FieldInvalid):
    """A time lies further ahead than clocks differ."""

    reason = "TIME_IN_FUTURE"
    field = "occurred_time"
    text = "{time} lies in the future, it is {now} now; give a time at most 5 minutes ahead"


class RequestIdReused(LaurelError):
    """The request id was used before with other content."""

    code = StatusCode.ALREADY_EXISTS
    reason = "REQUEST_ID_REUSED"
    text = (
        "request_id {request_id} was used before with other content; use a new id for a new request"
    )


class QueueFull(LaurelError):
    """Too many requests wait already."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "QUEUE_FULL"
    text = "{waiting} requests wait already; nothing was done, try again later"


class ShuttingDown(LaurelError):
    """The server is leaving."""

    code = StatusCode.UNAVAILABLE
    reason = "SHUTTING_DOWN"
    text = "the server is shutting down; nothing was done, try again"


class DatabaseUnavailable(LaurelError):
    """The database gave no answer."""

    code = StatusCode.UNAVAILABLE
    reason = "DATABASE_UNAVAILABLE"
    text = "the database gave no answer; try again with the same request_id"


class NoProgram(LaurelError):
    """No program was applied yet."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "NO_PROGRAM"
    text = "no program was applied yet; apply one with `laurel program apply FILE`"


class CurrencyMismatch(FieldInvalid):
    """Money of a currency that the program does not take."""

    reason = "CURRENCY_MISMATCH"
    field = "amount"
    text = "the program takes {expected} only, got {currency}"


class AmountInvalid(FieldInvalid):
    """Money that is negative, malformed, too large or finer than its currency."""

    reason = "AMOUNT_INVALID"
    field = "amount"
    text = "{problem}"


def _bounded(value: object, length_max: int = METADATA_VALUE_MAX) -> str:
    text = str(value)
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


def _bounded_bytes(text: str, length_max: int) -> str:
    raw = text.encode()
    return text if len(raw) <= length_max else raw[:length_max].decode(errors="ignore") + "…"


def _that_fit(violations: Sequence[Violation]) -> list[Violation]:
    """The first ones, as many as an error has room for."""
    fitting: list[Violation] = []
    room = VIOLATION_BYTES_MAX
    for violation in violations:
        bounded = Violation(_bounded(violation.field), violation.description)
        room -= len(bounded.field.encode()) + len(bounded.description.encode()) + 8
        if room < 0 and fitting:
            break
        fitting.append(bounded)
    return fitting


def to_status(error: LaurelError) -> status_pb2.Status:
    """The rich status of an error: ErrorInfo always, BadRequest and RetryInfo where they apply."""
    status = status_pb2.Status(code=error.code.value[0], message=str(error))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.values)
    _pack(status, info)
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad.field_violations.add(field=violation.field, description=violation.description)
        _pack(status, bad)
    if error.retry_after_ms is not None:
        seconds, millis = divmod(error.retry_after_ms, 1000)
        delay = Duration(seconds=seconds, nanos=millis * 1_000_000)
        _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _pack(
    status: status_pb2.Status,
    detail: error_details_pb2.ErrorInfo
    | error_details_pb2.BadRequest
    | error_details_pb2.RetryInfo,
) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


def status_of(error: grpc.RpcError) -> status_pb2.Status | None:
    """The rich status that a call ended in, if it carried one that can be read."""
    metadata = error.trailing_metadata() if isinstance(error, grpc.aio.AioRpcError) else None
    for key, value in metadata or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def info_of(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo of a status; empty when it has none."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            break
    return info


def reason_of(error: grpc.RpcError) -> str:
    """The reason of a failed call's ErrorInfo; empty when it carried none."""
    status = status_of(error)
    return info_of(status).reason if status is not None else ""


class Relayed(LaurelError):
    """Another service's refusal, passed on to our caller as it was said."""

    text = "{message}"

    def __init__(self, status: status_pb2.Status) -> None:
        info = info_of(status)
        self.code = _CODES[status.code]  # type: ignore[misc]
        self.reason = info.reason  # type: ignore[misc]
        bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        for detail in status.details:
            detail.Unpack(bad) or detail.Unpack(retry)
        violations = [Violation(v.field, v.description) for v in bad.field_violations]
        delay_ms = retry.retry_delay.ToMilliseconds() if retry.HasField("retry_delay") else None
        super().__init__(violations=violations, retry_after_ms=delay_ms, message="")
        # Whole: a value in a text is cut short, and who said this has bounded it.
        self.args = (status.message,)
        self.values = dict(info.metadata)


_CODES = {code.value[0]: code for code in StatusCode}


def relay(error: grpc.aio.AioRpcError) -> Never:
    """Raises another service's refusal as our own; any other failure goes on as it is."""
    status = status_of(error)
    if status is None or error.code() in (StatusCode.INTERNAL, StatusCode.UNKNOWN):
        raise error
    raise Relayed(status) from error
