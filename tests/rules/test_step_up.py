"""AF-01, AF-03: what a program says of challenges, and when it asks for one."""

import pytest

from house import SAMPLE
from kit.clock import make_clock
from rules.compiled import CompiledProgram, compile_program
from rules.diff import differences
from rules.document import load
from rules.fraud import STEP_UP_RULE, decide, without_challenge
from rules.fraud_rules import FraudFacts
from rules.mistakes import ProgramInvalid
from rules.step_up import BODY, SUBJECT, code_message
from rules.values import Action, Channel, Operation

ACCRUAL, REDEMPTION = Operation.ACCRUAL, Operation.REDEMPTION
HEAD = SAMPLE.read_text().partition("\nantifraud:")[0]
RULES = """
    - {name: a, operations: [accrual, redemption], when: request.channel == 'c', action: challenge, score: 5}
    - {name: b, operations: [accrual, redemption], when: request.store == 'r', action: review, score: 5}
    - {name: d, operations: [accrual, redemption], when: request.card == 'd', action: deny, score: 5}
"""  # noqa: E501


def text(step_up: str) -> str:
    """A program with these rules and a step-up, from line 3 of its section on."""
    antifraud = "\nantifraud:\n  deadline_ms: 500\n  fallback_accrual_points_max: 500\n"
    return HEAD + antifraud + step_up + "  rules:" + RULES


def compiled(step_up: str) -> CompiledProgram:
    return compile_program(1, load(text(step_up)).program, make_clock(None)())


def mistakes(step_up: str) -> list[tuple[int, str]]:
    """Lines, counted from that of `step_up:`, and texts of the mistakes."""
    first = text("").split("  rules:\n    - {name: a")[0].count("\n") + 1
    with pytest.raises(ProgramInvalid) as invalid:
        load(text(step_up))
    return [(one.line - first, f"{one.path}: {one.reason}") for one in invalid.value.mistakes]


@pytest.mark.parametrize(
    ("facts", "action", "after"),
    [
        (FraudFacts(REDEMPTION, 1000), Action.ALLOW, Action.ALLOW),
        (FraudFacts(REDEMPTION, 1001), Action.CHALLENGE, Action.ALLOW),
        (FraudFacts(ACCRUAL, 1001), Action.ALLOW, Action.ALLOW),
        (FraudFacts(ACCRUAL, 1, channel="c"), Action.CHALLENGE, Action.ALLOW),
        (FraudFacts(ACCRUAL, 1, store="r"), Action.REVIEW, Action.REVIEW),
        (FraudFacts(REDEMPTION, 1001, store="r"), Action.CHALLENGE, Action.REVIEW),
        (FraudFacts(ACCRUAL, 1, channel="c", store="r"), Action.CHALLENGE, Action.REVIEW),
        (FraudFacts(REDEMPTION, 1001, channel="c", card="d"), Action.DENY, Action.DENY),
    ],
)
def test_the_strictest_decides_and_the_others_hold_after_a_challenge(
    facts: FraudFacts, action: Action, after: Action
) -> None:
    decision = decide(facts, compiled("  step_up: {redemption_points_above: 1000}\n"))
    assert decision.action is action
    assert without_challenge(decision.fired) is after


def test_the_limit_is_told_as_a_rule_that_fired() -> None:
    program = compiled("  step_up: {redemption_points_above: 1000}\n")
    [fired] = decide(FraudFacts(REDEMPTION, 1001), program).fired
    assert fired == (STEP_UP_RULE, Action.CHALLENGE, 0, {"request.points": "1001"}, False)


def test_without_a_limit_no_size_is_challenged() -> None:
    for step_up in ("", "  step_up: {}\n", "  step_up: {redemption_points_above: 0}\n"):
        assert decide(FraudFacts(REDEMPTION, 2**62), compiled(step_up)).action is Action.ALLOW


def test_what_a_program_leaves_out_has_a_default() -> None:
    step_up = compiled("").antifraud.step_up
    assert (step_up.code_seconds, step_up.tries_max, step_up.sends_max) == (300, 3, 3)
    assert (step_up.resend_after_seconds, step_up.day_sends_max) == (30, 10)
    assert step_up.challenges_max == 5
    assert step_up.channels == (Channel.INBOX, Channel.EMAIL)
    assert (step_up.subject, step_up.body) == (SUBJECT, BODY)
    subject, body = code_message(step_up, "012345", "m", 2000)
    assert subject == SUBJECT
    assert body.startswith("012345 is your code for 2000 points. It is good for 5 minutes.")


@pytest.mark.parametrize(
    ("step_up", "mistake"),
    [
        ("{code_seconds: 29}", "code_seconds: is 29; give a member at least 30 seconds"),
        ("{resend_after_seconds: 300}", "resend_after_seconds: is 300, not below code_seconds 300"),
        ("{body: hello}", "body: holds no ${code}"),
        ("{body: '${code} $'}", "body: has a $ without a variable"),
        ("{body: '${code} ${membr_id}'}", "uses ${membr_id}, which it does not have"),
        ("{subject: 'Code ${code}'}", "subject: uses ${code}, which it does not have"),
        ("{verifier: bank, subject: hello}", "subject: has no effect beside verifier"),
        ("{verifier: Bank}", "verifier:"),
        ("{tries_max: 11}", "tries_max:"),
        ("{redemption_points_above: -1}", "redemption_points_above:"),
        ("{channels: [inbox, inbox]}", "channels"),
    ],
)
def test_every_mistake_is_told_with_its_line(step_up: str, mistake: str) -> None:
    [(line, told)] = mistakes(f"  step_up: {step_up}\n")
    assert line == 0
    assert told.startswith("antifraud.step_up")
    assert mistake in told


def test_a_change_of_the_step_up_is_a_difference() -> None:
    before = load(text("  step_up: {tries_max: 3}\n")).program
    after = load(text("  step_up: {tries_max: 2, channels: [inbox]}\n")).program
    told = [(one.path, one.before, one.after) for one in differences(before, after)]
    assert told == [
        ("antifraud.step_up.tries_max", "3", "2"),
        ("antifraud.step_up.channels", "", "inbox"),
    ]
