"""Type-checks CEL expressions, as the engine itself only finds a wrong type when it runs.

The grammar is that of CEL without messages, maps, unsigned numbers, bytes and times: no fact
has these types. https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
"""

from collections.abc import Callable
from dataclasses import dataclass

from rules.cel_cost import Cost
from rules.cel_tokens import CelInvalid, Token, tokens
from rules.facts import FactSchema, Type, flat_name
from rules.mistakes import did_you_mean

LENGTH_MAX = 2000
DEPTH_MAX = 24

_NUMBERS = frozenset({Type.INT, Type.DOUBLE})
_LIST_OF = {
    Type.BOOL: Type.BOOLS,
    Type.INT: Type.INTS,
    Type.DOUBLE: Type.DOUBLES,
    Type.STRING: Type.STRINGS,
}
_ELEMENT = {lists: element for element, lists in _LIST_OF.items()}
_MACROS = frozenset({"all", "exists", "exists_one"})
_TEXT_TESTS = frozenset({"contains", "startsWith", "endsWith", "matches"})
_CONVERSIONS = {
    "int": (Type.INT, frozenset({Type.INT, Type.DOUBLE, Type.STRING})),
    "double": (Type.DOUBLE, frozenset({Type.INT, Type.DOUBLE, Type.STRING})),
    "string": (Type.STRING, frozenset({Type.INT, Type.DOUBLE, Type.STRING, Type.BOOL})),
}
_FUNCTIONS = ["size", *_CONVERSIONS]
_METHODS = ["size", *sorted(_TEXT_TESTS), *sorted(_MACROS)]


@dataclass(frozen=True, slots=True)
class Checked:
    """A checked condition: the facts it reads and the text that reads them as flat variables."""

    facts: tuple[str, ...]
    flat: str
    costly: str
    """Why it costs too much or breaks; empty where it does not."""


def check(expression: str, schema: FactSchema) -> Checked:
    """Checks that a condition is a bool over known facts; raises CelInvalid with the reason."""
    if len(expression) > LENGTH_MAX:
        raise CelInvalid(f"is longer than {LENGTH_MAX} characters; split it into two rules")
    checker = _Checker(tokens(expression), schema)
    kind = checker.expression()
    checker.expect("end")
    if kind is not Type.BOOL:
        raise CelInvalid(f"is of type {kind.value}; write a condition that is true or false")
    return Checked(tuple(checker.facts), " ".join(checker.written), checker.cost.fault)


