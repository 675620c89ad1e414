"""What points refuses, and why."""

from typing import ClassVar

from grpc import StatusCode

from kit.errors import FieldInvalid, LaurelError


class InsufficientPoints(LaurelError):
    """The member does not have that many active points."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "INSUFFICIENT_POINTS"
    text = "{asked} points were asked for and {available} can be spent; ask for no more than that"


class BalanceExceeded(LaurelError):
    """An account would have more points than it can hold."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "BALANCE_EXCEEDED"
    text = (
        "an account holds 10^18 points at most, the active, pending and held ones together, and "
        "would have more; book fewer points"
    )


class Denied(LaurelError):
    """Anti-fraud refuses; why is for operators, not for the caller."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "DENIED"
    text = "the operation was refused; operators find out why under assessment {assessment_id}"


class UnderReview(LaurelError):
    """Anti-fraud wants someone to look first."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "UNDER_REVIEW"
    text = "the operation needs a review; operators find it under assessment {assessment_id}"


class ChallengeRequired(LaurelError):
    """The member has to prove first who asks."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CHALLENGE_REQUIRED"
    text = (
        "the member has to solve challenge {challenge_id} first; nothing was done, "
        "call VerifyChallenge with the code and try again with the same request_id"
    )


class ChallengesSpent(LaurelError):
    """The member would have to prove who asks, and cannot now."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CHALLENGES_SPENT"
    text = (
        "the operation needs a challenge and no more can be asked of the member now; operators "
        "find out more under assessment {assessment_id}"
    )


class AntifraudUnavailable(LaurelError):
    """No decision could be had in time."""

    code = StatusCode.UNAVAILABLE
    reason = "ANTIFRAUD_UNAVAILABLE"
    text = "anti-fraud gave no answer in time; nothing was done, try again with the same request_id"
    RETRY_AFTER_MS: ClassVar[int] = 1000


class HoldNotFound(LaurelError):
    """There is no such hold."""

    code = StatusCode.NOT_FOUND
    reason = "HOLD_NOT_FOUND"
    text = "there is no hold {hold_id}; give the id that HoldPoints returned"


class HoldNotOpen(LaurelError):
    """Nothing is held any more."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "HOLD_NOT_OPEN"
    text = "hold {hold_id} is {state}: {captured} captured, {released} released of {points}"


class HoldExceeded(LaurelError):
    """More was to be captured than is still held."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "HOLD_EXCEEDED"
    text = "{asked} points were to be captured and {held} are still held; ask for no more than that"


class RefundExceeded(LaurelError):
    """More was to be refunded than was captured."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "REFUND_EXCEEDED"
    text = "{asked} points were to be refunded and {refundable} are left of what was captured"


class TransactionNotFound(LaurelError):
    """There is no such transaction of this member."""

    code = StatusCode.NOT_FOUND
    reason = "TRANSACTION_NOT_FOUND"
    text = "member {member_id} has no transaction {transaction_id}"


class NotAnAccrual(LaurelError):
    """Only an accrual can be reversed."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "NOT_AN_ACCRUAL"
    text = "transaction {transaction_id} is no accrual; only accruals can be reversed"


class ReturnExceeded(LaurelError):
    """More was returned than was bought."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "RETURN_EXCEEDED"
    text = "{asked_minor} minor units were to be returned and {left_minor} are left of {what}"


class PointsBelowMinimum(FieldInvalid):
    """Too few points to spend."""

    reason = "POINTS_BELOW_MINIMUM"
    field = "points"
    text = "{points} points are fewer than the program's minimum of {points_min}"


class PointsOffStep(FieldInvalid):
    """Points are spent in steps."""

    reason = "POINTS_OFF_STEP"
    field = "points"
    text = "{points} points are no multiple of the program's step of {points_step}"


class PointsAboveShare(FieldInvalid):
    """More points than may pay an order of that amount."""

    reason = "POINTS_ABOVE_SHARE"
    field = "points"
    text = "{points} points are more than the {points_max} that may pay a part of this order"


class PointsValueChanged(LaurelError):
    """The points pay something else than the caller counted on."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "POINTS_VALUE_CHANGED"
    text = "{points} points pay {value} now and not {expected}; quote the order again"


class DatesOfNowOnly(FieldInvalid):
    """The days on which points expire were asked for at a past instant."""

    reason = "DATES_OF_NOW_ONLY"
    field = "view"
    text = (
        "BALANCE_VIEW_DATES tells of now only, and read_time is {read_time}; "
        "leave read_time unset, or ask for BALANCE_VIEW_BASIC"
    )


class TimesReversed(FieldInvalid):
    """A span of time that ends before it begins."""

    reason = "TIMES_REVERSED"
    field = "to_time"
    text = "{to_time} lies before {from_time}; give a time at or after that, or leave one unset"


class ReportTooLong(FieldInvalid):
    """A report over more months than it may have."""

    reason = "REPORT_TOO_LONG"
    field = "from_time"
    text = "{months} months are touched and {months_max} are the most; give a later from_time"


class ReportBusy(LaurelError):
    """Another report is being made."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "REPORT_BUSY"
    text = "another report is being made; nothing was done, try again later"
    RETRY_AFTER_MS: ClassVar[int] = 5000


class LeaderboardNotKept(LaurelError):
    """The program keeps no such leaderboard."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "LEADERBOARD_NOT_KEPT"
    text = (
        "the program keeps no leaderboard of period {period}{where}; "
        "list it in the program under `leaderboards`"
    )


class TooManyWatchers(LaurelError):
    """As many balances are watched as one process serves."""

    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "TOO_MANY_WATCHERS"
    text = "{open} watchers are served already; nothing was done, try again later"
    RETRY_AFTER_MS: ClassVar[int] = 5000


