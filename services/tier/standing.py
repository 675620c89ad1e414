"""Which tier a member is in, step by step through time (TR-03, TR-04).

A member's steps are made in the order of world time, not of arrival: before a purchase is looked
at, the reviews that were due by then are made. So it does not matter how purchases were split into
batches, or how late a review runs.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from uuid import UUID

from rules.calendar import add_months
from rules.compiled import CompiledProgram, ProgramHistory
from rules.tiers import Keep, decide_upgrade, review
from rules.values import Tier
from tier.growth import BEGINNING, Growth, Spend, Window, turn_of, window_at, window_before

DAYS_OF_MONTH_MAX = 31


class Kind(IntEnum):
    """What was decided; numbers as in the contract."""

    UPGRADE = 1
    RETENTION = 2
    DEMOTION = 3


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member stands. Without a tier: in the lowest one of whatever ladder is in force."""

    tier_id: str | None = None
    valid_until: datetime | None = None
    program_version: int = 0
    decide_time: datetime | None = None
    decision_count: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """A step of a member, with all that it was decided on (TR-13)."""

    kind: Kind
    origin: Tier
    from_tier_id: str
    target: Tier
    window: Window
    window_spend_minor: int
    threshold_minor: int
    occurred_time: datetime
    valid_until: datetime | None
    program_version: int
    cause_event_id: UUID | None


Steps = tuple[Standing, list[Decision]]


def tier_in(standing: Standing, program: CompiledProgram, history: ProgramHistory) -> Tier:
    """The member's tier in a program's ladder."""
    if standing.tier_id is None:
        return program.ladder[0]
    return tier_of(standing.tier_id, program, history)


def tier_of(tier_id: str, program: CompiledProgram, history: ProgramHistory) -> Tier:
    """A tier of some version in a program's ladder, for points and checkout alike.

    One that left the ladder counts as the highest one there that asks for no more than it did when
    it was last there.
    """
    return history.version(program.version).counted_tier(tier_id) or program.ladder[0]


def growth_needed_since(
    standing: Standing, fresh: Sequence[Spend], history: ProgramHistory
) -> datetime:
    """From when on `decide` needs growth: all of it for spend older than the last decision."""
    first = min(spend.counted_time for spend in fresh)
    if standing.decide_time is not None and first < standing.decide_time:
        return BEGINNING
    months = max(history.version(number).window_months for number in history.versions())
    anchor = min(first, standing.valid_until or first)
    return anchor - timedelta(days=months * DAYS_OF_MONTH_MAX + 1)


def decide(
    standing: Standing, growth: Growth, fresh: Sequence[Spend], history: ProgramHistory
) -> Steps:
    """The steps that new spend leads to; `growth` holds it already. A return leads to none."""
    gains = sorted(spend for spend in fresh if spend.spend_minor > 0)
    if not gains:
        return standing, []
    first = gains[0].counted_time
    made: list[Decision] = []
    if standing.decide_time is not None and first < standing.decide_time:
        first = standing.decide_time
        standing, made = _restate(standing, first, growth, gains, history)
    standing, more = _advance(standing, growth, growth.between(first), gains, history)
    return standing, made + more


def review_window(end: datetime, standing: Standing, history: ProgramHistory) -> Window:
    """The window that a review at the end of a validity looks at."""
    return window_before(end, standing.decide_time, history.in_force(end))


def review_at(
    end: datetime, standing: Standing, spend_minor: int, history: ProgramHistory
) -> Steps:
    """The review as of the end of a validity: kept for another one, or down by one level."""
    program = history.in_force(end)
    origin = tier_in(standing, program, history)
    verdict = review(origin.rank, spend_minor, program.ladder)
    decision = Decision(
        kind=Kind.RETENTION if isinstance(verdict, Keep) else Kind.DEMOTION,
        origin=origin,
        from_tier_id=standing.tier_id or origin.id,
        target=verdict.tier,
        window=review_window(end, standing, history),
        window_spend_minor=spend_minor,
        threshold_minor=verdict.threshold_minor,
        occurred_time=end,
        valid_until=_held_until(end, verdict.tier, program),
        program_version=program.version,
        cause_event_id=None,
    )
    return _after(standing, decision), [decision]


