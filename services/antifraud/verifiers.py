"""External verifiers: whoever asks a member by means of its own (AF-03)."""

from collections.abc import Mapping

import grpc

from antifraud.challenging import Challenge
from kit.clock import to_timestamp
from laurel.antifraud.v1 import external_verifier_pb2 as pb
from laurel.antifraud.v1.external_verifier_pb2_grpc import ExternalVerifierServiceStub

DEADLINE_SECONDS = 5.0


class NoAnswer(Exception):
    """A verifier gave no answer; the text is the gRPC code."""


class Verifiers:
    """The verifiers by name."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._stubs = {name: ExternalVerifierServiceStub(one) for name, one in channels.items()}

    @property
    def names(self) -> frozenset[str]:
        """The names that a program may use here."""
        return frozenset(self._stubs)

    async def start(self, challenge: Challenge, start_id: str) -> None:
        """Lets the verifier ask the member. Raises NoAnswer."""
        request = pb.StartVerificationRequest(
            start_id=start_id,
            challenge_id=str(challenge.challenge_id),
            member_id=challenge.member_id,
            kind=challenge.kind.value,  # type: ignore[arg-type]
            points=challenge.points,
            expire_time=to_timestamp(challenge.expire_time),
        )
        try:
            await self._stub(challenge).StartVerification(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise NoAnswer(error.code().name) from None

    async def verify(self, challenge: Challenge, code: str) -> bool:
        """Whether the verifier finds the code right. Raises NoAnswer."""
        request = pb.VerifyCodeRequest(
            challenge_id=str(challenge.challenge_id), member_id=challenge.member_id, code=code
        )
        try:
            answer = await self._stub(challenge).VerifyCode(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            # Without the cause: its words could hold the code.
            raise NoAnswer(error.code().name) from None
        return answer.right

    def _stub(self, challenge: Challenge) -> ExternalVerifierServiceStub:
        try:
            return self._stubs[challenge.verifier]
        except KeyError:
            raise NoAnswer("not in LAUREL_VERIFIERS") from None
