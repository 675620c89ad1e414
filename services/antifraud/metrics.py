"""What anti-fraud counts for dashboards. Names of rules come from programs, at most 100 in each."""

from collections import Counter as Tally
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram

from antifraud.values import Kept
from rules.fraud import ALLOWED
from rules.values import Action, Operation

DECISIONS = Counter(
    "laurel_antifraud_decisions_total",
    "Operations decided, by operation and action; repeats do not count",
    ("operation", "action"),
)
RULE_HITS = Counter("laurel_antifraud_rule_hits_total", "Rules that fired", ("rule",))
SHADOW_HITS = Counter(
    "laurel_antifraud_shadow_hits_total", "Shadow rules that fired and decided nothing", ("rule",)
)
RULE_BREAKS = Counter(
    "laurel_antifraud_rule_breaks_total", "Rules that gave no answer and were left out", ("rule",)
)
FILLS = Gauge(
    "laurel_antifraud_velocity_fills",
    "Versions of the program whose new counters are being filled from stored assessments",
)
FILL_BEHIND = Gauge(
    "laurel_antifraud_velocity_fill_behind_seconds",
    "How far the fill that is furthest behind has still to go, by the times of assessments",
)
FILLED = Counter(
    "laurel_antifraud_velocity_filled_total", "Stored assessments that were added to new counters"
)
EXTERNAL = Counter(
    "laurel_antifraud_external_total",
    "Operations that the external engine was to score, by what came of it",
    ("outcome",),
)
EXTERNAL_SECONDS = Histogram(
    "laurel_antifraud_external_seconds",
    "Time that a batch waited for the external engine",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CASES = Counter("laurel_antifraud_cases_decided_total", "Cases that people decided", ("outcome",))
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


def count(kept: Sequence[Kept]) -> None:
    """Counts the decisions of a committed batch."""
    # By whole numbers: to hash an enum costs as much as all else here.
    decisions = Tally([(int(a.asked.facts.operation), int(a.decision.action)) for a in kept])
    for (operation, action), number in decisions.items():
        labels = (Operation(operation).name.lower(), Action(action).name.lower())
        DECISIONS.labels(*labels).inc(number)
    unusual = [a.decision for a in kept if a.decision is not ALLOWED]
    hits = Tally((f.rule, f.shadow) for decision in unusual for f in decision.fired)
    for (rule, shadow), number in hits.items():
        (SHADOW_HITS if shadow else RULE_HITS).labels(rule).inc(number)
    for rule, number in Tally(name for decision in unusual for name in decision.broken).items():
        RULE_BREAKS.labels(rule).inc(number)
