"""Checks of the step-up that the schema cannot say: times that must agree, words that exist."""

from string import Template

from laurel.program.v1.program_pb2 import Program
from rules.mistakes import Report, did_you_mean
from rules.step_up import BODY_VARIABLES, CODE_SECONDS, CODE_SECONDS_MIN, SUBJECT_VARIABLES

_PATH = "antifraud.step_up"
# What an external verifier decides itself.
_OF_MESSAGES = ("channels", "subject", "body")


def check_step_up(program: Program, report: Report) -> None:
    """Reports what is wrong with the step-up."""
    if not program.antifraud.HasField("step_up"):
        return
    step_up = program.antifraud.step_up
    seconds = f"{_PATH}.code_seconds"
    if report.faultless(seconds) and 0 < step_up.code_seconds < CODE_SECONDS_MIN:
        reason = f"is {step_up.code_seconds}; give a member at least {CODE_SECONDS_MIN} seconds"
        report.add(seconds, reason)
    resend, code_seconds = step_up.resend_after_seconds, step_up.code_seconds or CODE_SECONDS
    place = f"{_PATH}.resend_after_seconds"
    if report.faultless(place) and resend >= code_seconds:
        reason = f"is {resend}, not below code_seconds {code_seconds}"
        report.add(place, f"{reason}; nobody could ask for a new code in time")
    if step_up.verifier:
        _check_verifier(report)
        return
    _check_text("subject", step_up.subject, SUBJECT_VARIABLES, report)
    _check_text("body", step_up.body, BODY_VARIABLES, report)
    place = f"{_PATH}.body"
    used = Template(step_up.body).get_identifiers() if report.faultless(place) else ["code"]
    if step_up.body and "code" not in used:
        report.add(place, "holds no ${code}; the member would not get to know it")


def _check_verifier(report: Report) -> None:
    for field in _OF_MESSAGES:
        place = f"{_PATH}.{field}"
        if place in report.places and report.faultless(place):
            report.add(place, "has no effect beside verifier, which asks the member; remove one")


def _check_text(field: str, text: str, known: tuple[str, ...], report: Report) -> None:
    place = f"{_PATH}.{field}"
    if not report.faultless(place):
        return
    template = Template(text)
    if not template.is_valid():
        report.add(place, "has a $ without a variable; write ${name}, or $$ for a dollar sign")
        return
    for name in template.get_identifiers():
        if name not in known:
            hint = did_you_mean(name, list(known))
            report.add(place, f"uses ${{{name}}}, which it does not have{hint}")
