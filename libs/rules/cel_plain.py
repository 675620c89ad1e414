"""Conditions that need no engine: comparisons of facts, joined by &&, || and !.

They cannot fail, and mean the same in Python; there they cost a twentieth. All else, such as sums,
functions and macros, is left to the engine, whose overflows and errors are its own.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rules.cel_tokens import Token, tokens

Plain = Callable[[dict[str, Any]], tuple[bool, ...]]
Getter = Callable[[Any, Any], Any]
AnyHolds = Callable[[Any, Any], bool]

_RELATIONS = {"==", "!=", "<", "<=", ">", ">=", "in"}
_JOINTS = {"&&": " and ", "||": " or "}
_WORDS = {"true": "True", "false": "False"}
_SIMPLE_TEXT = re.compile(r"""(["'])[^\\"'\n\0]*\1""")


def compile_plain(sources: Sequence[str]) -> Plain:
    """A function from flat variables to one answer for each text that `to_python` gave."""
    body = "".join(f"({source})," for source in sources)
    # Only names of known facts, literals and operators are in it: see `to_python`.
    plain: Plain = eval(f"lambda v: ({body})", {"__builtins__": {}})  # noqa: S307
    return plain


def compile_any(flats: Iterable[str], getters: Mapping[str, Getter]) -> AnyHolds | None:
    """A function that tells whether any condition holds, and fetches no more than it needs for
    that, by the getters of flat variables; None where a condition is not plain.
    """
    sources = []
    for flat in flats:
        source = _Writer(tokens(flat), "{}(f, k)").write()
        if source is None:
            return None
        sources.append(f"({source})")
    body = " or ".join(sources) or "False"
    known = {"__builtins__": {}, **getters}
    holds: AnyHolds = eval(f"lambda f, k: {body}", known)  # noqa: S307
    return holds


def to_python(flat: str) -> str | None:
    """A checked condition over flat variables as an expression over `v`; None if it is not plain.

    The condition was type-checked, so that only its form is looked at.
    """
    return _Writer(tokens(flat), 'v["{}"]').write()


class _Writer:
    def __init__(self, found: Sequence[Token], variable: str) -> None:
        self._tokens = found
        self._variable = variable
        # By the depth of parentheses: signs between two joints that Python binds differently.
        self._clauses: list[set[str]] = [set()]

    def write(self) -> str | None:
        written = []
        for index, token in enumerate(self._tokens[:-1]):
            part = self._part(index, token)
            if part is None:
                return None
            written.append(part)
        return "".join(written)

    def _part(self, index: int, token: Token) -> str | None:
        match token.kind:
            case "int":
                return token.text if token.text == "0" or token.text[0] != "0" else None
            case "double":
                return token.text
            case "string":
                return token.text if _SIMPLE_TEXT.fullmatch(token.text) else None
            case "name" if token.text != "in":
                if self._tokens[index + 1].text == "(":
                    return None
                return _WORDS.get(token.text) or self._variable.format(token.text)
            case _:
                return self._sign(index, token.text)

    def _sign(self, index: int, text: str) -> str | None:
        clause = self._clauses[-1]
        if text in _JOINTS:
            clause.clear()
            return _JOINTS[text]
        if text in _RELATIONS:
            # `a < b == c` and `!a == b` mean something else there.
            if clause:
                return None
            clause.add(text)
            return f" {text} "
        if text == "!":
            # `a == !b` is no Python.
            if clause & _RELATIONS:
                return None
            clause.add(text)
            return " not "
        if text == "(":
            self._clauses.append(set())
            return text
        if text == ")":
            self._clauses.pop()
            return text
        if text == "-":
            return self._minus(index)
        if text == "[":
            return text if index and self._tokens[index - 1].text == "in" else None
        return text if text in (",", "]") else None

    def _minus(self, index: int) -> str | None:
        before = self._tokens[index - 1] if index else None
        is_sign = before is None or before.text in _RELATIONS or before.text in ("(", "[", ",")
        return "-" if is_sign and self._tokens[index + 1].kind in ("int", "double") else None
