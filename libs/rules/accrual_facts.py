"""The facts that conditions of earning read, fetched from an activity and what is known with it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rules.accrual_values import NOTHING, Activity, Key, MemberFacts, OrderLine, Progress

ORDERS = Key(False, "orders", "")


@dataclass(frozen=True, slots=True)
class Scene:
    """An activity, who did it, what was counted before, and the program's clock."""

    activity: Activity
    member: MemberFacts
    progress: Progress
    local: datetime
    scale: int

    def counted(self, key: Key) -> int:
        """What a counter holds."""
        return self.progress.get(key, NOTHING).amount


Getter = Callable[[Scene], Any]


def category_key(category: str) -> Key:
    """The counter of a member's purchases in a category."""
    return Key(False, f"category:{category}", "")


def categories_of(activity: Activity) -> tuple[str, ...]:
    """All categories of a purchase, each once."""
    found = dict.fromkeys(activity.categories)
    found.update(dict.fromkeys(line.category for line in activity.lines if line.category))
    return tuple(found)


def getter(path: str) -> Getter:
    """What fetches a fact; amounts come in units of the currency."""
    root, _, name = path.partition(".")
    if root == "purchases":
        key = category_key(name)
        return lambda scene: scene.counted(key)
    return _GETTERS[path]


def _prices(lines: tuple[OrderLine, ...]) -> list[int]:
    return [line.unit_price_minor for line in lines if line.unit_price_minor is not None]


def _age_days(scene: Scene) -> int:
    enrolled = scene.member.enrol_time
    return -1 if enrolled is None else max(0, (scene.activity.at - enrolled).days)


def _is_birthday_month(scene: Scene) -> bool:
    return scene.member.birth_month == scene.local.month


_GETTERS: dict[str, Getter] = {
    "order.amount": lambda s: s.activity.amount_minor / s.scale,
    "order.channel": lambda s: s.activity.channel,
    "order.store": lambda s: s.activity.store,
    "order.categories": lambda s: list(categories_of(s.activity)),
    "order.products": lambda s: [line.product for line in s.activity.lines if line.product],
    "order.quantity": lambda s: sum(line.quantity for line in s.activity.lines),
    "order.price_max": lambda s: max(_prices(s.activity.lines), default=0) / s.scale,
    "order.price_min": lambda s: min(_prices(s.activity.lines), default=0) / s.scale,
    "event.type": lambda s: s.activity.event,
    "event.attributes": lambda s: [f"{name}={value}" for name, value in s.activity.attributes],
    "event.reference": lambda s: s.activity.reference,
    "member.tier": lambda s: s.member.tier.id if s.member.tier else "",
    "member.birth_month": lambda s: s.member.birth_month,
    "member.birthday_month": _is_birthday_month,
    "member.first_order": lambda s: s.counted(ORDERS) == 0,
    "member.order_count": lambda s: s.counted(ORDERS),
    "member.age_days": _age_days,
    "member.cards": lambda s: list(s.member.cards),
    "clock.day": lambda s: s.local.day,
    "clock.month": lambda s: s.local.month,
    "clock.weekday": lambda s: s.local.isoweekday(),
    "clock.hour": lambda s: s.local.hour,
}
