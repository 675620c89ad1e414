"""Events from commit to effect: outbox, relay, JetStream, inbox.

Events of one type from one commit travel as one message, so that a batch of 500 accruals costs one
row and one publication. The message id is that of the batch; the broker drops what it has seen, and
the inbox of each service drops the rest.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

import asyncpg
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import NotFoundError

from kit.clock import NewId
from kit.db import Database, Transaction
from kit.errors import LaurelError
from kit.telemetry import INBOX_FAILED, INBOX_HANDLED, OUTBOX_PUBLISHED, log
from laurel.event.v1.event_pb2 import Event, EventBatch

STREAM = "LAUREL"
EVENTS_PER_MESSAGE_MAX = 256
# A broker takes 1 MiB unless told otherwise; one message that it refuses would hold up all others.
MESSAGE_BYTES_MAX = 768 * 1024
ROWS_PER_PASS = 64
MESSAGES_PER_PASS = 16
PASS_SECONDS = 0.2
BACKOFF_SECONDS_MAX = 5.0
CONNECT_SECONDS_MAX = 4.0
REDELIVER_SECONDS_MAX = 60.0
DOUBLINGS_MAX = 10
# What a killed process had taken comes again after this. A pass takes well under a second; of one
# that takes longer, messages come twice and the inbox drops the second.
ACK_SECONDS = 10.0
STREAM_AGE = timedelta(days=14)
INBOX_AGE = timedelta(days=28)
PRUNE_ROWS = 10_000
DUPLICATE_WINDOW = timedelta(minutes=10)

# What the broker's absence and the database's look like; LaurelError is what the database layer
# makes of it. A server killed in the middle of a commit shows as any of asyncpg's families.
_AWAY = (
    NatsError,
    LaurelError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

Handle = Callable[[Transaction, Sequence[Event]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Consumer:
    """What a service listens to: names of payloads of Event, such as `points_accrued`, and what it
    does with them.

    `handle` runs inside of the transaction that claims the message in the inbox: it takes effect
    once, or not at all.
    """

    types: tuple[str, ...]
    handle: Handle
    ignores: Callable[[Sequence[Event]], bool] = lambda _: False
    """Whether a message would change nothing: then it costs no transaction."""


async def publish(tx: Transaction, new_id: NewId, events: Sequence[Event]) -> None:
    """Puts events into the outbox of the running transaction, in batches of one kind each."""
    ordered = sorted(events, key=_kind)
    kinds: list[str] = []
    batches = []
    for kind, same in groupby(ordered, key=_kind):
        group = list(same)
        for start in range(0, len(group), EVENTS_PER_MESSAGE_MAX):
            batch = EventBatch(events=group[start : start + EVENTS_PER_MESSAGE_MAX])
            batches += _that_fit(batch)
        kinds += [kind] * (len(batches) - len(kinds))
    if batches:
        ids, payloads = seal_batches(batches, new_id)
        await tx.execute("add_to_outbox", ids, kinds, payloads)


def _that_fit(batch: EventBatch) -> list[EventBatch]:
    """The events in as many messages as it takes for each to be small enough for the broker."""
    half = len(batch.events) // 2
    if half == 0 or batch.ByteSize() <= MESSAGE_BYTES_MAX:
        return [batch]
    parts = batch.events[:half], batch.events[half:]
    return [fitting for part in parts for fitting in _that_fit(EventBatch(events=part))]


def _kind(event: Event) -> str:
    return event.WhichOneof("payload") or ""


def seal_batches(batches: Sequence[EventBatch], new_id: NewId) -> tuple[list[UUID], list[bytes]]:
    """Gives batches their ids; these and what goes into the outbox, for a statement of one's own
    that writes them.
    """
    ids = [new_id() for _ in batches]
    for batch_id, batch in zip(ids, batches, strict=True):
        batch.batch_id = str(batch_id)
    return ids, [batch.SerializeToString() for batch in batches]


class Broker:
    """The connection to JetStream, shared by the relay and the consumers of a process; comes back
    by itself.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        self._url = url
        self._tls = tls if url.startswith("tls:") else None
        self._client: Any = None
        self._opening = asyncio.Lock()
        self._has_stream = False

    async def jetstream(self) -> Any:
        """A JetStream context with the stream made. Raises while the broker is away."""
        async with self._opening:
            if self._client is None or self._client.is_closed:
                self._client = await self._connect()
                self._has_stream = False
            if not self._has_stream:
                # Also when a first try failed after the connection was made: JetStream may start
                # later than its server.
                await self._ensure_stream()
                self._has_stream = True
        return self._client.jetstream(timeout=5)

    async def _connect(self) -> Any:
        client: Any = Client()
        try:
            # A client that comes back by itself does not give up its first try either: whoever
            # waits for it could not be told to leave.
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await client.connect(
                    self._url, tls=self._tls, connect_timeout=2,
                    allow_reconnect=True, max_reconnect_attempts=-1, reconnect_time_wait=0.5,
                    error_cb=_ignore, disconnected_cb=_ignore, pending_size=32 * 1024 * 1024,
                )  # fmt: skip
        except BaseException:
            await _close(client)
            raise
        return client

    def doubt(self) -> None:
        """Looks for the stream again before the next use: a broker may have lost what it had."""
        self._has_stream = False

    async def _ensure_stream(self) -> None:
        js = self._client.jetstream(timeout=5)
        config = StreamConfig(
            name=STREAM, subjects=["laurel.>"], max_age=STREAM_AGE.total_seconds(),
            duplicate_window=DUPLICATE_WINDOW.total_seconds(),
        )  # fmt: skip
        try:
            await js.stream_info(STREAM)
        except NotFoundError:
            await js.add_stream(config)

    async def close(self) -> None:
        """Closes the connection; a broker that is away stops nobody from leaving."""
        if self._client is not None and not self._client.is_closed:
            await _close(self._client)


