"""Facts about members that other services own, noted from their events."""

from collections.abc import Sequence
from uuid import UUID

from kit.clock import from_timestamp
from kit.db import Transaction
from laurel.event.v1.event_pb2 import Event
from points.fact_book import note_members
from points.remote import MemberFact


async def note_facts(tx: Transaction, events: Sequence[Event]) -> None:
    """Keeps who enrolled when and is born in which month, and which benefits members hold."""
    enrolled = [
        MemberFact(
            event.member_id, event.member_enrolled.birth_month, from_timestamp(event.occurred_time)
        )
        for event in events
        if event.HasField("member_enrolled")
    ]
    if enrolled:
        await note_members(tx, enrolled)
    cards = {
        (event.member_id, card[1]): card for event in events if (card := _card(event)) is not None
    }
    if cards:
        await tx.execute("note_cards", *(list(c) for c in zip(*cards.values(), strict=True)))


def _card(event: Event) -> tuple[object, ...] | None:
    """Member, entitlement, benefit, and when it was granted, ends, was used."""
    at = from_timestamp(event.occurred_time)
    if event.HasField("benefit_granted"):
        granted = event.benefit_granted
        ends = from_timestamp(granted.expire_time) if granted.HasField("expire_time") else None
        entitlement_id = UUID(granted.entitlement_id)
        return (event.member_id, entitlement_id, granted.benefit_id, at, ends, None)
    if event.HasField("benefit_redeemed"):
        used = event.benefit_redeemed
        return (event.member_id, UUID(used.entitlement_id), used.benefit_id, at, None, at)
    return None
