"""A desk whose rules read every fact about the member, and short ways to tell it of members."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from fraud_desk import ACCRUAL, NOON, REDEMPTION, Desk, operation

from house import House
from kit.clock import to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as pb

MINUTE, HOUR, DAY = 60, 3600, 86400
AMSTERDAM = pb.Location(latitude_degrees=52.3676, longitude_degrees=4.9041)
UTRECHT = pb.Location(latitude_degrees=52.0907, longitude_degrees=5.1214)
TOKYO = pb.Location(latitude_degrees=35.6762, longitude_degrees=139.6503)
NEVER = "1000000000"

# What fires it is always true: so each assessment shows what the rules saw.
WITNESS = """
    - name: witness
      operations: [accrual, redemption]
      when: >-
        (member.known || !member.known) && member.age_days >= -1 && member.status != 'x' &&
        size(member.tags) >= 0 && !('nobody' in member.tags) &&
        member.minutes_since_profile_change >= 0 && member.minutes_since_login >= 0 &&
        member.minutes_since_new_device >= 0 && request.device_age_minutes >= 0 &&
        history.count >= 0 && history.points_mean >= 0.0 && history.points_deviation >= 0.0 &&
        history.amount_mean >= 0.0 && history.amount_deviation >= 0.0 && travel.km >= 0.0 &&
        travel.kmh >= 0.0 && member.refund_ratio >= 0.0 && member.refund_count >= 0 &&
        gifts.senders >= 0 && (gifts.cycle || !gifts.cycle)
      action: allow
      score: 0
"""
DECIDING = """
    - {name: too_much, operations: [accrual, redemption], when: request.points > 5000, action: deny, score: 1}
    - {name: look, operations: [accrual, redemption], when: request.points == 777, action: review, score: 1}
    - name: impossible_travel
      operations: [redemption]
      when: travel.km > 300 && travel.kmh > 1000
      action: deny
      score: 800
    - name: new_account
      operations: [redemption]
      when: member.known && member.age_days < 7 && request.points > 1000
      action: deny
      score: 300
    - name: fresh_take_over
      operations: [redemption]
      when: member.minutes_since_profile_change < 60 && request.device_age_minutes < 60
      action: deny
      score: 600
    - name: far_above_own_habit
      operations: [redemption]
      when: >-
        history.count >= 5 &&
        double(request.points) > history.points_mean + 4.0 * history.points_deviation + 100.0
      action: review
      score: 200
    - name: employee
      operations: [redemption]
      when: "'employee' in member.tags && request.channel == 'store'"
      action: deny
      score: 100
    - name: refund_abuse
      operations: [redemption]
      when: member.refund_ratio > 0.2 && member.refund_count > 1 && request.points > 4000
      action: review
      score: 300
    - {name: ring, operations: [redemption], when: gifts.cycle, action: deny, score: 900}
    - {name: collector, operations: [redemption], when: gifts.senders > 5, action: deny, score: 700}
"""  # noqa: E501


class MemberDesk(Desk):
    """The anti-fraud service, as its callers and the company's platform see it."""

    def __init__(self, house: House) -> None:
        super().__init__(house)

    async def seen(self, *operations: pb.Operation) -> list[dict[str, str]]:
        """What the rules saw of each operation of one batch."""
        await self.assess(*operations)
        found = {}
        for member in {one.member_id for one in operations}:
            for known in (await self.list(member, page_size=1000)).assessments:
                found[known.request_id] = dict(known.fired_rules[0].facts)
        return [found[one.request_id] for one in operations]

    async def see(self, one: pb.Operation) -> dict[str, str]:
        """What the rules saw of an operation."""
        return (await self.seen(one))[0]

    async def report(self, *activities: pb.Activity) -> int:
        """Of how many members reports told something new."""
        request = pb.ReportActivitiesRequest(activities=activities)
        return (await self.stub.ReportActivities(request)).changed_member_count

    async def state(self, member: str) -> dict[str, Any]:
        """What is stored of a member."""
        [row] = await self.house.fetch(
            "SELECT state FROM antifraud.profile WHERE member_id = $1", member
        )
        state: dict[str, Any] = orjson.loads(row["state"])
        return state


def activity(member: str, kind: int, at: datetime = NOON, **fields: object) -> pb.Activity:
    """A report."""
    return pb.Activity(
        member_id=member,
        kind=kind,  # type: ignore[arg-type]
        occurred_time=to_timestamp(at),
        **fields,  # type: ignore[arg-type]
    )


def login(member: str, at: datetime = NOON, device: str = "") -> pb.Activity:
    """A log-in."""
    origin = pb.Origin(device=device) if device else None
    return activity(member, pb.ACTIVITY_KIND_LOGIN, at, origin=origin)


def changed(member: str, at: datetime = NOON) -> pb.Activity:
    """A change of the profile."""
    return activity(member, pb.ACTIVITY_KIND_PROFILE_CHANGE, at)


def tagged(member: str, tags: Sequence[str], at: datetime = NOON) -> pb.Activity:
    """Other tags."""
    return activity(member, pb.ACTIVITY_KIND_TAGS_CHANGE, at, tags=tags)


def spend(member: str, after: float = 0, **fields: object) -> pb.Operation:
    """A redemption, so many seconds after noon."""
    return operation(member, kind=REDEMPTION, after=after, **fields)  # type: ignore[arg-type]


def earn(member: str, after: float = 0, **fields: object) -> pb.Operation:
    """An accrual, so many seconds after noon."""
    return operation(member, kind=ACCRUAL, after=after, **fields)  # type: ignore[arg-type]


def gift(giver: str, receiver: str, after: float = 0, **fields: object) -> pb.Operation:
    """A gift, so many seconds after noon."""
    given = spend(giver, after, **fields)
    given.type, given.counterparty_member_id = "gift", receiver
    return given
