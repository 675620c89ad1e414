"""Short ways to call the benefits service and to tell it of tiers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from google.type.money_pb2 import Money
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from house import House, new_id, usd
from kit.clock import new_id as uuid7
from kit.clock import to_timestamp
from laurel.benefits.v1 import benefits_service_pb2 as pb
from laurel.benefits.v1.benefits_service_pb2_grpc import BenefitsServiceStub
from laurel.event.v1.event_pb2 import Event, EventBatch, MemberEnrolled, TierChanged

TIERS = ("member", "silver", "gold", "diamond")
AVAILABLE = pb.ENTITLEMENT_STATE_AVAILABLE
RESERVED = pb.ENTITLEMENT_STATE_RESERVED
REDEEMED = pb.ENTITLEMENT_STATE_REDEEMED
EXPIRED = pb.ENTITLEMENT_STATE_EXPIRED
WITHDRAWN = pb.ENTITLEMENT_STATE_WITHDRAWN


def days_ago(days: float) -> datetime:
    """An instant in whole microseconds."""
    return datetime.now(UTC) - timedelta(days=days)


def change(
    member: str, before: str, after: str, occurred: datetime | None = None, **fields: object
) -> Event:
    """The event of a tier decision, as the tier service tells it."""
    occurred = occurred or days_ago(1)
    upgrade = TIERS.index(after) > TIERS.index(before)
    values: dict[str, object] = {
        "event_id": str(uuid7()),
        "member_id": member,
        "occurred_time": to_timestamp(occurred),
        "record_time": to_timestamp(occurred),
        "program_version": 1,
        "tier_changed": TierChanged(
            decision_id=str(uuid7()),
            from_tier_id=before,
            to_tier_id=after,
            from_rank=TIERS.index(before),
            to_rank=TIERS.index(after),
            valid_until_time=to_timestamp(occurred + timedelta(days=365)),
            reason="UPGRADE" if upgrade else "DEMOTION",
        ),
    }
    return Event(**{**values, **fields})  # type: ignore[arg-type]


def enrolment(member: str, occurred: datetime) -> Event:
    """The event of an enrolment."""
    return Event(
        event_id=str(uuid7()),
        member_id=member,
        occurred_time=to_timestamp(occurred),
        record_time=to_timestamp(occurred),
        member_enrolled=MemberEnrolled(channel="web"),
    )


class Desk:
    """The benefits service of a house."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.stub: BenefitsServiceStub = house.stub(BenefitsServiceStub, "benefits")

    async def tell(self, *events: Event, batch_id: str = "") -> None:
        """Publishes events as the tier service does, and waits until they took effect."""
        await self.send(*events, batch_id=batch_id)
        await self.house.settle()

    async def send(self, *events: Event, batch_id: str = "") -> None:
        """Publishes events and does not wait."""
        broker = self.house.running["benefits"].broker
        assert broker is not None
        js = await broker.jetstream()
        batch_id = batch_id or str(uuid7())
        batch = EventBatch(batch_id=batch_id, events=events)
        subject = f"laurel.tier.{events[0].WhichOneof('payload')}"
        # An id of the broker's own: so that the inbox, not the broker, meets a repeat.
        await js.publish(subject, batch.SerializeToString(), headers={"Nats-Msg-Id": new_id()})

    async def held(self, member: str) -> dict[str, pb.Entitlement]:
        """The newest entitlement of each benefit."""
        answer = await self.page(member)
        return {one.benefit_id: one for one in reversed(answer.entitlements)}

    async def page(self, member: str, **fields: object) -> pb.ListEntitlementsResponse:
        request = pb.ListEntitlementsRequest(member_id=member, **fields)  # type: ignore[arg-type]
        return await self.stub.ListEntitlements(request)

    async def states(self, member: str) -> dict[str, int]:
        return {name: one.state for name, one in (await self.held(member)).items()}

    async def coupon(self, member: str, tier: str = "gold") -> str:
        """The id of the coupon of a tier that the member is brought to first."""
        await self.tell(change(member, "member", tier))
        return (await self.held(member))[f"{tier}_welcome"].entitlement_id

    async def evaluate(
        self, member: str, amount: str, ids: Sequence[str] = ()
    ) -> pb.EvaluateBenefitsResponse:
        return await self.stub.EvaluateBenefits(
            pb.EvaluateBenefitsRequest(
                member_id=member, order_amount=usd(amount), entitlement_ids=ids
            )
        )

    def reserve_request(
        self, member: str, ids: Sequence[str], amount: str | Money = "100", **fields: str
    ) -> pb.ReserveBenefitsRequest:
        money = usd(amount) if isinstance(amount, str) else amount
        values = {"request_id": new_id(), "order_id": new_id(), "member_id": member, **fields}
        return pb.ReserveBenefitsRequest(
            entitlement_ids=ids,
            order_amount=money,
            **values,
        )

    async def reserve(
        self, member: str, ids: Sequence[str], amount: str | Money = "100", **fields: str
    ) -> pb.Reservation:
        answer = await self.stub.ReserveBenefits(
            self.reserve_request(member, ids, amount, **fields)
        )
        return answer.reservation

    async def redeem(self, reservation_id: str, request_id: str = "") -> pb.Reservation:
        answer = await self.stub.RedeemReservation(
            pb.RedeemReservationRequest(
                request_id=request_id or new_id(), reservation_id=reservation_id
            )
        )
        return answer.reservation

    async def release(self, reservation_id: str, request_id: str = "") -> pb.Reservation:
        answer = await self.stub.ReleaseReservation(
            pb.ReleaseReservationRequest(
                request_id=request_id or new_id(), reservation_id=reservation_id
            )
        )
        return answer.reservation

    async def sweep(self) -> None:
        """Runs the scheduled work once, now."""
        for schedule in self.house.running["benefits"].service.schedules:
            await schedule.run()

    async def told(self, member: str, kind: str) -> list[Event]:
        """What the service has told others of a member."""
        await self.house.settle()
        broker = self.house.running["benefits"].broker
        assert broker is not None
        js = await broker.jetstream()
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL)
        subscription = await js.pull_subscribe(f"laurel.benefits.{kind}", config=config)
        found: list[Event] = []
        pending = (await subscription.consumer_info()).num_pending
        while pending > 0:
            messages = await subscription.fetch(256, timeout=5)
            pending -= len(messages)
            events = [e for m in messages for e in EventBatch.FromString(m.data).events]
            found += [event for event in events if event.member_id == member]
        await subscription.unsubscribe()
        return found
