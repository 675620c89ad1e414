"""AF-03: an external verifier asks the member instead of a code of ours."""

from asyncio import gather
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from challenge_desk import RULES, ChallengeDesk
from fraud_desk import ALLOW, REDEMPTION, operation
from grpc import StatusCode

from house import Ground, House, free_address, refused
from kit.auth import Certificates, identity_of
from laurel.antifraud.v1 import challenges_pb2
from laurel.antifraud.v1 import external_verifier_pb2 as pb
from laurel.antifraud.v1.external_verifier_pb2_grpc import (
    ExternalVerifierServiceServicer,
    add_ExternalVerifierServiceServicer_to_server,
)
from step_ups import CHALLENGE, program

STEP_UP = """
  step_up: {redemption_points_above: 1000, verifier: bank}
"""


class Bank(ExternalVerifierServiceServicer):
    """A verifier whose members answer with the end of their own id."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.started: list[pb.StartVerificationRequest] = []
        self.asked: list[str] = []
        self.callers: set[str | None] = set()
        self._server: Any = None

    async def open(self, certificates: Certificates) -> None:
        self._server = grpc.aio.server()
        add_ExternalVerifierServiceServicer_to_server(self, self._server)
        self._server.add_secure_port(self.address, certificates.for_server())
        await self._server.start()

    async def close(self) -> None:
        await self._server.stop(None)

    async def StartVerification(  # noqa: N802
        self, request: pb.StartVerificationRequest, context: Any
    ) -> pb.StartVerificationResponse:
        self.callers.add(identity_of(context))
        self.started.append(request)
        return pb.StartVerificationResponse()

    async def VerifyCode(  # noqa: N802
        self, request: pb.VerifyCodeRequest, context: Any
    ) -> pb.VerifyCodeResponse:
        self.asked.append(request.challenge_id)
        return pb.VerifyCodeResponse(right=request.member_id.endswith(request.code))


@pytest.fixture(scope="module")
async def bank(ground: Ground) -> AsyncIterator[Bank]:
    """A running verifier, with a certificate of its own."""
    bank = Bank(free_address())
    await bank.open(Certificates.load(ground.certificates, "platform"))
    yield bank
    await bank.close()


@pytest.fixture(scope="module")
async def guarded(ground: Ground, bank: Bank) -> AsyncIterator[House]:
    """A house that knows the verifier, and its program names it."""
    async with ground.house(verifiers=f"bank={bank.address}", code_key=None) as house:
        await house.apply(program(RULES, STEP_UP))
        await house.start("antifraud", "notification")
        yield house


@pytest.fixture
def desk(guarded: House) -> ChallengeDesk:
    return ChallengeDesk(guarded)


async def test_af_03_the_verifier_asks_and_says_what_is_right(
    desk: ChallengeDesk, bank: Bank, member: str
) -> None:
    asked = operation(member, kind=REDEMPTION, points=2000)
    [decision] = await desk.assess(asked)
    assert decision.action == CHALLENGE
    await desk.until_sent(decision.challenge_id)
    [start] = [one for one in bank.started if one.challenge_id == decision.challenge_id]
    assert (start.member_id, start.kind, start.points) == (member, REDEMPTION, 2000)
    assert bank.callers == {"antifraud"}
    refusal = await refused(desk.verify(decision.challenge_id, "zzzz"))
    assert (refusal.reason, refusal.metadata["tries_left"]) == ("CODE_WRONG", "2")
    solved = await desk.verify(decision.challenge_id, member[-4:])
    assert (solved.state, solved.verifier) == (challenges_pb2.CHALLENGE_STATE_SOLVED, "bank")
    [after] = await desk.assess(asked)
    assert after.action == ALLOW
    assert await desk.inbox(member) == []


async def test_af_03_a_new_start_has_an_id_of_its_own(
    desk: ChallengeDesk, bank: Bank, member: str
) -> None:
    [decision] = await desk.assess(operation(member, kind=REDEMPTION, points=2000))
    await desk.until_sent(decision.challenge_id)
    await desk.let_resend(decision.challenge_id)
    await desk.resend(decision.challenge_id)
    await desk.until_sent(decision.challenge_id)
    starts = [one for one in bank.started if one.challenge_id == decision.challenge_id]
    assert len({one.start_id for one in starts}) == len(starts) == 2


async def test_af_03_of_50_guesses_at_once_the_verifier_is_asked_3_times(
    desk: ChallengeDesk, bank: Bank, member: str
) -> None:
    [decision] = await desk.assess(operation(member, kind=REDEMPTION, points=2000))
    calls = [refused(desk.verify(decision.challenge_id, "zzzz")) for _ in range(50)]
    refusals = await gather(*calls)
    assert bank.asked.count(decision.challenge_id) == 3
    reasons = [one.reason for one in refusals]
    assert (reasons.count("CODE_WRONG"), reasons.count("CHALLENGE_SPENT")) == (3, 47)
    shown = await desk.get(decision.challenge_id)
    assert shown.state == challenges_pb2.CHALLENGE_STATE_SPENT


async def test_af_03_a_silent_verifier_costs_a_try_and_lets_nothing_through(
    desk: ChallengeDesk, bank: Bank, member: str
) -> None:
    asked = operation(member, kind=REDEMPTION, points=2000)
    [decision] = await desk.assess(asked)
    await desk.until_sent(decision.challenge_id)
    await bank.close()
    try:
        silent = await refused(desk.verify(decision.challenge_id, member[-4:]))
        assert (silent.code, silent.reason) == (StatusCode.ABORTED, "VERIFIER_UNAVAILABLE")
        assert silent.metadata["tries_left"] == "2"
        [still] = await desk.assess(asked)
        assert still.action == CHALLENGE
        late = operation(member, kind=REDEMPTION, points=2000)
        [waiting] = await desk.assess(late)
        assert not (await desk.get(waiting.challenge_id)).sent
    finally:
        await bank.open(Certificates.load(desk.house.settings.cert_dir, "platform"))
    await desk.until_sent(waiting.challenge_id)
    solved = await desk.verify(decision.challenge_id, member[-4:])
    assert solved.state == challenges_pb2.CHALLENGE_STATE_SOLVED


async def test_af_03_a_right_answer_that_comes_late_counts_once(
    desk: ChallengeDesk, bank: Bank, member: str
) -> None:
    [decision] = await desk.assess(operation(member, kind=REDEMPTION, points=2000))
    solved = await gather(*[desk.verify(decision.challenge_id, member[-4:]) for _ in range(3)])
    assert {one.state for one in solved} == {challenges_pb2.CHALLENGE_STATE_SOLVED}
    assert len({one.solve_time.ToNanoseconds() for one in solved}) == 1


async def test_af_03_a_verifier_that_is_not_known_here_challenges_nobody(
    ground: Ground, member: str
) -> None:
    """Nothing goes through either."""
    async with ground.house() as house:
        await house.apply(program(RULES, STEP_UP))
        await house.start("antifraud", "notification")
        [decision] = await ChallengeDesk(house).assess(
            operation(member, kind=REDEMPTION, points=2000)
        )
        assert (decision.action, decision.challenge_id) == (CHALLENGE, "")
