"""How an attempt to deliver ended, and when the next one is made (NT-05)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from notification.messages import State

ATTEMPTS_MAX = 8
BACKOFF_SECONDS = 1.0
BACKOFF_FACTOR = 4.0
BACKOFF_SECONDS_MAX = 3600.0
LAPSED = "the last attempt ended without an outcome"
TOO_LATE = "given up: it would come too late"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is being made, the first being 1."""

    member_id: str
    message_id: UUID
    number: int
    subject: str
    body: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """How a member can be reached by e-mail; `email` is empty when unknown."""

    email: str
    email_consent: bool


@dataclass(frozen=True, slots=True)
class Delivered:
    """It was handed over."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """It must not or cannot be sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It was refused for good."""

    reason: str


@dataclass(frozen=True, slots=True)
class Delayed:
    """It may work later."""

    reason: str


Outcome = Delivered | Skipped | Refused | Delayed


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a delivery stands after an attempt; `wait` is set while it goes on."""

    state: State
    reason: str
    wait: timedelta | None


def reason_to_skip(contact: Contact | None) -> str:
    """Why a member is not written to; empty when they are."""
    if contact is None:
        return "the member is not known"
    if not contact.email:
        return "the member has no e-mail address"
    if not contact.email_consent:
        return "the member has not agreed to e-mail"
    return ""


def judge(outcome: Outcome, number: int, spread: float) -> Verdict:
    """What an outcome makes of a delivery; `spread`, 0 to 1, keeps retries apart."""
    match outcome:
        case Delivered():
            return Verdict(State.DELIVERED, "", None)
        case Skipped(reason):
            return Verdict(State.SKIPPED, reason, None)
        case Refused(reason):
            return Verdict(State.FAILED, reason, None)
        case Delayed(reason) if number >= ATTEMPTS_MAX:
            return Verdict(State.FAILED, f"given up after {number} attempts: {reason}", None)
        case Delayed(reason):
            return Verdict(State.PENDING, reason, backoff(number, spread))


def backoff(number: int, spread: float) -> timedelta:
    """The wait after an attempt: 1 s, 4 s, 16 s and so on up to an hour, each give or take half."""
    seconds = min(BACKOFF_SECONDS * BACKOFF_FACTOR ** (number - 1), BACKOFF_SECONDS_MAX)
    return timedelta(seconds=seconds * (0.5 + spread))
