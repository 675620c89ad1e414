"""Ids that follow from what they name, so that deciding the same again gives the same id."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def derived_id(instant: datetime, *parts: object) -> UUID:
    """A UUID of version 7 (RFC 9562) of an instant, with a digest of `parts` in place of chance."""
    millis = max(0, (instant - _EPOCH) // _MILLISECOND)
    text = "\x1f".join(str(part) for part in parts)
    digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=10).digest(), "big")
    value = (millis << 80) | digest
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    return UUID(int=(value & ~(0x3 << 62)) | (0x2 << 62))
