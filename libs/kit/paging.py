"""Pages of lists: opaque tokens, bounded sizes (AIP-158)."""

import base64
import binascii
from uuid import UUID

import orjson

from kit.errors import FieldInvalid

PAGE_SIZE_DEFAULT = 50


class PageTokenInvalid(FieldInvalid):
    """The token is not one that a list call gave out."""

    reason = "PAGE_TOKEN_INVALID"
    field = "page_token"
    text = "the page token is not one that this list gave out; leave it empty to start again"


def page_size(asked: int) -> int:
    """Rows of a page: the default for 0; the contract bounds the rest."""
    return asked or PAGE_SIZE_DEFAULT


def encode_token(*key: str | int) -> str:
    """The token that continues after the row with this key."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode()


def decode_token(token: str, *kinds: type) -> tuple[object, ...] | None:
    """The key in a token, None for an empty one.

    Raises PageTokenInvalid when it is not of these types.
    """
    if not token:
        return None
    try:
        key = orjson.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, UnicodeEncodeError, orjson.JSONDecodeError):
        raise PageTokenInvalid from None
    if not isinstance(key, list) or [type(part) for part in key] != list(kinds):
        raise PageTokenInvalid
    return tuple(key)


def decode_id(token: str) -> UUID | None:
    """The id that a page continues after, None for the first page.

    Raises PageTokenInvalid when it holds none.
    """
    key = decode_token(token, str)
    try:
        return UUID(str(key[0])) if key else None
    except ValueError:
        raise PageTokenInvalid from None
