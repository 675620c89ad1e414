"""Sends codes behind the answer: a loop over the challenges whose code is due (AF-03)."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import grpc
from grpc import StatusCode

from antifraud import metrics
from antifraud.challenge_store import ChallengeStore, step_up_of
from antifraud.challenging import Challenge, code_of
from antifraud.verifiers import NoAnswer, Verifiers
from kit.clock import to_timestamp
from kit.errors import LaurelError
from kit.telemetry import log
from laurel.notification.v1.notification_service_pb2 import SendMessageRequest
from laurel.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from rules.compiled import UnknownVersion
from rules.feed import ProgramFeed
from rules.step_up import code_message

PAGE = 32
PASS_SECONDS = 0.5
# Longer than a call takes.
LEASE = timedelta(seconds=15)
CALL_SECONDS = 5.0
RETRY = timedelta(seconds=2)
# Notification has said no, and would again.
_REFUSALS = frozenset({StatusCode.INVALID_ARGUMENT, StatusCode.ALREADY_EXISTS})


class CodeSender:
    """Hands codes over to notification, and challenges to external verifiers.

    A code is worked out when it is sent, the same at each try, and so is the request id: it is sent
    once, whatever crashes in between.
    """

    def __init__(
        self,
        store: ChallengeStore,
        feed: ProgramFeed,
        key: bytes | None,
        verifiers: Verifiers,
        notification: NotificationServiceStub,
    ) -> None:
        self._store = store
        self._feed = feed
        self._key = key
        self._verifiers = verifiers
        self._notification = notification
        self._log = log("antifraud")

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping`; survives the absence of the database and of who is called."""
        while not stopping.is_set():
            try:
                claimed = await self._store.claim_sends(LEASE, PAGE)
                await asyncio.gather(*(self._send(one) for one in claimed))
            except Exception as error:  # the lease ends, and they come again  # noqa: BLE001
                level = "warning" if isinstance(error, LaurelError) else "error"
                getattr(self._log, level)("codes.postponed", error=type(error).__name__)
                claimed = []
            if len(claimed) < PAGE:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), PASS_SECONDS)

    async def _send(self, challenge: Challenge) -> None:
        try:
            sent = await self._hand_over(challenge)
        except NoAnswer as silence:
            metrics.CODE_SENDS.labels("postponed").inc()
            self._log.warning(
                "code.postponed", challenge_id=str(challenge.challenge_id), problem=str(silence)
            )
            await self._store.postpone_send(challenge, RETRY)
            return
        metrics.CODE_SENDS.labels("sent" if sent else "refused").inc()
        await self._store.settle_send(challenge, sent=sent)

    async def _hand_over(self, challenge: Challenge) -> bool:
        """Whether it was taken. Raises NoAnswer."""
        send_id = f"challenge:{challenge.challenge_id}:{challenge.send_number}"
        if challenge.verifier:
            await self._verifiers.start(challenge, send_id)
            return True
        if self._key is None:
            raise NoAnswer("LAUREL_CODE_KEY is not set")
        try:
            step_up = step_up_of(challenge, await self._feed.ensure())
        except UnknownVersion:
            await self._feed.refresh()
            raise NoAnswer("its program is not heard of yet") from None
        code = code_of(self._key, challenge)
        subject, body = code_message(step_up, code, challenge.member_id, challenge.points)
        request = SendMessageRequest(
            request_id=send_id,
            member_id=challenge.member_id,
            channels=[channel.value for channel in step_up.channels],  # type: ignore[misc]
            subject=subject,
            body=body,
            expire_time=to_timestamp(challenge.expire_time),
        )
        try:
            await self._notification.SendMessage(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            # Never its words: they could hold the code.
            if error.code() not in _REFUSALS:
                raise NoAnswer(error.code().name) from None
            self._log.error(
                "code.refused",
                challenge_id=str(challenge.challenge_id),
                code=error.code().name,
            )
            return False
        return True