class _Checker:
    """A recursive-descent parser that returns types and writes the expression anew."""

    def __init__(self, found: list[Token], schema: FactSchema) -> None:
        self._tokens = found
        self._position = 0
        self._depth = 0
        self._bound: dict[str, Type] = {}
        self._schema = schema
        self.cost = Cost()
        self.facts: dict[str, None] = {}
        self.written: list[str] = []

    def expression(self) -> Type:
        """Parses `a ? b : c` and all that binds closer."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise CelInvalid(f"is nested deeper than {DEPTH_MAX} levels; split it into two rules")
        kind = self._disjunction()
        if self._accept("?"):
            self._want(kind, Type.BOOL, "the part before ?")
            kind = self._disjunction()
            self.expect(":")
            other = self.expression()
            if other is not kind:
                raise CelInvalid(f"? gives {kind.value} or {other.value}; make them alike")
        self._depth -= 1
        return kind

    def expect(self, text: str) -> None:
        """Takes a sign, or the end; raises CelInvalid where something else stands."""
        if self._next.kind == "end" and text == "end":
            return
        if not self._accept(text):
            raise self._unexpected()

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _unexpected(self) -> CelInvalid:
        token = self._next
        return CelInvalid(
            f"cannot be read: {token.text} at character {token.column} is not expected there"
        )

    def _accept(self, *texts: str) -> str:
        """Takes the next token when it is one of the signs or words; returns it or ``."""
        token = self._next
        if token.kind not in ("sign", "name") or token.text not in texts:
            return ""
        self._position += 1
        self.written.append(token.text)
        return token.text

    def _want(self, kind: Type, wanted: Type, what: str) -> None:
        if kind is not wanted:
            raise CelInvalid(f"{what} is of type {kind.value}; it must be {wanted.value}")

    def _disjunction(self) -> Type:
        return self._logical("||", lambda: self._logical("&&", self._relation))

    def _logical(self, sign: str, operand: Callable[[], Type]) -> Type:
        kind = operand()
        while self._accept(sign):
            self._want(kind, Type.BOOL, f"what {sign} joins")
            kind = operand()
            self._want(kind, Type.BOOL, f"what {sign} joins")
        return kind

    def _relation(self) -> Type:
        kind = self._sum()
        while sign := self._accept("==", "!=", "<=", ">=", "<", ">", "in"):
            other = self._sum()
            if sign == "in":
                fits = _ELEMENT.get(other) is kind
            else:
                ordered = sign in ("==", "!=") or kind not in _ELEMENT
                fits = (kind is other and ordered) or {kind, other} <= _NUMBERS
            if not fits:
                raise CelInvalid(f"cannot compare {kind.value} {sign} {other.value}")
            kind = Type.BOOL
        return kind

    def _sum(self) -> Type:
        return self._arithmetic(("+", "-"), self._product)

    def _product(self) -> Type:
        return self._arithmetic(("*", "/", "%"), self._unary)

    def _arithmetic(self, signs: tuple[str, ...], operand: Callable[[], Type]) -> Type:
        kind = operand()
        while sign := self._accept(*signs):
            other = operand()
            fits = kind in _NUMBERS or (sign == "+" and kind is Type.STRING)
            if kind is not other or not fits or (sign == "%" and kind is not Type.INT):
                advice = "; write 2.0 or double(x)" if {kind, other} == _NUMBERS else ""
                raise CelInvalid(f"cannot compute {kind.value} {sign} {other.value}{advice}")
        return kind

    def _unary(self) -> Type:
        signs: list[str] = []
        while sign := self._accept("!", "-"):
            signs.append(sign)
            if len(signs) > DEPTH_MAX:
                raise CelInvalid("has too many signs in a row")
        kind = self._member()
        for sign in signs:
            if kind is not Type.BOOL if sign == "!" else kind not in _NUMBERS:
                raise CelInvalid(f"{sign} cannot stand before type {kind.value}")
        return kind

    def _member(self) -> Type:
        kind = self._primary()
        while sign := self._accept(".", "["):
            if sign == "[":
                self._want(self.expression(), Type.INT, "an index")
                self.expect("]")
                element = _ELEMENT.get(kind)
                if element is None:
                    raise CelInvalid(f"type {kind.value} has no items")
                kind = element
            else:
                kind = self._method(kind, self._name())
        return kind

    def _name(self) -> str:
        token = self._next
        if token.kind != "name":
            raise self._unexpected()
        self._position += 1
        self.written.append(token.text)
        return token.text

    def _method(self, kind: Type, name: str) -> Type:
        if not self._accept("("):
            raise CelInvalid(f"type {kind.value} has no field {name}")
        if name == "size" and (kind in _ELEMENT or kind is Type.STRING):
            result = Type.INT
        elif name in _TEXT_TESTS and kind is Type.STRING:
            if name == "matches":
                self.cost.add_pattern(self._next, self._peek(1))
            self._want(self.expression(), Type.STRING, f"what {name} looks for")
            result = Type.BOOL
        elif name in _MACROS and kind in _ELEMENT:
            result = self._macro(_ELEMENT[kind], name)
        else:
            raise CelInvalid(f"{name} cannot be asked of type {kind.value}{_hint(name, _METHODS)}")
        self.expect(")")
        return result

    def _macro(self, element: Type, name: str) -> Type:
        variable = self._name()
        # Facts travel as variables with a _ in their name, which a bound name must not hide.
        if "_" in variable or variable in self._bound:
            raise CelInvalid(f"{variable} cannot be bound; choose another name, without _")
        self.expect(",")
        self._bound[variable] = element
        with self.cost.each_item():
            self._want(self.expression(), Type.BOOL, f"the test of {name}")
        del self._bound[variable]
        return Type.BOOL

    def _primary(self) -> Type:
        self.cost.add()
        token = self._next
        if self._accept("("):
            kind = self.expression()
            self.expect(")")
            return kind
        if self._accept("["):
            return self._list()
        if token.kind in ("string", "int", "double"):
            self._position += 1
            self.written.append(token.text)
            return Type(token.kind)
        if self._accept("true", "false"):
            return Type.BOOL
        if token.kind != "name" or token.text == "in":
            raise self._unexpected()
        if self._peek(1) == "(":
            return self._function(self._name())
        if token.text in self._bound:
            return self._bound[self._name()]
        return self._fact()

    def _list(self) -> Type:
        kind = self.expression()
        count = 1
        while self._accept(","):
            count += 1
            self._want(self.expression(), kind, "an item of the list")
        self.expect("]")
        self.cost.add_list(count)
        if kind not in _LIST_OF:
            raise CelInvalid("a list cannot hold lists")
        return _LIST_OF[kind]

    def _function(self, name: str) -> Type:
        self.expect("(")
        kind = self.expression() if self._next.text != ")" else None
        self.expect(")")
        if name == "size" and (kind in _ELEMENT or kind is Type.STRING):
            return Type.INT
        result, accepted = _CONVERSIONS.get(name, (Type.BOOL, frozenset()))
        if kind is None or kind not in accepted:
            what = kind.value if kind else "nothing"
            raise CelInvalid(f"{name} cannot take {what}{_hint(name, _FUNCTIONS)}")
        if name == "string" and kind is Type.BOOL:
            # The engine has none, and says so when it meets it. Versions that were applied with it
            # still decide, by all the rest.
            self.cost.refuse("string cannot take bool; write the condition itself")
        return result

    def _fact(self) -> Type:
        parts = [self._next.text]
        self._position += 1
        while self._peek(0) == "." and self._peek(2) != "(" and self._is_name(1):
            parts.append(self._tokens[self._position + 1].text)
            self._position += 2
        path = ".".join(parts)
        kind = self._schema.type_of(path)
        self.facts[path] = None
        self.written.append(flat_name(path))
        return kind

    def _peek(self, ahead: int) -> str:
        index = min(self._position + ahead, len(self._tokens) - 1)
        token = self._tokens[index]
        return token.text if token.kind == "sign" else ""

    def _is_name(self, ahead: int) -> bool:
        index = min(self._position + ahead, len(self._tokens) - 1)
        return self._tokens[index].kind == "name"


def _hint(name: str, known: list[str]) -> str:
    return "" if name in known else did_you_mean(name, known)
