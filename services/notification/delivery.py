"""Makes the attempts that deliveries wait for, a bounded number at a time (NT-05)."""

import asyncio
from collections.abc import Awaitable, Callable

from kit.errors import LaurelError
from kit.telemetry import log
from notification.attempts import Attempt, Contact, Delayed, Outcome, Skipped, judge, reason_to_skip
from notification.mail import MailServer
from notification.store import DeliveryStore

CONCURRENCY = 8
PASS_SECONDS = 0.5
# Well below the lease: an attempt has ended before anybody else may make the next one.
ATTEMPT_SECONDS_MAX = 60.0
DRAIN_SECONDS_MAX = 5.0

FindContact = Callable[[str], Awaitable[Contact | None]]


class ContactUnknown(Exception):
    """The owner of the addresses gave no answer."""


class Courier:
    """Delivers e-mail. The address is asked for at each attempt and kept nowhere."""

    def __init__(
        self,
        store: DeliveryStore,
        server: MailServer,
        find_contact: FindContact,
        spread: Callable[[], float],
    ) -> None:
        self._store = store
        self._server = server
        self._find_contact = find_contact
        self._spread = spread
        self._running: set[asyncio.Task[None]] = set()
        self._log = log("notification")

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping`; survives the absence of database, tier and mail server."""
        while not stopping.is_set():
            if not await self._pass():
                if not self._running:
                    await self._server.rest()
                await self._wait(stopping)
        if self._running:
            await asyncio.wait(self._running, timeout=DRAIN_SECONDS_MAX)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._server.rest()

    async def _pass(self) -> int:
        """Begins as many attempts as there is room for, and says how many."""
        room = CONCURRENCY - len(self._running)
        if not room:
            return 0
        try:
            attempts = await self._store.claim(room)
        except LaurelError as error:
            self._log.warning("delivery.waits", error=repr(error))
            return 0
        for attempt in attempts:
            task = asyncio.create_task(self._make(attempt))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(attempts)

    async def _wait(self, stopping: asyncio.Event) -> None:
        """Waits until there is room or some time has passed, or the end is near."""
        full = len(self._running) >= CONCURRENCY
        stop = asyncio.create_task(stopping.wait())
        waiting = {stop, *self._running} if full else {stop}
        await asyncio.wait(waiting, timeout=PASS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()

    async def _make(self, attempt: Attempt) -> None:
        try:
            outcome = await self._try(attempt)
            await self._store.settle(attempt, judge(outcome, attempt.number, self._spread()))
        except LaurelError as error:
            # Unsettled: it is tried again once its lease has ended.
            self._log.warning(
                "delivery.unsettled", message_id=attempt.message_id, error=repr(error)
            )
        except Exception as error:  # one bad message must not stop the others  # noqa: BLE001
            self._log.error(
                "delivery.failed", message_id=attempt.message_id, error=type(error).__name__
            )

    async def _try(self, attempt: Attempt) -> Outcome:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS_MAX):
                contact = await self._find_contact(attempt.member_id)
                why_not = reason_to_skip(contact)
                if contact is None or why_not:
                    return Skipped(why_not)
                return await self._server.send(attempt, contact.email)
        except ContactUnknown:
            return Delayed("the member's address could not be asked for")
        except TimeoutError:
            return Delayed("the attempt took too long")
