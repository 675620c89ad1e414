"""The periods that caps and challenges count in, by the program's calendar."""

from datetime import datetime
from typing import NamedTuple

from rules.accrual_facts import Scene
from rules.accrual_values import NOTHING, AccrualRule, Activity, Key


class Room(NamedTuple):
    """The points that the caps of a rule leave, and why no more."""

    points: int
    reason: str


def day_of(local: datetime) -> str:
    """Such as 2026-11-24."""
    return f"{local:%Y-%m-%d}"


def week_of(local: datetime) -> str:
    """Such as 2026-W48, from Monday on."""
    year, week, _ = local.isocalendar()
    return f"{year}-W{week:02}"


def month_of(local: datetime) -> str:
    """Such as 2026-11."""
    return f"{local:%Y-%m}"


def cap_keys(
    rule: AccrualRule, activity: Activity, local: datetime
) -> tuple[tuple[Key, int, str], ...]:
    """The counters that a rule's caps look at, each with its limit and the words for it."""
    caps = rule.caps
    if caps is None:
        return ()
    periods = [
        (caps.day, day_of(local), "a day"),
        (caps.week, week_of(local), "a week"),
        (caps.month, month_of(local), "a month"),
        (caps.lifetime, "", "ever"),
    ]
    # Those that name nobody share one counter: what is bounded has to stay so.
    whom = "for one member referred" if activity.reference else "without a member referred"
    periods.append((caps.reference, f"of {activity.reference}", whom))
    name = f"cap:{rule.name}"
    return tuple((Key(False, name, period), most, w) for most, period, w in periods if most)


def room_of(rule: AccrualRule, scene: Scene) -> Room | None:
    """What the caps of a rule leave for this event; None when it has none."""
    if rule.caps is None:
        return None
    rooms = []
    if rule.caps.event:
        rooms.append(Room(rule.caps.event, f"at most {rule.caps.event} for one event"))
    for key, most, words in cap_keys(rule, scene.activity, scene.local):
        used = scene.progress.get(key, NOTHING).amount
        rooms.append(Room(max(0, most - used), f"at most {most} {words}, {used} were given before"))
    return min(rooms, default=None)
