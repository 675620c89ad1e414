"""What anti-fraud's cases decide about accruals that wait."""

from collections.abc import Sequence

from kit.clock import Clock, NewId
from kit.db import Transaction
from laurel.event.v1.event_pb2 import Event
from points.posting import Desk
from points.review_settling import settle_reviews
from points.values import Verdict
from rules.feed import ProgramFeed
from rules.values import Operation


def verdicts_of(events: Sequence[Event]) -> list[Verdict]:
    """What events say about accruals; a redemption under review was refused and waits for none."""
    return [
        Verdict(
            event.member_id, event.case_decided.request_id, event.case_decided.legitimate,
            _cause(event),
        )
        for event in events
        if event.HasField("case_decided") and event.case_decided.kind == Operation.ACCRUAL.name
    ]  # fmt: skip


async def settle_cases(
    tx: Transaction, events: Sequence[Event], feed: ProgramFeed, clock: Clock, new_id: NewId
) -> None:
    """Matures or takes back what waited for the cases that events tell of."""
    verdicts = verdicts_of(events)
    if verdicts:
        await settle_reviews(tx, verdicts, Desk(clock(), new_id, await feed.ensure()), new_id)


def _cause(event: Event) -> str:
    outcome = "legitimate" if event.case_decided.legitimate else "fraudulent"
    return f"case {event.case_decided.case_id} was decided: {outcome}"
