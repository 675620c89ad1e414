"""Time and ids, made once by `app.py` and handed to whoever needs them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as FastUUID  # noqa: N811
from google.protobuf.timestamp_pb2 import Timestamp
from uuid_utils import uuid7

from kit.errors import FieldInvalid, TimeInFuture

Clock = Callable[[], datetime]
NewId = Callable[[], UUID]

FUTURE_MAX = timedelta(minutes=5)


def new_id() -> UUID:
    """A UUID of version 7, rising within a process.

    asyncpg's own kind of UUID: made, hashed, written and sent several times faster than the
    standard one.
    """
    return FastUUID(uuid7().bytes)


def make_clock(start: datetime | None) -> Clock:
    """A clock in aware UTC: the real one, or one that starts at `start` and runs at the usual
    speed.
    """
    if start is None:
        return lambda: datetime.now(UTC)
    began = time.monotonic()
    return lambda: start + timedelta(seconds=time.monotonic() - began)


def from_timestamp(stamp: Timestamp) -> datetime:
    """The instant of a protobuf timestamp, in aware UTC and whole microseconds."""
    return datetime.fromtimestamp(stamp.seconds, UTC).replace(microsecond=stamp.nanos // 1000)


def to_timestamp(instant: datetime) -> Timestamp:
    """The protobuf timestamp of an instant."""
    stamp = Timestamp()
    set_timestamp(stamp, instant)
    return stamp


def set_timestamp(stamp: Timestamp, instant: datetime) -> None:
    """Fills in the protobuf timestamp of an instant."""
    # Whole days and seconds by integers: a float of a far instant is not exact to the microsecond.
    past = instant - _EPOCH
    stamp.seconds = past.days * 86_400 + past.seconds
    stamp.nanos = past.microseconds * 1000


def to_microseconds(instant: datetime) -> int:
    """Microseconds since 1970-01-01T00:00:00Z."""
    past = instant - _EPOCH
    return (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TimeInvalid(FieldInvalid):
    """A time before 1900 or after the beginning of 9999.

    The last year that a datetime knows is left out: times are moved on by days and into other
    zones, and must not leave what can be told.
    """

    reason = "TIME_INVALID"
    field = "occurred_time"
    text = (
        "{time} does not lie between 1900-01-01 and 9999-01-01; "
        "give a time that does, with 0 to 999,999,999 nanos"
    )


def parse_time(stamp: Timestamp, field: str) -> datetime:
    """The instant of a caller's timestamp.

    Raises TimeInvalid for one before 1900 or after the beginning of 9999.
    """
    if not _SECONDS_MIN <= stamp.seconds <= _SECONDS_MAX or not 0 <= stamp.nanos < 10**9:
        raise TimeInvalid(field, time=_shown(stamp), seconds=stamp.seconds, nanos=stamp.nanos)
    return from_timestamp(stamp)


def _shown(stamp: Timestamp) -> str:
    """A timestamp as people write it, where it has such a form."""
    try:
        return stamp.ToJsonString()
    except ValueError:
        return f"{stamp.seconds} seconds and {stamp.nanos} nanos"


def parse_occurred(
    stamp: Timestamp | None, now: datetime, field: str = "occurred_time"
) -> datetime:
    """When something happened: now when unset.

    Raises TimeInvalid, or TimeInFuture beyond 5 minutes ahead.
    """
    if stamp is None:
        return now
    instant = parse_time(stamp, field)
    if instant > now + FUTURE_MAX:
        raise TimeInFuture(field, time=instant.isoformat(), now=now.isoformat())
    return instant


_SECONDS_MIN = int(datetime(1900, 1, 1, tzinfo=UTC).timestamp())
_SECONDS_MAX = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp())
