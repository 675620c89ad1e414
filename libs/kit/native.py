"""The native front, an extra: the same servicers behind HTTP/2 that runs outside of Python's lock.

It has no TLS of its own. So it listens on loopback only, behind a sidecar that ends the callers'
mTLS: with each call the sidecar shows the key that it shares with the service, and names the
identity whose certificate it has checked. Streams of requests are left to the ordinary port.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from grpc import StatusCode

from kit.errors import LaurelError

KEY_HEADER = "laurel-sidecar-key"
IDENTITY_HEADER = "laurel-identity"


class NativeMissing(Exception):
    """The extra is not installed."""


class NotVouched(LaurelError):
    """No sidecar vouches for the caller."""

    code = StatusCode.UNAUTHENTICATED
    reason = "UNIDENTIFIED"
    text = (
        f"the call does not carry {KEY_HEADER} as agreed and one {IDENTITY_HEADER}; call through "
        "the sidecar, or the port that speaks TLS"
    )


class Sidecar:
    """Knows the sidecar by its key, and takes its word for who calls."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def identity_of(self, context: grpc.aio.ServicerContext[Any, Any]) -> str:
        """The identity that the sidecar names. Raises NotVouched."""
        keys, names = [], []
        for header, value in context.invocation_metadata() or ():
            if header == KEY_HEADER:
                keys.append(value)
            elif header == IDENTITY_HEADER:
                names.append(value)
        # More than one is one that the caller has smuggled in.
        if len(keys) != 1 or len(names) != 1 or not names[0]:
            raise NotVouched
        if not hmac.compare_digest(_bytes(keys[0]), self._key):
            raise NotVouched
        return _bytes(names[0]).decode(errors="replace")


class NativeServer:
    """A server of grpc.aio to whoever adds servicers to it, starts it and stops it."""

    def __init__(self, address: str, options: Sequence[tuple[str, Any]]) -> None:
        try:
            from pygrpc_native.aio import server
        except ImportError as error:
            raise NativeMissing(
                "a native front is asked for, but pygrpc-native is not installed; install "
                "laurel[native], or unset LAUREL_..._NATIVE_ADDR"
            ) from error
        self._server = server(options=options)
        self._server.add_insecure_port(address)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Adds the methods of a service, but for those that take a stream."""
        taken = {name: h for name, h in handlers.items() if not h.request_streaming}
        self._server.add_registered_method_handlers(service, taken)

    async def start(self) -> None:
        """Takes calls from now on."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Takes no new call, and ends those under way after so many seconds."""
        await self._server.stop(grace)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
