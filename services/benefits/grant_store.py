"""Keeps what tier decisions give and withdraw (BN-02)."""

from collections.abc import Sequence

from benefits.entitlements import Entitlement
from benefits.events import Event, kind_of, parse_fact, render_granted
from benefits.granting import TierFact, coupons, discounts, enrolled, entitle, latest_by_member
from kit.clock import Clock, NewId
from kit.db import Transaction
from kit.events import publish
from rules.compiled import ProgramHistory
from rules.feed import ProgramFeed
from rules.values import Benefit


class GrantStore:
    """Takes events; each runs in the transaction that claims its message."""

    def __init__(self, feed: ProgramFeed, *, clock: Clock, new_id: NewId) -> None:
        self._feed = feed
        self._clock = clock
        self._new_id = new_id

    async def take_events(self, tx: Transaction, events: Sequence[Event]) -> None:
        """Gives and withdraws what a message of events calls for, once for each event."""
        match kind_of(events[0]):
            case "program_applied":
                await self._feed.handle_event(tx, events)
            case "member_enrolled":
                await self._take_enrolments(tx, [parse_fact(event) for event in events])
            case _:
                await self._take_decisions(tx, [parse_fact(event) for event in events])

    async def _take_enrolments(self, tx: Transaction, facts: Sequence[TierFact]) -> None:
        history = await self._feed.ensure()
        begun = [enrolled(fact, history.in_force(fact.occurred_time)) for fact in facts]
        # Most programs give nothing on the first tier: then its members need not be known.
        worth = [
            f for f in latest_by_member(begun) if discounts(f, history.version(f.program_version))
        ]
        if not worth:
            return
        columns = (
            [f.member_id for f in worth],
            [f.tier_id for f in worth],
            [f.event_id for f in worth],
        )
        started = {row["member_id"] for row in await tx.fetch("start_tiers", *columns)}
        given = [
            (fact, benefit)
            for fact in worth
            if fact.member_id in started
            for benefit in discounts(fact, history.version(fact.program_version))
        ]
        await self._grant(tx, history, given)

    async def _take_decisions(self, tx: Transaction, facts: Sequence[TierFact]) -> None:
        history = await self._history_with(max(fact.program_version for fact in facts))
        moved = await self._advance(tx, latest_by_member(facts))
        if moved:
            await tx.execute("withdraw_discounts", [fact.member_id for fact in moved])
        # The version that decided the tier also says what it gives, whatever was applied since.
        given = [
            (fact, benefit)
            for fact in moved
            for benefit in discounts(fact, history.version(fact.program_version))
        ]
        given += [
            (fact, benefit)
            for fact in facts
            for benefit in coupons(fact, history.version(fact.program_version))
        ]
        await self._grant(tx, history, given)

    async def _history_with(self, version: int) -> ProgramHistory:
        history = await self._feed.ensure()
        if version > history.newest.version:
            # A remote call, but the transaction holds nothing yet but this message's inbox row.
            await self._feed.refresh()
            history = await self._feed.ensure()
        return history

    async def _advance(self, tx: Transaction, latest: Sequence[TierFact]) -> list[TierFact]:
        rows = await tx.fetch(
            "advance_tiers",
            [fact.member_id for fact in latest],
            [fact.tier_id for fact in latest],
            [fact.event_id for fact in latest],
            [fact.occurred_time for fact in latest],
            [fact.record_time for fact in latest],
        )
        moved = {row["member_id"] for row in rows}
        return [fact for fact in latest if fact.member_id in moved]

    async def _grant(
        self, tx: Transaction, history: ProgramHistory, given: Sequence[tuple[TierFact, Benefit]]
    ) -> None:
        if not given:
            return
        grants = [
            (entitle(fact, benefit, history.version(fact.program_version), self._new_id()), fact)
            for fact, benefit in given
        ]
        rows = await tx.fetch("grant_entitlements", *_columns([held for held, _ in grants]))
        new = {row["entitlement_id"] for row in rows}
        now = self._clock()
        told = [
            render_granted(held, fact, now, self._new_id)
            for held, fact in grants
            if held.entitlement_id in new
        ]
        await publish(tx, self._new_id, told)


def _columns(held: Sequence[Entitlement]) -> tuple[list[object], ...]:
    return (
        [one.member_id for one in held],
        [one.entitlement_id for one in held],
        [one.benefit_id for one in held],
        [one.name for one in held],
        [one.kind.value for one in held],
        [one.percent_off_e2 for one in held],
        [one.amount_off_minor for one in held],
        [one.order_amount_min_minor for one in held],
        [one.currency for one in held],
        [one.currency_digits for one in held],
        [one.create_time for one in held],
        [one.expire_time for one in held],
        [one.cause_event_id for one in held],
        [one.program_version for one in held],
    )
