"""Who watches a balance hears of every change to it, by whomever and in whichever process.

One loop of a process reads for all of its watchers: at once what its own batches have changed, and
twice a second everybody who is watched, which finds what other processes and scheduled work have
done. So writers pay nothing for it, a thousand watchers cost one statement, and no message of the
broker or the database can get lost. Whoever reads slowly is given the newest balance, not a queue.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from kit.errors import LaurelError
from kit.telemetry import log
from points.balances import BalanceView
from points.errors import TooManyWatchers

WATCHERS_MAX = 4_096
READ_MEMBERS_MAX = 1_000
POLL_SECONDS = 0.5
# A member whose balance changes with every batch is read no more often than this.
PAUSE_SECONDS = 0.02
# Then the caller opens another: connections can be balanced anew.
WATCH_SECONDS_MAX = 3600.0

Read = Callable[[Sequence[str]], Awaitable[list[BalanceView]]]


class _Watcher:
    """One open stream: the newest balance, and whether it was looked at."""

    def __init__(self) -> None:
        self.newest: BalanceView | None = None
        self.news = asyncio.Event()


class BalanceHub:
    """Reads on behalf of all watchers of a process."""

    def __init__(
        self, read: Read, *, watchers_max: int = WATCHERS_MAX, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._read = read
        self._watchers_max = watchers_max
        self._poll_seconds = poll_seconds
        self._watchers: defaultdict[str, set[_Watcher]] = defaultdict(set)
        self._count = 0
        self._touched: set[str] = set()
        self._wake = asyncio.Event()
        self._log = log("points")

    @property
    def watcher_count(self) -> int:
        """Streams that are open now."""
        return self._count

    def touch(self, members: Iterable[str]) -> None:
        """What this process has written is read at once."""
        if self._watchers:
            touched = self._watchers.keys() & members
            if touched:
                self._touched |= touched
                self._wake.set()

    async def watch(self, member_id: str) -> AsyncGenerator[BalanceView, None]:
        """The balance, then each balance that differs from the one before; ends after an hour.

        Raises TooManyWatchers.
        """
        if self._count >= self._watchers_max:
            raise TooManyWatchers(open=self._count, retry_after_ms=TooManyWatchers.RETRY_AFTER_MS)
        watcher = _Watcher()
        self._watchers[member_id].add(watcher)
        self._count += 1
        # The loop reads the first one, too: only it knows which of two answers is the newer.
        self.touch([member_id])
        try:
            told: BalanceView | None = None
            end = time.monotonic() + WATCH_SECONDS_MAX
            while (left := end - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(watcher.news.wait(), left)
                watcher.news.clear()
                if watcher.newest is not None and watcher.newest != told:
                    told = watcher.newest
                    yield told
        finally:
            self._count -= 1
            self._watchers[member_id].discard(watcher)
            if not self._watchers[member_id]:
                del self._watchers[member_id]

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping`; survives the absence of the database."""
        ending = asyncio.create_task(stopping.wait())
        next_poll = time.monotonic() + self._poll_seconds
        try:
            while not stopping.is_set():
                await self._wait(ending, next_poll)
                members, self._touched = self._touched, set()
                self._wake.clear()
                if time.monotonic() >= next_poll:
                    next_poll = time.monotonic() + self._poll_seconds
                    members = set(self._watchers)
                try:
                    await self._tell(sorted(members & self._watchers.keys()))
                except LaurelError as error:
                    self._log.warning("watch.waits", error=repr(error))
                await asyncio.wait({ending}, timeout=PAUSE_SECONDS)
        finally:
            ending.cancel()

    async def _wait(self, ending: "asyncio.Task[bool]", until: float) -> None:
        waking = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait(
                {waking, ending},
                timeout=max(0, until - time.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            waking.cancel()

    async def _tell(self, members: Sequence[str]) -> None:
        for start in range(0, len(members), READ_MEMBERS_MAX):
            for view in await self._read(members[start : start + READ_MEMBERS_MAX]):
                for watcher in self._watchers.get(view.account.member_id, ()):
                    watcher.newest = view
                    watcher.news.set()
