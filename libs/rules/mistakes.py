"""Mistakes in a program document, and where each one stands."""

import difflib
from dataclasses import dataclass

MISTAKES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake in a document; line and column count from 1."""

    file: str
    line: int
    column: int
    path: str
    reason: str

    def __str__(self) -> str:
        """Renders the mistake the way compilers do, so that editors can jump to it."""
        about = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {about}{self.reason}"


class ProgramInvalid(Exception):
    """The document has mistakes; all of them are told, in the order of the document."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


class TooManyMistakes(Exception):
    """So much is wrong that looking further helps nobody."""


class Report:
    """Gathers the mistakes of one document and knows the line and column of every path."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._mistakes: list[Mistake] = []
        self._blamed: set[str] = set()
        self.places: dict[str, tuple[int, int]] = {"": (1, 1)}

    def add(self, path: str, reason: str, place: tuple[int, int] | None = None) -> None:
        """Records a mistake, at the place of the path or of the nearest one around it.

        Raises TooManyMistakes beyond 1,000.
        """
        if len(self._mistakes) >= MISTAKES_MAX:
            raise TooManyMistakes
        line, column = place or self.place(path)
        self._mistakes.append(Mistake(self._file, line, column, path, reason))
        self._blamed.add(path)

    def silence(self, path: str) -> None:
        """Lets no later check complain about a path whose mistake is already told elsewhere."""
        self._blamed.add(path)

    def place(self, path: str) -> tuple[int, int]:
        """Returns line and column of a path, or of the nearest one around it that was written."""
        while path not in self.places:
            path = parent(path)
        return self.places[path]

    def faultless(self, path: str) -> bool:
        """Tells whether no mistake is known at the path or around it."""
        while path not in self._blamed:
            if not path:
                return True
            path = parent(path)
        return False

    def faultless_below(self, path: str) -> bool:
        """Tells whether no mistake is known at the path, around it or inside of it."""
        inside = (path + ".", path + "[")
        return self.faultless(path) and not any(b.startswith(inside) for b in self._blamed)

    def mistakes(self) -> tuple[Mistake, ...]:
        """Returns what was recorded, in the order of the document."""
        return tuple(sorted(self._mistakes, key=lambda m: (m.line, m.column, m.path, m.reason)))


def parent(path: str) -> str:
    """Returns the path around a path: `a.b[1]` is in `a.b`, that is in `a`, that is in ``."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def did_you_mean(word: str, known: list[str]) -> str:
    """Returns `; did you mean x?`, or the choices when nothing is alike."""
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known are {', '.join(known)}"
