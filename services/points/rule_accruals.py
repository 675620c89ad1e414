"""Accruals by all the rules: several lots, bonuses, and what is counted for the next time.

What is earned is worked out twice: before anti-fraud is asked, and under the lock of the account,
where counters may have moved on. So caps are exact, however many ask at once.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from points import errors
from points.book import Book
from points.counting import Badge, BookedBonus, Slot, TeamBonus, slot_of
from points.posting import Desk, next_due, post
from points.standing import check_may_earn
from points.values import (
    Account,
    AccountState,
    Accrue,
    Kind,
    LotMove,
    LotState,
    Posted,
    Posting,
)
from rules import expiry
from rules.accrual import Accrued, Bonus, evaluate, needed_keys
from rules.accrual_rules import Share
from rules.accrual_values import Counter, Key, MemberFacts
from rules.compiled import CompiledProgram
from rules.earning import PointsOutOfRange

NO_ANSWER = ["antifraud", False, "", "0", "anti-fraud gave no answer; booked until it is reviewed"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an activity would earn, by the counters as they were seen without a lock."""

    command: Accrue
    member: MemberFacts
    keys: frozenset[Key]
    progress: dict[Key, Counter]
    accrued: Accrued

    @property
    def points(self) -> int:
        """All that the member would get."""
        return self.accrued.points_with_bonuses

    @property
    def tier_id(self) -> str:
        """The tier that counts; empty when it is not known."""
        return self.member.tier.id if self.member.tier else ""


@dataclass(frozen=True, slots=True)
class RuleGrant:
    """A plan with what anti-fraud said; without an assessment it gave no answer."""

    plan: Plan
    assessment_id: str
    under_review: bool
    lines: tuple[list[object], ...] = ()
    """What the explanation says beside what the rules did."""


@dataclass(slots=True)
class _Earning:
    """Points on their way into an account."""

    account: AccountState
    program: CompiledProgram
    at: datetime
    book: Book
    desk: Desk
    under_review: bool
    transaction_id: UUID
    postings: list[Posting]
    moves: list[LotMove]
    region: str = ""
    mature: datetime | None = None
    repaid: int = 0
    waits: dict[str, int] = field(default_factory=dict)
    """By lot under review, the days that it waits for returns, where rules ask for their own."""
    lots: list[str] = field(default_factory=list)
    """The lot of each share; empty where a debt took all of it."""


def keys_of(command: Accrue, member: MemberFacts) -> frozenset[Key]:
    """The counters that an activity looks at."""
    assert command.activity is not None
    return frozenset(needed_keys(command.activity, member, command.program))


def plan_of(
    command: Accrue,
    member: MemberFacts,
    keys: frozenset[Key],
    progress: dict[Key, Counter],
) -> Plan:
    """What an activity would earn. Raises AmountTooLarge."""
    return Plan(command, member, keys, progress, _evaluate(command, member, progress))


def _evaluate(command: Accrue, member: MemberFacts, progress: dict[Key, Counter]) -> Accrued:
    assert command.activity is not None
    try:
        return evaluate(command.activity, member, progress, command.program)
    except PointsOutOfRange as error:
        raise errors.AmountTooLarge(points=error.points, points_max=error.points_max) from error


def accrue(command: Accrue, grant: RuleGrant, book: Book, desk: Desk) -> Posted:
    """Books an activity: a lot for each share, bonuses in transactions of their own, counters.

    Raises what the state of the account forbids, or AmountTooLarge.
    """
    account = book.account(command.member_id)
    check_may_earn(account)
    plan = grant.plan
    team_id = plan.member.team_id
    progress = book.counting.shown(plan.keys, command.member_id, team_id)
    accrued = plan.accrued
    if progress != plan.progress:
        accrued = _evaluate(command, plan.member, progress)
    earning = _Earning(
        account, command.program, command.occurred_time, book, desk, grant.under_review,
        desk.new_id(), [], [], command.origin.region,
    )  # fmt: skip
    for share in accrued.shares:
        _take_in(earning, share)
    book.counting.change(accrued.changes, command.member_id, team_id)
    for kept, key in accrued.ended.items():
        source, target = (slot_of(one, command.member_id, team_id) for one in (key, kept))
        book.counting.move_bonus(source, target)
    explanation = _explanation(grant, accrued, earning)
    if len(earning.lots) > 1:
        explanation["basis"]["lots"] = earning.lots
    posted = post(
        book, desk, account, Kind.ACCRUAL, earning.postings, earning.moves,
        transaction_id=earning.transaction_id, program_version=command.program.version,
        request_id=command.request_id, order_id=command.order_id or None,
        occurred_time=command.occurred_time, explanation=explanation,
    )  # fmt: skip
    explanation["bonuses"] = [_give(bonus, grant, earning) for bonus in accrued.bonuses]
    return posted


