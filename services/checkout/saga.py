"""What is to be done next with a checkout: pure decisions over where it stands (CK-02, CK-04).

A checkout moves QUOTED -> AUTHORIZING -> AUTHORIZED -> COMPLETING -> COMPLETED, and from anywhere
before COMPLETED through CANCELLING to CANCELLED. Between two rests there are remote steps; each is
marked as started before it is tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from checkout.errors import (
    AuthorizationExpired,
    ChallengeRequired,
    CheckoutInState,
    QuoteExpired,
    StepRefused,
)
from checkout.pricing import Line
from checkout.steps import Mark, Outcome, Step, is_news


class State(Enum):
    """Where a checkout stands; values as in the contract."""

    QUOTED = 1
    AUTHORIZING = 2
    AUTHORIZED = 3
    COMPLETING = 4
    COMPLETED = 5
    CANCELLING = 6
    CANCELLED = 7


CANCEL_REQUESTED = "CANCEL_REQUESTED"
UNDONE = (State.CANCELLING, State.CANCELLED)
MOVING = (State.AUTHORIZING, State.COMPLETING, State.CANCELLING)


@dataclass(frozen=True, slots=True)
class Saga:
    """A checkout as far as its steps need it; amounts in minor units."""

    checkout_id: UUID
    member_id: str
    order_id: str
    state: State
    currency: str
    digits: int
    program_version: int
    lines_minor: int
    due_minor: int
    points: int
    cash_minor: int
    categories: tuple[str, ...]
    coupon_ids: tuple[str, ...]
    origin: bytes
    hold_id: str
    reservation_id: str
    accrual_id: str
    hold_minutes: int
    expire_time: datetime
    good_until_time: datetime | None
    complete_time: datetime | None
    failure_reason: str
    failure_text: str
    expected_minor: int | None
    """What the points are to pay; None for a quote of before points was told that."""
    marks: Mapping[Step, Mark]
    lines: tuple[Line, ...] = ()
    """What the cash earns for, line by line; empty where it earns as a whole."""
    survivors: Mapping[Step, str] = field(default_factory=dict)
    """Who the member was merged into, by the step that has to be asked for them."""
    challenge_id: str = ""
    """What the member has to solve before it can be authorised; kept nowhere: who asks again is
    told again.
    """

    def account_of(self, step: Step) -> str:
        """For whom a step is asked: the member, or who they were merged into."""
        return self.survivors.get(step, self.member_id)

    def done(self, step: Step) -> bool:
        """Whether a step has taken effect."""
        return self.marks.get(step) is Mark.DONE

    def settled(self, step: Step) -> bool:
        """Whether it is known what became of a step."""
        return self.marks.get(step) in (Mark.DONE, Mark.REFUSED)

    def unknown(self, step: Step) -> bool:
        """Whether a step may have taken effect."""
        return self.marks.get(step) is Mark.STARTED


def next_step(saga: Saga) -> Step | None:
    """The remote step to be done next; None where a checkout rests."""
    match saga.state:
        case State.AUTHORIZING:
            return _next_to_authorize(saga)
        case State.COMPLETING:
            return _next_to_complete(saga)
        case State.CANCELLING:
            return _next_to_cancel(saga)
        case _:
            return None


def _next_to_authorize(saga: Saga) -> Step | None:
    if saga.points and not saga.done(Step.HOLD):
        return Step.HOLD
    if saga.coupon_ids and not saga.done(Step.RESERVE):
        return Step.RESERVE
    return None


def _next_to_complete(saga: Saga) -> Step | None:
    # What can be undone comes first: captured points can be given back, a used coupon cannot.
    if saga.points and not saga.done(Step.CAPTURE):
        return Step.CAPTURE
    if saga.coupon_ids and not saga.done(Step.REDEEM):
        return Step.REDEEM
    # An accrual that is refused, by anti-fraud for one, is no reason to keep an order that is paid.
    if saga.cash_minor and not saga.settled(Step.ACCRUE):
        return Step.ACCRUE
    return None


def _next_to_cancel(saga: Saga) -> Step | None:
    # A step that may have taken effect is repeated under its own request id: that tells.
    for step in (Step.HOLD, Step.RESERVE):
        if saga.unknown(step):
            return step
    if saga.done(Step.CAPTURE):
        if not saga.settled(Step.UNDO_CAPTURE):
            return Step.UNDO_CAPTURE
    elif saga.done(Step.HOLD) and not saga.settled(Step.RELEASE_HOLD):
        return Step.RELEASE_HOLD
    if (
        saga.done(Step.RESERVE)
        and not saga.done(Step.REDEEM)
        and not saga.settled(Step.RELEASE_RESERVATION)
    ):
        return Step.RELEASE_RESERVATION
    return None


def begin_authorize(saga: Saga, now: datetime) -> Saga:
    """The checkout with its authorisation begun; raises CheckoutInState or QuoteExpired."""
    if saga.state is not State.QUOTED:
        raise in_state(saga, "QUOTED")
    if now >= saga.expire_time:
        raise _quote_expired(saga)
    # A hold that was refused until a challenge is solved is tried anew.
    marks = {step: mark for step, mark in saga.marks.items() if mark is not Mark.REFUSED}
    return arrive(replace(saga, state=State.AUTHORIZING, marks=marks), now)


def begin_complete(saga: Saga, now: datetime) -> Saga:
    """The checkout with its completion begun, or its undoing where the authorisation has ended.

    Raises CheckoutInState, or AuthorizationExpired where that was undone already.
    """
    if saga.state in UNDONE and saga.failure_reason == AuthorizationExpired.reason:
        raise AuthorizationExpired(checkout_id=saga.checkout_id)
    if saga.state is not State.AUTHORIZED:
        raise in_state(saga, "AUTHORIZED")
    if now >= saga.expire_time:
        return _undo(saga, AuthorizationExpired.reason, "its time was up", now)
    return arrive(replace(saga, state=State.COMPLETING, complete_time=now), now)


def begin_cancel(saga: Saga, now: datetime) -> Saga:
    """The checkout with its undoing begun; CheckoutInState once it completes or is undone."""
    if saga.state not in (State.QUOTED, State.AUTHORIZING, State.AUTHORIZED):
        raise in_state(saga, "QUOTED, AUTHORIZING or AUTHORIZED")
    return _undo(saga, CANCEL_REQUESTED, "the caller cancelled it", now)


def wake(saga: Saga, now: datetime) -> Saga:
    """The checkout as the sweeper finds it: what has run out of time is undone.

    An expired quote stays one, and is only to forget where it came from.
    """
    if now < saga.expire_time:
        return saga
    if saga.state is State.QUOTED:
        return replace(saga, origin=b"")
    if saga.state is State.AUTHORIZING:
        return _undo(saga, QuoteExpired.reason, "it could not be authorised in time", now)
    if saga.state is State.AUTHORIZED:
        return _undo(saga, AuthorizationExpired.reason, "its time was up", now)
    return saga


def apply(saga: Saga, outcome: Outcome, now: datetime) -> Saga:
    """The checkout after a step."""
    step, mark = outcome.step, outcome.mark
    if not is_news(saga.marks.get(step), mark):
        # Another call was told before this one: so is who asks here.
        return replace(saga, challenge_id=outcome.challenge_id)
    if outcome.is_outdated(saga.account_of(step)):
        return saga
    if outcome.survivor_id:
        return replace(saga, survivors={**saga.survivors, step: outcome.survivor_id})
    saga = replace(saga, marks={**saga.marks, step: mark})
    saga = _keep(saga, outcome) if mark is Mark.DONE else _fail(saga, outcome, now)
    return arrive(saga, now)


def _keep(saga: Saga, outcome: Outcome) -> Saga:
    match outcome.step:
        case Step.HOLD:
            saga = replace(saga, hold_id=outcome.made_id)
        case Step.RESERVE:
            saga = replace(saga, reservation_id=outcome.made_id)
        case Step.ACCRUE:
            saga = replace(saga, accrual_id=outcome.made_id)
        case _:
            pass
    ends = [t for t in (saga.good_until_time, outcome.expire_time) if t is not None]
    saga = replace(saga, good_until_time=min(ends, default=None))
    # An answer may come after all was undone: then what it made is undone as well. One to another
    # call may come after a challenge was asked for: then it was solved.
    match saga.state:
        case State.CANCELLED:
            return replace(saga, state=State.CANCELLING)
        case State.QUOTED:
            return replace(saga, state=State.AUTHORIZING)
        case _:
            return saga


def _fail(saga: Saga, outcome: Outcome, now: datetime) -> Saga:
    match saga.state, outcome.step:
        case State.AUTHORIZING, Step.HOLD if outcome.challenge_id:
            # Nothing is held or reserved: a quote as before.
            return replace(saga, state=State.QUOTED, challenge_id=outcome.challenge_id)
        case State.AUTHORIZING, (Step.HOLD | Step.RESERVE):
            return _undo(saga, outcome.reason, outcome.text, now)
        case State.COMPLETING, (Step.CAPTURE | Step.REDEEM):
            return _undo(saga, AuthorizationExpired.reason, outcome.text, now)
        case _:
            return saga


def start(saga: Saga) -> Saga:
    """The checkout with its next step marked as started; to be kept before the step is tried."""
    step = next_step(saga)
    if step is None or step in saga.marks:
        return saga
    return replace(saga, marks={**saga.marks, step: Mark.STARTED})


def _undo(saga: Saga, reason: str, text: str, now: datetime) -> Saga:
    saga = replace(
        saga, state=State.CANCELLING, failure_reason=reason, failure_text=text, complete_time=None
    )
    return arrive(saga, now)


def arrive(saga: Saga, now: datetime) -> Saga:
    """The checkout at its next rest, once no step is left on the way there."""
    if saga.state not in MOVING or next_step(saga) is not None:
        return saga
    match saga.state:
        case State.AUTHORIZING:
            until = now + timedelta(minutes=saga.hold_minutes)
            until = min(until, saga.good_until_time or until)
            if until <= now:
                return _undo(saga, AuthorizationExpired.reason, "it took too long", now)
            return replace(saga, state=State.AUTHORIZED, expire_time=until)
        case State.COMPLETING:
            return replace(saga, state=State.COMPLETED, origin=b"")
        case _:
            return replace(saga, state=State.CANCELLED, origin=b"")


def check_authorized(saga: Saga) -> None:
    """Raises why an authorisation was undone or has to wait, if it was or has."""
    if saga.state is State.QUOTED:
        raise ChallengeRequired(checkout_id=saga.checkout_id, challenge_id=saga.challenge_id)
    if saga.state not in UNDONE:
        return
    match saga.failure_reason:
        case QuoteExpired.reason:
            raise _quote_expired(saga)
        case "CANCEL_REQUESTED" | AuthorizationExpired.reason:
            raise in_state(saga, "AUTHORIZED")
        case reason:
            raise StepRefused(reason, saga.checkout_id, saga.failure_text)


def check_completed(saga: Saga) -> None:
    """Raises AuthorizationExpired where a completion was undone."""
    if saga.state is not State.COMPLETED:
        if saga.failure_reason == AuthorizationExpired.reason:
            raise AuthorizationExpired(checkout_id=saga.checkout_id)
        raise in_state(saga, "AUTHORIZED")


def check_cancelled(saga: Saga) -> None:
    """Raises CheckoutInState where a cancellation did not come to its end."""
    if saga.state is not State.CANCELLED:
        raise in_state(saga, "CANCELLED")


def in_state(saga: Saga, needed: str) -> CheckoutInState:
    """The refusal of what does not fit where a checkout stands."""
    return CheckoutInState(checkout_id=saga.checkout_id, state=saga.state.name, needed=needed)


def _quote_expired(saga: Saga) -> QuoteExpired:
    return QuoteExpired(
        checkout_id=saga.checkout_id, expire_time=saga.expire_time.isoformat(timespec="seconds")
    )
