"""`laurel status`: every part of the house, as it is and not as it was left."""

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import uvloop
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from cli import broker, postgres
from cli.console import open_console
from cli.service import says_ready
from cli.state import DEFAULT_DATA, PartState, read_env, read_state, supervisor_of


@dataclass(frozen=True, slots=True)
class Finding:
    """One part and whether it does its work now."""

    part: PartState
    ready: bool


def status(
    *,
    data: Path = DEFAULT_DATA,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Say what runs, where, and whether it is ready; exit 0 only when all of it is.

    Parameters
    ----------
    data
        Data folder of the house.
    as_json
        Print JSON instead of a table.
    """
    findings = uvloop.run(find(data)) if supervisor_of(data) else []
    if as_json:
        print(json.dumps([_as_dict(finding) for finding in findings], indent=1))
    elif findings:
        open_console().print(table(findings))
    else:
        print(f"nothing runs on {data}")
    state = read_state(data)
    # Before it has been ready once, parts are missing from its list.
    complete = state is not None and state.ready and bool(findings)
    if not complete or not all(finding.ready for finding in findings):
        sys.exit(1)


async def find(data: Path) -> list[Finding]:
    """Asks every part of the house that runs on the data folder."""
    state = read_state(data)
    if state is None:
        return []
    env = read_env(data)
    answers = await asyncio.gather(*[_is_ready(part, env) for part in state.parts])
    return [Finding(part, ready) for part, ready in zip(state.parts, answers, strict=True)]


def table(findings: list[Finding]) -> Table:
    """Findings for the eye."""
    result = Table("part", "pid", "address", "admin", "ready")
    for finding in findings:
        part = finding.part
        mark = Text("yes", "green") if finding.ready else Text("NO", "bold red")
        result.add_row(
            part.name, str(part.pid or "-"), part.address, part.admin_address or "", mark
        )
    return result


async def _is_ready(part: PartState, env: dict[str, str]) -> bool:
    if part.pid is None:
        return False
    if part.admin_address:
        return await says_ready(part.admin_address)
    if part.name == postgres.Postgres.name:
        return await postgres.answers(env["LAUREL_DATABASE_URL"])
    return await broker.answers(env["LAUREL_NATS_URL"], Path(env["LAUREL_CERT_DIR"]))


def _as_dict(finding: Finding) -> dict[str, object]:
    part = finding.part
    return {
        "name": part.name,
        "pid": part.pid,
        "address": part.address,
        "admin_address": part.admin_address,
        "log": part.log,
        "ready": finding.ready,
    }
