"""A circuit breaker: who does not answer is not asked for a while, so that nobody waits for it.

Own code, as the libraries wrap the call in exceptions and locks of their own, while here a silent
service is an answer like any other, and a process has one event loop.
"""

import time
from collections.abc import Callable
from enum import IntEnum

from prometheus_client import Gauge

FAILURES_MAX = 5
PAUSE_SECONDS = 1.0
STATE = Gauge(
    "laurel_breaker_state", "0 closed, 1 half open (one call tries), 2 open", ("breaker",)
)


class State(IntEnum):
    """Where a breaker stands; numbers as in the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Opens after so many failures one after another. After a pause one call may try; it closes
    when that one succeeds.

    Each call that was admitted ends in `succeed` or `fail`, or in neither when it says nothing
    about who is asked. A try that ends in neither is followed by another one after a pause.
    """

    def __init__(
        self,
        name: str,
        *,
        failures_max: int = FAILURES_MAX,
        pause_seconds: float = PAUSE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures_max = failures_max
        self._pause_seconds = pause_seconds
        self._monotonic = monotonic
        self._failures = 0
        self._try_after = 0.0
        self._gauge = STATE.labels(name)
        self.state = State.CLOSED
        self._enter(State.CLOSED)

    def admits(self) -> bool:
        """Whether a call may be made now; where it may while not closed, it is the one that
        tries.
        """
        if self.state is State.CLOSED:
            return True
        now = self._monotonic()
        if now < self._try_after:
            return False
        self._try_after = now + self._pause_seconds
        self._enter(State.HALF_OPEN)
        return True

    def succeed(self) -> None:
        """Notes an answer."""
        self._failures = 0
        if self.state is not State.CLOSED:
            self._enter(State.CLOSED)

    def fail(self) -> None:
        """Notes a call without an answer."""
        self._failures += 1
        if self.state is State.HALF_OPEN or self._failures >= self._failures_max:
            self._try_after = self._monotonic() + self._pause_seconds
            self._enter(State.OPEN)

    def _enter(self, state: State) -> None:
        self.state = state
        self._gauge.set(state)
