"""The words of a message."""

from collections.abc import Mapping
from string import Template
from types import MappingProxyType

from rules.values import MessageRule, Trigger

# The variables that a message may use, by the event it is sent on.
VARIABLES: Mapping[Trigger, tuple[str, ...]] = MappingProxyType(
    {
        Trigger.TIER_UP: ("member_id", "tier", "valid_until"),
        Trigger.POINTS_EXPIRING: ("member_id", "points", "expire_date"),
    }
)


def render(rule: MessageRule, variables: Mapping[str, str]) -> tuple[str, str]:
    """Returns subject and body with the variables filled in; a missing one stays as it is."""
    subject = Template(rule.subject).safe_substitute(variables)
    return " ".join(subject.split()), Template(rule.body).safe_substitute(variables)