async def _close(client: Any) -> None:
    # What waits to be sent is written once more, whatever became of the connection: that fails with
    # whatever the event loop makes of one that is gone.
    with suppress(Exception):
        await client.close()


async def _ignore(*_: object) -> None:
    """nats-py prints its errors otherwise; the loops below log them once each."""


class Relay:
    """Publishes a service's outbox, and deletes what the broker has acknowledged."""

    def __init__(self, service: str, database: Database, broker: Broker) -> None:
        self._service = service
        self._database = database
        self._broker = broker
        self._log = log(service)

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping`; survives the absence of broker and database."""
        backoff = PASS_SECONDS
        while not stopping.is_set():
            try:
                # Under load each commit leaves a row; taking them together is what costs little.
                while await self.run_once() == ROWS_PER_PASS:
                    pass
                backoff = PASS_SECONDS
            except _AWAY as error:
                self._log.warning("outbox.waits", error=repr(error))
                self._broker.doubt()
                backoff = min(backoff * 2, BACKOFF_SECONDS_MAX)
            await _sleep(stopping, backoff)

    async def flush(self) -> None:
        """Publishes what is left when nothing more comes; what cannot be waits for the next
        start.
        """
        try:
            while await self.run_once():
                pass
        except _AWAY as error:
            self._log.warning("outbox.waits", error=repr(error))

    async def run_once(self) -> int:
        """Publishes up to 64 rows and returns how many."""
        js = await self._broker.jetstream()
        async with self._database.transaction() as tx:
            rows = await tx.fetch("take_from_outbox", ROWS_PER_PASS)
            rows.sort(key=lambda row: row["batch_id"])
            await asyncio.gather(*(self._publish(js, row) for row in rows))
        return len(rows)

    async def _publish(self, js: Any, row: Any) -> None:
        subject = f"laurel.{self._service}.{row['type']}"
        await js.publish(subject, row["payload"], headers={"Nats-Msg-Id": str(row["batch_id"])})
        OUTBOX_PUBLISHED.labels(self._service, row["type"]).inc()


class Listener:
    """Hands the messages of a durable consumer to the service, each once."""

    def __init__(
        self, service: str, consumer: Consumer, database: Database, broker: Broker
    ) -> None:
        self._service = service
        self._consumer = consumer
        self._database = database
        self._broker = broker
        self._log = log(service)

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping`; survives the absence of broker and database."""
        subscription = None
        while not stopping.is_set():
            try:
                if subscription is None:
                    subscription = await self._subscribe()
                await self._pass(subscription)
            except TimeoutError:
                continue
            except _AWAY as error:
                self._log.warning("inbox.waits", error=repr(error))
                self._broker.doubt()
                subscription = None
                await _sleep(stopping, 1.0)

    async def _subscribe(self) -> Any:
        js = await self._broker.jetstream()
        config = ConsumerConfig(
            durable_name=self._service, ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.ALL, ack_wait=ACK_SECONDS, max_ack_pending=256,
            filter_subjects=[f"laurel.*.{kind}" for kind in self._consumer.types],
        )  # fmt: skip
        await js.add_consumer(STREAM, config)
        return await js.pull_subscribe_bind(self._service, STREAM)

    async def _pass(self, subscription: Any) -> None:
        for message in await subscription.fetch(MESSAGES_PER_PASS, timeout=PASS_SECONDS):
            try:
                await self._take(EventBatch.FromString(message.data))
            except Exception as error:  # one bad message must not stop the others  # noqa: BLE001
                INBOX_FAILED.labels(self._service).inc()
                self._log.error(
                    "inbox.failed", subject=message.subject, error=repr(error), exc_info=error
                )
                await message.nak(delay=_pause_after(message.metadata.num_delivered or 1))
            else:
                await message.ack()

    async def _take(self, batch: EventBatch) -> None:
        if self._consumer.ignores(batch.events):
            return
        async with self._database.transaction() as tx:
            if await tx.fetchval("claim_from_inbox", batch.batch_id):
                await self._consumer.handle(tx, batch.events)
                kind = _kind(batch.events[0])
                INBOX_HANDLED.labels(self._service, kind).inc(len(batch.events))

    async def prune(self) -> None:
        """Forgets messages older than the broker could deliver again, in bounded steps."""
        while await self._prune_step() == PRUNE_ROWS:
            pass

    async def _prune_step(self) -> int:
        async with self._database.transaction() as tx:
            return int((await tx.execute("prune_inbox", INBOX_AGE, PRUNE_ROWS)).split()[-1])


def _pause_after(tries: int) -> float:
    """Seconds until a message that failed so often comes again."""
    # Bounded before it is a float: a message comes for as long as the broker keeps it.
    return min(0.2 * 2.0 ** min(tries, DOUBLINGS_MAX), REDELIVER_SECONDS_MAX)


async def _sleep(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


def tls_context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """A TLS context that trusts the CA and shows the certificate."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    context.load_cert_chain(certificate, key)
    return context
