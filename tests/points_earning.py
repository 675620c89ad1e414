"""Calls about activities, challenges and teams in a few words."""

from datetime import datetime
from typing import Any

from accrual_programs import text_of
from house import new_id, usd
from kit.clock import to_timestamp
from laurel.points.v1 import activities_pb2 as activities
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import Ledger, calm

RULES = """\
  rules:
    - name: spend
      points_per_unit: 1
      coefficients:
        - {name: repeat, factor: 1.5, categories: [baby], from_purchase: 2}
        - {name: birthday, factor: 2, group: campaign, birthday_month: true}
        - {name: member_day, factor: 2, group: campaign, month_days: [8]}
        - {name: card, factor: 2, group: campaign, card: gold_welcome}
    - {name: first_order, fixed_points: 50, when: member.first_order}
    - {name: promo, points_per_unit: 0.1, when: 'order.channel == "app"', pending_days: 7}
    - {name: check_in, event: check_in, fixed_points: 10, caps: {day: 10}}
    - {name: share, event: share, fixed_points: 20, caps: {month: 50}}
    - {name: refer, event: referral, fixed_points: 200, caps: {reference: 200}}
  groups: [{name: campaign, stacking: multiply, factor_max: 3}]
  streaks:
    - {name: three_days, event: check_in, days: 3, bonus_points: 30, badge: faithful}
  challenges:
    - name: big_month
      measure: points
      target: 3000
      events: [purchase]
      calendar_month: true
      bonus_points: 500
    - {name: sprint, measure: count, target: 2, events: [share], days: 7, badge: sharer}
    - name: together
      measure: spend
      target: 100
      events: [purchase]
      calendar_month: true
      bonus_points: 40
      badge: team_player
      team: true
"""
LADDER = "    - {name: ladder, ladder: {per_amount: 50, points: 5}}\n"


def calm_rules(rules: str = RULES, deadline_ms: int = 500) -> str:
    """A program of many rules, active at once, with no rule of anti-fraud."""
    return calm(text_of(rules), deadline_ms=deadline_ms)


def with_ladder(rules: str = RULES) -> str:
    """Rules with 5 points more for each full 50 of spend."""
    head, first, rest = rules.partition("    - {name: check_in")
    return head + LADDER + first + rest


class Earner(Ledger):
    """A ledger with calls about activities."""

    def activity(
        self, member: str, event: str, at: datetime | None = None, **fields: Any
    ) -> pb.AccrueActivityRequest:
        """A request to accrue for an activity, with an id of its own unless given."""
        activity = activities.Activity(
            event_type=event,
            attributes=fields.pop("attributes", {}),
            reference_member_id=fields.pop("reference", ""),
        )
        fields = {"request_id": new_id(), **fields}
        if at is not None:
            fields["occurred_time"] = to_timestamp(at)
        return pb.AccrueActivityRequest(member_id=member, activity=activity, **fields)

    async def do(
        self, member: str, event: str, at: datetime | None = None, **fields: Any
    ) -> pb.Transaction:
        """Accrues for an activity, and returns the transaction."""
        request = self.activity(member, event, at, **fields)
        return (await self.stub.AccrueActivity(request)).transaction

    async def buy(
        self,
        member: str,
        amount: str,
        at: datetime | None = None,
        categories: tuple[str, ...] = (),
        lines: tuple[tuple[str, str, str], ...] = (),
        **fields: Any,
    ) -> pb.Transaction:
        """Buys lines of id, category and amount, or just of categories."""
        purchase = pb.Purchase(order_id=new_id(), amount=usd(amount), categories=categories)
        for line_id, category, paid in lines:
            purchase.lines.add(line_id=line_id, category=category, quantity=1, amount=usd(paid))
        return await self.accrue(member, amount, at, purchase=purchase, **fields)

    async def challenges(
        self, member: str, at: datetime | None = None, **fields: Any
    ) -> dict[str, activities.Challenge]:
        """By name, how far a member has come."""
        if at is not None:
            fields["as_of_time"] = to_timestamp(at)
        request = activities.ListChallengesRequest(member_id=member, **fields)
        return {one.name: one for one in (await self.stub.ListChallenges(request)).challenges}

    async def team(self, *members: str) -> str:
        """A new team of members."""
        team_id = f"t-{new_id()}"
        await self.stub.CreateTeam(
            activities.CreateTeamRequest(request_id=new_id(), team_id=team_id, name="Team")
        )
        for member in members:
            await self.stub.AddTeamMember(
                activities.AddTeamMemberRequest(
                    request_id=new_id(), team_id=team_id, member_id=member
                )
            )
        return team_id
