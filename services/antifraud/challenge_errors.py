"""What is refused about challenges."""

from grpc import StatusCode

from kit.errors import LaurelError


class ChallengeNotFound(LaurelError):
    """There is no such challenge, or not any more."""

    code = StatusCode.NOT_FOUND
    reason = "CHALLENGE_NOT_FOUND"
    text = "there is no challenge {challenge_id}; give the id that CHALLENGE_REQUIRED names"


class ChallengeSolved(LaurelError):
    """It needs no code any more."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CHALLENGE_SOLVED"
    text = "challenge {challenge_id} is solved; repeat the operation with its own request_id"


class ChallengeSpent(LaurelError):
    """All tries are used up."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CHALLENGE_SPENT"
    text = (
        "all tries of challenge {challenge_id} are used up; "
        "repeat the operation with its own request_id for a new one"
    )


class ChallengeExpired(LaurelError):
    """Its time is up."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CHALLENGE_EXPIRED"
    text = (
        "challenge {challenge_id} was good until {expire_time}; "
        "repeat the operation with its own request_id for a new one"
    )


class CodeWrong(LaurelError):
    """That was not the code."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CODE_WRONG"
    text = "that is not the code of challenge {challenge_id}; {tries_left} tries are left"


class SendsSpent(LaurelError):
    """The challenge had all of its codes."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "SENDS_SPENT"
    text = (
        "challenge {challenge_id} had all {sends_max} of its codes; use the last one, or wait "
        "until it has ended and repeat the operation"
    )


class ResendTooSoon(LaurelError):
    """The last code is too young."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "RESEND_TOO_SOON"
    text = "the last code was asked for just now; ask for the next one {wait} seconds later"


class DaySendsSpent(LaurelError):
    """The member had all codes of the day."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "DAY_SENDS_SPENT"
    text = "member {member_id} had all {sends_max} codes of the day; try again tomorrow"


class VerifierUnavailable(LaurelError):
    """The external verifier gave no answer. Not UNAVAILABLE, which clients try again by themselves:
    that would use up the tries.
    """

    code = StatusCode.ABORTED
    reason = "VERIFIER_UNAVAILABLE"
    text = "verifier {verifier} gave no answer ({problem}); {tries_left} tries are left"
