"""Makes challenges with the decisions that ask for them, lets solved ones through (AF-01, AF-03).

All of it happens in the transaction of the assessment, and costs a batch without a CHALLENGE
nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from antifraud import metrics
from antifraud.challenging import State, times_of
from antifraud.values import Asked, Decided, Kept, RequestKey, fired_from_json
from kit.clock import Clock, NewId
from kit.db import Transaction
from rules.fraud import without_challenge
from rules.values import Action, StepUp


class Means(NamedTuple):
    """What there is to challenge with: the key of codes, if any, and the verifiers by name."""

    key: bytes | None
    verifiers: frozenset[str]

    def suffice(self, step_up: StepUp) -> bool:
        """Whether a member can be asked as the program says."""
        return step_up.verifier in self.verifiers if step_up.verifier else self.key is not None


class Wanted(NamedTuple):
    """A challenge that is to be made, the first or another one of its operation."""

    asked: Asked
    number: int


class Issuer:
    """Makes challenges, within the bounds of operation, member and day."""

    def __init__(
        self, means: Means, clock: Clock, new_id: NewId, new_salt: Callable[[], bytes]
    ) -> None:
        self._means = means
        self._clock = clock
        self._new_id = new_id
        self._new_salt = new_salt

    async def issue(self, tx: Transaction, wanted: Iterable[Wanted]) -> dict[RequestKey, UUID]:
        """The ids of those that could be made; the others have had their share for now."""
        able = [
            one
            for one in sorted(wanted, key=lambda one: one.asked.request_key)
            if self._means.suffice(one.asked.program.antifraud.step_up)
        ]
        if not able:
            return {}
        now = self._clock()
        members = sorted({one.asked.request_key[0] for one in able})
        rows = await tx.fetch("lock_days", members, now.date())
        counts: dict[str, int] = {row["member_id"]: row["send_count"] for row in rows}
        added: dict[str, int] = {}
        made = []
        for one in able:
            member_id = one.asked.request_key[0]
            if counts[member_id] < one.asked.program.antifraud.step_up.day_sends_max:
                counts[member_id] += 1
                added[member_id] = added.get(member_id, 0) + 1
                made.append((one, self._new_id()))
        if not made:
            return {}
        await tx.execute("add_to_days", list(added), now.date(), list(added.values()))
        await tx.execute("add_challenges", *self._columns(made, now))
        return {one.asked.request_key: challenge_id for one, challenge_id in made}

    def _columns(self, made: Sequence[tuple[Wanted, UUID]], now: datetime) -> list[Any]:
        asked = [one.asked for one, _ in made]
        step_ups = [one.program.antifraud.step_up for one in asked]
        times = [times_of(one, now) for one in step_ups]
        return [
            [one.request_key[0] for one in asked],
            [one.request_key[1] for one in asked],
            [one.number for one, _ in made],
            [challenge_id for _, challenge_id in made],
            [one.facts.operation for one in asked],
            [one.facts.points for one in asked],
            [one.facts.amount_minor for one in asked],
            [one.program.version for one in asked],
            [one.verifier for one in step_ups],
            [one.tries_max for one in step_ups],
            [one.sends_max - 1 for one in step_ups],
            now,
            [self._new_salt() for _ in made],
            [one.resend_time for one in times],
            [one.expire_time for one in times],
        ]

    async def challenge(
        self, tx: Transaction, wanted: Sequence[Wanted], decided: dict[RequestKey, Decided]
    ) -> None:
        """Gives decisions of CHALLENGE their challenges, the new ones and the repeated ones
        together: so days are locked in one order.
        """
        if wanted:
            for key, challenge_id in (await self.issue(tx, wanted)).items():
                decided[key] = decided[key]._replace(challenge_id=challenge_id)
            _count(wanted, decided)

    async def settle(
        self, tx: Transaction, unique: Iterable[Asked], decided: dict[RequestKey, Decided]
    ) -> tuple[list[Asked], list[Wanted]]:
        """What stored decisions of CHALLENGE come to now: what the other rules had asked for, where
        the challenge is solved and the operation the one it is bound to; else the challenge that is
        open. Returns the operations whose challenge is solved, and those that need another one.
        """
        asked = {
            one.request_key: one
            for one in unique
            if (found := decided.get(one.request_key)) and found.action is Action.CHALLENGE
        }
        solved: list[Asked] = []
        wanted: list[Wanted] = []
        if not asked:
            return solved, wanted
        members, requests = zip(*asked, strict=True)
        rows = await tx.fetch("find_challenged", list(members), list(requests))
        now = self._clock()
        for row in rows:
            key = (row["member_id"], row["request_id"])
            if _is_bound(row, asked[key]):
                if row["state"] == State.SOLVED:
                    action = without_challenge(fired_from_json(row["fired"]))
                    decided[key] = decided[key]._replace(action=action)
                    solved.append(asked[key])
                    continue
                if _is_over(row, now):
                    if (number := (row["number"] or 0) + 1) <= _challenges_max(asked[key]):
                        wanted.append(Wanted(asked[key], number))
                    continue
            decided[key] = decided[key]._replace(challenge_id=row["challenge_id"])
        return solved, wanted


def first_challenges(kept: Iterable[Kept]) -> list[Wanted]:
    """What new decisions of CHALLENGE need."""
    return [Wanted(asked, 1) for asked, made, _ in kept if made.action is Action.CHALLENGE]


def _is_bound(row: Any, asked: Asked) -> bool:
    facts = asked.facts
    bound: bool = (facts.operation, facts.points, facts.amount_minor, facts.counterparty) == (
        row["kind"], row["points"], row["amount_minor"], row["counterparty"],
    )  # fmt: skip
    return bound


def _is_over(row: Any, now: datetime) -> bool:
    if row["challenge_id"] is None or row["state"] == State.SPENT:
        return True
    over: bool = row["expire_time"] <= now
    return over


def _challenges_max(asked: Asked) -> int:
    return asked.program.antifraud.step_up.challenges_max


def _count(wanted: Sequence[Wanted], decided: dict[RequestKey, Decided]) -> None:
    made = sum(decided[one.asked.request_key].challenge_id is not None for one in wanted)
    metrics.CHALLENGES.labels("made").inc(made)
    metrics.CHALLENGES.labels("withheld").inc(len(wanted) - made)
