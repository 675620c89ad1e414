"""The compiled form of all rules of earning."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal as Exact
from zoneinfo import ZoneInfo

from laurel.program.v1 import earning_pb2 as pb
from laurel.program.v1 import program_pb2
from rules.accrual_facts import ORDERS, Getter, category_key, getter
from rules.accrual_values import (
    PURCHASE,
    AccrualRule,
    Caps,
    Challenge,
    Coefficient,
    Group,
    Key,
    Measure,
    Stacking,
    Streak,
    Window,
)
from rules.cel import Condition, Conditions, compile_condition
from rules.facts import EARN_FACTS, PLAIN_FACTS, flat_name
from rules.money import scaled
from rules.values import ExpiryPolicy, Rounding

CompileExpiry = Callable[[program_pb2.ExpiryPolicy], ExpiryPolicy]
UNGROUPED = Group("", Stacking.MULTIPLY, None)
ORDER_COUNTS = frozenset({"member.first_order", "member.order_count"})
_PLAIN_FIELDS = frozenset({"name", "when", "points_per_unit", "tier_multiplier", "event"})


@dataclass(frozen=True, slots=True, eq=False)
class EventRules:
    """What one type of event sets off, and all of its conditions in one go."""

    rules: tuple[AccrualRule, ...]
    streaks: tuple[Streak, ...]
    challenges: tuple[Challenge, ...]
    sources: tuple[str, ...]
    conditions: Conditions
    getters: tuple[tuple[str, Getter], ...]
    fact_keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True, eq=False)
class AccrualProgram:
    """All rules of earning.

    `plain_purchases` says that purchases need no more than `earning.earn`: rates, conditions on the
    purchase, tiers. `counted_categories` are those whose purchases are counted; None means all.
    """

    groups: Mapping[str, Group]
    rounding: Rounding
    zone: ZoneInfo
    minor_digits: int
    plain_purchases: bool
    counted_categories: frozenset[str] | None
    counts_orders: bool
    challenges: tuple[Challenge, ...]
    streaks: tuple[Streak, ...]
    by_event: Mapping[str, EventRules]
    other_events: EventRules
    has_teams: bool

    def of(self, event: str) -> EventRules:
        """What an event sets off."""
        return self.by_event.get(event, self.other_events)


def compile_accrual(
    earning: program_pb2.Earning, zone: ZoneInfo, digits: int, compile_expiry: CompileExpiry
) -> AccrualProgram:
    """Compiles rules, streaks and challenges that were found valid."""
    rules = tuple(_rule(rule, zone, digits, compile_expiry) for rule in earning.rules)
    streaks = tuple(_streak(streak) for streak in earning.streaks)
    challenges = tuple(_challenge(challenge, zone, digits) for challenge in earning.challenges)
    counted = _counted_categories(rules, streaks, challenges)
    conditions = _conditions(rules, streaks, challenges)
    counts_orders = any(not ORDER_COUNTS.isdisjoint(one.facts) for one in conditions)
    events = {rule.event for rule in rules} | {streak.event for streak in streaks} | {PURCHASE}
    events.update(event for challenge in challenges for event in challenge.events)
    by_event = {e: _event_rules(e, rules, streaks, challenges) for e in sorted(events)}
    purchases = by_event[PURCHASE]
    plain = (
        all(is_plain(r) for r in earning.rules if (r.event or PURCHASE) == PURCHASE)
        and not purchases.streaks
        and not purchases.challenges
        and counted == frozenset()
        and not counts_orders
    )
    return AccrualProgram(
        groups={"": UNGROUPED, **{group.name: _group(group) for group in earning.groups}},
        rounding=Rounding(earning.rounding),
        zone=zone,
        minor_digits=digits,
        plain_purchases=plain,
        counted_categories=counted,
        counts_orders=counts_orders,
        challenges=challenges,
        streaks=streaks,
        by_event=by_event,
        other_events=_event_rules("", (), (), challenges),
        has_teams=any(challenge.team for challenge in challenges),
    )


def is_plain(rule: program_pb2.EarnRule) -> bool:
    """Whether a rule is for purchases and has nothing but a rate, a condition on the purchase and
    the tier's factor.
    """
    if (rule.event or PURCHASE) != PURCHASE:
        return False
    if not {field.name for field, _ in rule.ListFields()} <= _PLAIN_FIELDS:
        return False
    condition = _condition(rule.when)
    return condition is None or PLAIN_FACTS.issuperset(condition.facts)


def _event_rules(
    event: str,
    rules: Sequence[AccrualRule],
    streaks: Sequence[Streak],
    challenges: Sequence[Challenge],
) -> EventRules:
    rules = tuple(rule for rule in rules if rule.event == event)
    streaks = tuple(streak for streak in streaks if streak.event == event)
    challenges = tuple(challenge for challenge in challenges if challenge.listens_to(event))
    found = {c.source: c for c in _conditions(rules, streaks, challenges)}
    paths = dict.fromkeys(path for condition in found.values() for path in condition.facts)
    return EventRules(
        rules=rules,
        streaks=streaks,
        challenges=challenges,
        sources=tuple(found),
        conditions=Conditions(list(found.values())),
        getters=tuple((flat_name(path), getter(path)) for path in paths),
        fact_keys=tuple(_fact_keys(paths)),
    )


def _fact_keys(paths: Iterable[str]) -> Iterator[Key]:
    for path in paths:
        if path in ORDER_COUNTS:
            yield ORDERS
        elif path.startswith("purchases."):
            yield category_key(path.partition(".")[2])


def _conditions(
    rules: Sequence[AccrualRule], streaks: Sequence[Streak], challenges: Sequence[Challenge]
) -> list[Condition]:
    coefficients = [coefficient for rule in rules for coefficient in rule.coefficients]
    owners: tuple[AccrualRule | Coefficient | Streak | Challenge, ...] = (
        *rules, *coefficients, *streaks, *challenges,
    )  # fmt: skip
    return [owner.condition for owner in owners if owner.condition is not None]


def _counted_categories(
    rules: Sequence[AccrualRule], streaks: Sequence[Streak], challenges: Sequence[Challenge]
) -> frozenset[str] | None:
    counted: set[str] = set()
    for coefficient in (coefficient for rule in rules for coefficient in rule.coefficients):
        if coefficient.from_purchase:
            if not coefficient.categories:
                return None
            counted |= coefficient.categories
    for condition in _conditions(rules, streaks, challenges):
        paths = (path for path in condition.facts if path.startswith("purchases."))
        counted.update(path.partition(".")[2] for path in paths)
    return frozenset(counted)


def _rule(
    rule: program_pb2.EarnRule, zone: ZoneInfo, digits: int, compile_expiry: CompileExpiry
) -> AccrualRule:
    ladder = rule.ladder if rule.HasField("ladder") else None
    return AccrualRule(
        name=rule.name,
        event=rule.event or PURCHASE,
        condition=_condition(rule.when),
        rate=Exact(rule.points_per_unit or 0).scaleb(-digits),
        rate_text=rule.points_per_unit,
        fixed=rule.fixed_points,
        ladder_minor=scaled(ladder.per_amount, digits) if ladder else 0,
        ladder_points=ladder.points if ladder else 0,
        ladder_text=ladder.per_amount if ladder else "",
        tier_multiplier=rule.tier_multiplier,
        coefficients=tuple(_coefficient(one, zone, digits) for one in rule.coefficients),
        caps=_caps(rule.caps) if rule.HasField("caps") else None,
        group=rule.group,
        rounding=Rounding(rule.rounding) if rule.rounding else None,
        pending_days=rule.pending_days if rule.HasField("pending_days") else None,
        expiry=compile_expiry(rule.expiry) if rule.HasField("expiry") else None,
        window=_window(rule.window, zone) if rule.HasField("window") else None,
    )


def _coefficient(one: pb.Coefficient, zone: ZoneInfo, digits: int) -> Coefficient:
    return Coefficient(
        name=one.name,
        factor=Exact(one.factor),
        text=one.factor,
        group=one.group,
        condition=_condition(one.when),
        categories=frozenset(one.categories),
        from_purchase=one.from_purchase,
        price_min_minor=scaled(one.price_min, digits) if one.price_min else None,
        price_below_minor=scaled(one.price_below, digits) if one.price_below else None,
        tiers=frozenset(one.tiers),
        window=_window(one.window, zone) if one.HasField("window") else None,
        birthday_month=one.birthday_month,
        month_days=frozenset(one.month_days),
        card=one.card,
    )


def _caps(caps: pb.Caps) -> Caps:
    return Caps(caps.event, caps.day, caps.week, caps.month, caps.lifetime, caps.reference)


def _group(group: pb.StackingGroup) -> Group:
    factor_max = Exact(group.factor_max) if group.factor_max else None
    return Group(group.name, Stacking(group.stacking), factor_max)


def _streak(streak: pb.Streak) -> Streak:
    return Streak(
        name=streak.name,
        event=streak.event or PURCHASE,
        condition=_condition(streak.when),
        days=streak.days,
        bonus_points=streak.bonus_points,
        badge=streak.badge,
        repeats=streak.repeats,
    )


def _challenge(challenge: pb.Challenge, zone: ZoneInfo, digits: int) -> Challenge:
    measure = Measure(challenge.measure)
    return Challenge(
        name=challenge.name,
        measure=measure,
        target=scaled(challenge.target, digits if measure is Measure.SPEND else 0),
        events=frozenset(challenge.events),
        condition=_condition(challenge.when),
        days=challenge.days,
        window=_window(challenge.window, zone) if challenge.HasField("window") else None,
        bonus_points=challenge.bonus_points,
        badge=challenge.badge,
        team=challenge.team,
    )


def _condition(source: str) -> Condition | None:
    return compile_condition(source, EARN_FACTS) if source else None


def _window(window: pb.Window, zone: ZoneInfo) -> Window:
    return Window(wall_time(window.start, zone), wall_time(window.end, zone))


def wall_time(text: str, zone: ZoneInfo) -> datetime:
    """The instant of a day or minute written as in the program; ValueError when there is none."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
