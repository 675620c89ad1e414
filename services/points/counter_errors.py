"""What is refused at the counter: between members, by operators, in households."""

from grpc import StatusCode

from kit.errors import FieldInvalid, LaurelError


class AccountNotFrozen(LaurelError):
    """There is nothing to unfreeze."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ACCOUNT_NOT_FROZEN"
    text = "the account of member {member_id} is not frozen; nothing was changed"


class FrozenByAntifraud(LaurelError):
    """No operator has frozen it."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "FROZEN_BY_ANTIFRAUD"
    text = (
        "the account of member {member_id} is frozen by anti-fraud alone; "
        "lift the action there, as ListActions shows it"
    )


class HoldsOpen(LaurelError):
    """Points are still set aside."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "HOLDS_OPEN"
    text = "member {member_id} has {held} points under holds; capture or release them first"


class AccountTooLarge(LaurelError):
    """The account is too large for one transaction."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ACCOUNT_TOO_LARGE"
    text = (
        "the account of member {member_id} has more than {count_max} {things}, "
        "and one transaction does not move more"
    )


class GiftsNotAllowed(LaurelError):
    """The program has no gifts."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "GIFTS_NOT_ALLOWED"
    text = "version {version} of the program does not allow gifts; its section `gifts` would"


class GiftToOneself(FieldInvalid):
    """Giver and receiver are one."""

    reason = "GIFT_TO_ONESELF"
    field = "receiver_member_id"
    text = "{member_id} is the giver; name another member"


class GiftTooSmall(FieldInvalid):
    """The fee would take all of it."""

    reason = "GIFT_TOO_SMALL"
    field = "points"
    text = "of {points} points the fee takes {fee} and nothing is left; give more points"


class GiftAboveShare(LaurelError):
    """More than may be given of a balance at once."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "GIFT_ABOVE_SHARE"
    text = (
        "{asked} points are more than {limit}, a share of {share} of the balance; "
        "{used} are used of that limit and {left} are left"
    )


class GiftAboveMonth(LaurelError):
    """More than may be given in a month."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "GIFT_ABOVE_MONTH"
    text = (
        "{asked} points are more than may be given in {month}: the limit is {limit}, "
        "{used} are used of it and {left} are left"
    )


class DonationsNotAllowed(LaurelError):
    """The program has no donations."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "DONATIONS_NOT_ALLOWED"
    text = (
        "version {version} of the program does not allow donations; its section `donations` would"
    )


class CauseUnknown(FieldInvalid):
    """The program does not have that cause."""

    reason = "CAUSE_UNKNOWN"
    field = "cause"
    text = "{cause} is no cause of the program; name one of {causes}"


class DonationNotWhole(FieldInvalid):
    """The points give a fraction of the smallest unit."""

    reason = "DONATION_NOT_WHOLE"
    field = "points"
    text = (
        "{points} points give no whole number of the smallest units of {currency}; "
        "{per_unit} give 1.00, so donate {lower} or {higher}"
    )


class CertificateNotFound(LaurelError):
    """There is no such certificate of this member."""

    code = StatusCode.NOT_FOUND
    reason = "CERTIFICATE_NOT_FOUND"
    text = "member {member_id} has no certificate {certificate_id}"


class AdjustmentNotFound(LaurelError):
    """There is no such adjustment."""

    code = StatusCode.NOT_FOUND
    reason = "ADJUSTMENT_NOT_FOUND"
    text = "there is no adjustment {adjustment_id}; ListAdjustments has those that wait"


class AdjustmentNotPending(LaurelError):
    """It was decided before."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ADJUSTMENT_NOT_PENDING"
    text = "adjustment {adjustment_id} waits for nobody: it is {state}"


class SameOperator(LaurelError):
    """Two people must agree, and this is one."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "SAME_OPERATOR"
    text = "{operator} has asked for it; another operator must approve"


class MergeWithOneself(FieldInvalid):
    """Both are one member."""

    reason = "MERGE_WITH_ONESELF"
    field = "merged_member_id"
    text = "{member_id} is the survivor; name another member to merge"


class MergeNotFound(LaurelError):
    """There is no such merge."""

    code = StatusCode.NOT_FOUND
    reason = "MERGE_NOT_FOUND"
    text = "there is no merge {merge_id}; ListMerges has those of a member"


class MergeUndone(LaurelError):
    """It does not stand any more."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "MERGE_UNDONE"
    text = "merge {merge_id} was undone before; nothing was changed"


class HouseholdsNotAllowed(LaurelError):
    """The program has no households."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "HOUSEHOLDS_NOT_ALLOWED"
    text = "version {version} of the program allows no households; its section `households` would"


class HouseholdNotFound(LaurelError):
    """There is no such household."""

    code = StatusCode.NOT_FOUND
    reason = "HOUSEHOLD_NOT_FOUND"
    text = "there is no household {household_id}; give the id that CreateHousehold returned"


class NotInHousehold(LaurelError):
    """The member does not belong to it."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "NOT_IN_HOUSEHOLD"
    text = "member {member_id} is in no household {household_id}; the owner may add them"


class InHousehold(LaurelError):
    """The member belongs to a household already."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "IN_HOUSEHOLD"
    text = "member {member_id} is in household {household_id} and would have to leave it first"


class HouseholdDissolved(LaurelError):
    """It does not stand any more."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "HOUSEHOLD_DISSOLVED"
    text = "household {household_id} was dissolved; make another one"


class HouseholdFull(LaurelError):
    """The program allows no more members."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "HOUSEHOLD_FULL"
    text = "household {household_id} has {members} members and may have {limit}"


class HouseholdNotEmpty(LaurelError):
    """The owner leaves last."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "HOUSEHOLD_NOT_EMPTY"
    text = "the owner leaves last: household {household_id} has {members} other members"


class NotHouseholdOwner(LaurelError):
    """Only the owner may do that."""

    code = StatusCode.PERMISSION_DENIED
    reason = "NOT_HOUSEHOLD_OWNER"
    text = "member {member_id} does not own household {household_id}; its owner may do that"


class HouseholdOwnerStays(FieldInvalid):
    """The owner's role does not change."""

    reason = "HOUSEHOLD_OWNER_STAYS"
    field = "member_id"
    text = "{member_id} owns the household, without a limit; name another member"


class ChildLimitInvalid(FieldInvalid):
    """A limit that does not go with the role, or is above the program's."""

    reason = "CHILD_LIMIT_INVALID"
    field = "month_points_max"
    text = "{points} is no limit for this role: a child has 0 to {limit}, an adult has none (0)"


class ChildLimitExceeded(LaurelError):
    """The child has used up what it may spend in a month."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CHILD_LIMIT_EXCEEDED"
    text = (
        "{asked} points are more than {member_id} may spend of the pool in {month}: "
        "the limit is {limit}, {used} are used of it and {left} are left"
    )


class PoolHoldsOpen(LaurelError):
    """Points of who leaves are set aside for an order."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "POOL_HOLDS_OPEN"
    text = (
        "{held} points that member {member_id} has brought are under holds of the pool; "
        "capture or release them first"
    )
