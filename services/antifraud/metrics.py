"""What anti-fraud counts for dashboards. Names of rules come from programs, at most 100 in each."""

from collections import Counter as Tally
from collections.abc import Sequence

from prometheus_client import Counter

from antifraud.values import Assessed

DECISIONS = Counter(
    "laurel_antifraud_decisions_total",
    "Operations decided, by operation and action; repeats do not count",
    ("operation", "action"),
)
RULE_HITS = Counter("laurel_antifraud_rule_hits_total", "Rules that fired", ("rule",))
RULE_BREAKS = Counter(
    "laurel_antifraud_rule_breaks_total", "Rules that gave no answer and were left out", ("rule",)
)
CHALLENGES = Counter(
    "laurel_antifraud_challenges_total",
    "Challenges made or withheld at a bound, codes that were wrong, challenges solved or spent",
    ("outcome",),
)
CODE_SENDS = Counter(
    "laurel_antifraud_code_sends_total",
    "Codes handed over to notification or a verifier, refused by it, or postponed",
    ("outcome",),
)


def count(assessed: Sequence[Assessed]) -> None:
    """Counts the decisions of a committed batch."""
    decisions = Tally((a.asked.facts.operation, a.decision.action) for a in assessed)
    for (operation, action), number in decisions.items():
        DECISIONS.labels(operation.name.lower(), action.name.lower()).inc(number)
    for rule, number in Tally(f.rule for a in assessed for f in a.decision.fired).items():
        RULE_HITS.labels(rule).inc(number)
    for rule, number in Tally(name for a in assessed for name in a.decision.broken).items():
        RULE_BREAKS.labels(rule).inc(number)
