"""Keeps messages and what became of them."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.message import Message as ProtoMessage
from prometheus_client import Counter

from kit.clock import Clock
from kit.db import Database, Transaction
from kit.requests import once
from notification.attempts import ATTEMPTS_MAX, LAPSED, TOO_LATE, Attempt, Verdict
from notification.messages import Delivery, Message, State
from rules.values import Channel

# Texts of a page: an answer may have 8 MiB, and a thousand messages have much beside their texts.
PAGE_BYTES_MAX = 6 * 1024 * 1024
# Longer than any attempt takes.
LEASE = timedelta(seconds=120)

DELIVERIES = Counter(
    "laurel_notification_deliveries_total",
    "Deliveries that came into a state, by channel",
    ("channel", "state"),
)
RETRIES = Counter(
    "laurel_notification_retries_total", "Attempts that are made again later", ("channel",)
)

R = TypeVar("R", bound=ProtoMessage)


class MessageStore:
    """Messages, and what members see of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tx: Transaction, messages: Sequence[Message]) -> int:
        """Adds the messages whose cause has not set off the same rule before, and says how many."""
        rows = await tx.fetch("add_messages", *_message_columns(messages))
        new = {row["message_id"] for row in rows}
        added = [message for message in messages if message.message_id in new]
        if added:
            await tx.execute("add_deliveries", *_delivery_columns(added))
        for message in added:
            for delivery in message.deliveries:
                DELIVERIES.labels(delivery.channel.name, delivery.state.value).inc()
        return len(added)

    async def send(
        self,
        message: Message,
        request_id: str,
        request: ProtoMessage,
        response_type: type[R],
        render: Callable[[Message], R],
    ) -> R:
        """Accepts a message; a repeat of the request gets the first answer again."""
        async with self._database.transaction() as tx:

            async def act() -> R:
                await self.add(tx, [message])
                return render(message)

            return await once(tx, request_id, request, act, response_type)

    async def list_inbox(
        self, member_id: str, before: UUID | None, size: int
    ) -> tuple[list[Message], bool]:
        """Up to `size` messages in a member's inbox, newest first, those before a key, and whether
        there are more.

        Fewer than asked for come back where they would not fit into one answer.
        """
        async with self._database.transaction(readonly=True) as tx:
            found = await tx.fetch("list_inbox", member_id, before, size + 1, PAGE_BYTES_MAX)
            rows = found[:size]
            ids = [row["message_id"] for row in rows]
            deliveries: dict[UUID, list[Delivery]] = {one: [] for one in ids}
            for row in await tx.fetch("get_deliveries", member_id, ids):
                deliveries[row["message_id"]].append(_delivery(row))
        more = bool(rows) and rows[0]["found_count"] > len(rows)
        return [_message(row, deliveries[row["message_id"]]) for row in rows], more


class DeliveryStore:
    """Deliveries that take attempts."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def claim(self, limit: int) -> list[Attempt]:
        """The next attempts to make, each leased to the caller; what is hopeless fails."""
        now = self._clock()
        async with self._database.transaction() as tx:
            given_up = await tx.fetch("give_up", ATTEMPTS_MAX, LAPSED, TOO_LATE, now)
            rows = await tx.fetch("claim_deliveries", ATTEMPTS_MAX, limit, LEASE, now)
        for row in given_up:
            DELIVERIES.labels(row["channel"], State.FAILED.value).inc()
        return [
            Attempt(
                member_id=row["member_id"],
                message_id=row["message_id"],
                number=row["attempt_count"],
                subject=row["subject"],
                body=row["body"],
                create_time=row["create_time"],
            )
            for row in rows
        ]

    async def settle(self, attempt: Attempt, verdict: Verdict) -> None:
        """Keeps how an attempt ended, unless its lease has passed to another one."""
        channel = Channel.EMAIL.name
        deliver_time = self._clock() if verdict.state is State.DELIVERED else None
        async with self._database.transaction() as tx:
            settled = await tx.fetchval(
                "settle_delivery", attempt.member_id, attempt.message_id, channel, attempt.number,
                verdict.state.value, deliver_time, verdict.reason, verdict.wait,
            )  # fmt: skip
        if settled and verdict.state is State.PENDING:
            RETRIES.labels(channel).inc()
        elif settled:
            DELIVERIES.labels(channel, verdict.state.value).inc()


def _message_columns(messages: Sequence[Message]) -> tuple[list[object], ...]:
    return (
        [one.member_id for one in messages],
        [one.message_id for one in messages],
        [one.rule for one in messages],
        [one.subject for one in messages],
        [one.body for one in messages],
        [one.create_time for one in messages],
        [one.cause_event_id for one in messages],
        [one.program_version for one in messages],
    )


def _delivery_columns(messages: Sequence[Message]) -> tuple[list[object], ...]:
    pairs = [(message, delivery) for message in messages for delivery in message.deliveries]
    return (
        [message.member_id for message, _ in pairs],
        [message.message_id for message, _ in pairs],
        [delivery.channel.name for _, delivery in pairs],
        [delivery.state.value for _, delivery in pairs],
        [delivery.deliver_time for _, delivery in pairs],
        [delivery.reason for _, delivery in pairs],
        [message.expire_time for message, _ in pairs],
    )


def _message(row: Any, deliveries: Sequence[Delivery]) -> Message:
    return Message(
        member_id=row["member_id"],
        message_id=row["message_id"],
        rule=row["rule"],
        subject=row["subject"],
        body=row["body"],
        create_time=row["create_time"],
        cause_event_id=row["cause_event_id"],
        program_version=row["program_version"],
        deliveries=tuple(deliveries),
    )


def _delivery(row: Any) -> Delivery:
    return Delivery(
        channel=Channel[row["channel"]],
        state=State(row["state"]),
        attempt_count=row["attempt_count"],
        deliver_time=row["deliver_time"],
        reason=row["reason"],
    )
