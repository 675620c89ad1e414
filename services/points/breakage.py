"""How many points will expire unused: a life table of points by the months of their age.

For every month of age, over all cohorts that have completed it, the share of the points exposed
that was used, that expired and that was withdrawn. From the oldest age back to the youngest the
share that will expire is what expires in the month, plus what outlives it times the share of the
next age. This is the multiple-decrement life table of actuaries (C. L. Chiang, Introduction to
Stochastic Processes in Biostatistics, 1968, ch. 11), the discrete form of the Aalen-Johansen
estimator (Scand. J. Statist. 5, 1978): it uses young cohorts for what they have seen so far.

Beyond the oldest age that any cohort has completed nothing is assumed to expire: revenue is not
recognised for what nobody has observed (IFRS 15.B46, ASC 606-10-55-48).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

METHOD = (
    "Multiple-decrement life table by calendar months of age (Chiang 1968; Aalen and Johansen "
    "1978), pooled over all cohorts that have completed an age and weighted by points. Of points "
    "that reach an age which no cohort has completed none are expected to expire. Used means "
    "spent, donated or held. Expected breakage is rounded down to whole points for each cohort."
)


@dataclass(slots=True)
class Flows:
    """What happened to points of a cohort, or of all of them, during one month of their age."""

    issued: int = 0
    used: int = 0
    expired: int = 0
    withdrawn: int = 0

    @property
    def net(self) -> int:
        """By how much the month changed what is left."""
        return self.issued - self.used - self.expired - self.withdrawn


@dataclass(frozen=True, slots=True)
class Cohort:
    """Points that were earned in one month; `flows` by months of age."""

    age_months: int
    flows: Mapping[int, Flows]

    @property
    def remaining(self) -> int:
        """Points that are left."""
        return sum(flow.net for flow in self.flows.values())


@dataclass(frozen=True, slots=True)
class Step:
    """One age: the points exposed to it, what became of them, and the share of points of this age
    that will expire.
    """

    age_months: int
    exposed: int
    used: int
    expired: int
    withdrawn: int
    breakage: Fraction


def breakage_curve(cohorts: Sequence[Cohort]) -> list[Step]:
    """The steps of all ages that some cohort has completed, youngest first."""
    exposed: defaultdict[int, int] = defaultdict(int)
    pooled: defaultdict[int, Flows] = defaultdict(Flows)
    for cohort in cohorts:
        left = 0
        # The month of age `age_months` is still under way.
        for age in range(cohort.age_months):
            flow = cohort.flows.get(age, Flows())
            exposed[age] += left + flow.issued
            pooled[age].used += flow.used
            pooled[age].expired += flow.expired
            pooled[age].withdrawn += flow.withdrawn
            left += flow.net
    steps: list[Step] = []
    ahead = Fraction(0)
    for age in sorted(exposed, reverse=True):
        flow = pooled[age]
        if exposed[age] <= 0:
            # Nobody had points of that age: it was not observed.
            ahead = Fraction(0)
        else:
            expires = _share(flow.expired, exposed[age])
            leaves = _share(flow.used, exposed[age]) + _share(flow.withdrawn, exposed[age])
            ahead = expires + max(Fraction(0), 1 - expires - leaves) * ahead
        steps.append(
            Step(age, exposed[age], flow.used, flow.expired, flow.withdrawn, min(ahead, _ONE))
        )
    steps.reverse()
    return steps


def breakage_rate(curve: Sequence[Step], age_months: int) -> Fraction:
    """The share of points of an age that will expire unused; 0 where it was not observed."""
    return curve[age_months].breakage if age_months < len(curve) else Fraction(0)


_ONE = Fraction(1)


def _share(part: int, whole: int) -> Fraction:
    """A share from 0 to 1: points that came back may make a month's use negative."""
    return Fraction(min(max(part, 0), whole), whole)
