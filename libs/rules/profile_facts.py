"""Facts about the member beyond the request: what they are where nothing is known (AF-02)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

NEVER_MINUTES = 1_000_000_000
"""How long ago something is that never happened."""

UNKNOWN: Mapping[str, Any] = MappingProxyType(
    {
        "member.known": False,
        "member.age_days": -1,
        "member.status": "",
        "member.tags": [],
        "member.minutes_since_profile_change": NEVER_MINUTES,
        "member.minutes_since_login": NEVER_MINUTES,
        "member.minutes_since_new_device": NEVER_MINUTES,
        "request.device_age_minutes": NEVER_MINUTES,
        "history.count": 0,
        "history.points_mean": 0.0,
        "history.points_deviation": 0.0,
        "history.amount_mean": 0.0,
        "history.amount_deviation": 0.0,
        "travel.km": 0.0,
        "travel.kmh": 0.0,
        "member.refund_ratio": 0.0,
        "member.refund_count": 0,
        "gifts.senders": 0,
        "gifts.cycle": False,
    }
)
REFUND_FACTS = frozenset({"member.refund_ratio", "member.refund_count"})
GIFT_FACTS = frozenset({"gifts.senders", "gifts.cycle"})
