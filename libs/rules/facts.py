"""The facts that conditions may read: their names, types and sample values."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from rules.cel_tokens import CelInvalid
from rules.mistakes import did_you_mean

_COUNTER = re.compile(r"([a-z]+)(?:_([a-z]+))?_([1-9][0-9]{0,6})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}
WINDOW_SECONDS_MAX = 90 * 86400


class Type(Enum):
    """The type of a part of a condition."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    BOOLS = "list of bool"
    INTS = "list of int"
    DOUBLES = "list of double"
    STRINGS = "list of string"


ORDER_FACTS: Mapping[str, Type] = MappingProxyType(
    {
        "order.amount": Type.DOUBLE,
        "order.channel": Type.STRING,
        "order.store": Type.STRING,
        "order.categories": Type.STRINGS,
        "member.tier": Type.STRING,
    }
)
# What needs no more than the purchase itself and the tier: see `earning`, the short way.
PLAIN_FACTS = frozenset(ORDER_FACTS)
ACTIVITY_FACTS: Mapping[str, Type] = MappingProxyType(
    {
        **ORDER_FACTS,
        "order.products": Type.STRINGS,
        "order.quantity": Type.INT,
        "order.price_max": Type.DOUBLE,
        "order.price_min": Type.DOUBLE,
        "event.type": Type.STRING,
        "event.attributes": Type.STRINGS,
        "event.reference": Type.STRING,
        "member.birth_month": Type.INT,
        "member.birthday_month": Type.BOOL,
        "member.first_order": Type.BOOL,
        "member.order_count": Type.INT,
        "member.age_days": Type.INT,
        "member.cards": Type.STRINGS,
        "clock.day": Type.INT,
        "clock.month": Type.INT,
        "clock.weekday": Type.INT,
        "clock.hour": Type.INT,
    }
)
EXTERNAL_SCORE = "external.score"
REQUEST_FACTS: Mapping[str, Type] = MappingProxyType(
    {
        "request.points": Type.INT,
        "request.amount": Type.DOUBLE,
        "request.channel": Type.STRING,
        "request.store": Type.STRING,
        "request.device": Type.STRING,
        "request.ip": Type.STRING,
        "request.card": Type.STRING,
        "request.type": Type.STRING,
        "request.order": Type.STRING,
        "request.staff": Type.STRING,
        "request.counterparty": Type.STRING,
        "member.id": Type.STRING,
        "member.tier": Type.STRING,
        EXTERNAL_SCORE: Type.INT,
    }
)
# What is known of the member beyond the request and its windows.
PROFILE_FACTS: Mapping[str, Type] = MappingProxyType(
    {
        "member.known": Type.BOOL,
        "member.age_days": Type.INT,
        "member.status": Type.STRING,
        "member.tags": Type.STRINGS,
        "member.minutes_since_profile_change": Type.INT,
        "member.minutes_since_login": Type.INT,
        "member.minutes_since_new_device": Type.INT,
        "request.device_age_minutes": Type.INT,
        "history.count": Type.INT,
        "history.points_mean": Type.DOUBLE,
        "history.points_deviation": Type.DOUBLE,
        "history.amount_mean": Type.DOUBLE,
        "history.amount_deviation": Type.DOUBLE,
        "travel.km": Type.DOUBLE,
        "travel.kmh": Type.DOUBLE,
        "member.refund_ratio": Type.DOUBLE,
        "member.refund_count": Type.INT,
        "gifts.senders": Type.INT,
        "gifts.cycle": Type.BOOL,
    }
)
# What lists say of the keys of a request: of any of them, and of one kind alone.
LIST_FACTS: Mapping[str, Type] = MappingProxyType(
    {
        f"lists.{word}{suffix}": Type.BOOL
        for word in ("allowed", "denied", "watched")
        for suffix in ("", "_member", "_device", "_ip", "_card", "_store")
    }
)
POINTS_CAP = "member.points_cap"
POINTS_UNCAPPED = 9_000_000_000_000_000_000
VELOCITY_KEYS = ("member", "device", "ip", "card", "store", "staff", "order")
DISTINCT_MEASURES: Mapping[str, str] = MappingProxyType(
    {"members": "member", "devices": "device", "ips": "ip", "cards": "card", "stores": "store"}
)
"""By the measure, the key whose different values it counts."""
VELOCITY_MEASURES: Mapping[str, Type] = MappingProxyType(
    {
        "count": Type.INT,
        "amount": Type.DOUBLE,
        "points": Type.INT,
        **dict.fromkeys(DISTINCT_MEASURES, Type.INT),
    }
)


