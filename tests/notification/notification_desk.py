"""Short ways to call the notification service and to tell it of tiers and points."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from house import House, new_id
from kit.clock import new_id as uuid7
from kit.clock import to_timestamp
from laurel.event.v1.event_pb2 import Event, EventBatch, PointsExpiring, TierChanged
from laurel.notification.v1 import notification_service_pb2 as pb
from laurel.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from laurel.program.v1.program_pb2 import CHANNEL_EMAIL, CHANNEL_INBOX, Channel
from laurel.tier.v1.member_service_pb2 import EnrolMemberRequest
from laurel.tier.v1.member_service_pb2_grpc import MemberServiceStub

TIERS = ("member", "silver", "gold", "diamond")
PENDING = pb.DELIVERY_STATE_PENDING
DELIVERED = pb.DELIVERY_STATE_DELIVERED
SKIPPED = pb.DELIVERY_STATE_SKIPPED
FAILED = pb.DELIVERY_STATE_FAILED
INBOX, EMAIL = CHANNEL_INBOX, CHANNEL_EMAIL
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def tier_up(
    member: str, before: str = "member", after: str = "gold", at: datetime = NOON, **fields: object
) -> Event:
    """The event of a tier decision, as the tier service tells it."""
    changed = TierChanged(
        decision_id=str(uuid7()),
        from_tier_id=before,
        to_tier_id=after,
        from_rank=TIERS.index(before),
        to_rank=TIERS.index(after),
        # Two o'clock in the morning in UTC is the evening before in New York.
        valid_until_time=to_timestamp(datetime(2027, 3, 2, 2, tzinfo=UTC)),
    )
    return _event(member, at, tier_changed=changed, **fields)


def expiring(member: str, points: int, expire_time: datetime, at: datetime = NOON) -> Event:
    """The event of points that expire soon, as the points service tells it."""
    warning = PointsExpiring(points=points, expire_time=to_timestamp(expire_time), warning_days=7)
    return _event(member, at, points_expiring=warning)


def _event(member: str, at: datetime, **fields: object) -> Event:
    values: dict[str, object] = {
        "event_id": str(uuid7()),
        "member_id": member,
        "occurred_time": to_timestamp(at),
        "record_time": to_timestamp(at),
        "program_version": 1,
    }
    return Event(**{**values, **fields})  # type: ignore[arg-type]


class Desk:
    """The notification service of a house."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.stub: NotificationServiceStub = house.stub(NotificationServiceStub, "notification")

    async def send(self, *events: Event) -> None:
        """Publishes events as their services do, and does not wait."""
        broker = self.house.running["notification"].broker
        assert broker is not None
        js = await broker.jetstream()
        batch = EventBatch(batch_id=str(uuid7()), events=events)
        kind = events[0].WhichOneof("payload")
        service = "tier" if kind == "tier_changed" else "points"
        await js.publish(
            f"laurel.{service}.{kind}",
            batch.SerializeToString(),
            headers={"Nats-Msg-Id": batch.batch_id},
        )

    async def tell(self, *events: Event) -> None:
        """Publishes events and waits until they took effect."""
        await self.send(*events)
        await self.house.settle()

    async def inbox(self, member: str, **fields: object) -> pb.ListInboxResponse:
        request = pb.ListInboxRequest(member_id=member, **fields)  # type: ignore[arg-type]
        return await self.stub.ListInbox(request)

    async def only(self, member: str) -> pb.Message:
        """The one message in a member's inbox."""
        (message,) = (await self.inbox(member)).messages
        return message

    async def email(self, member: str) -> pb.Delivery:
        """What became of the e-mail of the one message in a member's inbox."""
        return delivery(await self.only(member), EMAIL)

    async def email_until(
        self, member: str, state: pb.DeliveryState.ValueType, seconds_max: float = 60
    ) -> pb.Delivery:
        """Waits until the e-mail is in a state."""

        async def is_there() -> bool:
            return (await self.email(member)).state == state

        await until(is_there, seconds_max)
        return await self.email(member)

    def send_request(
        self, member: str, *channels: Channel.ValueType, **fields: object
    ) -> pb.SendMessageRequest:
        values: dict[str, object] = {
            "request_id": new_id(),
            "subject": "Hello",
            "body": "Good news.",
            **fields,
        }
        return pb.SendMessageRequest(
            member_id=member,
            channels=channels or (INBOX,),
            **values,  # type: ignore[arg-type]
        )

    async def enrol(self, member: str, email: str = "", *, consent: bool = True) -> str:
        """Enrols a member and returns the address."""
        address = email or f"{member}@example.com"
        stub: MemberServiceStub = self.house.stub(MemberServiceStub, "tier")
        await stub.EnrolMember(
            EnrolMemberRequest(
                request_id=new_id(),
                member_id=member,
                email="" if email == "none" else address,
                email_consent=consent,
                enrol_time=to_timestamp(datetime.now(UTC) - timedelta(days=1)),
            )
        )
        return address


def delivery(message: pb.Message, channel: Channel.ValueType) -> pb.Delivery:
    """What became of a message on a channel."""
    (found,) = [one for one in message.deliveries if one.channel == channel]
    return found


async def until(is_so: Callable[[], Awaitable[bool]], seconds_max: float = 20) -> None:
    """Waits until something is so; fails when it is not within a bound."""
    async with asyncio.timeout(seconds_max):
        while not await is_so():
            await asyncio.sleep(0.05)
