"""`laurel check`: proves the invariants on a live database; a statement returns what breaks one."""

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console
from rich.text import Text

from cli.console import open_console
from cli.env import client_env
from cli.errors import UserError
from cli.state import DEFAULT_DATA
from kit.db import why_unusable
from kit.settings import SERVICES

SHOWN_MAX = 5
TIMEOUT_SECONDS = 600
# What is away, is not Laurel's, or is of an older version than this command.
_UNUSABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
_CHECK = re.compile(r"^-- check: (.+?)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Check:
    """An invariant: a statement whose every row is a violation."""

    service: str
    title: str
    sql: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found: nothing, or the first few violations."""

    check: Check
    violations: tuple[str, ...]


def load_checks() -> list[Check]:
    """Every `-- check: title` of every service's checks.sql, in the order of the services."""
    checks = []
    for service in SERVICES:
        file = files(service).joinpath("checks.sql")
        if file.is_file():
            parts = _CHECK.split(file.read_text())
            pairs = zip(parts[1::2], parts[2::2], strict=True)
            checks += [Check(service, title, sql.strip()) for title, sql in pairs]
    return checks


async def run_checks(database_url: str) -> list[Outcome]:
    """Runs every check on one snapshot, so that traffic going on meanwhile disturbs none."""
    try:
        connection = await asyncpg.connect(database_url, command_timeout=TIMEOUT_SECONDS)
    except (*_UNUSABLE, ValueError) as error:
        raise UserError(f"the database cannot be reached: {why_unusable(error)}") from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await run_on(connection)
    except _UNUSABLE as error:
        raise UserError(f"the database cannot be checked: {why_unusable(error)}") from error
    finally:
        await connection.close()


async def run_on(connection: Any) -> list[Outcome]:
    """Runs every check in the transaction that a connection is in."""
    return [await _run(connection, check) for check in load_checks()]


def statement_of(check: Check) -> str:
    """The statement that finds the first few violations."""
    # A limit on the check itself has Postgres plan for finding five rows soon, by walking an index
    # for each row of the ledger; there are none to be found, and it walks to the end.
    return (
        f"WITH violation AS MATERIALIZED (\n{check.sql}\n)"
        f" SELECT * FROM violation LIMIT {SHOWN_MAX}"
    )


async def _run(connection: Any, check: Check) -> Outcome:
    rows = await connection.fetch(statement_of(check))
    return Outcome(check, tuple(_show(row) for row in rows))


def _show(row: Any) -> str:
    return ", ".join(f"{key}={value}" for key, value in row.items())


async def report(database_url: str, console: Console) -> bool:
    """Runs every check, prints what each found, and says whether all hold."""
    outcomes = await run_checks(database_url)
    for outcome in outcomes:
        mark = ("BROKEN", "red") if outcome.violations else ("holds ", "green")
        title = f"  {outcome.check.service}: {outcome.check.title}"
        console.print(Text.assemble("  ", mark, title))
        for violation in outcome.violations:
            console.print(f"          {violation}", highlight=False)
    broken = sum(bool(outcome.violations) for outcome in outcomes)
    console.print(f"{len(outcomes)} invariants, {broken} broken", highlight=False)
    return not broken


def check(*, data: Path = DEFAULT_DATA) -> None:
    """Verify the invariants on a live database; exit 1 when one is broken.

    Parameters
    ----------
    data
        Folder of the house, where LAUREL_DATABASE_URL is not set.
    """
    # What the environment names is what is checked, whatever house runs here.
    url = os.environ.get("LAUREL_DATABASE_URL") or client_env(data).get("LAUREL_DATABASE_URL")
    if url is None:
        raise UserError("LAUREL_DATABASE_URL is not set")
    if not asyncio.run(report(url, open_console())):
        sys.exit(1)