@dataclass(frozen=True, slots=True)
class Counter:
    """A sliding window over the assessments that share a key, or two; name is such as `member_1h`.

    With `distinct` it counts how many different values of that key they had; its name is then such
    as `device_1d.members`.
    """

    name: str
    key: str
    window_seconds: int
    second: str = ""
    """The other key of a pair, which comes later in VELOCITY_KEYS; else empty."""
    distinct: str = ""


@dataclass(frozen=True, slots=True)
class FactSchema:
    """What one kind of condition may read."""

    facts: Mapping[str, Type]
    velocity: bool
    purchases: bool = False

    def type_of(self, path: str) -> Type:
        """Returns the type of a fact; raises CelInvalid with what was probably meant."""
        if self.velocity and path.split(".", 1)[0] == "velocity":
            return velocity_fact(path)[1]
        if self.purchases and path.startswith("purchases.") and path.count(".") == 1:
            return Type.INT
        known = self.facts.get(path)
        if known is not None:
            return known
        choices = list(self.facts)
        if self.velocity:
            choices.append("velocity.<key>_<window>.count")
        if self.purchases:
            choices.append("purchases.<category>")
        raise CelInvalid(f"{path} is not a known fact{did_you_mean(path, choices)}")


EARN_FACTS = FactSchema(ACTIVITY_FACTS, velocity=False, purchases=True)
FRAUD_FACTS = FactSchema(
    {**REQUEST_FACTS, **PROFILE_FACTS, **LIST_FACTS, POINTS_CAP: Type.INT}, velocity=True
)


def velocity_fact(path: str) -> tuple[Counter, Type]:
    """Returns counter and type of a fact such as `velocity.member_1h.count`, or CelInvalid."""
    parts = path.split(".")
    if len(parts) != 3:
        raise CelInvalid(f"{path} is not a counter; write it like velocity.member_1h.count")
    measure = VELOCITY_MEASURES.get(parts[2])
    if measure is None:
        hint = did_you_mean(parts[2], list(VELOCITY_MEASURES))
        raise CelInvalid(f"{path} has no measure {parts[2]}{hint}")
    match = _COUNTER.fullmatch(parts[1])
    if match is None:
        raise CelInvalid(f"{path}: {parts[1]} is not <key>_<window>, such as member_1h or ip_30m")
    key, second, number, unit = match.groups("")
    _check_keys(path, key, second)
    seconds = int(number) * _SECONDS[unit]
    if seconds > WINDOW_SECONDS_MAX:
        raise CelInvalid(f"{path}: the window is longer than 90d; shorten it")
    distinct = DISTINCT_MEASURES.get(parts[2], "")
    if not distinct:
        return Counter(parts[1], key, seconds, second), measure
    if second:
        raise CelInvalid(f"{path}: {parts[2]} are counted under one key, not under two; leave one")
    if distinct == key:
        raise CelInvalid(f"{path} is always 1; count {parts[2]} under another key")
    return Counter(f"{parts[1]}.{parts[2]}", key, seconds, distinct=distinct), measure


def _check_keys(path: str, key: str, second: str) -> None:
    for name in filter(None, (key, second)):
        if name not in VELOCITY_KEYS:
            raise CelInvalid(f"{path} has no key {name}{did_you_mean(name, list(VELOCITY_KEYS))}")
    if second:
        if key == second:
            raise CelInvalid(f"{path} names {key} twice; write it once")
        if VELOCITY_KEYS.index(key) > VELOCITY_KEYS.index(second):
            right = path.replace(f"{key}_{second}", f"{second}_{key}", 1)
            raise CelInvalid(f"{path} is not how this pair is written; did you mean {right}?")


def flat_name(path: str) -> str:
    """Returns the variable that carries a fact: `order.amount` travels as `order_amount`."""
    return path.replace(".", "_")
