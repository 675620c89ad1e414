"""The calls about challenges."""

from typing import Any
from uuid import UUID

import grpc

from antifraud.challenge_store import ChallengeStore
from antifraud.challenging import Challenge
from kit.clock import to_timestamp
from laurel.antifraud.v1 import challenges_pb2 as pb
from rules.compiled import UnknownVersion
from rules.feed import ProgramFeed

Context = grpc.aio.ServicerContext[Any, Any]


class ChallengeCalls:
    """Step-ups."""

    _challenges: ChallengeStore
    _feed: ProgramFeed

    async def VerifyChallenge(
        self, request: pb.VerifyChallengeRequest, context: Context
    ) -> pb.VerifyChallengeResponse:
        """See the contract."""
        solved = await self._challenges.verify(UUID(request.challenge_id), request.code)
        return pb.VerifyChallengeResponse(challenge=self._render_challenge(solved))

    async def ResendChallenge(
        self, request: pb.ResendChallengeRequest, context: Context
    ) -> pb.ResendChallengeResponse:
        """See the contract."""

        def render(challenge: Challenge) -> pb.ResendChallengeResponse:
            return pb.ResendChallengeResponse(challenge=self._render_challenge(challenge))

        history = await self._feed.ensure()
        try:
            return await self._challenges.resend(request, history, render)
        except UnknownVersion:
            # Made by another process, which has heard of a version before this one.
            await self._feed.refresh()
            return await self._challenges.resend(request, await self._feed.ensure(), render)

    async def GetChallenge(
        self, request: pb.GetChallengeRequest, context: Context
    ) -> pb.GetChallengeResponse:
        """See the contract."""
        found = await self._challenges.get(UUID(request.challenge_id))
        return pb.GetChallengeResponse(challenge=self._render_challenge(found))

    def _render_challenge(self, challenge: Challenge) -> pb.Challenge:
        shown = pb.Challenge(
            challenge_id=str(challenge.challenge_id),
            member_id=challenge.member_id,
            request_id=challenge.request_id,
            kind=challenge.kind.value,  # type: ignore[arg-type]
            points=challenge.points,
            state=challenge.state_at(self._challenges.now()).value,  # type: ignore[arg-type]
            tries_left=challenge.tries_left,
            sends_left=challenge.sends_left,
            expire_time=to_timestamp(challenge.expire_time),
            resend_time=to_timestamp(challenge.resend_time),
            create_time=to_timestamp(challenge.create_time),
            verifier=challenge.verifier,
            sent=challenge.sent_time is not None,
        )
        if challenge.solve_time is not None:
            shown.solve_time.CopyFrom(to_timestamp(challenge.solve_time))
        return shown
