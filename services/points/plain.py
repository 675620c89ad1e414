"""Plain accruals: nearly all of them, and so the ones that must cost little.

An accrual is plain when the program's rules are rates, anti-fraud allows it, it earns something,
and the account is open and owes nothing. Then it is one posting and one lot, and all that has to be
kept of the decision is which rules held at which tier: its lines are worked out when somebody reads
them. Whatever is not plain goes the general way, see `accruals`.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from points import errors
from points.posting import next_due
from points.values import Account, Accrue, Kind, LotMove, Posted, Posting
from rules import expiry
from rules.compiled import CompiledProgram
from rules.earn_rules import Purchase
from rules.earning import PointsOutOfRange, Rate, earned_at_rate, rate_of


class Offer(NamedTuple):
    """What a purchase earns, before anti-fraud is asked."""

    command: Accrue
    rate: Rate
    points: int

    @property
    def tier_id(self) -> str:
        """The tier that counts; empty when it is not known."""
        return self.rate.tier_id


class Allowed(NamedTuple):
    """An offer that anti-fraud lets pass."""

    offer: Offer
    assessment_id: str


class Terms(NamedTuple):
    """What accruals of one instant by one version share."""

    program: CompiledProgram
    occurred_time: datetime
    pending: bool
    mature_time: datetime | None
    expire_time: datetime | None
    due_time: datetime | None


class Balance(NamedTuple):
    """The balances of a plain account, in points."""

    active: int
    pending: int
    held: int


class Draft(NamedTuple):
    """A plain accrual that is about to be booked."""

    allowed: Allowed
    terms: Terms
    transaction_id: UUID


class PlainAccrual(NamedTuple):
    """A booked plain accrual, with the balance right after it; there is no debt."""

    allowed: Allowed
    terms: Terms
    transaction_id: UUID
    after: Balance
    record_time: datetime


def offer_of(command: Accrue, tier_id: str | None) -> Offer:
    """What a purchase earns. Raises AmountTooLarge."""
    origin = command.origin
    purchase = Purchase(command.amount_minor, command.categories, origin.channel, origin.store)
    rate = rate_of(purchase, tier_id or "", command.program)
    try:
        return Offer(command, rate, rate.points(command.amount_minor))
    except PointsOutOfRange as error:
        raise errors.AmountTooLarge(points=error.points, points_max=error.points_max) from error


def terms_of(occurred_time: datetime, program: CompiledProgram, now: datetime) -> Terms:
    """When points of that instant mature and expire."""
    mature = expiry.mature_time(occurred_time, program)
    pending = mature is not None and mature > now
    expire = expiry.expire_time(occurred_time, program)
    due = next_due(pending, mature, expire, program)
    return Terms(program, occurred_time, pending, mature, expire, due)


def draft(allowed: Iterable[Allowed], now: datetime, new_id: Callable[[], UUID]) -> list[Draft]:
    """Gives accruals their ids and terms; those of one instant share them."""
    shared: dict[tuple[datetime, int], Terms] = {}
    drafts = []
    terms: Terms | None = None
    for one in allowed:
        command = one.offer.command
        instant, program = command.occurred_time, command.program
        # Nearly all of a batch have one and the same instant: to hash it costs more than to look.
        if terms is None or terms.occurred_time is not instant or terms.program is not program:
            key = (instant, program.version)
            terms = shared.get(key) or terms_of(instant, program, now)
            shared[key] = terms
        drafts.append(Draft(one, terms, new_id()))
    return drafts


def explain(stored: dict[str, Any], program: CompiledProgram) -> dict[str, Any]:
    """The explanation in full, from what was stored of the decision."""
    earned = earned_at_rate(stored["spend"], stored["held"], program.tier(stored["tier"]), program)
    full: dict[str, Any] = {
        "points": stored["points"],
        "lines": [list(line) for line in earned.lines],
        "spend": stored["spend"],
        "currency": program.currency,
        "digits": program.minor_digits,
        "tier": stored["tier"],
        "review": False,
        "assessment": stored["assessment"],
    }
    if "region" in stored:
        full["region"] = stored["region"]
    return full


def explain_again(
    stored: dict[str, Any], program: CompiledProgram, occurred: datetime, recorded: datetime
) -> dict[str, Any]:
    """The explanation in full of what was booked the plain way, as it was given then."""
    full = explain(stored, program)
    mature = expiry.mature_time(occurred, program)
    if mature is not None and mature > recorded:
        full["mature"] = mature.isoformat()
    return full


def short_explanation(allowed: Allowed) -> str:
    """What is kept of the decision, as JSON: ids and names of the program need no escape in it."""
    (command, rate, points), assessment_id = allowed
    if command.origin.region:
        return orjson.dumps(decision_of(allowed.offer, assessment_id)).decode()
    return (
        f'{{"points":{points},"spend":{command.amount_minor},"tier":"{rate.tier_id}",'
        f'"held":"{rate.held}","assessment":"{assessment_id}"}}'
    )


def is_short(explanation: dict[str, Any] | None) -> bool:
    """Whether an explanation was stored the plain way."""
    return explanation is not None and "held" in explanation


def decision_of(offer: Offer, assessment_id: str) -> dict[str, Any]:
    """What has to be kept of a decision."""
    command, rate, points = offer
    decision: dict[str, Any] = {
        "points": points,
        "spend": command.amount_minor,
        "tier": rate.tier_id,
        "held": rate.held,
        "assessment": assessment_id,
    }
    if command.origin.region:
        decision["region"] = command.origin.region
    return decision


def to_posted(accrual: PlainAccrual) -> Posted:
    """The accrual as any other transaction."""
    allowed, terms, transaction_id, after, now = accrual
    (command, _, points), assessment_id = allowed
    stored = decision_of(allowed.offer, assessment_id)
    target = Account.PENDING if terms.pending else Account.ACTIVE
    return Posted(
        member_id=command.member_id,
        transaction_id=transaction_id,
        kind=Kind.ACCRUAL,
        postings=(Posting(Account.ISSUED, target, points),),
        moves=(LotMove(transaction_id, points, terms.expire_time, transaction_id),),
        active_after=after.active,
        pending_after=after.pending,
        held_after=after.held,
        debt_after=0,
        program_version=terms.program.version,
        request_id=command.request_id,
        order_id=command.order_id,
        hold_id=None,
        reversed_transaction_id=None,
        occurred_time=command.occurred_time,
        record_time=now,
        explanation=explain_again(stored, terms.program, command.occurred_time, now),
    )
