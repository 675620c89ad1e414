"""What other services tell of members, by their events."""

from collections.abc import Sequence
from functools import lru_cache

from google.type.money_pb2 import Money

from antifraud.profile import ACTIVE, CLOSED, FROZEN
from antifraud.profile_store import Change, change_profiles
from kit.clock import Clock
from kit.db import Transaction
from laurel.event.v1.event_pb2 import Event
from rules.compiled import ProgramHistory
from rules.profile_facts import REFUND_FACTS

MEMBER_EVENTS = ("member_enrolled", "account_changed")
# Points are booked all the time: heard only where a rule reads of refunds.
SPEND_EVENTS = ("points_accrued", "accrual_reversed")
# A merge says nothing about the survivor, and the merged account is refused by points itself.
STATUSES = {"FREEZE": FROZEN, "UNFREEZE": ACTIVE, "CLOSE": CLOSED}


@lru_cache(maxsize=4)
def reads_refunds(history: ProgramHistory, payload: str) -> bool:
    """Whether a rule of any version reads what such events tell.

    How often a member returned something does not depend on what was bought.
    """
    facts = {"member.refund_ratio"} if payload == "points_accrued" else REFUND_FACTS
    versions = (history.version(number) for number in history.versions())
    rules = (rule for version in versions for rule in version.antifraud.rules)
    return any(path in facts for rule in rules for path in rule.condition.facts)


def changes_nothing(events: Sequence[Event], history: ProgramHistory | None) -> bool:
    """Whether a message tells of spend alone, and no rule reads of it."""
    payload = events[0].WhichOneof("payload") or ""
    if history is None or payload not in SPEND_EVENTS:
        return False
    # What a version has decided that is not known here may have come with such a rule.
    newest = max(event.program_version for event in events)
    return newest <= history.newest.version and not reads_refunds(history, payload)


async def note_events(tx: Transaction, events: Sequence[Event], clock: Clock) -> None:
    """Notes what events tell of members."""
    changes = [change for event in events if (change := _change(event)) is not None]
    if changes:
        await change_profiles(tx, changes, clock())


def _change(event: Event) -> Change | None:
    at_us = event.occurred_time.seconds * 1_000_000 + event.occurred_time.nanos // 1000
    member_id = event.member_id
    if event.HasField("member_enrolled"):
        return member_id, lambda profile: profile.enrol(at_us)
    if event.HasField("account_changed"):
        status = STATUSES.get(event.account_changed.action)
        return (member_id, lambda p: p.set_status(at_us, status)) if status else None
    # What is under review has not been earned, and to refuse it is no refund of the member's.
    if event.HasField("points_accrued") and not event.points_accrued.under_review:
        spend = _thousandths(event.points_accrued.spend)
        return (member_id, lambda p: p.spend(at_us, spend, 0)) if spend else None
    if event.HasField("accrual_reversed") and not event.accrual_reversed.under_review:
        spend = _thousandths(event.accrual_reversed.spend)
        return (member_id, lambda p: p.spend(at_us, 0, spend)) if spend else None
    return None


def _thousandths(spend: Money) -> int:
    thousandths: int = spend.units * 1000 + spend.nanos // 1_000_000
    return thousandths
