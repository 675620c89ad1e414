"""A lean gRPC client for unary calls: HTTP/2 frames written by hand.

grpc.aio's own client costs 150 microseconds of a core a call, a third of all that a call costs; on
two cores that also run what is measured, it would be the client that is measured. This one knows
just what a load needs: headers that never change, one message to and fro, no retries.
https://www.rfc-editor.org/rfc/rfc9113, https://www.rfc-editor.org/rfc/rfc7541 (appendix A)
"""

import asyncio
import ssl
import struct
from collections.abc import Mapping
from typing import cast

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
WINDOW = 2**30
REFILL = 2**28


class Refused(Exception):
    """A call ended without a message."""


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _text(text: str) -> bytes:
    # A literal of less than 127 bytes, without Huffman's code.
    return bytes([len(text)]) + text.encode()


def _header_block(authority: str, method: str, more: Mapping[str, str]) -> bytes:
    """Indexed fields of the static table, and literals that enter no dynamic table."""
    scheme = b"\x86" if more else b"\x87"
    return (
        b"\x83" + scheme  # :method POST, :scheme
        + b"\x04" + _text(method)  # :path
        + b"\x01" + _text(authority)  # :authority
        + b"\x0f\x10" + _text("application/grpc")  # content-type
        + b"\x00" + _text("te") + _text("trailers")
        + b"\x00" + _text("grpc-timeout") + _text("30S")
        + b"".join(b"\x00" + _text(name) + _text(value) for name, value in more.items())
    )  # fmt: skip


class Wire(asyncio.Protocol):
    """One connection."""

    def __init__(self, authority: str, more: Mapping[str, str]) -> None:
        self._authority = authority
        self._more = more
        self._headers: dict[str, bytes] = {}
        self._calls: dict[int, asyncio.Future[bytes]] = {}
        self._answers: dict[int, bytes] = {}
        self._next_stream = 1
        self._buffer = b""
        self._taken = 0
        self._may_send = 65_535
        self._waiting: list[bytes] = []
        self._transport: asyncio.Transport

    @classmethod
    async def connect(cls, environ: Mapping[str, str], address: str) -> "Wire":
        """A connection under the identity that the environment names."""
        context = ssl.create_default_context(cafile=environ["LAUREL_CA"])
        context.load_cert_chain(environ["LAUREL_CERT"], environ["LAUREL_KEY"])
        context.set_alpn_protocols(["h2"])
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        connected = await loop.create_connection(
            lambda: cls("localhost", {}), host, int(port), ssl=context, server_hostname="localhost"
        )  # fmt: skip
        return connected[1]

    @classmethod
    async def connect_beside(cls, address: str, headers: Mapping[str, str]) -> "Wire":
        """A connection without TLS on the same host, as a sidecar's, with headers of its own."""
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        connected = await loop.create_connection(lambda: cls("localhost", headers), host, int(port))
        return connected[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Opens the connection, with windows that never close."""
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, WINDOW)
        window = struct.pack(">I", WINDOW)
        self._transport.write(
            PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, window)
        )

    async def call(self, method: str, message: bytes) -> bytes:
        """The answer to a message, by `/package.Service/Method`. Raises Refused without one."""
        headers = self._headers.get(method)
        if headers is None:
            headers = self._headers[method] = _header_block(self._authority, method, self._more)
        stream = self._next_stream
        self._next_stream += 2
        body = b"\0" + struct.pack(">I", len(message)) + message
        answer = self._calls[stream] = asyncio.get_running_loop().create_future()
        frames = _frame(HEADERS, END_HEADERS, stream, headers)
        self._send(frames + _frame(DATA, END_STREAM, stream, body), len(body))
        return await answer

    def _send(self, frames: bytes, body_bytes: int) -> None:
        # What the server has not made room for yet waits: bodies are far below a stream's window.
        # Calls of one turn of the loop go out together, as any HTTP/2 client lets them.
        self._may_send -= body_bytes
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(frames)

    def _flush(self) -> None:
        if self._may_send >= 0 and self._waiting:
            self._transport.write(b"".join(self._waiting))
            self._waiting.clear()

    def close(self) -> None:
        """Ends the connection."""
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Ends all calls that wait."""
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(Refused(f"the connection has ended: {error}"))

    def data_received(self, data: bytes) -> None:
        """Takes whole frames, keeps the rest."""
        buffer = self._buffer + data if self._buffer else data
        at, end = 0, len(buffer)
        while end - at >= 9:
            length = int.from_bytes(buffer[at : at + 3], "big")
            if end - at < 9 + length:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big") & 0x7FFFFFFF
            self._take(kind, flags, stream, buffer[at + 9 : at + 9 + length])
            at += 9 + length
        self._buffer = buffer[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._answers[stream] = self._answers.get(stream, b"") + payload
            self._refill(len(payload))
        elif kind == SETTINGS and not flags & ACK:
            self._transport.write(_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._transport.write(_frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._may_send += int.from_bytes(payload, "big")
            self._flush()
        elif kind == GOAWAY:
            self._transport.close()
        if kind == RST_STREAM or (kind in {DATA, HEADERS} and flags & END_STREAM):
            self._end(stream)

    def _refill(self, taken: int) -> None:
        self._taken += taken
        if self._taken > REFILL:
            window = struct.pack(">I", self._taken)
            self._transport.write(_frame(WINDOW_UPDATE, 0, 0, window))
            self._taken = 0

    def _end(self, stream: int) -> None:
        answer, body = self._calls.pop(stream), self._answers.pop(stream, b"")
        if answer.done():
            return
        # A refusal is trailers without a message.
        if body:
            answer.set_result(body[5:])
        else:
            answer.set_exception(Refused("the call ended without an answer"))
