"""What was stopped and who was disturbed, scenario by scenario."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

from scenarios.driver import ALLOW, Verdict
from scenarios.stream import HONEST


@dataclass(slots=True)
class Line:
    """Operations with one label of one scenario; what is not allowed is stopped or held."""

    scenario: str
    is_fraud: bool
    count: int = 0
    points: int = 0
    stopped_count: int = 0
    stopped_points: int = 0

    def add(self, verdict: Verdict) -> None:
        """Counts a verdict."""
        self.count += 1
        self.points += verdict.deed.points
        if verdict.action != ALLOW:
            self.stopped_count += 1
            self.stopped_points += verdict.deed.points

    @property
    def count_share(self) -> float:
        """Of the operations, how many were stopped or held."""
        return self.stopped_count / self.count if self.count else 0.0

    @property
    def points_share(self) -> float:
        """Of the points, how many were stopped or held."""
        return self.stopped_points / self.points if self.points else 0.0


def summarise(verdicts: Iterable[Verdict]) -> list[Line]:
    """A line for each scenario of fraud, then all fraud, then all that is honest."""
    lines: dict[str, Line] = {}
    fraud, honest = Line("all fraud", True), Line(HONEST, False)
    for verdict in verdicts:
        deed = verdict.deed
        if not deed.is_fraud:
            honest.add(verdict)
            continue
        lines.setdefault(deed.scenario, Line(deed.scenario, True)).add(verdict)
        fraud.add(verdict)
    return [*(lines[name] for name in sorted(lines)), fraud, honest]


def table(lines: Sequence[Line]) -> Table:
    """The report for people."""
    shown = Table(title="Stopped or held by the sample rules")
    shown.add_column("scenario")
    for name in ("operations", "stopped", "share", "points", "stopped", "share"):
        shown.add_column(name, justify="right")
    for line in lines:
        if line.scenario == "all fraud":
            shown.add_section()
        shown.add_row(
            line.scenario,
            f"{line.count:,}",
            f"{line.stopped_count:,}",
            f"{line.count_share:.2%}",
            f"{line.points:,}",
            f"{line.stopped_points:,}",
            f"{line.points_share:.2%}",
        )
    return shown


def hits(fired: Iterable[tuple[Verdict, Sequence[str]]]) -> Table:
    """By rule, how often it fired on fraud and on honest operations."""
    counts: dict[str, list[int]] = {}
    for verdict, rules in fired:
        for rule in rules:
            counts.setdefault(rule, [0, 0])[not verdict.deed.is_fraud] += 1
    shown = Table(title="Rules that fired")
    shown.add_column("rule")
    shown.add_column("on fraud", justify="right")
    shown.add_column("on honest operations", justify="right")
    for rule, (on_fraud, on_honest) in sorted(counts.items()):
        shown.add_row(rule, f"{on_fraud:,}", f"{on_honest:,}")
    return shown
