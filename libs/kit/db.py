"""Postgres: a pool under the service's own role, named statements from .sql files, constraints that
become exceptions.
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.resources import files
from itertools import chain
from typing import Any, TypeVar

import asyncpg
import orjson
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from kit import telemetry
from kit.errors import DatabaseUnavailable, LaurelError

COMMAND_TIMEOUT_SECONDS = 30
ANSWER_SECONDS_MAX = 3.0
CLOSE_SECONDS_MAX = 3.0
RETRY_AFTER_MS = 500
_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_SEPARATOR = "\x1f"

T = TypeVar("T")
R = TypeVar("R")

# What asyncpg raises when the server is away, starting, going down or out of room.
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    # No room: on its disk, in its memory, for another connection.
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    # A connection that broke in the middle of a commit leaves asyncpg in a state that it calls its
    # own mistake.
    asyncpg.InternalClientError,
    # Of two that waited for each other one was undone, whole.
    asyncpg.DeadlockDetectedError,
    # Refused, reset, timed out, a host without an address.
    OSError,
)


def why_unusable(error: Exception) -> str:
    """Why a database cannot be used, without a word of the URL: that may hold a password."""
    if isinstance(error, ValueError):
        return "its URL cannot be read; is all in it percent-encoded that has to be?"
    return str(error) or repr(error)


def load_queries(package: str) -> dict[str, str]:
    """The statements of `queries/*.sql` in a package, by the name in the `-- name:` line above
    each.
    """
    statements: dict[str, str] = {}
    for file in sorted(files(package).joinpath("queries").iterdir(), key=lambda f: f.name):
        if not file.name.endswith(".sql"):
            continue
        parts = _NAME.split(file.read_text())
        for name, sql in zip(parts[1::2], parts[2::2], strict=True):
            if name in statements:
                raise ValueError(f"{package}: statement {name} stands twice")
            statements[name] = sql.strip()
    return statements


class Transaction:
    """One transaction; statements are called by name."""

    def __init__(
        self, connection: Any, statements: Mapping[str, str], tracer: trace.Tracer
    ) -> None:
        self.connection = connection
        self._statements = statements
        self._tracer = tracer

    async def fetch(self, name: str, *args: object) -> list[Any]:
        """All rows of a named statement."""
        with self._span(name):
            rows: list[Any] = await self.connection.fetch(self._statements[name], *args)
            return rows

    async def fetchrow(self, name: str, *args: object) -> Any:
        """The first row of a named statement, or None."""
        with self._span(name):
            return await self.connection.fetchrow(self._statements[name], *args)

    async def fetchval(self, name: str, *args: object) -> Any:
        """The first column of the first row of a named statement, or None."""
        with self._span(name):
            return await self.connection.fetchval(self._statements[name], *args)

    async def execute(self, name: str, *args: object) -> str:
        """Runs a named statement for its effect; the answer is Postgres' command tag."""
        with self._span(name):
            status: str = await self.connection.execute(self._statements[name], *args)
            return status

    def _span(self, name: str) -> Any:
        attributes = {"db.system": "postgresql", "db.operation.name": name}
        return telemetry.span(self._tracer, f"SQL {name}", SpanKind.CLIENT, attributes)


