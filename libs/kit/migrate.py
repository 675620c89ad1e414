"""Schemas, roles and migrations: plain SQL files, forward only, one runner at a time.

A migration is a transaction, unless its first line is `-- outside of a transaction`: then its
statements run one by one, and it must be able to begin anew when it was interrupted. That is for
indexes of large tables, which are made concurrently so that nobody has to wait.

Each service owns the schema and the role `laurel_<service>` of its name. The tables belong to
whoever runs the migrations; a service may only do what its migrations grant to its role, so that,
for one, no service can rewrite history.
"""

import asyncio
import hashlib
from importlib.resources import files
from typing import Any

import asyncpg

from kit.settings import SERVICES

LOCK_KEY = 7_241_953_001
LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "10min"
OUTSIDE = "-- outside of a transaction\n"
LOCK_POLL_SECONDS = 0.1


class MigrationChanged(Exception):
    """A migration that has run was edited afterwards."""


async def bootstrap(database_url: str, services: tuple[str, ...] = SERVICES) -> list[str]:
    """Brings every service's schema up to date, and says which migrations ran.

    Safe to run again and side by side.
    """
    connection = await asyncpg.connect(database_url)
    try:
        await _take_turn(connection)
        await _prepare(connection)
        ran: list[str] = []
        for service in services:
            ran += await _migrate(connection, service)
        return ran
    finally:
        await connection.close()


async def missing(pool: asyncpg.Pool, service: str) -> list[str]:
    """The migrations that this version of a service needs and that have not run.

    Raises what asyncpg raises; nobody may look before the first run of `bootstrap`.
    """
    rows = await pool.fetch(
        "SELECT name FROM laurel.migration WHERE service = $1", service, timeout=2
    )
    applied = {row["name"] for row in rows}
    return [name for name, _ in _files("kit") + _files(service) if name not in applied]


async def _take_turn(connection: Any) -> None:
    # Asked again and again: an index that is made concurrently would wait for a statement that
    # waits for it.
    while True:
        if await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
            return
        await asyncio.sleep(LOCK_POLL_SECONDS)


async def _prepare(connection: Any) -> None:
    await connection.execute(
        """
        CREATE SCHEMA IF NOT EXISTS laurel;
        CREATE TABLE IF NOT EXISTS laurel.migration (
            service text NOT NULL,
            name text NOT NULL,
            sha256 text NOT NULL,
            apply_time timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (service, name)
        );
        """
    )


async def _migrate(connection: Any, service: str) -> list[str]:
    role = f"laurel_{service}"
    await connection.execute(
        f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                CREATE ROLE {role} NOLOGIN;
            END IF;
        END $$;
        GRANT {role} TO CURRENT_USER;
        CREATE SCHEMA IF NOT EXISTS {service};
        GRANT USAGE ON SCHEMA {service}, laurel TO {role};
        GRANT SELECT ON laurel.migration TO {role};
        """
    )
    rows = await connection.fetch(
        "SELECT name, sha256 FROM laurel.migration WHERE service = $1", service
    )
    applied = {row["name"]: row["sha256"] for row in rows}
    ran = []
    for name, sql in _files("kit") + _files(service):
        digest = hashlib.sha256(sql.encode()).hexdigest()
        if name not in applied:
            await _apply(connection, service, name, sql.replace("{role}", role), digest)
            ran.append(f"{service}: {name}")
        elif applied[name] != digest:
            raise MigrationChanged(
                f"{service}: {name} was changed after it ran; add a new migration instead"
            )
    return ran


async def _apply(connection: Any, service: str, name: str, sql: str, digest: str) -> None:
    if sql.startswith(OUTSIDE):
        await _run_outside(connection, service, sql)
    async with connection.transaction():
        await connection.execute(
            f"SET LOCAL search_path = {service};"
            f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';"
            f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}';"
        )
        if not sql.startswith(OUTSIDE):
            await connection.execute(sql)
        await connection.execute(
            "INSERT INTO laurel.migration (service, name, sha256) VALUES ($1, $2, $3)",
            service,
            name,
            digest,
        )


async def _run_outside(connection: Any, service: str, sql: str) -> None:
    # Without time-outs: such a statement takes as long as its table is large, and it waits for
    # transactions that are older than it, but nobody waits for it.
    await connection.execute(f"SET search_path = {service}")
    for statement in sql.split(";\n"):
        if statement.strip():
            await connection.execute(statement)
    await connection.execute("RESET search_path")


def _files(package: str) -> list[tuple[str, str]]:
    folder = files(package).joinpath("migrations")
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [(f"{package}/{file.name}", file.read_text()) for file in found]
