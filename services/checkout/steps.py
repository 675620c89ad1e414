"""The remote steps of a checkout and what can become of one."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID


class Step(Enum):
    """A call to another service, under the same request id at every try."""

    HOLD = "hold"
    RESERVE = "reserve"
    CAPTURE = "capture"
    REDEEM = "redeem"
    ACCRUE = "accrue"
    UNDO_CAPTURE = "undo_capture"
    RELEASE_HOLD = "release_hold"
    RELEASE_RESERVATION = "release_reservation"
    REFUND_POINTS = "refund_points"
    REVERSE_ACCRUAL = "reverse_accrual"


class Mark(Enum):
    """How far a step is: STARTED says that it may have taken effect, and only a repeat can tell."""

    STARTED = "STARTED"
    DONE = "DONE"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step: what it made and until when that is good, or why it was refused."""

    step: Step
    mark: Mark
    made_id: str = ""
    expire_time: datetime | None = None
    points: int = 0
    reason: str = ""
    text: str = ""
    challenge_id: str = ""
    """What the member has to solve before the step is tried again."""
    account_id: str = ""
    """Of a refusal: for whom the step was asked."""
    survivor_id: str = ""
    """Who they were merged into: the step goes on, for them."""

    def is_outdated(self, account_id: str) -> bool:
        """Whether it is a refusal of what is asked for another member by now."""
        return self.account_id not in ("", account_id)


def step_request_id(checkout_id: UUID, refund_number: int, step: Step) -> str:
    """The request id of a step: the same at every try, so that it takes effect once."""
    if refund_number:
        return f"{checkout_id}:{step.value}:{refund_number}"
    return f"{checkout_id}:{step.value}"


def is_news(known: Mark | None, mark: Mark) -> bool:
    """Whether a mark says more than the known one: what is done stays done."""
    if known is Mark.REFUSED:
        return mark is Mark.DONE
    return known is not Mark.DONE
