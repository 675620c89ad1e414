"""Challenges in Postgres: tried, sent again, shown, forgotten. Each method is one transaction, but
for a try at an external verifier.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from antifraud import metrics
from antifraud.challenge_errors import (
    ChallengeNotFound,
    ChallengeSpent,
    CodeWrong,
    DaySendsSpent,
    VerifierUnavailable,
)
from antifraud.challenging import (
    Challenge,
    State,
    check_open,
    check_resend,
    is_right,
    times_of,
)
from antifraud.verifiers import NoAnswer, Verifiers
from kit.clock import Clock
from kit.db import Database, Transaction
from kit.requests import once
from laurel.antifraud.v1 import challenges_pb2 as pb
from rules.compiled import ProgramHistory
from rules.values import Operation, StepUp

PRUNE_PAGE = 2000
# Unsolved ones are of use to nobody but people who ask why; the bound of one operation starts anew.
KEEP = timedelta(days=30)

Render = Callable[[Challenge], pb.ResendChallengeResponse]


class ChallengeStore:
    """What becomes of challenges."""

    def __init__(
        self,
        database: Database,
        key: bytes | None,
        verifiers: Verifiers,
        clock: Clock,
        new_salt: Callable[[], bytes],
    ) -> None:
        self._database = database
        self._key = key
        self._verifiers = verifiers
        self._clock = clock
        self._new_salt = new_salt

    def now(self) -> datetime:
        """The instant that challenges are shown as of."""
        return self._clock()

    async def get(self, challenge_id: UUID) -> Challenge:
        """A challenge. Raises ChallengeNotFound."""
        async with self._database.statements() as tx:
            return _found(await tx.fetchrow("get_challenge", challenge_id), challenge_id)

    async def verify(self, challenge_id: UUID, code: str) -> Challenge:
        """The challenge, solved by the right code; a wrong one uses up a try.

        Raises ChallengeNotFound, ChallengeSpent, ChallengeExpired, CodeWrong or
        VerifierUnavailable.
        """
        async with self._database.transaction() as tx:
            challenge = await _lock(tx, challenge_id)
            if challenge.state is State.SOLVED:
                return challenge
            check_open(challenge, self._clock())
            if challenge.verifier:
                await tx.execute("reserve_try", challenge_id)
            elif self._key is not None and is_right(self._key, challenge, code):
                return await self._solve(tx, challenge)
            else:
                # Kept: what is raised in here would take it back.
                await tx.execute("use_try", challenge_id)
        left = challenge.tries_left - 1
        if challenge.verifier:
            return await self._verify_elsewhere(challenge, code, left)
        _count_wrong(left)
        raise CodeWrong(challenge_id=challenge_id, tries_left=left)

    async def _verify_elsewhere(self, challenge: Challenge, code: str, left: int) -> Challenge:
        try:
            right = await self._verifiers.verify(challenge, code)
        except NoAnswer as silence:
            # Perhaps it was checked: the try stays used up.
            raise VerifierUnavailable(
                verifier=challenge.verifier, problem=str(silence), tries_left=left
            ) from silence
        challenge_id = challenge.challenge_id
        async with self._database.transaction() as tx:
            if right:
                found = await _lock(tx, challenge_id)
                if found.state is State.OPEN:
                    return await self._solve(tx, found)
                if found.state is State.SOLVED:
                    return found
                # The last wrong answer came before this one.
                raise ChallengeSpent(challenge_id=challenge_id)
            await tx.execute("spend_challenge", challenge_id)
        _count_wrong(left)
        raise CodeWrong(challenge_id=challenge_id, tries_left=left)

    async def _solve(self, tx: Transaction, challenge: Challenge) -> Challenge:
        row = await tx.fetchrow("solve_challenge", challenge.challenge_id, self._clock())
        metrics.CHALLENGES.labels("solved").inc()
        return challenge_of(row)

    async def resend(
        self, request: pb.ResendChallengeRequest, history: ProgramHistory, render: Render
    ) -> pb.ResendChallengeResponse:
        """Lets a new code be sent, once for each request.

        Raises ChallengeNotFound, ChallengeSolved, ChallengeSpent, ChallengeExpired, SendsSpent,
        ResendTooSoon, DaySendsSpent, RequestIdReused, or UnknownVersion for a challenge of a
        process that has heard of a version before this one.
        """
        async with self._database.transaction() as tx:

            async def act() -> pb.ResendChallengeResponse:
                return render(await self._resend(tx, UUID(request.challenge_id), history))

            return await once(tx, request.request_id, request, act, pb.ResendChallengeResponse)

    async def _resend(
        self, tx: Transaction, challenge_id: UUID, history: ProgramHistory
    ) -> Challenge:
        challenge = await _lock(tx, challenge_id)
        step_up = step_up_of(challenge, history)
        now = self._clock()
        check_resend(challenge, now)
        member_id = challenge.member_id
        row = await tx.fetchrow("lock_days", [member_id], now.date())
        if row["send_count"] >= step_up.day_sends_max:
            raise DaySendsSpent(member_id=member_id, sends_max=step_up.day_sends_max)
        await tx.execute("add_to_days", [member_id], now.date(), [1])
        times, salt = times_of(step_up, now), self._new_salt()
        return challenge_of(await tx.fetchrow("resend_challenge", challenge_id, salt, now, *times))

    async def claim_sends(self, lease: timedelta, limit: int) -> list[Challenge]:
        """The codes to be sent next, each leased to the caller; what came too late is dropped."""
        now = self._clock()
        async with self._database.statements() as tx:
            rows = await tx.fetch("claim_sends", now, now + lease, limit)
        claimed = [challenge_of(row) for row in rows]
        return [one for one in claimed if now < one.expire_time]

    async def settle_send(self, challenge: Challenge, *, sent: bool) -> None:
        """Keeps that a code was handed over, or never will be."""
        sent_time = self._clock() if sent else None
        async with self._database.statements() as tx:
            await tx.execute(
                "settle_send", challenge.challenge_id, challenge.send_number, sent_time
            )

    async def postpone_send(self, challenge: Challenge, wait: timedelta) -> None:
        """Lets a code be tried to be sent again later."""
        due = self._clock() + wait
        async with self._database.statements() as tx:
            await tx.execute("postpone_send", challenge.challenge_id, challenge.send_number, due)

    async def prune(self) -> None:
        """Forgets what was not solved long ago, and the counts of past days, in small steps."""
        now = self._clock()
        await self._prune("prune_challenges", now - KEEP)
        await self._prune("prune_days", (now - timedelta(days=1)).date())

    async def _prune(self, statement: str, before: date) -> None:
        gone = PRUNE_PAGE
        while gone == PRUNE_PAGE:
            async with self._database.transaction() as tx:
                gone = len(await tx.fetch(statement, before, PRUNE_PAGE))


def step_up_of(challenge: Challenge, history: ProgramHistory) -> StepUp:
    """The step-up of the version that a challenge was made by. Raises UnknownVersion."""
    return history.version(challenge.program_version).antifraud.step_up


def challenge_of(row: Any) -> Challenge:
    """A challenge from a row of it."""
    values = dict(row)
    values["kind"] = Operation(row["kind"])
    values["state"] = State(row["state"])
    return Challenge(**values)


async def _lock(tx: Transaction, challenge_id: UUID) -> Challenge:
    return _found(await tx.fetchrow("lock_challenge", challenge_id), challenge_id)


def _found(row: Any, challenge_id: UUID) -> Challenge:
    if row is None:
        raise ChallengeNotFound(challenge_id=challenge_id)
    return challenge_of(row)


def _count_wrong(left: int) -> None:
    metrics.CHALLENGES.labels("wrong").inc()
    if not left:
        metrics.CHALLENGES.labels("spent").inc()
