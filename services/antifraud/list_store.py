"""Lists in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from antifraud.action_errors import ExpireTimePast, ListEntryOfAction
from antifraud.lists import Learned, ListKind, Question, is_asked
from antifraud.values import Asked
from kit.clock import Clock
from kit.db import Database, Transaction
from kit.requests import once
from laurel.antifraud.v1 import lists_pb2 as pb
from rules.values import FraudKey

BY_HAND = UUID(int=0)
"""Stands for the action of entries that operators put on a list."""
PRUNE_PAGE = 2000
_BEGINNING = datetime.fromisoformat("0001-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a list."""

    key_kind: FraudKey
    value: str
    list: ListKind
    action_id: UUID
    expire_time: datetime | None
    reason: str
    operator: str
    identity: str
    create_time: datetime


Place = tuple[int, str, int]
"""Kind of key, value, list."""


class ListStore:
    """Puts entries on lists, removes, lists and prunes them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def put(
        self,
        entries: Sequence[tuple[Place, datetime | None, str]],
        identity: str,
        request: pb.BatchPutListEntriesRequest,
    ) -> pb.BatchPutListEntriesResponse:
        """Puts entries with their end and reason on lists; those that are there are replaced.

        Raises ExpireTimePast.
        """
        now = self._clock()
        async with self._database.transaction() as tx:

            async def act() -> pb.BatchPutListEntriesResponse:
                for index, (_, end, _) in enumerate(entries):
                    if end is not None and end <= now:
                        raise ExpireTimePast(
                            index=index, expire_time=end.isoformat(), now=now.isoformat()
                        )
                added = await tx.fetchval(
                    "put_list_entries", *_columns([place for place, _, _ in entries]), BY_HAND,
                    [end for _, end, _ in entries], [reason for _, _, reason in entries],
                    request.operator, identity, now,
                )  # fmt: skip
                return pb.BatchPutListEntriesResponse(added_count=added)

            response_type = pb.BatchPutListEntriesResponse
            return await once(tx, request.request_id, request, act, response_type)

    async def remove(
        self, places: Sequence[Place], request: pb.RemoveListEntriesRequest
    ) -> pb.RemoveListEntriesResponse:
        """Takes off lists what operators put there. Raises ListEntryOfAction."""
        columns = _columns(places)
        async with self._database.transaction() as tx:

            async def act() -> pb.RemoveListEntriesResponse:
                row = await tx.fetchrow("find_entry_of_action", *columns, BY_HAND)
                if row is not None:
                    raise ListEntryOfAction(value=row["value"], action_id=str(row["action_id"]))
                removed = await tx.fetchval("remove_list_entries", *columns, BY_HAND)
                return pb.RemoveListEntriesResponse(removed_count=removed)

            response_type = pb.RemoveListEntriesResponse
            return await once(tx, request.request_id, request, act, response_type)

    async def list_entries(
        self, request: pb.ListListEntriesRequest, after: tuple[int, str, int, UUID], limit: int
    ) -> list[Entry]:
        """Entries in the order of their keys, after one of them."""
        not_before = _BEGINNING if request.show_expired else self._clock()
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch(
                "list_list_entries", request.list, request.key_kind, request.value, not_before,
                *after, limit,
            )  # fmt: skip
        return [Entry(FraudKey(row[0]), row[1], ListKind(row[2]), *tuple(row)[3:]) for row in rows]

    async def prune(self) -> None:
        """Removes what has expired, in small steps."""
        now = self._clock()
        gone = PRUNE_PAGE
        while gone == PRUNE_PAGE:
            async with self._database.transaction() as tx:
                gone = await tx.fetchval("prune_lists", now, PRUNE_PAGE)


async def look_up(tx: Transaction, asked: Sequence[Asked], now: datetime) -> Learned:
    """What lists say now of the operations of a batch: one statement, none where no rule asks."""
    if not is_asked(asked):
        return {}
    question = Question(asked)
    if not question.columns[0] and not question.capped:
        return {}
    rows = await tx.fetch("look_up_lists", *question.columns, now, question.capped)
    return question.learn(rows)


def _columns(places: Sequence[Place]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*places, strict=True))