def _take_in(earning: _Earning, share: Share) -> None:
    """Pays what is owed, and opens a lot with the rest; a lot under review waits for its case."""
    account, desk, program, at = earning.account, earning.desk, earning.program, earning.at
    repaid = 0 if earning.under_review else min(account.debt, share.points)
    if repaid:
        account.debt -= repaid
        earning.repaid += repaid
        earning.postings.append(Posting(Account.ISSUED, Account.DEBT, repaid))
    rest = share.points - repaid
    if not rest:
        earning.lots.append("")
        return
    mature = None
    if not earning.under_review:
        mature = expiry.mature_time(at, program, share.pending_days)
    pending = earning.under_review or (mature is not None and mature > desk.now)
    expire = expiry.expire_time(at, program, share.expiry)
    # The first lot has the id of the accrual that it stems from, as where there is only one.
    lot_id = desk.new_id() if earning.moves else earning.transaction_id
    if earning.under_review and share.pending_days is not None:
        earning.waits[str(lot_id)] = share.pending_days
    lot = LotState(
        account.member_id, lot_id, earning.transaction_id, pending, rest, rest, 0, mature, expire,
        next_due(pending, mature, expire, program),
    )  # fmt: skip
    earning.book.add_new_lot(lot)
    earning.lots.append(str(lot_id))
    earning.moves.append(LotMove(lot_id, rest, expire, earning.transaction_id))
    target = Account.PENDING if pending else Account.ACTIVE
    earning.postings.append(Posting(Account.ISSUED, target, rest))
    if pending:
        account.pending += rest
        if mature is not None:
            earning.mature = max(mature, earning.mature or mature)
    else:
        account.active += rest


def _explanation(grant: RuleGrant, accrued: Accrued, earning: _Earning) -> dict[str, Any]:
    plan = grant.plan
    command = plan.command
    explanation: dict[str, Any] = {
        "points": accrued.points,
        "lines": [list(line) for line in accrued.lines],
        "spend": command.amount_minor,
        "currency": command.program.currency,
        "digits": command.program.minor_digits,
        "tier": plan.tier_id,
        "review": grant.under_review,
        "basis": accrued.basis,
    }
    if grant.assessment_id:
        explanation["assessment"] = grant.assessment_id
    else:
        explanation["lines"].append(NO_ANSWER)
    explanation["lines"] += grant.lines
    if command.origin.region:
        explanation["region"] = command.origin.region
    _explain_more(explanation, earning)
    return explanation


def _explain_more(explanation: dict[str, Any], earning: _Earning) -> None:
    if earning.repaid:
        reason = "what the member owed is paid first"
        explanation["lines"].append(["debt_repaid", True, "", str(-earning.repaid), reason])
    if earning.region:
        explanation["region"] = earning.region
    if earning.waits:
        explanation["waits"] = earning.waits
    if earning.mature is not None:
        explanation["mature"] = earning.mature.isoformat()


def _give(bonus: Bonus, grant: RuleGrant, cause: _Earning) -> list[Any]:
    """Books a bonus, or has it booked for each member of a team; how it stands in explanations."""
    command, counting = grant.plan.command, cause.book.counting
    version, at = command.program.version, command.occurred_time
    shown: list[Any] = [bonus.name, bonus.points, bonus.badge, ""]
    if bonus.team:
        counting.team_bonuses.append(
            TeamBonus(
                grant.plan.member.team_id, bonus.name, bonus.period, bonus.points, bonus.badge,
                bonus.line.reason, version, at, cause.transaction_id,
            )
        )  # fmt: skip
        return shown
    if bonus.badge:
        badge = Badge(command.member_id, bonus.badge, bonus.name, bonus.period, at, version)
        counting.badges.append(badge)
    if bonus.points:
        posted = _post_bonus(bonus, cause)
        if command.origin.region and posted.explanation is not None:
            posted.explanation["region"] = command.origin.region
        shown[3] = str(posted.transaction_id)
        slot = Slot(command.member_id, bonus.key)
        counting.bonus_ids[slot] = posted.transaction_id
        counting.bonuses[posted.transaction_id] = BookedBonus(
            posted.transaction_id, at, version, command.origin.region, grant.under_review
        )
    return shown


def _post_bonus(bonus: Bonus, cause: _Earning) -> Posted:
    return _post(cause, bonus.points, bonus.name, list(bonus.line), str(cause.transaction_id))


def book_team_bonus(
    account: AccountState,
    name: str,
    points: int,
    reason: str,
    at: datetime,
    program: CompiledProgram,
    cause_transaction_id: UUID,
    book: Book,
    desk: Desk,
) -> UUID:
    """Books what a member of a team is given; the id of its transaction."""
    cause = _Earning(account, program, at, book, desk, False, cause_transaction_id, [], [])
    line = [name, True, "", str(points), reason]
    return _post(cause, points, name, line, str(cause_transaction_id)).transaction_id


def _post(cause: _Earning, points: int, name: str, line: list[Any], cause_id: str) -> Posted:
    """A bonus in a transaction of its own."""
    earning = replace(
        cause, transaction_id=cause.desk.new_id(), postings=[], moves=[], waits={}, lots=[]
    )
    earning.mature, earning.repaid = None, 0
    _take_in(earning, Share(points, None, None, (name,)))
    explanation: dict[str, Any] = {
        "points": points,
        "lines": [line],
        "review": earning.under_review,
        "cause": cause_id,
        "name": name,
    }
    _explain_more(explanation, earning)
    posted = post(
        earning.book, earning.desk, earning.account, Kind.BONUS, earning.postings, earning.moves,
        transaction_id=earning.transaction_id, program_version=earning.program.version,
        occurred_time=earning.at, explanation=explanation,
    )  # fmt: skip
    earning.book.bonuses.append(posted)
    return posted
