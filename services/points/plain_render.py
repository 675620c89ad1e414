"""Plain accruals as messages of the contract, field by field: that is twice as fast as one call for
each message, and nearly all answers to accruals are these.
"""

from kit.clock import set_timestamp
from kit.money import set_minor
from laurel.points.v1 import points_service_pb2 as pb
from points.plain import PlainAccrual
from points.values import Account, Kind
from rules.earning import earned_at_rate


def render_plain(accrual: PlainAccrual, message: pb.AccruedPoints) -> None:
    """Fills in the short form, for batches."""
    message.transaction_id = str(accrual.transaction_id)
    message.points = accrual.allowed.offer.points
    _fill_in_balance(accrual, message.balance_after)


def render_plain_transaction(accrual: PlainAccrual, message: pb.Transaction) -> None:
    """Fills in the transaction, as `render_transaction` would do for `to_posted(accrual)`."""
    command, _, points = accrual.allowed.offer
    terms = accrual.terms
    transaction_id = str(accrual.transaction_id)
    message.transaction_id = transaction_id
    message.member_id = command.member_id
    message.kind = int(Kind.ACCRUAL)  # type: ignore[assignment]
    message.points = points
    account = Account.PENDING if terms.pending else Account.ACTIVE
    for number, moved in ((Account.ISSUED, -points), (account, points)):
        entry = message.entries.add()
        entry.account = int(number)  # type: ignore[assignment]
        entry.points = moved
    movement = message.lot_movements.add()
    movement.lot_id = movement.accrual_transaction_id = transaction_id
    movement.points = points
    if terms.expire_time is not None:
        set_timestamp(movement.expire_time, terms.expire_time)
    _fill_in_explanation(accrual, message.explanation)
    message.program_version = terms.program.version
    message.request_id = command.request_id
    message.order_id = command.order_id
    set_timestamp(message.occurred_time, command.occurred_time)
    set_timestamp(message.record_time, accrual.record_time)
    _fill_in_balance(accrual, message.balance_after)


def _fill_in_explanation(accrual: PlainAccrual, message: pb.Explanation) -> None:
    (command, rate, _), assessment_id = accrual.allowed
    terms = accrual.terms
    program = terms.program
    tier = program.tier(rate.tier_id)
    for told in earned_at_rate(command.amount_minor, rate.held, tier, program).lines:
        line = message.lines.add()
        line.rule, line.applied, line.factor, line.points, line.reason = told
    set_minor(message.spend, command.amount_minor, program.currency, program.minor_digits)
    message.tier_id = rate.tier_id
    if terms.pending and terms.mature_time is not None:
        set_timestamp(message.mature_time, terms.mature_time)
    message.assessment_id = assessment_id


def _fill_in_balance(accrual: PlainAccrual, balance: pb.Balance) -> None:
    balance.active, balance.pending, balance.held = accrual.after
