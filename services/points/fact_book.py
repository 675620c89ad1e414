"""What rules need to know before they decide: facts about members, cards, teams, counters.

Read without a lock; what was counted is looked at again when it is booked.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kit.db import Database, Transaction
from points.counting import Counting, slot_of
from points.progress_store import load_slots
from points.remote import MemberFact, TierClient
from points.rule_accruals import Plan, keys_of, plan_of
from points.values import Accrue
from rules.accrual_values import Key, MemberFacts


@dataclass(frozen=True, slots=True)
class _Card:
    """A benefit that a member held for a while."""

    card: str
    grant_time: datetime
    expire_time: datetime | None
    used_time: datetime | None

    def held_at(self, at: datetime) -> bool:
        ends = [time for time in (self.expire_time, self.used_time) if time is not None]
        return self.grant_time <= at and all(at < end for end in ends)


@dataclass(frozen=True, slots=True)
class _Person:
    """What is noted of a member."""

    birth_month: int
    enrol_time: datetime | None
    team_id: str
    cards: tuple[_Card, ...]


@dataclass(frozen=True, slots=True)
class Scenes:
    """What was seen for a batch: makes plans of its commands."""

    members: Mapping[str, MemberFacts]
    keys: Mapping[str, frozenset[Key]]
    counting: Counting

    def plan(self, command: Accrue) -> Plan:
        """What an activity would earn by what was seen. Raises AmountTooLarge."""
        member = self.members[command.request_id]
        keys = self.keys[command.request_id]
        return plan_of(
            command, member, keys, self.counting.shown(keys, command.member_id, member.team_id)
        )


class FactBook:
    """Looks up what rules need; asks the tier service about a member not met before."""

    def __init__(self, database: Database, client: TierClient) -> None:
        self._database = database
        self._client = client

    async def look_up(self, commands: Sequence[Accrue], tiers: Mapping[str, str]) -> Scenes:
        """What is known for commands; `tiers` has the ids of those that are known."""
        people = await self._people(commands)
        members = {}
        for command in commands:
            person, at = people[command.member_id], command.occurred_time
            members[command.request_id] = MemberFacts(
                tier=command.program.counted_tier(tiers.get(command.member_id, "")),
                birth_month=person.birth_month,
                enrol_time=person.enrol_time,
                cards=tuple(dict.fromkeys(c.card for c in person.cards if c.held_at(at))),
                team_id=person.team_id if command.program.accrual.has_teams else "",
            )
        keys = {c.request_id: keys_of(c, members[c.request_id]) for c in commands}
        counting = Counting()
        slots = {
            slot_of(key, command.member_id, members[command.request_id].team_id)
            for command in commands
            for key in keys[command.request_id]
        }
        if slots:
            async with self._database.statements() as tx:
                await load_slots(tx, counting, slots, locked=False)
        return Scenes(members, keys, counting)

    async def _people(self, commands: Sequence[Accrue]) -> dict[str, _Person]:
        members = sorted({command.member_id for command in commands})
        since = min(command.occurred_time for command in commands)
        async with self._database.statements() as tx:
            rows = await tx.fetch("find_member_facts", members)
            cards: defaultdict[str, list[_Card]] = defaultdict(list)
            for card in await tx.fetch("find_cards", members, since):
                cards[card["member_id"]].append(_Card(*tuple(card)[1:]))
        unknown = [row["member_id"] for row in rows if not row["is_known"]]
        told = await self._ask(unknown) if unknown else {}
        people = {}
        for row in rows:
            member_id = row["member_id"]
            fact = told.get(member_id) or MemberFact(*tuple(row)[:1], *tuple(row)[2:4])
            people[member_id] = _Person(
                fact.birth_month, fact.enrol_time, row["team_id"], tuple(cards[member_id])
            )
        return people

    async def _ask(self, members: Sequence[str]) -> dict[str, MemberFact]:
        told = await self._client.get_facts(members)
        if not told:
            return {}
        async with self._database.transaction() as tx:
            await note_members(tx, told)
        return {fact.member_id: fact for fact in told}


async def note_members(tx: Transaction, facts: Sequence[MemberFact]) -> None:
    """Keeps what is known of members; what is unknown never replaces what is known."""
    # A member twice in one statement would be a second change of one row.
    latest = {fact.member_id: fact for fact in facts}
    columns = [list(column) for column in zip(*latest.values(), strict=True)]
    await tx.execute("note_members", *columns)
