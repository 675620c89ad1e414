"""`laurel program`: validate a document here; apply, show and compare it where Laurel runs."""

import sys
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

import uvloop
from cyclopts import App, Parameter
from cyclopts.validators import Number
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from cli.connect import Client
from cli.console import open_console
from cli.env import client_env
from cli.errors import UserError
from cli.state import DEFAULT_DATA
from kit.clock import from_timestamp, to_timestamp
from laurel.program.v1 import program_service_pb2 as pb
from rules.document import ProgramInvalid, load

VERSION_MAX = 2**31 - 1
Version = Annotated[int, Parameter(validator=Number(gte=0, lte=VERSION_MAX))]

program = App(name="program", help="Apply, show, compare and validate programs.")


@program.command
def validate(file: Path) -> None:
    """Report every mistake of a document, `file:line:column: path: reason`; exit 1 with any.

    Needs no server.

    Parameters
    ----------
    file
        The YAML document.
    """
    valid_source(file)
    print(f"{file} is valid")


@program.command(name="apply")
def apply_file(
    file: Path,
    *,
    reason: str = "",
    effective: str | None = None,
    expected_version: Version = 0,
    data: Path = DEFAULT_DATA,
) -> None:
    """Store a document as the next version of the program, which decides from then on.

    Parameters
    ----------
    file
        The YAML document.
    reason
        Why; kept with the version for ever.
    effective
        From when on it decides, such as 1998-07-01T00:00:00Z; now when left out.
    expected_version
        The newest version that you have seen: refused when there is a newer one.
    data
        Folder of the house, where LAUREL_*_ADDR are not set.
    """
    request = pb.ApplyProgramRequest(
        request_id=str(uuid.uuid4()),
        source_yaml=valid_source(file),
        file=str(file),
        reason=reason,
        expected_version=expected_version,
        effective_time=None if effective is None else to_timestamp(parse_instant(effective)),
    )
    answer = uvloop.run(_apply(client_env(data), request))
    stored = answer.program_version
    print_differences(answer.differences)
    print(f"version {stored.version} decides from {_instant(stored.effective_time)} on")


@program.command
def show(*, version: Version = 0, data: Path = DEFAULT_DATA) -> None:
    """Print the document of a version as it was written.

    Parameters
    ----------
    version
        The version; the newest when left out.
    data
        Folder of the house, where LAUREL_*_ADDR are not set.
    """
    sys.stdout.write(uvloop.run(_get(client_env(data), version)).source_yaml)


@program.command
def history(*, data: Path = DEFAULT_DATA) -> None:
    """List the versions, newest first: who applied them, when, why, and from when on they decide.

    Parameters
    ----------
    data
        Folder of the house, where LAUREL_*_ADDR are not set.
    """
    table = Table()
    for name in ("version", "applied", "by", "decides from", "why"):
        table.add_column(name, justify="right" if name == "version" else "left", overflow="fold")
    for entry in uvloop.run(_list(client_env(data))):
        applied, decides = _instant(entry.create_time), _instant(entry.effective_time)
        table.add_row(str(entry.version), applied, entry.author, decides, entry.reason)
    open_console().print(table)


@program.command
def diff(
    file: Path,
    *,
    version: Version = 0,
    data: Path = DEFAULT_DATA,
) -> None:
    """Print what a document would change, field by field.

    Parameters
    ----------
    file
        The YAML document.
    version
        The version to compare it with; the newest when left out.
    data
        Folder of the house, where LAUREL_*_ADDR are not set.
    """
    request = pb.DiffProgramsRequest(base_version=version, source_yaml=valid_source(file))
    answer = uvloop.run(_diff(client_env(data), request))
    print_differences(answer.differences)
    if not answer.differences:
        print("no difference")


def valid_source(file: Path) -> str:
    """The text of a document without mistakes; prints them and exits with 1 where it has some."""
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    try:
        load(source, str(file))
    except ProgramInvalid as invalid:
        print(invalid)
        sys.exit(1)
    return source


def parse_instant(text: str) -> datetime:
    """An instant with its zone. Raises UserError for anything else."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise UserError(f"{text} is no time with a zone; write it like 1998-07-01T00:00:00Z")
    return instant


def print_differences(differences: Iterable[pb.Difference]) -> None:
    """One line for each field: `path: before -> after`."""
    for difference in differences:
        before, after = _on_one_line(difference.before), _on_one_line(difference.after)
        print(f"{difference.path}: {before} -> {after}")


def _on_one_line(value: str) -> str:
    return value.replace("\n", "\\n") or "(nothing)"


def _instant(stamp: Timestamp) -> str:
    return f"{from_timestamp(stamp):%Y-%m-%d %H:%M:%S}Z"


async def _apply(
    environ: Mapping[str, str], request: pb.ApplyProgramRequest
) -> pb.ApplyProgramResponse:
    async with Client(environ) as client:
        return await client.program.ApplyProgram(request)


async def _diff(
    environ: Mapping[str, str], request: pb.DiffProgramsRequest
) -> pb.DiffProgramsResponse:
    async with Client(environ) as client:
        return await client.program.DiffPrograms(request)


async def _get(environ: Mapping[str, str], version: int) -> pb.ProgramVersion:
    async with Client(environ) as client:
        answer = await client.program.GetProgram(pb.GetProgramRequest(version=version))
        return answer.program_version


async def _list(environ: Mapping[str, str]) -> list[pb.ProgramVersion]:
    found: list[pb.ProgramVersion] = []
    async with Client(environ) as client:
        request = pb.ListProgramVersionsRequest()
        while True:
            page = await client.program.ListProgramVersions(request)
            found += page.program_versions
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token
