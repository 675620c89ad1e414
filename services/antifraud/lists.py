"""What lists say of the operations of a batch: looked up where a rule asks, and nowhere else."""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any

from antifraud.values import Asked, RequestKey
from rules.facts import POINTS_CAP
from rules.fraud_rules import FraudFacts
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

Place = tuple[int, Any]
"""Kind of key, and its value, a text."""

Learned = Mapping[RequestKey, Mapping[str, Any]]
"""By operation, the facts that were looked up for it."""


_FIELDS: dict[FraudKey, int] = {
    kind: FraudFacts._fields.index(kind.name.lower())
    for kind in FraudKey
    if kind is not FraudKey.MEMBER
}


def key_of(asked: Asked, kind: FraudKey) -> str:
    """What an operation has of a kind of key; empty where it names none."""
    if kind is FraudKey.MEMBER:
        return asked.request_key[0]
    return str(asked.facts[_FIELDS[kind]])


def is_asked(asked: Sequence[Asked]) -> bool:
    """Whether a rule of the programs that decide reads lists at all."""
    return any(program.antifraud.reads_lists for program in {one.program for one in asked})


class Question:
    """The keys of a batch whose lists, or cap, a rule on the operation reads."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        # By the numbers of kinds: to hash or to compare enums costs more than all else here.
        self._askers: list[tuple[Asked, list[Place], bool]] = []
        keys: dict[Place, None] = {}
        capped: dict[str, None] = {}
        for one in asked:
            request_key, _, _, program, facts, _ = one
            paths = program.antifraud.by_operation[facts.operation].lists
            if not paths:
                continue
            kinds, is_capped = _reads(paths)
            member_id = request_key[0]
            places = [
                (number, member_id if field is None else facts[field])
                for number, field in kinds
                if field is None or facts[field]
            ]
            self._askers.append((one, places, is_capped))
            keys.update(dict.fromkeys(places))
            if is_capped:
                capped[member_id] = None
        self.columns = ([number for number, _ in keys], [value for _, value in keys])
        self.capped = list(capped)

    def learn(self, rows: Iterable[Any]) -> Learned:
        """The facts of each operation, from the rows that were found."""
        found: dict[Place, list[int]] = {}
        caps: dict[str, int] = {}
        for row in rows:
            if row["list"] == _CAP:
                caps[row["value"]] = row["points"]
            else:
                found.setdefault((row["key_kind"], row["value"]), []).append(row["list"])
        learned: dict[RequestKey, Mapping[str, Any]] = {}
        if not found and not caps:
            return learned
        for one, places, is_capped in self._askers:
            facts: dict[str, Any] = {}
            for place in places:
                for number in found.get(place, ()):
                    path = f"lists.{_WORDS[ListKind(number)]}"
                    facts[path] = facts[f"{path}_{FraudKey(place[0]).name.lower()}"] = True
            if is_capped and one.request_key[0] in caps:
                facts[POINTS_CAP] = caps[one.request_key[0]]
            if facts:
                learned[one.request_key] = facts
        return learned


@lru_cache(maxsize=SETS_MAX)
def _reads(paths: frozenset[str]) -> tuple[list[tuple[int, int | None]], bool]:
    """The kinds of keys that facts are about, by number and place in FraudFacts, and whether a cap
    is read; a fact that names no kind is about all of them.
    """
    names = {path.rpartition("_")[2] for path in paths if path != POINTS_CAP}
    every = any(name.startswith("lists.") for name in names)
    kinds = [kind for kind in FraudKey if every or kind.name.lower() in names]
    return [(kind.value, _FIELDS.get(kind)) for kind in kinds], POINTS_CAP in paths
