"""What an activity earns, all of it: points, bonuses, badges, and what is counted from it.

`evaluate` is pure: the same activity, member, progress and program always give the same. What it
needs to know of the progress `needed_keys` names. What a return needs later is in `basis`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from rules.accrual_facts import ORDERS, Scene, categories_of, category_key
from rules.accrual_periods import cap_keys
from rules.accrual_program import AccrualProgram, EventRules
from rules.accrual_rules import Answers, Found, Settled, Share, find, parts_of, settle
from rules.accrual_values import (
    NOTHING,
    PURCHASE,
    Activity,
    Challenge,
    Counter,
    Key,
    Measure,
    MemberFacts,
    OrderLine,
    Progress,
)
from rules.challenges import advance, challenge_key, stretch_key
from rules.compiled import CompiledProgram
from rules.earn_rules import Purchase
from rules.earning import Line, earn
from rules.streaks import stride
from rules.values import Tier


class Bonus(NamedTuple):
    """A streak or challenge that was completed: points of 0 or more, and perhaps a badge.

    `team` says that every member of the team gets it; `key` names the counter that reached it.
    """

    key: Key
    name: str
    period: str
    points: int
    badge: str
    team: bool
    line: Line


class Accrued(NamedTuple):
    """What an activity earned and what it leaves behind.

    `lines` add up to `points`, and so do `shares`, the lots; `changes` are the counters as they
    then stand; `ended` are those of challenges whose days had ended, by where they are kept from
    now on; `basis` is JSON that `settle_kept` and `taken_back` read.
    """

    points: int
    lines: tuple[Line, ...]
    shares: tuple[Share, ...]
    bonuses: tuple[Bonus, ...]
    changes: Mapping[Key, Counter]
    ended: Mapping[Key, Key]
    basis: dict[str, Any]

    @property
    def points_with_bonuses(self) -> int:
        """All that the member gets at once."""
        return self.points + sum(bonus.points for bonus in self.bonuses if not bonus.team)


def needed_keys(activity: Activity, member: MemberFacts, program: CompiledProgram) -> set[Key]:
    """The counters that `evaluate` will look at."""
    accrual = program.accrual
    event = accrual.of(activity.event)
    local = activity.at.astimezone(accrual.zone)
    keys = set(event.fact_keys)
    keys.update(_purchase_keys(activity, accrual))
    keys.update(_category_keys(activity, event))
    for rule in event.rules:
        keys.update(key for key, _, _ in cap_keys(rule, activity, local))
    keys.update(_streak_key(streak.name) for streak in event.streaks)
    for challenge in _open_challenges(event, activity, member):
        keys.add(challenge_key(challenge, local))
    return keys


def evaluate(
    activity: Activity, member: MemberFacts, progress: Progress, program: CompiledProgram
) -> Accrued:
    """Decides what an activity earns. Raises PointsOutOfRange."""
    accrual = program.accrual
    event = accrual.of(activity.event)
    local = activity.at.astimezone(accrual.zone)
    scene = Scene(activity, member, progress, local, 10**accrual.minor_digits)
    answers = _answers(event, scene)
    found, not_applied = find(scene, answers, accrual)
    parts = parts_of(activity)
    settled = settle(activity.amount_minor, parts, found, member.tier, accrual)
    changes: dict[Key, Counter] = {}
    _count_caps(changes, scene, found, settled)
    for key in _purchase_keys(activity, accrual):
        changes[key] = _plus(progress, key, 1)
    bonuses = _run_streaks(changes, event, scene, answers)
    more, ended = _run_challenges(changes, event, scene, answers, settled.points)
    bonuses += more
    basis = _basis(activity, member, found, changes, event)
    lines = (*not_applied, *settled.lines)
    changes |= {kept: progress[key] for kept, key in ended.items()}
    return Accrued(settled.points, lines, settled.shares, tuple(bonuses), changes, ended, basis)


def expected(
    purchase: Purchase,
    at: datetime,
    tier: Tier | None,
    program: CompiledProgram,
    lines: tuple[OrderLine, ...] = (),
) -> int:
    """The points that a purchase is expected to earn for a member of whom only the tier is known.

    Exact where purchases are plain; else without what depends on the member's past and person.
    """
    if program.accrual.plain_purchases:
        return earn(purchase, tier, program).points
    activity = Activity(
        PURCHASE, at, purchase.amount_minor, purchase.categories, lines, purchase.channel,
        purchase.store,
    )  # fmt: skip
    # Not the first order: what is only perhaps true is not promised.
    progress = {ORDERS: Counter(amount=1)}
    return evaluate(activity, MemberFacts(tier), progress, program).points


def _answers(event: EventRules, scene: Scene) -> Answers:
    if not event.sources:
        return {}
    values = {name: get(scene) for name, get in event.getters}
    return dict(zip(event.sources, event.conditions.evaluate(values), strict=True))


def _holds(owner: Any, answers: Answers) -> bool:
    return owner.condition is None or answers[owner.condition.source] is True


def _plus(progress: Progress, key: Key, amount: int) -> Counter:
    counter = progress.get(key, NOTHING)
    return counter._replace(amount=counter.amount + amount)


def _purchase_keys(activity: Activity, accrual: AccrualProgram) -> list[Key]:
    """What a purchase counts of itself: orders, and its categories."""
    if activity.event != PURCHASE:
        return []
    counted = accrual.counted_categories
    keys = [ORDERS] if accrual.counts_orders else []
    keys += [
        category_key(category)
        for category in categories_of(activity)
        if counted is None or category in counted
    ]
    return keys


def _category_keys(activity: Activity, event: EventRules) -> list[Key]:
    if not any(c.from_purchase for rule in event.rules for c in rule.coefficients):
        return []
    return [category_key(category) for category in categories_of(activity)]


def _streak_key(name: str) -> Key:
    return Key(False, f"streak:{name}", "")


def _open_challenges(event: EventRules, activity: Activity, member: MemberFacts) -> list[Challenge]:
    return [
        challenge
        for challenge in event.challenges
        if (challenge.window is None or challenge.window.holds(activity.at))
        and (member.team_id or not challenge.team)
    ]


def _count_caps(
    changes: dict[Key, Counter], scene: Scene, found: list[Found], settled: Settled
) -> None:
    for one in found:
        points = settled.capped.get(one.rule.name, 0)
        for key, _, _ in cap_keys(one.rule, scene.activity, scene.local) if points else ():
            changes[key] = _plus(scene.progress, key, points)


def _run_streaks(
    changes: dict[Key, Counter], event: EventRules, scene: Scene, answers: Answers
) -> list[Bonus]:
    bonuses = []
    for streak in event.streaks:
        if not _holds(streak, answers):
            continue
        key = _streak_key(streak.name)
        before = scene.progress.get(key, NOTHING)
        counter, completed = stride(streak, before, scene.local.toordinal())
        if counter != before:
            changes[key] = counter
        if completed:
            reason = f"{counter.amount} days in a row of {streak.event}"
            points = str(streak.bonus_points)
            line = Line(streak.name, True, "", points, f"{reason}, up to {scene.local:%Y-%m-%d}")
            period = f"{scene.local:%Y-%m-%d}"
            bonuses.append(
                Bonus(key, streak.name, period, streak.bonus_points, streak.badge, False, line)
            )
    return bonuses


def _run_challenges(
    changes: dict[Key, Counter], event: EventRules, scene: Scene, answers: Answers, points: int
) -> tuple[list[Bonus], dict[Key, Key]]:
    bonuses: list[Bonus] = []
    ended: dict[Key, Key] = {}
    for challenge in _open_challenges(event, scene.activity, scene.member):
        amounts = {
            Measure.POINTS: points,
            Measure.SPEND: scene.activity.amount_minor,
            Measure.COUNT: 1,
        }
        amount = amounts[challenge.measure]
        if not amount or not _holds(challenge, answers):
            continue
        key = challenge_key(challenge, scene.local)
        before = scene.progress.get(key, NOTHING)
        now = advance(challenge, before, amount, scene.local.toordinal())
        if now.ended is not None:
            ended[stretch_key(key, now.ended.day)] = key
        if now.counter != before:
            changes[key] = now.counter
        if now.reached:
            bonuses.append(_reached(challenge, key, now.counter.day))
    return bonuses, ended


def _reached(challenge: Challenge, key: Key, first_day: int) -> Bonus:
    # Once in its time: so the bonus is told by that, and not by the day that it was reached on.
    period = stretch_key(key, first_day).period if challenge.days else key.period
    words = {Measure.POINTS: "points", Measure.SPEND: "minor units", Measure.COUNT: "events"}
    who = "the team" if challenge.team else "the member"
    what = f"{challenge.target} {words[challenge.measure]}"
    within = f" within {challenge.days} days" if challenge.days else ""
    if not challenge.days and challenge.window is None:
        within = f" in {period}"
    reason = f"{who} reached {what}{within}"
    line = Line(challenge.name, True, "", str(challenge.bonus_points), reason)
    points, badge = challenge.bonus_points, challenge.badge
    return Bonus(key, challenge.name, period, points, badge, challenge.team, line)


def _basis(
    activity: Activity,
    member: MemberFacts,
    found: list[Found],
    changes: Mapping[Key, Counter],
    event: EventRules,
) -> dict[str, Any]:
    rules = {}
    in_days = {f"challenge:{one.name}" for one in event.challenges if one.days}
    for one in found:
        applied = {
            a.coefficient.name: None if a.categories is None else sorted(a.categories)
            for a in one.applied
        }
        room = None if one.room is None else one.room.points
        rules[one.rule.name] = {"coefficients": applied, "room": room}
    basis: dict[str, Any] = {
        "event": activity.event,
        "rules": rules,
        "categories": list(activity.categories),
        "lines": [
            [o.line_id, o.category, o.product, o.quantity, o.unit_price_minor, o.amount_minor]
            for o in activity.lines
        ],
        # With the first day of those that are counted for some days.
        "counted": [
            [*key, *([counter.day] if key.name in in_days else [])]
            for key, counter in changes.items()
        ],
    }
    if member.team_id:
        basis["team"] = member.team_id
    return basis