def _held_until(since: datetime, tier: Tier, program: CompiledProgram) -> datetime | None:
    return add_months(since, program.validity_months, program.zone) if tier.rank else None


def _after(standing: Standing, decision: Decision) -> Standing:
    decided = standing.decide_time or decision.occurred_time
    return Standing(
        tier_id=decision.target.id if decision.target.rank else None,
        valid_until=decision.valid_until,
        program_version=decision.program_version,
        decide_time=max(decided, decision.occurred_time),
        decision_count=standing.decision_count + 1,
    )


def _reviews_due(
    standing: Standing, until: datetime, growth: Growth, history: ProgramHistory
) -> Steps:
    made: list[Decision] = []
    while (end := standing.valid_until) is not None and end <= until:
        spend = growth.spend_in(review_window(end, standing, history))
        standing, step = review_at(end, standing, spend, history)
        made += step
    return standing, made


def _advance(
    standing: Standing,
    growth: Growth,
    turns: range,
    gains: Sequence[Spend],
    history: ProgramHistory,
) -> Steps:
    made: list[Decision] = []
    for turn in turns:
        standing, reviews = _reviews_due(
            standing, growth.spends[turn].counted_time, growth, history
        )
        made += reviews
        upgrade = _upgrade_at(standing, turn, growth, gains, history)
        if upgrade is not None:
            standing = _after(standing, upgrade)
            made.append(upgrade)
    return standing, made


def _upgrade_at(
    standing: Standing,
    turn: int,
    growth: Growth,
    gains: Sequence[Spend],
    history: ProgramHistory,
) -> Decision | None:
    instant = growth.spends[turn].counted_time
    program = history.in_force(instant)
    origin = tier_in(standing, program, history)
    window = window_at(instant, program)
    spend = growth.spend_through(turn + 1, window.start)
    target = decide_upgrade(origin, spend, program.ladder)
    if target is None:
        return None
    held_until = add_months(instant, program.validity_months, program.zone)
    return Decision(
        kind=Kind.UPGRADE,
        origin=origin,
        from_tier_id=standing.tier_id or origin.id,
        target=target,
        window=window,
        window_spend_minor=spend,
        threshold_minor=target.qualify_minor,
        occurred_time=instant,
        # A purchase that came late never shortens what the member was told.
        valid_until=max(held_until, standing.valid_until or held_until),
        program_version=program.version,
        cause_event_id=_cause(gains, growth.spends[turn]),
    )


def _cause(gains: Sequence[Spend], turn: Spend) -> UUID:
    """The newest of the new spends up to a turn: without it there would be no step."""
    count = bisect_right(gains, turn_of(turn), key=turn_of)
    return gains[max(0, count - 1)].event_id


def _late_cause(gains: Sequence[Spend], until: datetime) -> UUID:
    count = bisect_right(gains, until, key=lambda spend: spend.counted_time)
    return gains[max(0, count - 1)].event_id


def _restate(
    standing: Standing,
    horizon: datetime,
    growth: Growth,
    gains: Sequence[Spend],
    history: ProgramHistory,
) -> Steps:
    """Raises a member to where they would stand had late spend come in time; never lowers."""
    turns = growth.between(BEGINNING, horizon)
    replayed, steps = _advance(Standing(), growth, turns, gains, history)
    replayed, reviews = _reviews_due(replayed, horizon, growth, history)
    last = (steps + reviews)[-1:]
    if not last or replayed.valid_until is None:
        return standing, []
    step = last[0]
    origin = tier_in(standing, history.version(step.program_version), history)
    if step.target.rank <= origin.rank:
        return standing, []
    decision = replace(
        step,
        kind=Kind.UPGRADE,
        origin=origin,
        from_tier_id=standing.tier_id or origin.id,
        # The level below a tier that was not kept is given without any spend.
        threshold_minor=0 if step.kind is Kind.DEMOTION else step.threshold_minor,
        valid_until=max(replayed.valid_until, standing.valid_until or replayed.valid_until),
        cause_event_id=step.cause_event_id or _late_cause(gains, step.occurred_time),
    )
    return _after(standing, decision), [decision]
