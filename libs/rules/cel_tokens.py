"""Cuts a CEL expression into tokens."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<blank>\s+|//[^\n]*)
    | (?P<string>[rR]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}
        |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    | (?P<double>(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
    | (?P<int>0[xX][0-9a-fA-F]+|\d+)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>&&|\|\||==|!=|<=|>=|[-<>+*/%!?:.,()\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)


class CelInvalid(ValueError):
    """A condition that cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression; kind is string, double, int, name, sign or end."""

    kind: str
    text: str
    column: int


def tokens(expression: str) -> list[Token]:
    """Returns the tokens, the last one of kind `end`; raises CelInvalid at a stray character."""
    found: list[Token] = []
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            at = f"{expression[position]!r} at character {position + 1}"
            raise CelInvalid(f"cannot be read: {at} is not expected there")
        if match.lastgroup != "blank":
            found.append(Token(match.lastgroup or "", match.group(), position + 1))
        position = match.end()
    found.append(Token("end", "the end", position + 1))
    return found
