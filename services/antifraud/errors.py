"""What anti-fraud refuses, beyond what the kit knows."""

from collections.abc import Sequence

from grpc import StatusCode

from kit.errors import FieldInvalid, LaurelError
from rules.mistakes import Mistake
from rules.telling import violations_of


class AssessedMeanwhile(LaurelError):
    """Another call assessed one of these request ids while this one was deciding."""

    code = StatusCode.UNAVAILABLE
    reason = "ASSESSED_MEANWHILE"
    text = (
        "other calls assessed the same request ids at the same moment; "
        "nothing was counted twice, try again with the same request ids"
    )


class RulesInvalid(LaurelError):
    """Draft rules have mistakes; each is a field violation `file:line:column: reason`."""

    code = StatusCode.INVALID_ARGUMENT
    reason = "RULES_INVALID"
    text = "the draft has {mistake_count} mistakes, of which {told_count} are listed here"

    @classmethod
    def of(cls, mistakes: Sequence[Mistake]) -> "RulesInvalid":
        """The error for these mistakes; the last ones are left out where they do not fit."""
        violations = violations_of(mistakes)
        return cls(violations=violations, mistake_count=len(mistakes), told_count=len(violations))


class TimeRangeInvalid(FieldInvalid):
    """A time range ends before it begins."""

    reason = "TIME_RANGE_INVALID"
    field = "from_time"
    text = "{from_time} is not before the end of the range, {to_time}; give an earlier from_time"


class TooManyAssessments(LaurelError):
    """A time range holds more than is looked at in one call."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "TOO_MANY_ASSESSMENTS"
    text = (
        "from {from_time} to {to_time} there are more than {most} assessments, "
        "the longest window before the range included where there is one; narrow the range"
    )


class TooManyKeys(LaurelError):
    """The windows of a back-test would need too much memory."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "TOO_MANY_KEYS"
    text = (
        "the windows of the draft cover more than {most} members, devices, addresses, cards and "
        "stores; narrow the range"
    )


class BackTestRunning(LaurelError):
    """This process runs a back-test already."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "BACK_TEST_RUNNING"
    text = "a back-test runs already, and decisions need the rest; try again when it has ended"
