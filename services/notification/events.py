"""Events that notification hears: laurel.event.v1.Event -> what members may be told of."""

from collections.abc import Sequence
from uuid import UUID

from kit.clock import Clock, NewId, from_timestamp
from kit.db import Transaction
from laurel.event.v1.event_pb2 import Event
from notification.messages import Fact, PointsExpiring, TierUp, compose, rules_for
from notification.store import MessageStore
from rules.compiled import ProgramHistory
from rules.feed import ProgramFeed


class Announcer:
    """Makes messages of events; each batch runs in the transaction that claims it."""

    def __init__(
        self,
        store: MessageStore,
        feed: ProgramFeed,
        *,
        clock: Clock,
        new_id: NewId,
        has_mail: bool,
    ) -> None:
        self._store = store
        self._feed = feed
        self._clock = clock
        self._new_id = new_id
        self._has_mail = has_mail

    async def take_events(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Tells members of what happened, once for each event and rule."""
        if events[0].HasField("program_applied"):
            await self._feed.handle_event(tx, events)
            return
        facts = [fact for event in events if (fact := parse_fact(event)) is not None]
        if not facts:
            return
        history = await self._history_with(max(fact.program_version for fact in facts))
        now = self._clock()
        # Ids rise with the time that things occurred, so that the inbox shows them in that order.
        facts.sort(key=lambda fact: fact.occurred_time)
        messages = [
            compose(fact, rule, program, self._new_id(), now, has_mail=self._has_mail)
            for fact in facts
            for program in (history.in_force(fact.occurred_time),)
            for rule in rules_for(fact, program)
        ]
        if messages:
            await self._store.add(tx, messages)

    async def _history_with(self, version: int) -> ProgramHistory:
        """The versions up to one. Raises UnknownVersion where it cannot be had: the events wait."""
        history = await self._feed.ensure()
        if version > history.newest.version:
            # A remote call, but the transaction holds nothing yet but this message's inbox row.
            await self._feed.refresh()
            history = await self._feed.ensure()
            history.version(version)
        return history


def parse_fact(event: Event) -> Fact | None:
    """What members may be told of; None for a tier that did not rise, or was given back."""
    what = _tier_up(event) if event.HasField("tier_changed") else _points_expiring(event)
    if what is None:
        return None
    return Fact(
        event_id=UUID(event.event_id),
        member_id=event.member_id,
        occurred_time=from_timestamp(event.occurred_time),
        program_version=event.program_version,
        what=what,
    )


def _tier_up(event: Event) -> TierUp | None:
    change = event.tier_changed
    if change.to_rank <= change.from_rank or change.reason == "RESTORED":
        return None
    known = change.HasField("valid_until_time")
    return TierUp(change.to_tier_id, from_timestamp(change.valid_until_time) if known else None)


def _points_expiring(event: Event) -> PointsExpiring:
    expiring = event.points_expiring
    return PointsExpiring(expiring.points, from_timestamp(expiring.expire_time))
