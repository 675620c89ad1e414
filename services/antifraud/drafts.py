"""Draft rules for a back-test: what an operator wrote, laid over the live program (AF-05)."""

from dataclasses import dataclass

from laurel.program.v1.program_pb2 import FraudRule as FraudRuleMessage
from laurel.program.v1.program_pb2 import Program
from rules.check_conditions import check_conditions
from rules.compiled import CompiledProgram, ProgramHistory, UnknownVersion, compile_program
from rules.document import LoadedProgram, ProgramInvalid, load, top_fields
from rules.mistakes import Report
from rules.schema import check_schema
from rules.values import FraudRule

FRAGMENT = "antifraud"
# What a stored assessment still tells. All else was known at its time only: profiles, lists,
# answers of others.
STORED_FACTS = frozenset(
    {
        "request.points", "request.amount", "request.channel", "request.store", "request.device",
        "request.ip", "request.card", "request.type", "request.order", "request.staff",
        "request.counterparty", "member.tier", "member.id",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """Rules to be tried, in their order."""

    rules: tuple[FraudRule, ...]
    program: CompiledProgram
    """With those rules alone that can be evaluated anew."""
    recorded: frozenset[str]
    """The others: their answers are taken from what was recorded."""
    changed: frozenset[str]
    """Those that the newest version does not have just so."""
    history: ProgramHistory

    @property
    def window_seconds_max(self) -> int:
        """The longest window that a rule looks at; 0 when none does."""
        return max((c.window_seconds for c in self.program.antifraud.counters), default=0)

    def recorded_by(self, version: int) -> frozenset[str]:
        """Those of `recorded` that a version of the program asked under the same condition."""
        try:
            rules = self.history.version(version).antifraud.rules
        except UnknownVersion:
            return frozenset()
        asked = {_question(rule) for rule in rules}
        known = (rule for rule in self.rules if rule.name in self.recorded)
        return frozenset(rule.name for rule in known if _question(rule) in asked)


def load_draft(source_yaml: str, file: str, history: ProgramHistory) -> Draft:
    """Reads a draft: a whole program, or rules that replace or join those of the newest version.

    Raises ProgramInvalid with every mistake.
    """
    newest = history.newest.message
    if top_fields(source_yaml) == {FRAGMENT}:
        base = _without_rules(newest)
        loaded = load(source_yaml, file, base)
        program = _joined(newest, loaded.program, file)
    else:
        loaded = load(source_yaml, file)
        program = loaded.program
    return _draft(program, loaded, file, history)


def _without_rules(program: Program) -> Program:
    base = Program()
    base.CopyFrom(program)
    del base.antifraud.rules[:]
    return base


def _joined(newest: Program, draft: Program, file: str) -> Program:
    """The newest program, with each rule of the draft in place of its namesake, or behind all."""
    rules = {rule.name: rule for rule in newest.antifraud.rules}
    rules.update({rule.name: rule for rule in draft.antifraud.rules})
    joined = _without_rules(draft)
    joined.antifraud.rules.extend(rules.values())
    report = Report(file)
    check_schema(joined, report)
    check_conditions(joined, report)
    if mistakes := report.mistakes():
        # Each for itself is right, but not all of them together.
        raise ProgramInvalid(mistakes)
    return joined


def _draft(program: Program, loaded: LoadedProgram, file: str, history: ProgramHistory) -> Draft:
    newest = history.newest
    rules = compile_program(newest.version, program, newest.effective_time).antifraud.rules
    recorded = frozenset(rule.name for rule in rules if _unstored(rule))
    _check_recorded(rules, loaded, file, history)
    rest = _without_rules(program)
    rest.antifraud.rules.extend(r for r in program.antifraud.rules if r.name not in recorded)
    live = {rule.name: rule for rule in newest.message.antifraud.rules}
    return Draft(
        rules=rules,
        program=compile_program(newest.version, rest, newest.effective_time),
        recorded=recorded,
        changed=frozenset(r.name for r in program.antifraud.rules if _differs(r, live)),
        history=history,
    )


def _differs(rule: FraudRuleMessage, live: dict[str, FraudRuleMessage]) -> bool:
    return live.get(rule.name) != rule


def _check_recorded(
    rules: tuple[FraudRule, ...], loaded: LoadedProgram, file: str, history: ProgramHistory
) -> None:
    asked = {
        _question(rule)
        for version in history.versions()
        for rule in history.version(version).antifraud.rules
    }
    indexes = {rule.name: index for index, rule in enumerate(loaded.program.antifraud.rules)}
    report = Report(file)
    report.places.update(loaded.places)
    for rule in rules:
        unstored = _unstored(rule)
        if unstored and _question(rule) not in asked:
            reason = (
                f"reads {', '.join(unstored)}, which no stored assessment holds; a rule that reads "
                "it can be tried only under a condition that was live, where its answers were "
                "recorded: apply it with shadow: true and look at it later"
            )
            report.add(f"antifraud.rules[{indexes[rule.name]}].when", reason)
    if mistakes := report.mistakes():
        raise ProgramInvalid(mistakes)


def _unstored(rule: FraudRule) -> tuple[str, ...]:
    return tuple(
        path
        for path in rule.condition.facts
        if path not in STORED_FACTS and not path.startswith("velocity.")
    )


def _question(rule: FraudRule) -> tuple[object, ...]:
    """What makes two rules fire on the same operations, under one name."""
    return rule.name, rule.condition.source, rule.operations
