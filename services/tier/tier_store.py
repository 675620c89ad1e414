"""Growth, tiers and decisions in Postgres."""

from collections import Counter as Count
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import Counter

from kit.clock import Clock, NewId
from kit.db import Database, Transaction
from kit.events import publish
from rules.compiled import ProgramHistory
from rules.feed import ProgramFeed
from tier.ceilings import Ceiling, Demotion, Ladder, ceiling_row, hear, read_ceiling
from tier.errors import ProgramBehind
from tier.events import (
    Events,
    Purchase,
    in_turn,
    members_of,
    program_version_of,
    read_demotions,
    read_purchases,
    tier_changes,
    tier_turned,
)
from tier.growth import Growth, Spend
from tier.standing import (
    Kind,
    Standing,
    decide,
    growth_needed_since,
    review_at,
    review_window,
    tier_in,
)
from tier.steps import Moved, Step, steps_of

MEMBERS_PER_STEP = 1000
RETRY_AFTER_MS = 500

DECISIONS = Counter(
    "laurel_tier_decisions_total", "Decisions about members' tiers, by kind", ("kind",)
)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a run of the review came to."""

    kept_count: int
    demoted_count: int


class TierStore:
    """Decides about tiers: at once on purchases, and at the end of a validity."""

    def __init__(
        self, database: Database, feed: ProgramFeed, *, clock: Clock, new_id: NewId
    ) -> None:
        self._database = database
        self._feed = feed
        self._clock = clock
        self._new_id = new_id

    async def take_events(self, tx: Transaction, events: Events) -> None:
        """Counts the spend of events and decides about their members, in the given transaction."""
        await self._feed.handle_event(tx, events)
        demoting = read_demotions(events)
        others = [event for event in events if not event.HasField("fraud_action_taken")]
        purchases = read_purchases(events)
        demoted = {one.member_id for one in demoting}
        members = sorted({*members_of(others), *demoted, *(one.member_id for one in purchases)})
        if not members:
            return
        # Remote only while a version is missing, and then nothing but the inbox row is held.
        history = await history_with(self._feed, program_version_of(events))
        await tx.execute("add_members", members)
        standings = _standings(await tx.fetch("lock_members", members))
        _check_known(standings.values(), history)
        fresh = await _add_growth(tx, purchases)
        growth = await _load_growth(tx, standings, fresh, history)
        steps: list[Step] = []
        moved: list[Moved] = []
        for member_id, spends in fresh.items():
            before = standings[member_id]
            after, decisions = decide(before, Growth(growth[member_id]), spends, history)
            if decisions:
                steps += steps_of(member_id, before, decisions)
                moved.append(Moved(member_id, after))
        await self._write(tx, steps, moved, history)
        if demoting:
            await self._hear(tx, demoting, standings | dict(moved), history)

    async def _hear(
        self,
        tx: Transaction,
        demoting: Sequence[Demotion],
        standings: Mapping[str, Standing],
        history: ProgramHistory,
    ) -> None:
        """Takes up what anti-fraud did to members, who are locked."""
        now = self._clock()
        ladder = Ladder(history.in_force(now), history)
        members = sorted({one.member_id for one in demoting})
        rows = await tx.fetch("load_ceilings", members, [one.action_id for one in demoting])
        known = {row["action_id"]: read_ceiling(row) for row in rows}
        earned = {m: tier_in(standings[m], ladder.program, history) for m in members}
        turns = hear(known, demoting, earned, ladder)
        await tx.execute("note_ceilings", *_columns(map(ceiling_row, known.values())))
        until = {member_id: standings[member_id].valid_until for member_id in members}
        told = [tier_turned(turn, until[turn.member_id], ladder.program, now) for turn in turns]
        await self._tell(tx, told)

    async def run_review(self, as_of: datetime) -> Reviewed:
        """Reviews until nobody is due: one level for each validity that has ended."""
        history = await self._feed.ensure()
        counts: Count[Kind] = Count()
        # First whoever is free, so that two runs share the work; then those whom others hold.
        for statement in ("lock_due_free", "lock_due"):
            while made := await self._review_some(statement, as_of, history):
                counts += made
        return Reviewed(counts[Kind.RETENTION], counts[Kind.DEMOTION])

    async def _review_some(
        self, statement: str, as_of: datetime, history: ProgramHistory
    ) -> Count[Kind]:
        async with self._database.transaction() as tx:
            due = await tx.fetch(statement, as_of, MEMBERS_PER_STEP)
            if not due:
                return Count()
            standings = _standings(due)
            _check_known(standings.values(), history)
            windows = [
                review_window(row["valid_until_time"], standings[row["member_id"]], history)
                for row in due
            ]
            members = list(standings)
            starts, ends = [w.start for w in windows], [w.end for w in windows]
            sums = await tx.fetch("sum_growth", members, starts, ends)
            steps: list[Step] = []
            moved: list[Moved] = []
            for row, total in zip(due, sums, strict=True):
                before, spend = standings[row["member_id"]], max(0, total["spend_minor"])
                after, decisions = review_at(row["valid_until_time"], before, spend, history)
                steps += steps_of(row["member_id"], before, decisions)
                moved.append(Moved(row["member_id"], after))
            await self._write(tx, steps, moved, history)
        return Count(step.decision.kind for step in steps)

    async def _write(
        self,
        tx: Transaction,
        steps: Sequence[Step],
        moved: Sequence[Moved],
        history: ProgramHistory,
    ) -> None:
        if not steps:
            return
        now = self._clock()
        await tx.execute("add_decisions", *_columns(_step_row(step) for step in steps), now)
        ceilings = await load_ceilings(tx, [member.member_id for member in moved])
        # Before the standings: whoever was never told of a tier was told by the last decision.
        await self._tell(tx, tier_changes(steps, ceilings, history, now))
        await tx.execute("set_standings", *_columns(_moved_row(member) for member in moved))
        for kind, count in Count(step.decision.kind for step in steps).items():
            DECISIONS.labels(kind.name).inc(count)

    async def _tell(self, tx: Transaction, events: Events) -> None:
        """Tells that members count as another tier, each behind what was told of them before."""
        if not events:
            return
        rows = await tx.fetch("get_told_times", members_of(events))
        latest = in_turn(events, {row["member_id"]: row["told_time"] for row in rows})
        await tx.execute("set_told_times", list(latest), list(latest.values()))
        await publish(tx, self._new_id, events)


async def history_with(feed: ProgramFeed, version: int) -> ProgramHistory:
    """The versions of the program, that one among them; it is asked for where another process has
    heard of it first. Raises ProgramBehind.
    """
    history = await feed.ensure()
    if version > history.newest.version:
        await feed.refresh()
        history = await feed.ensure()
    _check_version(version, history)
    return history


def _check_known(standings: Iterable[Standing], history: ProgramHistory) -> None:
    """Raises ProgramBehind where a member was decided about by a version that is not known here."""
    _check_version(max((one.program_version for one in standings), default=0), history)


def _check_version(version: int, history: ProgramHistory) -> None:
    known = history.newest.version
    if version > known:
        raise ProgramBehind(version=version, known=known, retry_after_ms=RETRY_AFTER_MS)


async def load_ceilings(tx: Transaction, members: Sequence[str]) -> dict[str, list[Ceiling]]:
    """What anti-fraud holds members down to, for those whom it does."""
    found: dict[str, list[Ceiling]] = defaultdict(list)
    for row in await tx.fetch("load_ceilings", members, []):
        found[row["member_id"]].append(read_ceiling(row))
    return found


async def _add_growth(tx: Transaction, purchases: Sequence[Purchase]) -> dict[str, list[Spend]]:
    """Counts what was not counted before, and says what that was, by member."""
    fresh: dict[str, list[Spend]] = defaultdict(list)
    if purchases:
        for row in await tx.fetch("add_growth", *_columns(map(_purchase_row, purchases))):
            fresh[row["member_id"]].append(_read_spend(row))
    return fresh


async def _load_growth(
    tx: Transaction,
    standings: Mapping[str, Standing],
    fresh: Mapping[str, Sequence[Spend]],
    history: ProgramHistory,
) -> dict[str, list[Spend]]:
    found: dict[str, list[Spend]] = defaultdict(list)
    if fresh:
        since = [growth_needed_since(standings[m], fresh[m], history) for m in fresh]
        for row in await tx.fetch("get_growth", list(fresh), since):
            found[row["member_id"]].append(_read_spend(row))
    return found


def _purchase_row(purchase: Purchase) -> tuple[object, ...]:
    member_id, transaction_id, spend = purchase
    return member_id, spend.counted_time, spend.event_id, transaction_id, spend.spend_minor


def _read_spend(row: Any) -> Spend:
    return Spend(row["counted_time"], row["event_id"], row["spend_minor"])


def _standings(rows: Iterable[Any]) -> dict[str, Standing]:
    return {row["member_id"]: read_standing(row) for row in rows}


def read_standing(row: Any) -> Standing:
    """Where a member stands, from a row of `member`."""
    return Standing(
        tier_id=row["tier_id"],
        valid_until=row["valid_until_time"],
        program_version=row["program_version"],
        decide_time=row["decide_time"],
        decision_count=row["decision_count"],
    )


def _columns(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _step_row(step: Step) -> tuple[object, ...]:
    made = step.decision
    return (
        step.member_id, step.number, step.decision_id, int(made.kind), made.from_tier_id,
        made.origin.rank, made.target.id, made.target.rank, made.window_spend_minor,
        made.threshold_minor, made.window.start, made.occurred_time, made.valid_until,
        made.program_version, made.cause_event_id,
    )  # fmt: skip


def _moved_row(moved: Moved) -> tuple[object, ...]:
    member_id, now = moved
    return (
        member_id, now.tier_id, now.valid_until, now.program_version, now.decide_time,
        now.decision_count,
    )  # fmt: skip
