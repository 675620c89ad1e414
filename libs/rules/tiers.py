"""Which tier a member is in (TR-01, TR-03, TR-04): decided from spend in the window alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from rules.values import Tier


@dataclass(frozen=True, slots=True)
class Keep:
    """The member keeps the tier; `threshold_minor` is the spend that was asked for."""

    tier: Tier
    threshold_minor: int


@dataclass(frozen=True, slots=True)
class Demote:
    """The member goes down to `tier`, one level; `threshold_minor` is the spend that was missed."""

    tier: Tier
    threshold_minor: int


def tier_for(window_spend_minor: int, ladder: Sequence[Tier]) -> Tier:
    """Returns the highest tier whose threshold the spend reaches; negative spend counts as 0."""
    reached = ladder[0]
    for tier in ladder:
        if window_spend_minor >= tier.qualify_minor:
            reached = tier
    return reached


def decide_upgrade(current: Tier, window_spend_minor: int, ladder: Sequence[Tier]) -> Tier | None:
    """Returns the tier that the member rises to, several levels in one go; None when it stays."""
    reached = tier_for(window_spend_minor, ladder)
    return reached if reached.rank > current.rank else None


def review(current_rank: int, window_spend_minor: int, ladder: Sequence[Tier]) -> Keep | Demote:
    """Decides at the end of a tier's validity: kept with enough spend, else down by one level."""
    current = ladder[min(current_rank, len(ladder) - 1)]
    if current.rank == 0 or window_spend_minor >= current.retain_minor:
        return Keep(current, current.retain_minor)
    return Demote(ladder[current.rank - 1], current.retain_minor)


def next_tier(current: Tier, ladder: Sequence[Tier]) -> Tier | None:
    """Returns the tier above; None at the top."""
    return ladder[current.rank + 1] if current.rank + 1 < len(ladder) else None
