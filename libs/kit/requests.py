"""Idempotency in one place: claim the request id, act, keep the answer, in one transaction
(AIP-155).
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from google.protobuf.message import Message

from kit.db import Transaction
from kit.errors import RequestIdReused

R = TypeVar("R", bound=Message)


def content_hash(request: Message) -> bytes:
    """A digest of everything in a request; calls whose names end alike share it: `is_repeat`."""
    digest = _digest_of(request.DESCRIPTOR.full_name).copy()
    digest.update(request.SerializeToString(deterministic=True))
    return digest.digest()


@cache
def _digest_of(full_name: str) -> "hashlib.blake2b":
    return hashlib.blake2b(digest_size=16, person=full_name.encode()[-16:])


def is_repeat(kept: Mapping[str, Any], method: str, digest: bytes) -> bool:
    """Whether a kept request is this very call with this very content.

    Both have to be compared: the digest knows the end of a message's name alone, for ever, as that
    is what the requests of the past are kept by.
    """
    return bool(kept["method"] == method and kept["content_hash"] == digest)


async def once(
    tx: Transaction,
    request_id: str,
    request: Message,
    act: Callable[[], Awaitable[R]],
    response_type: type[R],
) -> R:
    """The answer of `act`, or the one that it gave the first time that this request came.

    A second request of the same id waits until the first one's transaction has ended. When `act`
    raises, the claim is rolled back with all else. Raises RequestIdReused when the content differs
    from the first time, or the call.
    """
    digest = content_hash(request)
    method = request.DESCRIPTOR.name
    if await tx.fetchval("claim_request", request_id, method, digest):
        response = await act()
        await tx.execute("finish_request", request_id, response.SerializeToString())
        return response
    row = await tx.fetchrow("get_request", request_id)
    if not is_repeat(row, method, digest):
        raise RequestIdReused(request_id=request_id)
    return response_type.FromString(row["response"])
