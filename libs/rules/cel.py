"""Conditions in CEL: checked when a program is applied, evaluated many at once when it decides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cel as engine

from rules.cel_check import check
from rules.cel_plain import compile_plain, to_python
from rules.cel_tokens import CelInvalid, tokens
from rules.facts import FactSchema, Type, flat_name

# What the operators of the engine raise.
_ENGINE_ERRORS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
_SAMPLES: tuple[Mapping[Type, object], ...] = (
    {Type.BOOL: False, Type.INT: 0, Type.DOUBLE: 0.0, Type.STRING: "", Type.STRINGS: []},
    {Type.BOOL: True, Type.INT: 7, Type.DOUBLE: 12.5, Type.STRING: "a", Type.STRINGS: ["a", "b"]},
    {Type.BOOL: True, Type.INT: 10**9, Type.DOUBLE: 1e7, Type.STRING: "10", Type.STRINGS: ["10"]},
)


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """A compiled condition; `facts` are the paths it reads, `flat` its text over variables."""

    source: str
    facts: tuple[str, ...]
    flat: str
    program: engine.Program
    costly: str = ""
    """Why it must not be applied anew: it may cost too much, or break whenever it is asked."""


def compile_condition(source: str, schema: FactSchema) -> Condition:
    """Compiles a condition after checking its facts and types; raises CelInvalid."""
    checked = check(source, schema)
    try:
        program = engine.compile(checked.flat)
    except ValueError as error:
        raise CelInvalid(f"is not CEL: {str(error).partition(chr(10))[0]}") from None
    return Condition(source, checked.facts, checked.flat, program, checked.costly)


def try_out(condition: Condition, schema: FactSchema) -> None:
    """Runs a condition on sample facts; raises CelInvalid when it can never give an answer.

    So it does for one that is `costly`, and does not run it then.
    """
    if condition.costly:
        raise CelInvalid(condition.costly)
    for pattern in _patterns(condition.flat):
        # By itself: the samples may never come to it.
        _try_pattern(pattern)
    types = {path: schema.type_of(path) for path in condition.facts}
    failures: list[Exception] = []
    for sample in _SAMPLES:
        values = {flat_name(path): sample[kind] for path, kind in types.items()}
        try:
            answer = condition.program.execute(values)
        except _ENGINE_ERRORS as error:
            # Whether it divides by zero, compares 0.0 / 0.0 or misses an item depends on the facts.
            failures.append(error)
            continue
        if not isinstance(answer, bool):
            raise CelInvalid("is not a condition; write one that is true or false")
    if len(failures) == len(_SAMPLES):
        raise CelInvalid(f"cannot be evaluated: {_first_line(failures[0])}")


def _patterns(flat: str) -> Iterator[str]:
    """The patterns of `matches` in a checked condition, as they are written."""
    found = tokens(flat)
    for index, token in enumerate(found):
        if (token.kind, token.text) != ("name", "matches") or found[index + 1].text != "(":
            continue
        if found[index + 2].kind == "string":
            yield found[index + 2].text


def _try_pattern(pattern: str) -> None:
    try:
        engine.compile(f"''.matches({pattern})").execute({})
    except _ENGINE_ERRORS as error:
        raise CelInvalid(f"cannot be evaluated: {_first_line(error)}") from None


class Conditions:
    """Several conditions over the same facts, evaluated in one go; plain ones need no engine."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._conditions = tuple(conditions)
        plain = {index: to_python(c.flat) for index, c in enumerate(conditions)}
        sources = {index: source for index, source in plain.items() if source is not None}
        others = [index for index in plain if index not in sources]
        rest = [conditions[index] for index in others]
        self._plain = compile_plain(list(sources.values()))
        self._combined = (
            engine.compile(f"[{','.join(f'({c.flat})' for c in rest)}]") if rest else None
        )
        self._names = tuple({flat_name(fact): None for c in rest for fact in c.facts})
        given = {index: place for place, index in enumerate([*sources, *others])}
        self._places = [given[index] for index in range(len(given))]

    def evaluate(self, values: dict[str, Any]) -> Sequence[bool | None]:
        """Returns one answer for each condition over flat variables; None where it broke."""
        try:
            answers = self._plain(values)
            if self._combined is None:
                return answers
            read = {name: values[name] for name in self._names}
            found = (*answers, *self._combined.execute(read))
            return [found[place] for place in self._places]
        except _ENGINE_ERRORS:
            # One broken rule must not silence the others: ask each alone.
            return [evaluate_one(condition, values) for condition in self._conditions]


def evaluate_one(condition: Condition, values: dict[str, Any]) -> bool | None:
    """Returns the answer of a condition over flat variables; None when it broke."""
    try:
        answer = condition.program.execute(values)
    except _ENGINE_ERRORS:
        return None
    return answer if isinstance(answer, bool) else None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". ")[0]
