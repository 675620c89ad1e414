"""Keeps the versions of the program at hand for a service."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from laurel.program.v1.program_pb2 import Program
from rules.compiled import CompiledProgram, ProgramHistory, compile_program

FetchAll = Callable[[], Awaitable[Sequence[tuple[int, Program, datetime]]]]


class NoProgram(Exception):
    """No program was applied yet."""


class ProgramSource:
    """The versions known so far; `refresh` asks for new ones, `history` never waits."""

    def __init__(self, fetch_all: FetchAll) -> None:
        self._fetch_all = fetch_all
        self._compiled: dict[int, CompiledProgram] = {}
        self._history: ProgramHistory | None = None
        self._lock = asyncio.Lock()

    @property
    def history(self) -> ProgramHistory:
        """The versions known so far; raises NoProgram when there is none."""
        if self._history is None:
            raise NoProgram("no program was applied yet")
        return self._history

    async def refresh(self) -> bool:
        """Fetches all versions and compiles the new ones; tells whether there were any.

        Versions never change, so each is compiled once. Where it fails, all stays as it was.
        """
        async with self._lock:
            versions = await self._fetch_all()
            new = {
                version: compile_program(version, program, effective_time)
                for version, program, effective_time in versions
                if version not in self._compiled
            }
            if new:
                self._compiled = self._compiled | new
                self._history = ProgramHistory(self._compiled.values())
            return bool(new)
