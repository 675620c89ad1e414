"""Short ways to ask the anti-fraud service."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from house import SAMPLE, House, new_id, usd
from kit.clock import to_microseconds, to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.program.v1 import program_pb2

EARLY = datetime(1990, 1, 1, tzinfo=UTC)
LATE = datetime(2000, 1, 1, tzinfo=UTC)
NOON = datetime(2020, 3, 1, 12, tzinfo=UTC)

ACCRUAL = program_pb2.FRAUD_OPERATION_ACCRUAL
REDEMPTION = program_pb2.FRAUD_OPERATION_REDEMPTION
ALLOW = program_pb2.FRAUD_ACTION_ALLOW
REVIEW = program_pb2.FRAUD_ACTION_REVIEW
DENY = program_pb2.FRAUD_ACTION_DENY

EARLY_RULES = """
    - {name: strict, operations: [accrual], when: request.points > 5, action: deny, score: 1}
"""
RULES = """
    - name: many_purchases
      operations: [accrual]
      when: velocity.member_1h.count > 3
      action: review
      score: 200
    - name: busy_device
      operations: [accrual]
      when: velocity.device_1h.count > 30
      action: deny
      score: 400
    - name: absurd_purchase
      operations: [accrual]
      when: request.amount > 10000
      action: deny
      score: 900
    - name: brittle
      operations: [accrual]
      when: 100 / request.points > 50
      action: review
      score: 10
    - name: draining
      operations: [redemption]
      when: velocity.member_1d.points > 1000 && member.tier != 'diamond'
      action: deny
      score: 500
    - name: card_at_work
      operations: [redemption]
      when: >-
        velocity.card_1h.amount > 500 || velocity.ip_1m.count > 2 || velocity.store_2d.count > 99
      action: review
      score: 50
"""


def program_with(rules: str) -> str:
    """The sample program with other rules of anti-fraud."""
    rest = SAMPLE.read_text().partition("\nantifraud:")[0]
    head = "\nantifraud:\n  deadline_ms: 500\n  fallback_accrual_points_max: 500\n  rules:"
    return rest + head + rules


def operation(
    member: str,
    *,
    kind: int = ACCRUAL,
    points: int = 10,
    amount: str | None = "10.00",
    at: datetime = NOON,
    after: float = 0,
    request_id: str = "",
    tier: str = "",
    **origin: str,
) -> pb.Operation:
    """An operation `after` seconds after an instant."""
    return pb.Operation(
        request_id=request_id or new_id(),
        kind=kind,  # type: ignore[arg-type]
        member_id=member,
        points=points,
        amount=usd(amount) if amount is not None else None,
        occurred_time=to_timestamp(at + timedelta(seconds=after)),
        origin=pb.Origin(**origin),
        tier_id=tier,
    )


def plain(*members: str, **fields: Any) -> pb.PlainOperations:
    """Purchases of 10.00 by members."""
    count = len(members)
    values: dict[str, Any] = {
        "kind": ACCRUAL, "type": "purchase", "member_ids": members, "points": [10] * count,
        "request_ids": [new_id() for _ in members], "currency_code": "USD",
        "amounts_minor": [1000] * count, "occurred_micros": [to_microseconds(NOON)],
    }  # fmt: skip
    return pb.PlainOperations(**{**values, **fields})


class Desk:
    """The anti-fraud service as its callers see it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.stub: AntifraudServiceStub = house.stub(AntifraudServiceStub, "antifraud")

    async def assess(self, *operations: pb.Operation) -> Sequence[pb.Decision]:
        """The decisions on one batch."""
        return (await self.stub.BatchAssess(pb.BatchAssessRequest(operations=operations))).decisions

    async def actions(self, *operations: pb.Operation) -> list[int]:
        """What is to be done with one batch."""
        return [decision.action for decision in await self.assess(*operations)]

    async def run(self, schedule: str) -> None:
        """Does once what the service does by the clock."""
        schedules = self.house.running["antifraud"].service.schedules
        [found] = [one for one in schedules if one.name == schedule]
        await found.run()

    async def list(self, member: str, **fields: object) -> pb.ListAssessmentsResponse:
        """One page of a member's assessments."""
        request = pb.ListAssessmentsRequest(member_id=member, **fields)  # type: ignore[arg-type]
        return await self.stub.ListAssessments(request)

    async def count(self, member: str) -> str:
        """What the member's counter of an hour showed to the rule when it last fired."""
        page = await self.list(member, action=REVIEW, page_size=1)
        return page.assessments[0].fired_rules[0].facts["velocity.member_1h.count"]
