"""Versions, differences and mistakes as messages."""

from collections.abc import Iterable

from kit.clock import to_timestamp
from laurel.program.v1 import program_service_pb2 as pb
from program.versions import Version
from rules.diff import Difference
from rules.document import Mistake


def render_version(version: Version) -> pb.ProgramVersion:
    """Returns the message of a version."""
    return pb.ProgramVersion(
        version=version.version,
        source_yaml=version.source_yaml,
        program=version.program,
        author=version.author,
        reason=version.reason,
        create_time=to_timestamp(version.create_time),
        effective_time=to_timestamp(version.effective_time),
    )


def render_applied(version: Version, changes: Iterable[Difference]) -> pb.ApplyProgramResponse:
    """Returns the answer to an application."""
    return pb.ApplyProgramResponse(
        program_version=render_version(version), differences=render_differences(changes)
    )


def render_differences(changes: Iterable[Difference]) -> list[pb.Difference]:
    """Returns the messages of differences."""
    return [pb.Difference(path=d.path, before=d.before, after=d.after) for d in changes]


def render_mistakes(mistakes: Iterable[Mistake]) -> list[pb.Mistake]:
    """Returns the messages of mistakes."""
    return [
        pb.Mistake(file=m.file, line=m.line, column=m.column, path=m.path, reason=m.reason)
        for m in mistakes
    ]
