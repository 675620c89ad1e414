"""The versions of the program in Postgres."""

import asyncio
from typing import Any

from kit.clock import Clock, NewId, to_timestamp
from kit.db import Database, Transaction
from kit.events import publish
from kit.requests import once
from kit.telemetry import trace_parent
from laurel.event.v1.event_pb2 import Event, ProgramApplied
from laurel.program.v1.program_pb2 import Program
from laurel.program.v1.program_service_pb2 import ApplyProgramRequest, ApplyProgramResponse
from program.errors import ProgramInvalid, ProgramNotFound
from program.render import render_applied
from program.versions import Application, Version, next_version
from rules import document
from rules.diff import Difference, differences

# A response may have 8 MiB.
PAGE_BYTES_MAX = 6 * 1024 * 1024


class VersionStore:
    """Adds versions of the program, and finds them."""

    def __init__(self, database: Database, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id

    async def apply(
        self, application: Application, request: ApplyProgramRequest
    ) -> ApplyProgramResponse:
        """Stores a document under the next version, once per request id.

        Raises ProgramInvalid, ProgramVersionChanged, RequestIdReused.
        """

        async def act() -> ApplyProgramResponse:
            program = await load(application.source_yaml, application.file)
            return render_applied(*await self._add(tx, application, program))

        async with self._database.transaction() as tx:
            return await once(tx, application.request_id, request, act, ApplyProgramResponse)

    async def _add(
        self, tx: Transaction, application: Application, program: Program
    ) -> tuple[Version, tuple[Difference, ...]]:
        await tx.execute("lock_versions")
        row = await tx.fetchrow("get_newest")
        newest = _version(row) if row is not None else None
        added = next_version(application, program, newest, self._clock())
        if added is newest:
            return added, ()
        await tx.execute(
            "add_version",
            added.version,
            added.source_yaml,
            added.program.SerializeToString(),
            added.author,
            added.reason,
            added.create_time,
            added.effective_time,
        )
        await publish(tx, self._new_id, [self._applied(added)])
        return added, differences(newest.program if newest else Program(), program)

    def _applied(self, version: Version) -> Event:
        return Event(
            event_id=str(self._new_id()),
            occurred_time=to_timestamp(version.create_time),
            record_time=to_timestamp(version.create_time),
            program_version=version.version,
            trace_parent=trace_parent(),
            program_applied=ProgramApplied(
                version=version.version, effective_time=to_timestamp(version.effective_time)
            ),
        )

    async def get(self, version: int) -> Version:
        """Returns a version, the newest for 0. Raises ProgramNotFound."""
        async with self._database.transaction(readonly=True) as tx:
            return await _get(tx, version)

    async def list(self, before: int | None, size: int) -> tuple[list[Version], bool]:
        """Returns up to `size` versions before one, newest first, and whether there are more.

        Fewer than asked for come back where they would not fit into one answer.
        """
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch("list_versions", before, size, PAGE_BYTES_MAX)
        versions = [_version(row) for row in rows]
        # Versions have no gaps: below the lowest there are more, unless it is the first.
        return versions, bool(versions) and versions[-1].version > 1

    async def diff(self, base_version: int, version: int) -> tuple[Difference, ...]:
        """Compares two versions, 0 being the newest. Raises ProgramNotFound."""
        async with self._database.transaction(readonly=True) as tx:
            before, after = await _get(tx, base_version), await _get(tx, version)
        return differences(before.program, after.program)

    async def diff_draft(self, base_version: int, source_yaml: str) -> tuple[Difference, ...]:
        """Compares a version with a draft. Raises ProgramNotFound, ProgramInvalid."""
        before = await self.get(base_version)
        return differences(before.program, await load(source_yaml, ""))


async def load(source_yaml: str, file: str) -> Program:
    """Reads a document beside the event loop. Raises ProgramInvalid with every mistake."""
    try:
        loaded = await asyncio.to_thread(document.load, source_yaml, file or "program.yaml")
    except document.ProgramInvalid as invalid:
        raise ProgramInvalid.of(invalid.mistakes) from None
    return loaded.program


async def find_mistakes(source_yaml: str, file: str) -> tuple[document.Mistake, ...]:
    """Returns every mistake of a document, in its order; none when it can be applied."""
    try:
        await asyncio.to_thread(document.load, source_yaml, file or "program.yaml")
    except document.ProgramInvalid as invalid:
        return invalid.mistakes
    return ()


async def _get(tx: Transaction, version: int) -> Version:
    name, arguments = ("get_version", (version,)) if version else ("get_newest", ())
    row = await tx.fetchrow(name, *arguments)
    if row is None:
        raise ProgramNotFound(version=version or "at all")
    return _version(row)


def _version(row: Any) -> Version:
    return Version(
        version=row["version"],
        source_yaml=row["source_yaml"],
        program=Program.FromString(row["program"]),
        author=row["author"],
        reason=row["reason"],
        create_time=row["create_time"],
        effective_time=row["effective_time"],
    )
