"""Cases: who may do what with them. Pure."""

from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from antifraud.case_errors import CaseClaimed, CaseIsDecided, CaseNotClaimed

CLAIM_AGE = timedelta(minutes=30)


class State(IntEnum):
    """Whether a case waits; numbers as in the contract."""

    OPEN = 1
    DECIDED = 2


class Outcome(IntEnum):
    """What the operations of a case were; numbers as in the contract."""

    LEGITIMATE = 1
    FRAUDULENT = 2


class Order(IntEnum):
    """The order of a queue; numbers as in the contract."""

    OLDEST = 1
    HIGHEST_SCORE = 2


class LinkKind(IntEnum):
    """What leads to another member; numbers as in the contract."""

    DEVICE = 1
    CARD = 2
    GIFT_TO = 3
    GIFT_FROM = 4


class Operator(NamedTuple):
    """Who decided, the identity of the certificate that vouches for the name, and why."""

    name: str
    identity: str
    reason: str


class Case(NamedTuple):
    """A case as it is stored."""

    case_id: UUID
    member_id: str
    state: int
    score: int
    assessment_count: int
    open_time: datetime
    last_assessment_time: datetime
    claimant: str | None
    claim_expire_time: datetime | None
    outcome: int | None
    operator: str | None
    identity: str | None
    reason: str | None
    decide_time: datetime | None

    def claimant_at(self, now: datetime) -> str:
        """Who works on it at an instant; empty when nobody does."""
        expire = self.claim_expire_time
        return self.claimant or "" if expire is not None and expire > now else ""


class Link(NamedTuple):
    """Another member whom the operations of a case lead to."""

    kind: LinkKind
    member_id: str
    value: str
    fraud_count: int


def claim(case: Case, operator: str, now: datetime) -> Case:
    """The case as somebody works on it. Raises CaseIsDecided or CaseClaimed."""
    check_free(case, operator, now)
    return case._replace(claimant=operator, claim_expire_time=now + CLAIM_AGE)


def unclaim(case: Case, operator: str, now: datetime) -> Case:
    """The case as nobody works on it. Raises CaseIsDecided or CaseClaimed."""
    check_free(case, operator, now)
    return case._replace(claimant=None, claim_expire_time=None)


def decide(
    case: Case, outcome: Outcome, operator: Operator, now: datetime, *, claimant_only: bool
) -> Case:
    """The case as it is decided. Raises CaseIsDecided, CaseClaimed or CaseNotClaimed."""
    check_free(case, operator.name, now)
    if claimant_only and not case.claimant_at(now):
        raise CaseNotClaimed(case_id=case.case_id)
    return case._replace(
        state=State.DECIDED, claimant=None, claim_expire_time=None, outcome=outcome,
        operator=operator.name, identity=operator.identity, reason=operator.reason,
        decide_time=now,
    )  # fmt: skip


def check_free(case: Case, operator: str, now: datetime) -> None:
    """Raises CaseIsDecided, or CaseClaimed while somebody else works on it."""
    if case.state == State.DECIDED:
        raise CaseIsDecided(case_id=case.case_id, outcome=Outcome(case.outcome or 0).name)
    claimant = case.claimant_at(now)
    if claimant not in ("", operator):
        raise CaseClaimed(
            case_id=case.case_id, claimant=claimant, claim_expire_time=case.claim_expire_time
        )
