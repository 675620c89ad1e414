"""Short ways to tell the tier service of purchases and to ask it about members."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from house import House, new_id, usd
from kit.clock import new_id as new_uuid
from kit.clock import to_timestamp
from laurel.event.v1.event_pb2 import (
    AccrualReversed,
    Event,
    EventBatch,
    PointsAccrued,
    ReviewSettled,
)
from laurel.tier.v1 import member_service_pb2 as member_pb
from laurel.tier.v1 import tier_service_pb2 as pb
from laurel.tier.v1.member_service_pb2_grpc import MemberServiceStub
from laurel.tier.v1.tier_service_pb2_grpc import TierServiceStub

PROGRAM_BEGIN = datetime(1990, 1, 1, tzinfo=UTC)


def bought(member: str, amount: str, when: datetime, under_review: bool = False) -> Event:
    """What the ledger tells of a purchase."""
    accrued = PointsAccrued(
        transaction_id=str(new_uuid()), points=1, spend=usd(amount), under_review=under_review
    )
    return _event(member, when, points_accrued=accrued)


def returned(purchase: Event, amount: str, when: datetime) -> Event:
    """What the ledger tells of a return."""
    accrued = purchase.points_accrued
    reversal = AccrualReversed(
        transaction_id=str(new_uuid()),
        accrual_transaction_id=accrued.transaction_id,
        spend=usd(amount),
        accrual_occurred_time=purchase.occurred_time,
        under_review=accrued.under_review,
    )
    return _event(purchase.member_id, when, accrual_reversed=reversal)


def settled(purchase: Event, amount: str, when: datetime, legitimate: bool = True) -> Event:
    """What the ledger tells when a purchase that was under review is settled."""
    settlement = ReviewSettled(
        transaction_id=str(new_uuid()),
        accrual_transaction_id=purchase.points_accrued.transaction_id,
        spend=usd(amount),
        accrual_occurred_time=purchase.occurred_time,
        legitimate=legitimate,
    )
    return _event(purchase.member_id, when, review_settled=settlement)


def _event(member: str, when: datetime, **payload: object) -> Event:
    stamp = to_timestamp(when)
    return Event(
        event_id=str(new_uuid()), member_id=member, occurred_time=stamp, record_time=stamp,
        program_version=1, **payload,
    )  # fmt: skip


class Desk:
    """The tier service as its callers and the broker see it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.members: MemberServiceStub = house.stub(MemberServiceStub, "tier")
        self.tiers: TierServiceStub = house.stub(TierServiceStub, "tier")

    async def tell(self, *events: Event) -> None:
        """Publishes events in one message, as points does, and waits for their effect."""
        await self.publish(*events)
        await self.house.settle()

    async def publish(self, *events: Event) -> None:
        """Publishes events in one message."""
        kind = events[0].WhichOneof("payload")
        batch = EventBatch(batch_id=str(new_uuid()), events=events)
        broker = self.house.running["tier"].broker
        assert broker is not None
        js = await broker.jetstream()
        await js.publish(
            f"laurel.points.{kind}",
            batch.SerializeToString(),
            headers={"Nats-Msg-Id": batch.batch_id},
        )

    async def status(self, member: str, as_of: datetime | None = None) -> pb.TierStatus:
        """A member's status."""
        request = pb.GetTierStatusRequest(member_id=member, as_of_time=_stamp(as_of))
        return (await self.tiers.GetTierStatus(request)).tier_status

    async def tier(self, member: str) -> str:
        """Id of a member's tier."""
        return (await self.status(member)).tier_id

    async def history(
        self, member: str, process: TierServiceStub | None = None
    ) -> list[pb.TierDecision]:
        """The decisions about a member, newest first; as one process of several knows them."""
        tiers = process or self.tiers
        answer = await tiers.ListTierHistory(pb.ListTierHistoryRequest(member_id=member))
        return list(answer.tier_decisions)

    async def review(self, as_of: datetime) -> pb.RunReviewResponse:
        """Runs the review as of a time."""
        return await self.tiers.RunReview(pb.RunReviewRequest(as_of_time=_stamp(as_of)))

    async def changes(self, member: str) -> list[Event]:
        """The TierChanged events about a member, in the order of the stream."""
        return await self.published("tier_changed", member)

    async def published(self, kind: str, member: str) -> list[Event]:
        """What the tier service has told the broker about a member, once all is on its way."""
        await self.house.settle()
        broker = self.house.running["tier"].broker
        assert broker is not None
        js = await broker.jetstream()
        subscription = await js.subscribe(f"laurel.tier.{kind}", ordered_consumer=True)
        info = await subscription.consumer_info()
        found: list[Event] = []
        for _ in range(info.num_pending + info.delivered.consumer_seq):
            message = await subscription.next_msg(timeout=5)
            batch = EventBatch.FromString(message.data)
            found += [event for event in batch.events if event.member_id == member]
        await subscription.unsubscribe()
        return found


def _stamp(instant: datetime | None) -> Timestamp | None:
    return None if instant is None else to_timestamp(instant)


def enrolment(member: str, **fields: object) -> member_pb.EnrolMemberRequest:
    """A request to enrol a member."""
    given = {"request_id": new_id(), "member_id": member, "email": "ann@example.com", **fields}
    return member_pb.EnrolMemberRequest(**given)  # type: ignore[arg-type]
