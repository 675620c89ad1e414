"""How far a member has come in streaks and challenges, readable at any time (PT-04)."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import IntEnum

from kit.db import Database
from points.counting import Counting, Slot, slot_of
from points.progress_store import load_slots
from rules.accrual_values import Challenge, Counter, Key, Measure, Streak
from rules.calendar import add_days
from rules.challenges import challenge_key
from rules.compiled import CompiledProgram
from rules.feed import ProgramFeed
from rules.streaks import days_standing

_MEASURES = {Measure.POINTS: "points", Measure.SPEND: "spend", Measure.COUNT: "count"}


class ChallengeKind(IntEnum):
    """What is to be completed; numbers as in the contract."""

    STREAK = 1
    CHALLENGE = 2
    TEAM_CHALLENGE = 3


@dataclass(frozen=True, slots=True)
class ChallengeView:
    """A streak or challenge of the program with a member's progress in it."""

    name: str
    kind: ChallengeKind
    measure: str
    target: int
    progress: int
    completed_count: int
    bonus_points: int
    badge: str
    start_time: datetime | None
    end_time: datetime | None
    team_id: str
    program_version: int


class ChallengeReader:
    """Reads progress; changes nothing."""

    def __init__(self, database: Database, feed: ProgramFeed) -> None:
        self._database = database
        self._feed = feed

    async def progress(self, member_id: str, at: datetime) -> list[ChallengeView]:
        """Every streak and challenge of the program in force at an instant, in its order."""
        program = (await self._feed.ensure()).in_force(at)
        local = at.astimezone(program.zone)
        accrual = program.accrual
        streaks = {streak: Key(False, f"streak:{streak.name}", "") for streak in accrual.streaks}
        challenges = {one: challenge_key(one, local) for one in accrual.challenges}
        counting = Counting()
        async with self._database.transaction(readonly=True) as tx:
            team_id = await tx.fetchval("get_team_of", member_id) or ""
            keys = [*streaks.values(), *challenges.values()]
            slots = {slot_of(key, member_id, team_id) for key in keys}
            if slots:
                await load_slots(tx, counting, slots, locked=False)
        views = [
            _streak(one, counting.counter(Slot(member_id, key)), local, program)
            for one, key in streaks.items()
        ]
        views += [
            _challenge(
                one, counting.counter(slot_of(key, member_id, team_id)), local, team_id, program
            )
            for one, key in challenges.items()
        ]
        return views


def _streak(
    streak: Streak, counter: Counter, local: datetime, program: CompiledProgram
) -> ChallengeView:
    return ChallengeView(
        streak.name, ChallengeKind.STREAK, "days", streak.days,
        days_standing(counter, local.toordinal()), counter.reached, streak.bonus_points,
        streak.badge, None, None, "", program.version,
    )  # fmt: skip


def _challenge(
    challenge: Challenge,
    counter: Counter,
    local: datetime,
    team_id: str,
    program: CompiledProgram,
) -> ChallengeView:
    start, end = _period(challenge, counter, local, program)
    over = challenge.days and (start is None or not start <= local < end)  # type: ignore[operator]
    if over:
        # The days have passed; they begin anew with the next event.
        counter, start, end = Counter(), None, None
    kind = ChallengeKind.TEAM_CHALLENGE if challenge.team else ChallengeKind.CHALLENGE
    return ChallengeView(
        challenge.name, kind, _MEASURES[challenge.measure], challenge.target, counter.amount,
        counter.reached, challenge.bonus_points, challenge.badge, start, end,
        team_id if challenge.team else "", program.version,
    )  # fmt: skip


def _period(
    challenge: Challenge, counter: Counter, local: datetime, program: CompiledProgram
) -> tuple[datetime | None, datetime | None]:
    if challenge.window is not None:
        return challenge.window.start, challenge.window.end
    if challenge.days:
        if not counter.day:
            return None, None
        start = _midnight(date.fromordinal(counter.day), program)
        return start, add_days(start, challenge.days, program.zone)
    first = local.date().replace(day=1)
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return _midnight(first, program), _midnight(following, program)


def _midnight(day: date, program: CompiledProgram) -> datetime:
    return datetime.combine(day, time(), program.zone).astimezone(UTC)
