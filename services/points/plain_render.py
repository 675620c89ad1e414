"""Plain accruals as messages of the contract, field by field: that is twice as fast as one call for
each message, and nearly all answers to accruals are these.
"""

from datetime import datetime

from kit.clock import set_timestamp
from kit.money import set_minor
from laurel.points.v1 import points_service_pb2 as pb
from points.plain import PlainAccrual, Terms
from points.values import Account, Kind
from rules.earning import earned_at_rate


def render_plain(accrual: PlainAccrual, message: pb.AccruedPoints) -> None:
    """Fills in the short form, for batches."""
    message.transaction_id = str(accrual.transaction_id)
    message.points = accrual.allowed.offer.points
    _fill_in_balance(accrual, message.balance_after)


class TransactionForms:
    """Renders plain accruals in full. What those of one batch share is rendered once, from the
    second one on, and copied: that takes two thirds of the time of setting it field by field.
    """

    def __init__(self) -> None:
        self._terms: Terms | None = None
        self._record_time: datetime | None = None
        self._form: pb.Transaction | None = None

    def fill_in(self, accrual: PlainAccrual, message: pb.Transaction) -> None:
        """Fills in the transaction, as `render_transaction` would do for `to_posted(accrual)`."""
        terms, record_time = accrual.terms, accrual.record_time
        if terms is not self._terms or record_time is not self._record_time:
            # The only one, where callers state times of their own: a form would not pay.
            self._terms, self._record_time, self._form = terms, record_time, None
            _fill_in_shared(terms, record_time, message)
        else:
            if self._form is None:
                self._form = pb.Transaction()
                _fill_in_shared(terms, record_time, self._form)
            message.CopyFrom(self._form)
        command, _, points = accrual.allowed.offer
        message.transaction_id = transaction_id = str(accrual.transaction_id)
        message.member_id = command.member_id
        message.points = points
        issued, earned = message.entries
        issued.points, earned.points = -points, points
        (movement,) = message.lot_movements
        movement.lot_id = movement.accrual_transaction_id = transaction_id
        movement.points = points
        _fill_in_explanation(accrual, message.explanation)
        message.request_id = command.request_id
        message.order_id = command.order_id
        _fill_in_balance(accrual, message.balance_after)


def _fill_in_shared(terms: Terms, record_time: datetime, message: pb.Transaction) -> None:
    """What all plain accruals of the same terms that were booked together have in common."""
    message.kind = int(Kind.ACCRUAL)  # type: ignore[assignment]
    message.program_version = terms.program.version
    for account in (Account.ISSUED, Account.PENDING if terms.pending else Account.ACTIVE):
        message.entries.add(account=int(account))
    movement = message.lot_movements.add()
    if terms.expire_time is not None:
        set_timestamp(movement.expire_time, terms.expire_time)
    if terms.pending and terms.mature_time is not None:
        set_timestamp(message.explanation.mature_time, terms.mature_time)
    set_timestamp(message.occurred_time, terms.occurred_time)
    set_timestamp(message.record_time, record_time)


def _fill_in_explanation(accrual: PlainAccrual, message: pb.Explanation) -> None:
    (command, rate, _), assessment_id = accrual.allowed
    program = accrual.terms.program
    tier = program.tier(rate.tier_id)
    for told in earned_at_rate(command.amount_minor, rate.held, tier, program).lines:
        line = message.lines.add()
        line.rule, line.applied, line.factor, line.points, line.reason = told
    set_minor(message.spend, command.amount_minor, program.currency, program.minor_digits)
    message.tier_id = rate.tier_id
    message.assessment_id = assessment_id


def _fill_in_balance(accrual: PlainAccrual, balance: pb.Balance) -> None:
    balance.active, balance.pending, balance.held = accrual.after
