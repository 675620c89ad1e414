"""Tells operators of rules that break, beside the metric: once for each rule and minute."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from antifraud.values import Kept
from kit.clock import Clock
from kit.telemetry import log

PAUSE = timedelta(minutes=1)


class BrokenRuleAlarm:
    """Remembers which rules it told of lately."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, datetime] = {}
        self._log = log("antifraud")

    def tell(self, kept: Sequence[Kept]) -> None:
        """Logs the rules that gave no answer and were left out of these decisions."""
        broken = {
            name: one.asked for one in kept if one.decision.broken for name in one.decision.broken
        }
        if not broken:
            return
        now = self._clock()
        self._told = {name: time for name, time in self._told.items() if now - time < PAUSE}
        for name in broken.keys() - self._told.keys():
            self._told[name] = now
            asked = broken[name]
            self._log.warning(
                "rule.broken", rule=name, program_version=asked.program.version,
                member_id=asked.request_key[0], request_id=asked.request_key[1],
            )  # fmt: skip
