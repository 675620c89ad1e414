"""What the program service refuses."""

from collections.abc import Sequence

from grpc import StatusCode

from kit.errors import LaurelError
from rules.document import Mistake
from rules.telling import violations_of


class ProgramInvalid(LaurelError):
    """The document has mistakes; each is a field violation `file:line:column: reason`."""

    code = StatusCode.INVALID_ARGUMENT
    reason = "PROGRAM_INVALID"
    text = (
        "the program has {mistake_count} mistakes, of which {told_count} are listed here; "
        "ValidateProgram lists all of them"
    )

    @classmethod
    def of(cls, mistakes: Sequence[Mistake]) -> "ProgramInvalid":
        """The error for these mistakes; the last ones are left out where they do not fit."""
        violations = violations_of(mistakes)
        return cls(violations=violations, mistake_count=len(mistakes), told_count=len(violations))


class ProgramNotFound(LaurelError):
    """There is no such version."""

    code = StatusCode.NOT_FOUND
    reason = "PROGRAM_NOT_FOUND"
    text = "there is no version {version} of the program; ListProgramVersions lists them"


class ProgramVersionChanged(LaurelError):
    """Somebody else applied a version that the author has not seen."""

    code = StatusCode.ABORTED
    reason = "PROGRAM_VERSION_CHANGED"
    text = "version {newest} is the newest, not {expected}; look at what changed and apply again"
