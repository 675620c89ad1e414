"""Points earned."""

from points.book import Book
from points.posting import Desk, next_due, post
from points.standing import check_may_earn
from points.values import Account, Accrue, Grant, Kind, LotMove, LotState, Posted, Posting
from rules import expiry


def accrue(command: Accrue, grant: Grant, book: Book, desk: Desk) -> Posted:
    """Opens a lot with what was earned, after the debt is paid; a lot under review waits for its
    case.
    """
    account = book.account(command.member_id)
    check_may_earn(account)
    transaction_id = desk.new_id()
    program = command.program
    repaid = 0 if grant.under_review else min(account.debt, grant.points)
    rest = grant.points - repaid
    mature = None if grant.under_review else expiry.mature_time(command.occurred_time, program)
    pending = grant.under_review or (mature is not None and mature > desk.now)
    postings, moves = [], []
    if repaid:
        account.debt -= repaid
        postings.append(Posting(Account.ISSUED, Account.DEBT, repaid))
        line = ["debt_repaid", True, "", str(-repaid), "what the member owed is paid first"]
        grant.explanation["lines"].append(line)
    if rest:
        expire = expiry.expire_time(command.occurred_time, program)
        lot = LotState(
            command.member_id, transaction_id, transaction_id, pending, rest, rest, 0,
            mature, expire, next_due(pending, mature, expire, program),
        )  # fmt: skip
        book.add_new_lot(lot)
        moves.append(LotMove(lot.lot_id, rest, expire, transaction_id))
        postings.append(
            Posting(Account.ISSUED, Account.PENDING if pending else Account.ACTIVE, rest)
        )
        if pending:
            account.pending += rest
        else:
            account.active += rest
    if pending and mature is not None:
        grant.explanation["mature"] = mature.isoformat()
    if command.origin.region:
        grant.explanation["region"] = command.origin.region
    return post(
        book, desk, account, Kind.ACCRUAL, postings, moves, transaction_id=transaction_id,
        program_version=program.version, request_id=command.request_id, order_id=command.order_id,
        occurred_time=command.occurred_time, explanation=grant.explanation,
    )  # fmt: skip
