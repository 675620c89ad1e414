"""The order of the steps (CK-02, CK-04), without any service."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.errors import (
    AuthorizationExpired,
    ChallengeRequired,
    CheckoutInState,
    QuoteExpired,
    StepRefused,
)
from checkout.saga import (
    Saga,
    State,
    apply,
    begin_authorize,
    begin_cancel,
    begin_complete,
    check_authorized,
    next_step,
    start,
    wake,
)
from checkout.steps import Mark, Outcome, Step

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
MAKES = {Step.HOLD: "hold-1", Step.RESERVE: "reservation-1", Step.ACCRUE: "accrual-1"}


def quoted(points: int = 100, coupons: int = 1, cash: int = 900) -> Saga:
    return Saga(
        checkout_id=UUID(int=1), member_id="m", order_id="o", state=State.QUOTED, currency="USD",
        digits=2, program_version=1, lines_minor=1000, due_minor=points + cash, points=points,
        cash_minor=cash, categories=(), coupon_ids=("c",) * coupons, origin=b"x", hold_id="",
        reservation_id="", accrual_id="", hold_minutes=30, expire_time=NOW + timedelta(minutes=15),
        good_until_time=None, complete_time=None, failure_reason="", failure_text="",
        expected_minor=None, marks={},
    )  # fmt: skip


def outcome(step: Step, refused: bool = False) -> Outcome:
    if refused:
        return Outcome(step, Mark.REFUSED, reason="SOME_REASON", text="because")
    return Outcome(step, Mark.DONE, made_id=MAKES.get(step, ""))


def run(saga: Saga, *refused: Step) -> tuple[Saga, list[Step]]:
    """Takes a checkout to its rest; returns the steps on the way."""
    steps: list[Step] = []
    saga = start(saga)
    while (step := next_step(saga)) is not None:
        assert saga.marks[step] is Mark.STARTED
        steps.append(step)
        saga = start(apply(saga, outcome(step, step in refused), NOW))
        assert len(steps) < 10
    return saga, steps


def test_what_can_be_undone_comes_before_what_cannot() -> None:
    """Captured points can be given back, a used coupon cannot."""
    saga, steps = run(begin_authorize(quoted(), NOW))
    assert (saga.state, steps) == (State.AUTHORIZED, [Step.HOLD, Step.RESERVE])
    saga, steps = run(begin_complete(saga, NOW))
    assert (saga.state, steps) == (State.COMPLETED, [Step.CAPTURE, Step.REDEEM, Step.ACCRUE])
    assert saga.origin == b""


def test_a_checkout_that_needs_nobody_rests_at_once() -> None:
    saga = begin_authorize(quoted(points=0, coupons=0, cash=0), NOW)
    assert saga.state is State.AUTHORIZED
    assert saga.expire_time == NOW + timedelta(minutes=30)
    assert begin_complete(saga, NOW).state is State.COMPLETED


def test_a_refused_reservation_gives_the_points_back() -> None:
    saga, steps = run(begin_authorize(quoted(), NOW), Step.RESERVE)
    assert (saga.state, steps) == (
        State.CANCELLED,
        [Step.HOLD, Step.RESERVE, Step.RELEASE_HOLD],
    )
    with pytest.raises(StepRefused) as caught:
        check_authorized(saga)
    assert caught.value.reason == saga.failure_reason == "SOME_REASON"


def test_a_coupon_that_timed_out_gives_captured_points_back() -> None:
    saga, _ = run(begin_authorize(quoted(), NOW))
    saga, steps = run(begin_complete(saga, NOW), Step.REDEEM)
    assert (saga.state, steps) == (
        State.CANCELLED,
        [Step.CAPTURE, Step.REDEEM, Step.UNDO_CAPTURE, Step.RELEASE_RESERVATION],
    )
    assert saga.failure_reason == AuthorizationExpired.reason


def test_a_refused_accrual_does_not_keep_a_paid_order() -> None:
    saga, _ = run(begin_authorize(quoted(), NOW))
    saga, _ = run(begin_complete(saga, NOW), Step.ACCRUE)
    assert (saga.state, saga.accrual_id) == (State.COMPLETED, "")


def test_an_unknown_step_is_repeated_before_it_is_undone() -> None:
    saga = start(begin_authorize(quoted(), NOW))
    saga, steps = run(begin_cancel(saga, NOW))
    assert (saga.state, steps) == (State.CANCELLED, [Step.HOLD, Step.RELEASE_HOLD])


def test_a_hold_that_is_told_of_after_the_undoing_is_undone_too() -> None:
    saga = start(begin_authorize(quoted(), NOW))
    saga, _ = run(begin_cancel(saga, NOW), Step.HOLD)
    assert saga.state is State.CANCELLED
    saga = apply(saga, outcome(Step.HOLD), NOW)
    saga, steps = run(saga)
    assert (saga.state, steps) == (State.CANCELLED, [Step.RELEASE_HOLD])


def test_time_ends_what_stands_still() -> None:
    assert wake(quoted(), NOW) == quoted()
    assert wake(quoted(), LATER) == replace(quoted(), origin=b"")
    authorizing = start(begin_authorize(quoted(), NOW))
    assert wake(authorizing, NOW) == authorizing
    assert wake(authorizing, LATER).state is State.CANCELLING
    authorized, _ = run(authorizing)
    assert wake(authorized, LATER).failure_reason == AuthorizationExpired.reason
    completing = start(begin_complete(authorized, NOW))
    assert wake(completing, LATER) == completing


def test_what_was_held_too_long_ago_authorises_nothing() -> None:
    """CK-02: the hold had ended before the coupon could be reserved."""
    saga = start(begin_authorize(quoted(), NOW))
    held = replace(outcome(Step.HOLD), expire_time=NOW + timedelta(minutes=1))
    saga = start(apply(saga, held, NOW))
    saga, steps = run(apply(saga, outcome(Step.RESERVE), NOW + timedelta(minutes=2)))
    assert (saga.state, saga.failure_reason) == (State.CANCELLED, AuthorizationExpired.reason)
    assert steps == [Step.RELEASE_HOLD, Step.RELEASE_RESERVATION]
    with pytest.raises(CheckoutInState):
        check_authorized(saga)


def test_late_and_wrong_calls_are_refused_by_state() -> None:
    with pytest.raises(QuoteExpired):
        begin_authorize(quoted(), LATER)
    with pytest.raises(CheckoutInState):
        begin_complete(quoted(), NOW)
    authorized, _ = run(begin_authorize(quoted(), NOW))
    with pytest.raises(CheckoutInState):
        begin_authorize(authorized, NOW)
    expired, _ = run(begin_complete(authorized, LATER))
    assert expired.state is State.CANCELLED
    with pytest.raises(AuthorizationExpired):
        begin_complete(expired, LATER)
    completing = begin_complete(authorized, NOW)
    with pytest.raises(CheckoutInState):
        begin_cancel(completing, NOW)


STEPS = st.lists(st.tuples(st.sampled_from(list(Step)[:8]), st.booleans()), max_size=12)


@given(
    st.integers(0, 1), st.integers(0, 1), st.integers(0, 1),
    st.sampled_from([begin_authorize, begin_complete, begin_cancel]), STEPS, STEPS,
)  # fmt: skip
def test_whatever_answers_come_a_checkout_comes_to_rest_and_keeps_nothing_it_undid(
    points: int,
    coupons: int,
    cash: int,
    then: object,
    noise: list[tuple[Step, bool]],
    late: list[tuple[Step, bool]],
) -> None:
    """CK-04: repeated, late and contradictory answers only ever lead to one of the rests."""
    saga = start(begin_authorize(quoted(points, coupons, cash), NOW))
    for step, refused in noise:
        # Only a step that was started can have an answer.
        if step in saga.marks:
            saga = start(apply(saga, outcome(step, refused), NOW))
    if saga.state is State.AUTHORIZED:
        saga = start(
            begin_complete(saga, NOW) if then is begin_complete else begin_cancel(saga, NOW)
        )
    for step, refused in late:
        if step in saga.marks:
            saga = start(apply(saga, outcome(step, refused), NOW))
    saga, _ = run(saga)
    if saga.state is State.CANCELLED and saga.done(Step.HOLD):
        assert saga.settled(Step.RELEASE_HOLD) or saga.settled(Step.UNDO_CAPTURE)
    if saga.state is State.CANCELLED and saga.done(Step.RESERVE) and not saga.done(Step.REDEEM):
        assert saga.settled(Step.RELEASE_RESERVATION)
    if saga.state in (State.AUTHORIZED, State.COMPLETED):
        assert saga.done(Step.HOLD) or not saga.points
        assert saga.done(Step.RESERVE) or not saga.coupon_ids
    if saga.state is State.COMPLETED:
        assert saga.done(Step.CAPTURE) or not saga.points
        assert saga.done(Step.REDEEM) or not saga.coupon_ids


def test_what_is_done_stays_done() -> None:
    saga, _ = run(begin_authorize(quoted(), NOW))
    assert apply(saga, outcome(Step.HOLD, refused=True), NOW) == saga
    assert apply(saga, replace(outcome(Step.HOLD), made_id="other"), NOW) == saga


def test_a_refusal_of_who_was_asked_before_the_survivor_is_no_refusal_of_the_survivor() -> None:
    """Two callers may try the same step, and one of them may not have heard of the merge yet."""
    saga, _ = run(begin_authorize(quoted(points=0, coupons=0), NOW))
    paying = start(begin_complete(saga, NOW))
    moved = Outcome(Step.ACCRUE, Mark.STARTED, account_id="m", survivor_id="s")
    late = Outcome(Step.ACCRUE, Mark.REFUSED, account_id="m", reason="REQUEST_ID_REUSED")
    followed = apply(paying, moved, NOW)
    assert followed.account_of(Step.ACCRUE) == "s"
    assert apply(followed, late, NOW) == followed
    assert apply(followed, replace(moved, survivor_id="other"), NOW) == followed
    assert apply(followed, replace(late, account_id="s"), NOW).state is State.COMPLETED


CHALLENGED = Outcome(
    Step.HOLD, Mark.REFUSED, reason="CHALLENGE_REQUIRED", text="no", challenge_id="c-1"
)


def test_a_challenged_hold_leaves_the_quote_as_it_was_and_begins_anew() -> None:
    saga = start(begin_authorize(quoted(), NOW))
    waiting = apply(saga, CHALLENGED, NOW)
    assert (waiting.state, waiting.failure_reason, waiting.hold_id) == (State.QUOTED, "", "")
    with pytest.raises(ChallengeRequired) as refusal:
        check_authorized(waiting)
    assert refusal.value.values["challenge_id"] == "c-1"
    again = start(begin_authorize(replace(waiting, challenge_id=""), NOW))
    assert (again.state, again.marks[Step.HOLD]) == (State.AUTHORIZING, Mark.STARTED)
    saga, _ = run(again)
    assert saga.state is State.AUTHORIZED


def test_a_late_challenge_does_not_undo_a_hold_and_a_late_hold_goes_on() -> None:
    saga = start(begin_authorize(quoted(coupons=0), NOW))
    held = apply(saga, outcome(Step.HOLD), NOW)
    assert apply(held, CHALLENGED, NOW).state is State.AUTHORIZED
    waiting = apply(saga, CHALLENGED, NOW)
    assert apply(waiting, outcome(Step.HOLD), NOW).state is State.AUTHORIZED


def test_a_hold_that_arrives_after_a_challenged_quote_was_cancelled_is_released() -> None:
    saga = apply(start(begin_authorize(quoted(), NOW)), CHALLENGED, NOW)
    cancelled = begin_cancel(saga, NOW)
    assert cancelled.state is State.CANCELLED
    late = apply(cancelled, outcome(Step.HOLD), NOW)
    assert next_step(late) is Step.RELEASE_HOLD
