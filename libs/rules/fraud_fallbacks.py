"""What becomes of an operation when no decision can be had in time (AF-06)."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from laurel.program.v1 import program_pb2 as pb
from rules.values import FallbackPolicy, Operation

DEADLINE_MS = 50
EXTERNAL_DEADLINE_MS = 20
ANY = ""
"""All types of an operation."""


class Fallback(NamedTuple):
    """A policy, and the most points of one accrual that it books pending."""

    policy: FallbackPolicy
    points_max: int = 0

    def applied_to(self, points: int) -> FallbackPolicy:
        """What is done with an operation that moves so many points."""
        fits = self.policy is FallbackPolicy.PEND and points <= self.points_max
        return FallbackPolicy.PEND if fits else FallbackPolicy.REFUSE


Fallbacks = Mapping[tuple[Operation, str], Fallback]


def compile_fallbacks(
    fallbacks: Iterable[pb.FraudFallback], accrual_points_max: int
) -> dict[tuple[Operation, str], Fallback]:
    """By operation and type, what is done; redemptions are refused unless stated otherwise."""
    compiled = {
        (Operation.ACCRUAL, ANY): Fallback(FallbackPolicy.PEND, accrual_points_max),
        (Operation.REDEMPTION, ANY): Fallback(FallbackPolicy.REFUSE),
    }
    for one in fallbacks:
        fallback = Fallback(FallbackPolicy(one.policy), one.points_max)
        for type_ in one.types or (ANY,):
            compiled[Operation(one.operation), type_] = fallback
    return compiled


def fallback_of(fallbacks: Fallbacks, operation: Operation, type_: str) -> Fallback:
    """What is done with an operation of a type."""
    return fallbacks.get((operation, type_)) or fallbacks[operation, ANY]
