"""What a condition may cost at most, counted when it is checked and not when it runs.

Nothing can interrupt the engine, and it compiles a pattern anew each time that it meets it. Only
what is applied anew is refused: versions from before this limit still decide.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from rules.cel_tokens import Token

# A list counts as so many items; one that is written out may have no more.
ITEMS = 100
PATTERN_COST = 400
COST_MAX = 100_000
PATTERN_LENGTH_MAX = 100
REPEATS_MAX = 50

_LARGE_CLASS = re.compile(r"\\[wWpPDS]")
_REPEAT = re.compile(r"\{(\d*),?(\d*)\}")


class Cost:
    """Adds up what is evaluated, by the times that it may be."""

    def __init__(self) -> None:
        self._sum = 0
        self._times = 1
        self.fault = ""
        """The first reason to refuse the condition; empty where there is none."""

    def add(self, cost: int = 1) -> None:
        """Counts a value, or what costs as much as so many of them."""
        self._sum += cost * self._times
        if self._sum > COST_MAX:
            self.refuse(
                "may cost too much: macros inside of one another, or patterns in them, "
                "multiply by the items of their lists; nest fewer"
            )

    @contextmanager
    def each_item(self) -> Iterator[None]:
        """What is counted in the block is evaluated for each item of a list."""
        self._times *= ITEMS
        yield
        self._times //= ITEMS

    def add_list(self, item_count: int) -> None:
        """Counts a list that is written out."""
        if item_count > ITEMS:
            self.refuse(f"has a list of more than {ITEMS} items; split it in two")

    def add_pattern(self, token: Token, behind: str) -> None:
        """Counts a test of a pattern, the argument of `matches`, which a sign `behind` follows."""
        self.add(PATTERN_COST)
        if token.kind != "string" or behind != ")":
            self.refuse("matches takes a pattern that is written out, not computed or a fact")
        if len(token.text) > PATTERN_LENGTH_MAX:
            self.refuse(
                f"has a pattern of more than {PATTERN_LENGTH_MAX} characters; use several tests"
            )
        if large := _LARGE_CLASS.search(token.text):
            self.refuse(
                f"has a pattern with {large.group()}, which stands for thousands of characters; "
                "write those that are meant, such as [a-z0-9_]"
            )
        repeats = 1
        for low, high in _REPEAT.findall(token.text):
            repeats *= max(1, _number(low), _number(high))
        if repeats > REPEATS_MAX:
            self.refuse(
                f"has a pattern whose counted repetitions multiply to more than {REPEATS_MAX}; "
                "use + or *, or several tests"
            )

    def refuse(self, reason: str) -> None:
        """Keeps why the condition must not be applied anew, unless a reason is known already."""
        self.fault = self.fault or reason


def _number(digits: str) -> int:
    # Longer ones are refused anyway; int() of thousands of digits would not be.
    return int(digits[:9] or 0)
