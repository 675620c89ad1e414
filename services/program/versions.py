"""What a version of the program is, and whether an application makes a new one."""

from dataclasses import dataclass
from datetime import datetime

from laurel.program.v1.program_pb2 import Program
from program.errors import ProgramVersionChanged


@dataclass(frozen=True, slots=True)
class Version:
    """A stored version of the program."""

    version: int
    source_yaml: str
    program: Program
    author: str
    reason: str
    create_time: datetime
    effective_time: datetime


@dataclass(frozen=True, slots=True)
class Application:
    """A wish to apply a document; expected_version 0 and effective_time None leave it open."""

    request_id: str
    source_yaml: str
    file: str
    author: str
    reason: str
    expected_version: int
    effective_time: datetime | None


def next_version(
    application: Application, program: Program, newest: Version | None, now: datetime
) -> Version:
    """Returns the version that an application makes; `newest` itself where that says the same.

    Raises ProgramVersionChanged when the author has not seen the newest version.
    """
    number = newest.version if newest is not None else 0
    if application.expected_version not in (0, number):
        raise ProgramVersionChanged(expected=application.expected_version, newest=number)
    if newest is not None:
        # Clocks of processes differ: what is applied later decides, whichever of them applies it.
        now = max(now, newest.create_time)
    unchanged = newest is not None and newest.source_yaml == application.source_yaml
    if newest is not None and unchanged and application.effective_time is None:
        return newest
    return Version(
        version=number + 1,
        source_yaml=application.source_yaml,
        program=program,
        author=application.author,
        reason=application.reason,
        create_time=now,
        effective_time=application.effective_time or now,
    )
