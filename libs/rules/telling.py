"""Mistakes of a document, as violations that an error of a call carries."""

from collections.abc import Sequence

from kit.errors import Violation
from rules.mistakes import Mistake

# An error travels in HTTP/2 trailers, which clients cap at 8 KiB by default, in base64.
VIOLATION_BYTES_MAX = 4096


def violations_of(mistakes: Sequence[Mistake]) -> list[Violation]:
    """Each as `file:line:column: reason`; the last ones are left out where they do not fit."""
    violations: list[Violation] = []
    room = VIOLATION_BYTES_MAX
    for mistake in mistakes:
        place = f"{mistake.file}:{mistake.line}:{mistake.column}: {mistake.reason}"
        violation = Violation(mistake.path or "source_yaml", place)
        room -= len(violation.field.encode()) + len(place.encode()) + 8
        if room < 0 and violations:
            break
        violations.append(violation)
    return violations
