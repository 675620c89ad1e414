"""What a member is asked before a challenged operation goes through (AF-03)."""

from string import Template

from laurel.program.v1 import program_pb2 as pb
from rules.values import Channel, StepUp

SUBJECT = "Your code for a payment with points"
BODY = (
    "${code} is your code for ${points} points. It is good for ${minutes} minutes. "
    "Tell it to nobody: we never ask for it. If you did not start this, do nothing."
)
# Subjects are shown on locked screens.
SUBJECT_VARIABLES = ("member_id", "points", "minutes")
BODY_VARIABLES = ("code", *SUBJECT_VARIABLES)
# As long as notification takes them.
SUBJECT_MAX = 200
BODY_MAX = 5000

CODE_SECONDS = 300
CODE_SECONDS_MIN = 30
TRIES = 3
SENDS = 3
RESEND_SECONDS = 30
DAY_SENDS = 10
CHALLENGES = 5


def compile_step_up(step_up: pb.StepUp) -> StepUp:
    """The step-up of a program, with what it leaves out filled in."""
    code_seconds = step_up.code_seconds or CODE_SECONDS
    return StepUp(
        redemption_points_above=step_up.redemption_points_above,
        code_seconds=code_seconds,
        tries_max=step_up.tries_max or TRIES,
        sends_max=step_up.sends_max or SENDS,
        resend_after_seconds=step_up.resend_after_seconds or min(RESEND_SECONDS, code_seconds // 2),
        channels=tuple(Channel(one) for one in step_up.channels) or tuple(Channel),
        subject=step_up.subject or SUBJECT,
        body=step_up.body or BODY,
        verifier=step_up.verifier,
        day_sends_max=step_up.day_sends_max or DAY_SENDS,
        challenges_max=step_up.challenges_max or CHALLENGES,
    )


def code_message(step_up: StepUp, code: str, member_id: str, points: int) -> tuple[str, str]:
    """Subject and text of the message with a code."""
    minutes = -(-step_up.code_seconds // 60)
    known = {"member_id": member_id, "points": str(points), "minutes": str(minutes)}
    subject = " ".join(Template(step_up.subject).safe_substitute(known).split())
    body = Template(step_up.body).safe_substitute(known, code=code)
    return subject[:SUBJECT_MAX] or SUBJECT, body[:BODY_MAX]
