"""The base of every read ratio: a bare grpc.aio server that gives back the bytes it got, behind the
same mTLS, in a process of its own.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import uvloop

from cli.serve import GRPC_EXPERIMENTS
from kit.auth import Certificates

METHOD = "/laurel.bench.Echo/Say"
Say = Callable[..., Awaitable[bytes]]


async def serve(address: str, folder: Path) -> None:
    """Serves until the process is ended."""

    async def say(request: bytes, context: Any) -> bytes:
        return request

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers = {METHOD.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(say)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("laurel.bench.Echo", handlers),)
    )
    server.add_secure_port(address, Certificates.load(folder, "points").for_server())
    await server.start()
    await server.wait_for_termination()


@asynccontextmanager
async def echo(environ: Mapping[str, str]) -> AsyncIterator[Say]:
    """The method of an echo server that runs meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    folder = environ["LAUREL_CERT_DIR"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.echo", address, folder,
        env={**os.environ, **environ, "GRPC_EXPERIMENTS": GRPC_EXPERIMENTS},
    )  # fmt: skip
    try:
        credentials = Certificates.load(Path(folder), "admin").for_client()
        async with grpc.aio.secure_channel(address, credentials) as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
            yield channel.unary_unary(METHOD)
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], Path(sys.argv[2])))
