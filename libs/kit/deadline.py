"""What is left of a call's deadline, so that it travels on to the calls made on its behalf."""

import time
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("laurel_deadline", default=None)


def set_left(seconds: float | None) -> None:
    """Notes how many seconds the running call has left; None for no limit."""
    _deadline.set(None if seconds is None else time.monotonic() + seconds)


def left(default: float) -> float:
    """Seconds that a call made now may take: the default, or what is left where that is less."""
    deadline = _deadline.get()
    return default if deadline is None else max(0.0, min(default, deadline - time.monotonic()))
