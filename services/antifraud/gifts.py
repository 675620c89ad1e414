"""Who gave to whom lately (AF-02)."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from antifraud.profile import DAY_US
from antifraud.series import REORDER_US

WINDOW_US = 30 * DAY_US
STEPS_MAX = 4
# What one search looks at, at most; a ring behind more than that is not found.
LOOKED_AT_MAX = 2000


class Gift(NamedTuple):
    """The latest gift from one member to another."""

    giver: str
    receiver: str
    last_us: int


class GiftGraph:
    """The gifts around those of a batch, and those of the batch as they are let pass."""

    def __init__(self) -> None:
        self._from: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._to: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._added: dict[tuple[str, str], int] = {}

    def load(self, gifts: Iterable[Gift]) -> None:
        """Takes in what is stored."""
        for gift in gifts:
            self._put(gift)

    def add(self, gift: Gift) -> None:
        """Adds a gift that takes effect; one to oneself is none."""
        if gift.giver != gift.receiver:
            pair = (gift.giver, gift.receiver)
            self._added[pair] = max(self._added.get(pair, gift.last_us), gift.last_us)
            self._put(gift)

    def added(self) -> list[Gift]:
        """What is to be stored, in the order of the key."""
        return [Gift(*pair, last_us) for pair, last_us in sorted(self._added.items())]

    def senders(self, gift: Gift) -> int:
        """How many members gave to the receiver in the 30 days up to a gift, it included."""
        low, high = gift.last_us - WINDOW_US, gift.last_us + REORDER_US
        known = self._to.get(gift.receiver, {})
        return len({giver for giver, at in known.items() if low < at <= high} | {gift.giver})

    def closes_cycle(self, gift: Gift) -> bool:
        """Whether in those 30 days what the receiver gave came to the giver, in 4 steps at most."""
        low, high = gift.last_us - WINDOW_US, gift.last_us + REORDER_US
        reached = {gift.receiver}
        level = [gift.receiver]
        looked_at = 0
        for _ in range(STEPS_MAX):
            following = []
            for member in level:
                for receiver, at in self._from.get(member, {}).items():
                    looked_at += 1
                    if looked_at > LOOKED_AT_MAX:
                        return False
                    if low < at <= high and receiver not in reached:
                        reached.add(receiver)
                        following.append(receiver)
            if gift.giver in reached:
                return True
            level = following
        return False

    def _put(self, gift: Gift) -> None:
        known = self._from[gift.giver].get(gift.receiver, gift.last_us)
        last_us = max(known, gift.last_us)
        self._from[gift.giver][gift.receiver] = last_us
        self._to[gift.receiver][gift.giver] = last_us
