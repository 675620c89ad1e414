"""Drives checkouts and refunds from rest to rest, for callers and the sweeper (CK-02, CK-04).

Each step is noted as started, tried outside of any transaction, and its outcome noted. A crash
anywhere leaves a checkout that the next repeat or the sweeper takes up: the step is tried again
under its own request id.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from prometheus_client import Counter

from checkout import refunding
from checkout.claims import Claim
from checkout.refund_store import RefundKey, RefundStore
from checkout.refunding import RefundSaga
from checkout.remote import Remote
from checkout.saga import Saga, next_step
from checkout.steps import Mark, Outcome, Step
from checkout.store import Begin, CheckoutStore, Render
from checkout.values import Checkout
from kit.clock import Clock
from kit.errors import LaurelError
from kit.telemetry import log

STEPS_MAX = 12
SWEEP_BATCH = 32
SWEEP_BATCHES_MAX = 50

STEPS = Counter(
    "laurel_checkout_steps_total", "Remote steps of checkouts, by outcome", ("step", "mark")
)
SWEPT = Counter(
    "laurel_checkout_swept_total", "Checkouts and refunds the sweeper took up", ("outcome",)
)

Checkpoint = Callable[[str], None]
Key = TypeVar("Key")


def _pass(_: str) -> None:
    """Nothing happens at a checkpoint, but in tests of crashes."""


class Driver:
    """Takes checkouts on.

    `checkpoint` is called around every step, with `before <step>` and `after <step>`.
    """

    def __init__(
        self,
        checkouts: CheckoutStore,
        refunds: RefundStore,
        remote: Remote,
        clock: Clock,
        checkpoint: Checkpoint = _pass,
    ) -> None:
        self._checkouts = checkouts
        self._refunds = refunds
        self._remote = remote
        self._clock = clock
        self._log = log("checkout")
        self.checkpoint = checkpoint

    async def run(
        self,
        claim: Claim,
        checkout_id: UUID,
        begin: Begin,
        check: Callable[[Saga], None],
        render: Render,
    ) -> bytes:
        """Begins what a request asks for, goes to its end and answers; a repeat goes on from there.

        `check` raises where it ended otherwise. Raises StepUnfinished when nobody answered.
        """
        begun = await self._checkouts.begin(claim, checkout_id, begin)
        if isinstance(begun, bytes):
            return begun
        check(await self.advance(begun))
        return await self._checkouts.answer(claim, checkout_id, render)

    async def refund(
        self,
        claim: Claim,
        checkout_id: UUID,
        asked: Sequence[tuple[str, int]],
        render: Callable[[Checkout, int], bytes],
    ) -> bytes:
        """Refunds, goes to the end and answers, as `run` does; `render` gets its number."""
        begun = await self._refunds.begin(claim, checkout_id, asked)
        if isinstance(begun, bytes):
            return begun
        saga = await self.advance_refund(begun)
        return await self._checkouts.answer(
            claim, checkout_id, lambda shown: render(shown, saga.number)
        )

    async def advance(self, saga: Saga) -> Saga:
        """Takes a checkout to its next rest. Raises StepUnfinished."""
        for _ in range(STEPS_MAX):
            step = next_step(saga)
            if step is None:
                break
            outcome = await self._try(saga, step)
            saga = await self._checkouts.record(saga.checkout_id, outcome)
        return saga

    async def advance_refund(self, saga: RefundSaga) -> RefundSaga:
        """Takes a refund to its end. Raises StepUnfinished."""
        for _ in range(STEPS_MAX):
            step = refunding.next_step(saga)
            if step is None:
                break
            outcome = await self._try(saga, step)
            saga = await self._refunds.record(RefundKey(saga.checkout_id, saga.number), outcome)
        return saga

    async def _try(self, saga: Saga | RefundSaga, step: Step) -> Outcome:
        self.checkpoint(f"before {step.value}")
        outcome = await self._remote.perform(saga, step)
        STEPS.labels(step.value, outcome.mark.value).inc()
        if outcome.mark is Mark.REFUSED:
            self._log.warning(
                "step.refused",
                checkout_id=str(saga.checkout_id),
                step=step.value,
                reason=outcome.reason,
            )
        self.checkpoint(f"after {step.value}")
        return outcome

    async def sweep(self, now: datetime | None = None) -> int:
        """Finishes or undoes what stands still as of a time, or now; returns how many it took."""
        return await self._sweep_all(
            now, self._checkouts.take_due, self._sweep_checkout
        ) + await self._sweep_all(now, self._refunds.take_due, self._sweep_refund)

    async def _sweep_all(
        self,
        now: datetime | None,
        take: Callable[[datetime, int], Awaitable[list[Key]]],
        sweep: Callable[[Key, datetime], Awaitable[None]],
    ) -> int:
        count = 0
        for _ in range(SWEEP_BATCHES_MAX):
            at = now or self._clock()
            keys = await take(at, SWEEP_BATCH)
            await asyncio.gather(*(self._guarded(key, sweep(key, at)) for key in keys))
            count += len(keys)
            if len(keys) < SWEEP_BATCH:
                break
        return count

    async def _guarded(self, key: object, work: Awaitable[None]) -> None:
        """One that fails comes again later, and is no reason to leave the others."""
        try:
            await work
        except Exception as error:  # see above  # noqa: BLE001
            SWEPT.labels("failed").inc()
            level = "warning" if isinstance(error, LaurelError) else "error"
            getattr(self._log, level)("sweep.failed", key=str(key), error=repr(error))
        else:
            SWEPT.labels("done").inc()

    async def _sweep_checkout(self, checkout_id: UUID, now: datetime) -> None:
        await self.advance(await self._checkouts.wake(checkout_id, now))

    async def _sweep_refund(self, key: RefundKey, _: datetime) -> None:
        await self.advance_refund(await self._refunds.get(key))
