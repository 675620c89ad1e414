"""Short ways to be challenged, to read codes and to type them in."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import cast

import grpc

from house import SAMPLE, House, new_id
from laurel.antifraud.v1 import challenges_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.notification.v1.notification_service_pb2 import ListInboxRequest, Message
from laurel.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from laurel.program.v1 import program_pb2

CHALLENGE = program_pb2.FRAUD_ACTION_CHALLENGE


def program(rules: str, step_up: str) -> str:
    """The sample program with other rules of anti-fraud and a step-up."""
    rest = SAMPLE.read_text().partition("\nantifraud:")[0]
    head = "\nantifraud:\n  deadline_ms: 2000\n  fallback_accrual_points_max: 500\n  rules:"
    return rest + head + rules.rstrip() + step_up


def wrong(code: str) -> str:
    """Another code."""
    return f"{(int(code) + 1) % 10**6:06}"


CODE = re.compile(r"(?<![0-9a-f])\d{6}(?![0-9a-f])")


def code_in(message: Message) -> str:
    """The code in the text of a message."""
    [code] = CODE.findall(message.body)
    return cast("str", code)


async def until(is_so: Callable[[], Awaitable[bool]], seconds_max: float = 20) -> None:
    """Waits until something is so; fails when it is not within a bound."""
    async with asyncio.timeout(seconds_max):
        while not await is_so():
            await asyncio.sleep(0.05)


class StepUps:
    """The calls about challenges, and the inboxes of those who are challenged."""

    def __init__(self, house: House, channel: grpc.aio.Channel | None = None) -> None:
        self.house = house
        self.stub = AntifraudServiceStub(channel or house.channel("antifraud"))
        self.notification: NotificationServiceStub = house.stub(
            NotificationServiceStub, "notification"
        )

    async def verify(self, challenge_id: str, code: str) -> pb.Challenge:
        request = pb.VerifyChallengeRequest(challenge_id=challenge_id, code=code)
        return (await self.stub.VerifyChallenge(request)).challenge

    async def resend(self, challenge_id: str, request_id: str = "") -> pb.Challenge:
        request = pb.ResendChallengeRequest(
            request_id=request_id or new_id(), challenge_id=challenge_id
        )
        return (await self.stub.ResendChallenge(request)).challenge

    async def get(self, challenge_id: str) -> pb.Challenge:
        request = pb.GetChallengeRequest(challenge_id=challenge_id)
        return (await self.stub.GetChallenge(request)).challenge

    async def inbox(self, member: str) -> Sequence[Message]:
        """A member's messages with a code, newest first: others tell of tiers."""
        answer = await self.notification.ListInbox(ListInboxRequest(member_id=member))
        return [message for message in answer.messages if CODE.search(message.body)]

    async def inbox_of(self, member: str, count: int) -> Sequence[Message]:
        """A member's messages, once there are so many and no code is on its way any more."""

        async def is_there() -> bool:
            waiting = await self.house.fetch(
                "SELECT 1 FROM antifraud.challenge "
                "WHERE member_id = $1 AND send_due_time IS NOT NULL",
                member,
            )
            return not waiting and len(await self.inbox(member)) >= count

        await until(is_there)
        return await self.inbox(member)

    async def code(self, member: str, number: int = 1) -> str:
        """The code of a member's newest message, of which there are so many."""
        return code_in((await self.inbox_of(member, number))[0])

    async def codes(self, member: str, count: int) -> list[str]:
        """All codes of a member, of which there are so many."""
        return [code_in(message) for message in await self.inbox_of(member, count)]

    async def solve(self, challenge_id: str) -> None:
        """Solves a challenge, whichever of a member's messages its code is in."""
        await self.verify(challenge_id, await self._code_of(challenge_id))

    async def _code_of(self, challenge_id: str) -> str:
        challenge = await self.get(challenge_id)
        for message in await self.inbox_of(challenge.member_id, 1):
            if await self._is_of(message, challenge_id):
                return code_in(message)
        raise AssertionError(f"no code of {challenge_id} has arrived")

    async def spend(self, challenge_id: str) -> None:
        """Uses up all tries of a challenge."""
        code = await self._code_of(challenge_id)
        while (await self.get(challenge_id)).tries_left:
            with suppress(grpc.aio.AioRpcError):
                await self.verify(challenge_id, wrong(code))

    async def _is_of(self, message: Message, challenge_id: str) -> bool:
        rows = await self.house.fetch(
            "SELECT 1 FROM notification.request WHERE request_id LIKE $1 AND position($2 IN "
            "encode(response, 'escape')) > 0",
            f"challenge:{challenge_id}:%",
            message.message_id,
        )
        return bool(rows)

    async def until_sent(self, challenge_id: str) -> None:
        async def is_sent() -> bool:
            return (await self.get(challenge_id)).sent

        await until(is_sent)

    async def expire(self, challenge_id: str) -> None:
        """Puts the end of a challenge into the past."""
        await self.house.fetch(
            "UPDATE antifraud.challenge SET expire_time = now() - interval '1 second' "
            "WHERE challenge_id = $1",
            challenge_id,
        )

    async def let_resend(self, challenge_id: str) -> None:
        """Lets the pause before the next code be over."""
        await self.house.fetch(
            "UPDATE antifraud.challenge SET resend_time = now() - interval '1 second' "
            "WHERE challenge_id = $1",
            challenge_id,
        )

    async def run(self, name: str) -> None:
        """Runs scheduled work of the anti-fraud service."""
        schedules = {one.name: one for one in self.house.running["antifraud"].service.schedules}
        await schedules[name].run()
