"""Mistakes of a document, as violations that an error of a call carries."""

from collections.abc import Sequence

from kit.errors import Violation
from rules.mistakes import Mistake

# An error travels in HTTP/2 trailers, which clients cap at 8 KiB by default, in base64.
VIOLATION_BYTES_MAX = 4096
# What a document writes in the place of a name or a condition may be as long as the document.
TEXT_BYTES_MAX = 1500


def violations_of(mistakes: Sequence[Mistake]) -> list[Violation]:
    """Each as `file:line:column: reason`; the last ones are left out where they do not fit."""
    violations: list[Violation] = []
    room = VIOLATION_BYTES_MAX
    for mistake in mistakes:
        place = f"{mistake.file}:{mistake.line}:{mistake.column}: {mistake.reason}"
        violation = Violation(_short(mistake.path or "source_yaml"), _short(place))
        room -= len(violation.field.encode()) + len(violation.description.encode()) + 8
        if room < 0:
            break
        violations.append(violation)
    return violations


def _short(text: str) -> str:
    data = text.encode()
    if len(data) <= TEXT_BYTES_MAX:
        return text
    return data[:TEXT_BYTES_MAX].decode(errors="ignore") + "…"
