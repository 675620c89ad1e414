"""What a challenge is, and what it decides: pure (AF-01, AF-03)."""

import hmac
from datetime import datetime, timedelta
from enum import IntEnum
from math import ceil
from typing import NamedTuple
from uuid import UUID

from antifraud.challenge_errors import (
    ChallengeExpired,
    ChallengeSolved,
    ChallengeSpent,
    ResendTooSoon,
    SendsSpent,
)
from rules.values import Operation, StepUp

CODE_DIGITS = 6
SALT_BYTES = 16


class State(IntEnum):
    """How far a challenge is; numbers as in the contract. EXPIRED is stored nowhere."""

    OPEN = 1
    SOLVED = 2
    SPENT = 3
    EXPIRED = 4


class Challenge(NamedTuple):
    """A challenge as it is stored."""

    member_id: str
    request_id: str
    number: int
    challenge_id: UUID
    kind: Operation
    points: int
    amount_minor: int
    program_version: int
    verifier: str
    state: State
    tries_left: int
    sends_left: int
    send_number: int
    salt: bytes
    resend_time: datetime
    expire_time: datetime
    sent_time: datetime | None
    create_time: datetime
    solve_time: datetime | None

    def state_at(self, now: datetime) -> State:
        """How far it is at an instant."""
        if self.state is not State.OPEN:
            return self.state
        if not self.tries_left:
            return State.SPENT
        return State.OPEN if now < self.expire_time else State.EXPIRED


def code_of(key: bytes, challenge: Challenge) -> str:
    """The code that was asked for last: 6 digits that nobody without the key can work out.

    As in RFC 4226, but from all 256 bits of HMAC-SHA256: no digit is likelier than another by more
    than 1 in 2**236.
    """
    text = b"laurel.challenge.%b.%d." % (challenge.challenge_id.bytes, challenge.send_number)
    digest = hmac.digest(key, text + challenge.salt, "sha256")
    return f"{int.from_bytes(digest) % 10**CODE_DIGITS:0{CODE_DIGITS}}"


def is_right(key: bytes, challenge: Challenge, given: str) -> bool:
    """Whether that is the code; takes as long for any code."""
    return hmac.compare_digest(code_of(key, challenge).encode(), given.strip().encode())


def check_open(challenge: Challenge, now: datetime) -> None:
    """Raises ChallengeSolved, ChallengeSpent or ChallengeExpired for one that takes no code."""
    challenge_id = challenge.challenge_id
    match challenge.state_at(now):
        case State.SOLVED:
            raise ChallengeSolved(challenge_id=challenge_id)
        case State.SPENT:
            raise ChallengeSpent(challenge_id=challenge_id)
        case State.EXPIRED:
            expire_time = challenge.expire_time.isoformat(timespec="seconds")
            raise ChallengeExpired(challenge_id=challenge_id, expire_time=expire_time)
        case State.OPEN:
            return


class Times(NamedTuple):
    """From when on the next code can be asked for, and until when this one is good."""

    resend_time: datetime
    expire_time: datetime


def times_of(step_up: StepUp, now: datetime) -> Times:
    """The times of a code that is asked for now."""
    return Times(
        now + timedelta(seconds=step_up.resend_after_seconds),
        now + timedelta(seconds=step_up.code_seconds),
    )


def check_resend(challenge: Challenge, now: datetime) -> None:
    """Raises as `check_open` does, or SendsSpent or ResendTooSoon."""
    check_open(challenge, now)
    if not challenge.sends_left:
        raise SendsSpent(challenge_id=challenge.challenge_id, sends_max=challenge.send_number)
    wait_ms = ceil((challenge.resend_time - now) / timedelta(milliseconds=1))
    if wait_ms > 0:
        raise ResendTooSoon(wait=ceil(wait_ms / 1000), retry_after_ms=wait_ms)
