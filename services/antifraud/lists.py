"""What lists say of the operations of a batch: looked up where a rule asks, and nowhere else."""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any

from antifraud.values import Asked, RequestKey
from rules.facts import POINTS_CAP
from rules.values import FraudKey

SETS_MAX = 64


class ListKind(IntEnum):
    """A list; numbers as in the contract."""

    ALLOW = 1
    DENY = 2
    WATCH = 3


_WORDS = {ListKind.ALLOW: "allowed", ListKind.DENY: "denied", ListKind.WATCH: "watched"}
_CAP = 0
"""What stands for a list in a row that tells of a cap."""

Learned = Mapping[RequestKey, Mapping[str, Any]]
"""By operation, the facts that were looked up for it."""


def key_of(asked: Asked, kind: FraudKey) -> str:
    """What an operation has of a kind of key; empty where it names none."""
    match kind:
        case FraudKey.MEMBER:
            return asked.request_key[0]
        case FraudKey.DEVICE:
            return asked.facts.device
        case FraudKey.IP:
            return asked.facts.ip
        case FraudKey.CARD:
            return asked.facts.card
        case FraudKey.STORE:
            return asked.facts.store


def is_asked(asked: Sequence[Asked]) -> bool:
    """Whether a rule of the programs that decide reads lists at all."""
    return any(program.antifraud.reads_lists for program in {one.program for one in asked})


class Question:
    """The keys of a batch whose lists, or cap, a rule on the operation reads."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._askers: list[tuple[Asked, tuple[FraudKey, ...], bool]] = []
        keys: dict[tuple[int, str], None] = {}
        capped: dict[str, None] = {}
        for one in asked:
            paths = one.program.antifraud.by_operation[one.facts.operation].lists
            if not paths:
                continue
            kinds = _kinds_in(paths)
            self._askers.append((one, kinds, POINTS_CAP in paths))
            for kind in kinds:
                if value := key_of(one, kind):
                    keys[kind.value, value] = None
            if POINTS_CAP in paths:
                capped[one.request_key[0]] = None
        self.columns = ([kind for kind, _ in keys], [value for _, value in keys])
        self.capped = list(capped)

    def learn(self, rows: Iterable[Any]) -> Learned:
        """The facts of each operation, from the rows that were found."""
        found: dict[tuple[int, str], list[int]] = {}
        caps: dict[str, int] = {}
        for row in rows:
            if row["list"] == _CAP:
                caps[row["value"]] = row["points"]
            else:
                found.setdefault((row["key_kind"], row["value"]), []).append(row["list"])
        learned: dict[RequestKey, Mapping[str, Any]] = {}
        if not found and not caps:
            return learned
        for one, kinds, is_capped in self._askers:
            facts: dict[str, Any] = {}
            for kind in kinds:
                for number in found.get((kind.value, key_of(one, kind)), ()):
                    path = f"lists.{_WORDS[ListKind(number)]}"
                    facts[path] = facts[f"{path}_{kind.name.lower()}"] = True
            if is_capped and one.request_key[0] in caps:
                facts[POINTS_CAP] = caps[one.request_key[0]]
            if facts:
                learned[one.request_key] = facts
        return learned


@lru_cache(maxsize=SETS_MAX)
def _kinds_in(paths: frozenset[str]) -> tuple[FraudKey, ...]:
    """The kinds of keys that facts are about; a fact without one is about all of them."""
    names = {path.rpartition("_")[2] for path in paths if path != POINTS_CAP}
    if any(name.startswith("lists.") for name in names):
        return tuple(FraudKey)
    return tuple(kind for kind in FraudKey if kind.name.lower() in names)
