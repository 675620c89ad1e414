"""The calls about lists."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import grpc

from antifraud.action_errors import ListKeyTwice
from antifraud.action_render import render_entry
from antifraud.list_store import BY_HAND, ListStore, Place
from kit.auth import identity_of
from kit.clock import parse_time
from kit.paging import PageTokenInvalid, decode_token, encode_token, page_size
from laurel.antifraud.v1 import lists_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
_FIRST = (0, "", 0, BY_HAND)
_NUMBER_MAX = 9


class ListCalls:
    """Entries of lists."""

    _lists: ListStore

    async def BatchPutListEntries(
        self, request: pb.BatchPutListEntriesRequest, context: Context
    ) -> pb.BatchPutListEntriesResponse:
        """See the contract."""
        places = _places(request.entries)
        entries = []
        for index, (entry, place) in enumerate(zip(request.entries, places, strict=True)):
            end = None
            if entry.HasField("expire_time"):
                end = parse_time(entry.expire_time, f"entries[{index}].expire_time")
            entries.append((place, end, entry.reason))
        return await self._lists.put(entries, identity_of(context) or "", request)

    async def RemoveListEntries(
        self, request: pb.RemoveListEntriesRequest, context: Context
    ) -> pb.RemoveListEntriesResponse:
        """See the contract."""
        return await self._lists.remove(_places(request.places), request)

    async def ListListEntries(
        self, request: pb.ListListEntriesRequest, context: Context
    ) -> pb.ListListEntriesResponse:
        """See the contract."""
        size = page_size(request.page_size)
        found = await self._lists.list_entries(request, _after(request.page_token), size + 1)
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = encode_token(
                int(last.key_kind), last.value, int(last.list), str(last.action_id)
            )
        return pb.ListListEntriesResponse(
            entries=[render_entry(entry) for entry in found[:size]], next_page_token=token
        )


def _places(entries: Iterable[pb.ListEntry | pb.ListPlace]) -> list[Place]:
    """Raises ListKeyTwice."""
    first: dict[Place, int] = {}
    for index, entry in enumerate(entries):
        place = (int(entry.key.kind), entry.key.value, int(entry.list))
        before = first.setdefault(place, index)
        if before != index:
            raise ListKeyTwice(index=index, first=before)
    return list(first)


def _after(token: str) -> tuple[int, str, int, UUID]:
    key: Any = decode_token(token, int, str, int, str)
    if key is None:
        return _FIRST
    try:
        after = (key[0], key[1], key[2], UUID(key[3]))
    except ValueError:
        raise PageTokenInvalid from None
    if not (0 <= after[0] <= _NUMBER_MAX and 0 <= after[2] <= _NUMBER_MAX) or "\0" in after[1]:
        raise PageTokenInvalid
    return after