class LedgerDoesNotTie(LaurelError):
    """Balances and lots differ: something changed the ledger behind its back."""

    code = StatusCode.DATA_LOSS
    reason = "LEDGER_DOES_NOT_TIE"
    text = "balances hold {balances} points and lots {lots}; run `laurel check` to see whose"


class AmountTooLarge(FieldInvalid):
    """The purchase would earn more points than the ledger can count."""

    reason = "AMOUNT_INVALID"
    field = "purchase.amount"
    text = "the amount would earn {points} points, more than {points_max}; give a smaller amount"


class SequenceNotRising(FieldInvalid):
    """A message of a stream does not come after the one before."""

    reason = "SEQUENCE_NOT_RISING"
    field = "sequence"
    text = "{sequence} comes after {before}; number the messages of a stream upwards"


class PointsExpired(FieldInvalid):
    """Points that are brought from another system have expired."""

    reason = "POINTS_EXPIRED"
    field = "expire_time"
    text = "the points have expired at {expire_time}, it is {now} now; leave such points out"


class TillBatchTooLate(LaurelError):
    """A till's batch has a purchase that is older than the program takes from tills."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "TILL_BATCH_TOO_LATE"
    text = (
        "the batch has a purchase of {oldest_time}, and tills may be {late_days_max} days late; "
        "nothing was booked, have an operator look at it"
    )


class TillBatchUnfinished(LaurelError):
    """Rows of a till's batch could not be decided."""

    code = StatusCode.UNAVAILABLE
    reason = "TILL_BATCH_UNFINISHED"
    text = "{open} of {rows} rows could not be decided ({cause}); send the same batch again"
    RETRY_AFTER_MS: ClassVar[int] = 1000


class RequestRaced(LaurelError):
    """Another process booked the same request id a moment ago; looked up again by whoever sees
    this.
    """

    code = StatusCode.ABORTED
    reason = "REQUEST_RACED"
    text = "the same request is being booked elsewhere; try again with the same request_id"


class ReviewMoved(LaurelError):
    """An account was merged or taken apart while a review of its points was being settled; whoever
    sees this tries again.
    """

    code = StatusCode.ABORTED
    reason = "REVIEW_MOVED"
    text = "the account is being merged at this moment; try again"


class NotPlain(LaurelError):
    """An account owes something, or is not open any more, since it was looked up; whoever sees this
    books the general way.
    """

    code = StatusCode.ABORTED
    reason = "NOT_PLAIN"
    text = "an account changed meanwhile; try again with the same request_id"


class AccountFrozen(LaurelError):
    """The account spends nothing until it is unfrozen."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ACCOUNT_FROZEN"
    text = "the account of member {member_id} is frozen; an operator may unfreeze it"


class AccountEarnOnly(LaurelError):
    """Anti-fraud lets the account earn and spend nothing."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ACCOUNT_EARN_ONLY"
    text = (
        "the account of member {member_id} may earn but not spend for now; "
        "the member may appeal, an operator may lift it"
    )


class AccountClosed(LaurelError):
    """The account was closed for good."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ACCOUNT_CLOSED"
    text = "the account of member {member_id} is closed; give another member"


class AccountMerged(LaurelError):
    """The account lives on in another one."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ACCOUNT_MERGED"
    text = (
        "member {member_id} was merged into {survivor_member_id}; "
        "ask again for member {survivor_member_id}"
    )


class AccountIsPool(LaurelError):
    """The account is the pool of a household."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ACCOUNT_IS_POOL"
    text = "{member_id} is the pool of a household; its points move by the calls of households"


class HoldMoved(RequestRaced):
    """A merge has moved the hold since it was looked up; looked up again by whoever sees this."""

    code = StatusCode.ABORTED
    reason = "HOLD_MOVED"
    text = "the hold is moving to another member; try again with the same request_id"


class LinesInvalid(FieldInvalid):
    """The lines of a purchase do not go together."""

    reason = "LINES_INVALID"
    field = "purchase.lines"
    text = "{problem}"


class ActivityIsPurchase(FieldInvalid):
    """A purchase has an amount, which an activity has none of."""

    reason = "ACTIVITY_IS_PURCHASE"
    field = "activity.event_type"
    text = "a purchase is no activity; tell it by AccruePoints, which takes its amount"


class ReferenceToOneself(FieldInvalid):
    """A member refers to themselves."""

    reason = "REFERENCE_TO_ONESELF"
    field = "activity.reference_member_id"
    text = "{member_id} is the member themselves; name another member, or leave it empty"


class TeamExists(LaurelError):
    """The id is taken."""

    code = StatusCode.ALREADY_EXISTS
    reason = "TEAM_EXISTS"
    text = "there is a team {team_id} already; choose another id"


class TeamNotFound(LaurelError):
    """There is no such team."""

    code = StatusCode.NOT_FOUND
    reason = "TEAM_NOT_FOUND"
    text = "there is no team {team_id}; make it by CreateTeam"


class TeamFull(LaurelError):
    """The team has as many members as it may."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "TEAM_FULL"
    text = "team {team_id} has {members_max} members, which is the most that a team may have"


class InAnotherTeam(LaurelError):
    """A member is in one team at most."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "IN_ANOTHER_TEAM"
    text = "member {member_id} is in team {team_id} already; remove them from it first"


class NotInTeam(LaurelError):
    """The member is not in the team."""

    code = StatusCode.NOT_FOUND
    reason = "NOT_IN_TEAM"
    text = "member {member_id} is not in team {team_id}"


class LineNotFound(LaurelError):
    """The purchase has no such line."""

    code = StatusCode.NOT_FOUND
    reason = "LINE_NOT_FOUND"
    text = "transaction {transaction_id} has no line {line_id}; give one of its lines: {lines}"
