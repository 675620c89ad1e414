"""Reads tiers, growth and decisions from Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from kit.db import Database
from rules.compiled import CompiledProgram, ProgramHistory
from rules.feed import ProgramFeed
from rules.tiers import next_tier
from rules.values import Tier
from tier.ceilings import Ladder, counted, holding
from tier.errors import MemberNotFound
from tier.growth import window_at
from tier.standing import Kind, Standing, tier_in
from tier.tier_store import history_with, load_ceilings, read_standing


@dataclass(frozen=True, slots=True)
class Status:
    """Where a member stands and what is missing, in minor units (TR-12)."""

    member_id: str
    tier: Tier
    """What was earned, as the ladder in force has it."""
    held: Tier
    """The same as the member was told."""
    counted: Tier
    """What the member counts as: the same, unless anti-fraud holds them down."""
    held_down_by: UUID | None
    valid_until: datetime | None
    window_spend_minor: int
    above: Tier | None
    program: CompiledProgram

    @property
    def missing_to_next_minor(self) -> int:
        """Spend that is missing for the tier above; 0 at the top."""
        return max(0, self.above.qualify_minor - self.window_spend_minor) if self.above else 0

    @property
    def missing_to_keep_minor(self) -> int:
        """Spend that is missing to keep the tier, were the review now."""
        return max(0, self.tier.retain_minor - self.window_spend_minor)


@dataclass(frozen=True, slots=True)
class Brief:
    """What services that decide for a member need to know; month 0 and no time when unknown."""

    tier_id: str
    rank: int
    birth_month: int
    enrol_time: datetime | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as it was written down."""

    decision_id: UUID
    member_id: str
    number: int
    kind: Kind
    from_tier_id: str
    to_tier_id: str
    window_spend_minor: int
    threshold_minor: int
    window_start_time: datetime
    occurred_time: datetime
    record_time: datetime
    valid_until_time: datetime | None
    program: CompiledProgram
    cause_event_id: UUID | None


@dataclass(frozen=True, slots=True)
class TierCount:
    """How many members a tier has."""

    tier_id: str
    name: str
    member_count: int


class TierReader:
    """What is known of members' tiers; changes nothing."""

    def __init__(self, database: Database, feed: ProgramFeed) -> None:
        self._database = database
        self._feed = feed

    async def status(self, member_id: str, as_of: datetime) -> Status:
        """A member's tier, with spend counted back from `as_of`. Raises MemberNotFound."""
        history = await self._feed.ensure()
        program = history.in_force(as_of)
        window = window_at(as_of, program)
        async with self._database.transaction(readonly=True) as tx:
            row = await tx.fetchrow("get_status", member_id, window.start, window.end)
            ceilings = (await load_ceilings(tx, [member_id]))[member_id]
        if row is None:
            raise MemberNotFound(member_id=member_id)
        standing = read_standing(row)
        if standing.program_version > history.newest.version:
            await history_with(self._feed, standing.program_version)
            return await self.status(member_id, as_of)
        tier = tier_in(standing, program, history)
        held = _held(standing, tier, history)
        ladder = Ladder(program, history)
        ceiling = holding(tier, ceilings, ladder)
        return Status(
            member_id=member_id,
            tier=tier,
            held=held,
            counted=held if ceiling is None else counted(tier, ceilings, ladder),
            held_down_by=None if ceiling is None else ceiling.action_id,
            valid_until=standing.valid_until,
            window_spend_minor=max(0, row["spend_minor"]),
            above=next_tier(tier, program.ladder),
            program=program,
        )

    async def briefs(self, member_ids: Sequence[str], now: datetime) -> dict[str, Brief]:
        """Tiers, birthdays and enrolments of those members that are known."""
        asked = list(set(member_ids))
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch("get_standings", asked)
            enrolled = {row["member_id"]: row for row in await tx.fetch("get_enrolled", asked)}
            ceilings = await load_ceilings(tx, asked)
        history = await self._history_of(rows)
        program = history.in_force(now)
        found = {}
        for row in rows:
            member_id = row["member_id"]
            tier = tier_in(read_standing(row), program, history)
            lower = counted(tier, ceilings.get(member_id, ()), Ladder(program, history))
            told = row["tier_id"] or tier.id
            profile = enrolled.get(member_id)
            found[member_id] = Brief(
                tier_id=told if lower.rank == tier.rank else lower.id,
                rank=lower.rank,
                birth_month=profile["birth_month"] if profile else 0,
                enrol_time=profile["enrol_time"] if profile else None,
            )
        return found

    async def decisions(self, member_id: str, before: int, size: int) -> list[Recorded]:
        """The decisions about a member with numbers below `before`, newest first."""
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch("list_decisions", member_id, before, size)
        history = await self._history_of(rows)
        return [_read_decision(row, history) for row in rows]

    async def counts(self) -> list[TierCount]:
        """Members of every tier of the newest ladder, lowest first, then of tiers that left it."""
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch("count_tiers")
        history = await self._history_of(rows)
        ladder = history.newest.ladder
        counts = {tier.id: 0 for tier in ladder}
        names = {tier.id: tier.name for tier in ladder}
        for row in sorted(rows, key=lambda row: row["tier_id"] or ""):
            tier_id = _counted_id(row, history)
            counts[tier_id] = counts.get(tier_id, 0) + row["member_count"]
            if tier_id not in names:
                gone = history.version(row["program_version"]).tier(tier_id)
                names[tier_id] = gone.name if gone else tier_id
        return [TierCount(tier_id, names[tier_id], count) for tier_id, count in counts.items()]

    async def _history_of(self, rows: Sequence[Any]) -> ProgramHistory:
        """The versions of the program, those that rows were decided by among them."""
        newest = max((row["program_version"] for row in rows), default=0)
        return await history_with(self._feed, newest)


def _counted_id(row: Any, history: ProgramHistory) -> str:
    """Id of the tier that members count as who have earned the same and are held down alike."""
    program = history.newest
    earned_id: str = row["tier_id"] or program.ladder[0].id
    if not row["ceiling_ids"]:
        return earned_id
    ladder = Ladder(program, history)
    standing = Standing(tier_id=row["tier_id"], program_version=row["program_version"])
    earned = tier_in(standing, program, history)
    tiers = [ladder.tier(tier_id) for tier_id in row["ceiling_ids"]]
    lowest = min(tiers, key=lambda tier: tier.rank)
    return lowest.id if lowest.rank < earned.rank else earned_id


def _held(standing: Standing, tier: Tier, history: ProgramHistory) -> Tier:
    """The tier that the member was told, also where it left the ladder since."""
    if standing.tier_id is None or standing.tier_id == tier.id:
        return tier
    return history.version(standing.program_version).tier(standing.tier_id) or tier


def _read_decision(row: Any, history: ProgramHistory) -> Recorded:
    return Recorded(
        decision_id=row["decision_id"],
        member_id=row["member_id"],
        number=row["number"],
        kind=Kind(row["kind"]),
        from_tier_id=row["from_tier_id"],
        to_tier_id=row["to_tier_id"],
        window_spend_minor=row["window_spend_minor"],
        threshold_minor=row["threshold_minor"],
        window_start_time=row["window_start_time"],
        occurred_time=row["occurred_time"],
        record_time=row["record_time"],
        valid_until_time=row["valid_until_time"],
        program=history.version(row["program_version"]),
        cause_event_id=row["cause_event_id"],
    )
