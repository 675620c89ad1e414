"""Channels to other services: mTLS, deadlines, traces, and retries of UNAVAILABLE with jitter and a
budget.
"""

from typing import Any

import grpc
import orjson

from kit import deadline, telemetry
from kit.auth import Certificates

DEADLINE_SECONDS = 10.0
MESSAGE_BYTES_MAX = 8 * 1024 * 1024

# gRPC's own retries: jittered, and throttled when too many calls fail (see gRFC A6).
_SERVICE_CONFIG = orjson.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    }
).decode()

OPTIONS = [
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.enable_retries", 1),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
]

_ONCE = [("grpc.service_config", "{}"), ("grpc.enable_retries", 0)]


class _Outgoing(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives every call a deadline and the running trace."""

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        timeout = deadline.left(DEADLINE_SECONDS) if details.timeout is None else details.timeout
        metadata = list(details.metadata or ())
        parent = telemetry.trace_parent()
        if parent:
            metadata.append(("traceparent", parent))
        changed = grpc.aio.ClientCallDetails(
            details.method,
            timeout,
            grpc.aio.Metadata(*metadata),
            details.credentials,
            details.wait_for_ready,
        )
        return await continuation(changed, request)


def open_channel(
    address: str, certificates: Certificates, *, retries: bool = True
) -> grpc.aio.Channel:
    """A channel to the service at an address; without `retries` each call is made once at most."""
    # Of two options of one name the later counts.
    options = OPTIONS if retries else [*OPTIONS, *_ONCE]
    return grpc.aio.secure_channel(
        address, certificates.for_client(), options=options, interceptors=[_Outgoing()]
    )
