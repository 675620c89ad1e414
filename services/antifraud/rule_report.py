"""What live rules have picked out, each in every form that it had (AF-05)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from antifraud.back_tests import Measure, share
from rules.compiled import ProgramHistory, UnknownVersion
from rules.values import FraudRule

Form = tuple[object, ...]


@dataclass(slots=True)
class Totals:
    """All decisions of a version, or of several."""

    assessment_count: int = 0
    fraud_count: int = 0
    legitimate_count: int = 0
    stopped: Measure = field(default_factory=Measure)

    def add(self, row: Any) -> None:
        """Adds the decisions of one version."""
        self.assessment_count += row["assessment_count"]
        self.fraud_count += row["fraud_count"]
        self.legitimate_count += row["legitimate_count"]
        self.stopped += Measure(
            row["stopped_count"], row["stopped_points"], row["stopped_fraud_count"],
            row["stopped_legitimate_count"],
        )  # fmt: skip


@dataclass(slots=True)
class RuleLine:
    """A rule in one form, over the versions that had it."""

    rule: str
    shadow: bool
    first_version: int
    last_version: int
    measure: Measure = field(default_factory=Measure)
    decided: Totals = field(default_factory=Totals)

    @property
    def recall_of_all(self) -> float | None:
        """The share of that fraud that was stopped by whatever rule."""
        return share(self.decided.stopped.fraud_count, self.decided.fraud_count)


@dataclass(slots=True)
class RuleReport:
    """Every rule, by name, and all decisions."""

    totals: Totals
    lines: list[RuleLine]


def rule_report(
    decisions: Iterable[Any], hits: Iterable[Any], history: ProgramHistory
) -> RuleReport:
    """Puts sums by version and rule together; the newest version's rules are there in any case."""
    totals = Totals()
    lines: dict[Form, RuleLine] = {}
    found = {(row["program_version"], row["rule"], row["shadow"]): row for row in hits}
    by_version = {row["program_version"]: row for row in decisions}
    for version in sorted({*by_version, history.newest.version}):
        row = by_version.get(version)
        if row is not None:
            totals.add(row)
        forms = _forms(history, version)
        # What is recorded and in no program is told all the same.
        forms |= {
            (rule, shadow): (rule, shadow)
            for number, rule, shadow in found
            if number == version and (rule, shadow) not in forms
        }
        for (rule, shadow), form in forms.items():
            line = lines.get(form)
            if line is None:
                line = lines[form] = RuleLine(rule, shadow, version, version)
            line.last_version = version
            if row is not None:
                line.decided.add(row)
            hit = found.get((version, rule, shadow))
            if hit is not None:
                line.measure += Measure(
                    hit["hit_count"], hit["points"], hit["fraud_count"], hit["legitimate_count"]
                )
    ordered = sorted(lines.values(), key=lambda line: (line.rule, line.first_version))
    return RuleReport(totals, ordered)


def _forms(history: ProgramHistory, version: int) -> dict[tuple[str, bool], Form]:
    try:
        rules = history.version(version).antifraud.rules
    except UnknownVersion:
        return {}
    return {(rule.name, rule.shadow): _form(rule) for rule in rules}


def _form(rule: FraudRule) -> Form:
    operations = tuple(sorted(rule.operations))
    return rule.name, rule.shadow, operations, rule.condition.source, rule.action, rule.score
