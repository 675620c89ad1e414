"""Requests whose work goes on outside of a transaction: claimed first, answered last (AIP-155).

`kit.requests.once` claims and answers in one transaction. A saga cannot: its repeats, and a repeat
after a crash, find the claim without an answer and go on with the work.
"""

from dataclasses import dataclass

from kit.db import Transaction
from kit.errors import RequestIdReused
from kit.requests import is_repeat


@dataclass(frozen=True, slots=True)
class Claim:
    """A request's id, with the call and a digest of its content."""

    request_id: str
    method: str
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Claimed:
    """Whether this is the first time that the request came, and the answer that it got, if any."""

    first: bool
    answer: bytes | None


async def look_up(tx: Transaction, claim: Claim) -> bytes | None:
    """The answer that a request got already, None without one. Raises RequestIdReused."""
    row = await tx.fetchrow("get_request", claim.request_id)
    if row is None:
        return None
    if not is_repeat(row, claim.method, claim.content_hash):
        raise RequestIdReused(request_id=claim.request_id)
    answer: bytes | None = row["response"]
    return answer


async def take(tx: Transaction, claim: Claim) -> Claimed:
    """Claims a request; waits for whoever is claiming it right now. Raises RequestIdReused."""
    if await tx.fetchval("claim_request", claim.request_id, claim.method, claim.content_hash):
        return Claimed(True, None)
    return Claimed(False, await look_up(tx, claim))


async def keep(tx: Transaction, claim: Claim, answer: bytes) -> bytes:
    """Keeps the answer to a claimed request, and returns the one that was kept first."""
    kept: bytes = await tx.fetchval("keep_answer", claim.request_id, answer)
    return kept
