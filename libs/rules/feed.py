"""The program as a running service knows it: fetched from the program service and kept fresh."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import grpc
from google.protobuf.message import Message

from kit.clock import from_timestamp
from kit.errors import LaurelError, NoProgram
from kit.telemetry import log
from laurel.program.v1.program_pb2 import Program
from laurel.program.v1.program_service_pb2 import ListProgramVersionsRequest
from laurel.program.v1.program_service_pb2_grpc import ProgramServiceStub
from rules import source
from rules.compiled import ProgramHistory

REFRESH_SECONDS = 3.0
FETCH_SECONDS_MAX = 3.0
RETRY_AFTER_MS = 500
# Three of the largest documents, each as source and as message, fit into one answer.
PAGE_SIZE = 3


class ProgramUnavailable(LaurelError):
    """No program is known yet and the program service gave no answer."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "PROGRAM_UNAVAILABLE"
    text = "the program could not be fetched: {cause}; nothing was done, try again"


class ProgramFeed:
    """Keeps a ProgramSource fresh: at start, on `program_applied`, and every few seconds anyway.

    In `app.py`: `feed = ProgramFeed(await runtime.channel("program"))`, `loops=[feed.loop]`, and
    `Consumer(("program_applied",), feed.handle_event)` where the service listens to nothing else.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ProgramServiceStub(channel)
        self._lock = asyncio.Lock()
        self._fetch_count = 0
        self._failure: Exception | None = None
        self._log = log("program_feed")
        self.source = source.ProgramSource(self._fetch_new)

    async def ensure(self) -> ProgramHistory:
        """The versions known so far; while there is none, one is asked for first.

        Raises NoProgram when none was applied yet, ProgramUnavailable when nobody could tell.
        """
        known = self._known()
        if known is None:
            await self._fetch_after_now()
            known = self._known()
        if known is not None:
            return known
        if self._failure is not None:
            raise ProgramUnavailable(
                cause=_words(self._failure), retry_after_ms=RETRY_AFTER_MS
            ) from self._failure
        raise NoProgram

    @property
    def known(self) -> ProgramHistory | None:
        """The versions known so far, without asking anybody; None while there is none."""
        return self._known()

    async def refresh(self) -> None:
        """Fetches what is new; a failure is logged, and what is known stays."""
        await self._fetch_after_now()

    async def loop(self, stopping: asyncio.Event) -> None:
        """Refreshes until `stopping`; survives the absence of the program service."""
        while not stopping.is_set():
            await self.refresh()
            try:
                await asyncio.wait_for(stopping.wait(), REFRESH_SECONDS)
            except TimeoutError:
                continue

    async def handle_event(self, _tx: object, events: Sequence[Message]) -> None:
        """Refreshes when an event tells of a version that is not known yet; other events pass.

        It is a remote call inside of a transaction: that one holds nothing but the inbox row of
        this message, and the message shall count as handled only once its version decides.
        """
        versions = [e.program_applied.version for e in events if e.HasField("program_applied")]  # type: ignore[attr-defined]
        known = self._known()
        newest = known.newest.version if known is not None else 0
        if max(versions, default=0) > newest:
            await self.refresh()

    def _known(self) -> ProgramHistory | None:
        try:
            return self.source.history
        except source.NoProgram:
            return None

    async def _fetch_after_now(self) -> None:
        """Returns when a fetch that began after this call has ended: many callers share one."""
        seen = self._fetch_count
        async with self._lock:
            if self._fetch_count != seen:
                return
            self._fetch_count += 1
            try:
                await self.source.refresh()
            except Exception as error:  # what is known goes on deciding  # noqa: BLE001
                if self._failure is None:
                    self._log.warning("program.waits", error=_words(error))
                self._failure = error
            except asyncio.CancelledError:
                # Whoever shares this fetch must not take its silence for "there is none".
                self._failure = TimeoutError("whoever asked has left")
                raise
            else:
                self._failure = None

    async def _fetch_new(self) -> Sequence[tuple[int, Program, datetime]]:
        known = self._known()
        newest = known.newest.version if known is not None else 0
        request = ListProgramVersionsRequest(page_size=1 if newest else PAGE_SIZE)
        found: list[tuple[int, Program, datetime]] = []
        while True:
            page = await self._stub.ListProgramVersions(request, timeout=FETCH_SECONDS_MAX)
            for entry in page.program_versions:
                # Newest first, and versions never change: the rest is known.
                if entry.version <= newest:
                    return found
                found.append((entry.version, entry.program, from_timestamp(entry.effective_time)))
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


def _words(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name} {error.details()}"
    return repr(error)
