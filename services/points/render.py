"""The ledger's values as messages of the contract."""

from datetime import datetime
from typing import Any

from google.type.money_pb2 import Money

from kit.clock import to_timestamp
from kit.money import from_minor
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.activities_pb2 import CompletedBonus
from points.events import spend_of
from points.reading import Told, Totals
from points.values import Account, Posted

MEMBER_ACCOUNTS = (Account.ACTIVE, Account.PENDING, Account.DEBT)


def render_transaction(posted: Posted) -> pb.Transaction:
    """A transaction with its entries, lots and explanation."""
    entries: dict[Account, int] = {}
    for posting in posted.postings:
        entries[posting.source] = entries.get(posting.source, 0) - posting.points
        entries[posting.target] = entries.get(posting.target, 0) + posting.points
    message = pb.Transaction(
        transaction_id=str(posted.transaction_id),
        member_id=posted.member_id,
        kind=int(posted.kind),  # type: ignore[arg-type]
        points=sum(entries.get(account, 0) for account in MEMBER_ACCOUNTS),
        entries=[pb.Entry(account=int(a), points=p) for a, p in entries.items()],  # type: ignore[arg-type]
        program_version=posted.program_version,
        request_id=posted.request_id or "",
        order_id=posted.order_id or "",
        hold_id=str(posted.hold_id or ""),
        reversed_transaction_id=str(posted.reversed_transaction_id or ""),
        occurred_time=to_timestamp(posted.occurred_time),
        record_time=to_timestamp(posted.record_time),
        balance_after=render_balance_after(posted),
        value=_worth((posted.explanation or {}).get("hold", {}), "moved"),
    )
    explanation = posted.explanation or {}
    message.counterpart_member_id, message.counterpart_transaction_id = explanation.get(
        "counterpart", ("", "")
    )
    origins = explanation.get("origins", {})
    for move in posted.moves:
        source_member_id, source_lot_id = origins.get(str(move.lot_id), ("", ""))
        movement = message.lot_movements.add(
            lot_id=str(move.lot_id),
            points=move.points,
            accrual_transaction_id=str(move.accrual_transaction_id),
            source_member_id=source_member_id,
            source_lot_id=source_lot_id,
        )
        if move.expire_time is not None:
            movement.expire_time.CopyFrom(to_timestamp(move.expire_time))
    if posted.explanation is not None:
        message.explanation.CopyFrom(_render_explanation(posted, posted.explanation))
    return message


def render_told(told: Told) -> pb.Transaction:
    """A transaction as it is read later: a capture names the lots that it spent."""
    message = render_transaction(told.posted)
    for lot in told.spent_lots:
        message.spent_lots.add(
            lot_id=str(lot.lot_id),
            points=lot.points,
            accrual_transaction_id=str(lot.accrual_transaction_id),
        )
    return message


def _render_explanation(posted: Posted, explanation: dict[str, Any]) -> pb.Explanation:
    message = pb.Explanation(
        spend=spend_of(posted),
        tier_id=explanation.get("tier", ""),
        under_review=explanation.get("review", False),
        assessment_id=explanation.get("assessment", ""),
    )
    for rule, applied, factor, points, reason in explanation.get("lines", ()):
        message.lines.add(rule=rule, applied=applied, factor=factor, points=points, reason=reason)
    message.bonuses.extend(render_bonuses(explanation))
    message.cause_transaction_id = explanation.get("cause", "")
    if "mature" in explanation:
        message.mature_time.CopyFrom(to_timestamp(datetime.fromisoformat(explanation["mature"])))
    return message


def render_bonuses(explanation: dict[str, Any]) -> list[CompletedBonus]:
    """The streaks and challenges that an activity completed."""
    return [
        CompletedBonus(name=name, points=points, badge=badge, transaction_id=transaction_id)
        for name, points, badge, transaction_id in explanation.get("bonuses", ())
    ]


def render_balance_after(posted: Posted) -> pb.Balance:
    """The balance right after a transaction."""
    return pb.Balance(
        active=posted.active_after,
        pending=posted.pending_after,
        held=posted.held_after,
        debt=posted.debt_after,
    )


def render_reversal(posted: Posted) -> pb.ReverseAccrualResponse:
    """A return: what was taken, what is owed, what is to be withheld and what was forgiven."""
    explanation = posted.explanation or {}
    taken = sum(one.points for one in posted.postings if one.source is not Account.DEBT)
    return pb.ReverseAccrualResponse(
        transaction=render_transaction(posted),
        debt_points=posted.debt_made,
        taken_points=taken,
        cash_points=explanation.get("cash_points", 0),
        cash_to_withhold=from_minor(
            explanation.get("cash_minor", 0), explanation["currency"], explanation["digits"]
        ),
        forgiven_points=explanation.get("forgiven", 0),
    )


def render_hold(posted: Posted) -> pb.Hold:
    """The hold as it stood right after a transaction."""
    assert posted.explanation is not None
    hold = posted.explanation["hold"]
    return pb.Hold(
        value=_worth(hold, "value"),
        spent_value=_worth(hold, "spent"),
        boosted_points=hold.get("boosted", 0),
        promotion_window=hold.get("window", ""),
        hold_id=str(posted.hold_id),
        member_id=posted.member_id,
        points=hold["points"],
        captured_points=hold["captured"],
        released_points=hold["released"],
        refunded_points=hold["refunded"],
        state=hold["state"],
        order_id=posted.order_id or "",
        expire_time=to_timestamp(datetime.fromisoformat(hold["expire"])),
        create_time=to_timestamp(datetime.fromisoformat(hold["create"])),
    )


def _worth(hold: dict[str, Any], name: str) -> Money | None:
    """An amount of a hold's snapshot; None in one that was kept before amounts were."""
    if name not in hold:
        return None
    return from_minor(hold[name], hold["currency"], hold["digits"])


def render_accrued(posted: Posted) -> pb.AccruedPoints:
    """The short form of an accrual."""
    assert posted.explanation is not None
    return pb.AccruedPoints(
        transaction_id=str(posted.transaction_id),
        points=posted.explanation["points"],
        balance_after=render_balance_after(posted),
        under_review=posted.explanation["review"],
        bonuses=render_bonuses(posted.explanation),
    )


def render_totals(totals: Totals) -> pb.GetLedgerTotalsResponse:
    """The balances of all accounts."""
    return pb.GetLedgerTotalsResponse(
        totals=[pb.Entry(account=int(a), points=points) for a, points in totals.points],  # type: ignore[arg-type]
        transaction_count=totals.transaction_count,
        member_count=totals.member_count,
    )