class Database:
    """The database of one service."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        statements: Mapping[str, str],
        constraints: Mapping[str, type[LaurelError]],
        tracer: trace.Tracer,
    ) -> None:
        self.pool = pool
        self.errands = asyncio.Semaphore(max(1, pool.get_max_size() // 2))
        """For work that holds one connection while it takes another: never so much of it that all
        wait for each other.
        """
        self._statements = statements
        self._constraints = constraints
        self._tracer = tracer

    @asynccontextmanager
    async def transaction(self, *, readonly: bool = False) -> AsyncIterator[Transaction]:
        """A transaction: committed, durably, at the end of the block; rolled back on any error.

        Raises DatabaseUnavailable when the server is away or has undone it for a deadlock, and the
        exception of a violated constraint.
        """
        with self._translated():
            async with self.pool.acquire() as connection, connection.transaction(readonly=readonly):
                yield Transaction(connection, self._statements, self._tracer)

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[Transaction]:
        """For single statements that each stand alone: no BEGIN and COMMIT around them.

        One that writes is committed, durably, when it returns. Raises as `transaction` does.
        """
        with self._translated():
            async with self.pool.acquire() as connection:
                yield Transaction(connection, self._statements, self._tracer)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except asyncpg.IntegrityConstraintViolationError as error:
            known = self._constraints.get(error.constraint_name or "")
            if known is None:
                raise
            raise known() from error
        except _AWAY as error:
            raise DatabaseUnavailable(retry_after_ms=RETRY_AFTER_MS) from error

    async def ping(self) -> bool:
        """Whether the server answers."""
        return await self.answers(self.pool.fetchval("SELECT true", timeout=2)) is not None

    async def answers(self, question: Coroutine[Any, Any, T]) -> T | None:
        """What the server answers; None where it is away, refuses, or does not in time."""
        try:
            # Of a server that stands still asyncpg waits to hear that a statement which has timed
            # out was cancelled: for ever.
            return await asyncio.wait_for(question, ANSWER_SECONDS_MAX)
        except (*_AWAY, asyncpg.PostgresError):
            return None


async def meanwhile(statement: Coroutine[Any, Any, T], work: Callable[[], R]) -> tuple[T, R]:
    """What a statement answers, and what `work` gives, which is done while Postgres is busy."""
    task = asyncio.create_task(statement)
    try:
        # A turn of the event loop sends it.
        await asyncio.sleep(0)
        done = work()
        return await task, done
    finally:
        if not task.done():
            # Nobody else may use the connection before it is idle.
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def packed_texts(texts: Sequence[str]) -> str:
    """Texts as one, for `split_texts` in a statement of a hot path: an array costs many times as
    much.

    Each stands behind the separator, which is the first character and in none of them.
    """
    packed = _SEPARATOR.join(("", *texts))
    if packed.count(_SEPARATOR) == len(texts):
        return packed
    taken = set(packed)
    # More of them than a message has room for.
    codes = chain(range(1, 0xD800), range(0xE000, sys.maxunicode))
    separator = next(sign for sign in map(chr, codes) if sign not in taken)
    return separator.join(("", *texts))


def one_for_all(values: list[T]) -> list[T]:
    """Values of an array, or only one where all are the same: `unnest` fills it up with NULL, and
    the statement takes the first then.
    """
    return values[:1] if values.count(values[0]) == len(values) else values


async def _prepare(connection: Any) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind,
            schema="pg_catalog",
            encoder=lambda v: orjson.dumps(v).decode(),
            decoder=orjson.loads,
        )


async def _leave(_: Any) -> None:
    """Leaves a connection as it is when it goes back to the pool.

    asyncpg rolls back what was left open before it calls this. Nobody here changes a session, and
    advisory locks are given back by who took them; the usual reset would be a round trip more for
    every single statement.
    """


@asynccontextmanager
async def open_database(
    url: str,
    service: str,
    *,
    pool_size: int,
    tracer: trace.Tracer,
    constraints: Mapping[str, type[LaurelError]],
) -> AsyncIterator[Database]:
    """The database of a service, under its own role and in its own schema."""
    pool = await asyncpg.create_pool(
        url,
        min_size=min(2, pool_size),
        max_size=pool_size,
        command_timeout=COMMAND_TIMEOUT_SECONDS,
        init=_prepare,
        reset=_leave,
        server_settings={
            "application_name": f"laurel-{service}",
            "role": f"laurel_{service}",
            "search_path": service,
            "jit": "off",
            "plan_cache_mode": "force_generic_plan",
            "idle_in_transaction_session_timeout": "60s",
        },
    )
    try:
        yield Database(pool, {**load_queries("kit"), **load_queries(service)}, constraints, tracer)
    finally:
        # It cuts what has not ended by then, such as what waits for a server that stands still.
        with suppress(TimeoutError):
            await asyncio.wait_for(pool.close(), CLOSE_SECONDS_MAX)
