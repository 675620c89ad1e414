"""What is refused about lists, actions and appeals."""

from grpc import StatusCode

from kit.errors import FieldInvalid, LaurelError


class ListKeyTwice(FieldInvalid):
    """One call names a place on a list twice."""

    reason = "LIST_KEY_TWICE"
    field = "entries"
    text = "entry {index} names the same list and key as entry {first}; keep only one of them"


class ExpireTimePast(FieldInvalid):
    """An entry would have expired already."""

    reason = "EXPIRE_TIME_PAST"
    field = "entries"
    text = "entry {index} expires at {expire_time}, it is {now} now; give a later time or none"


class ListEntryOfAction(LaurelError):
    """An action put the entry there."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "LIST_ENTRY_OF_ACTION"
    text = "{value} is on the list by action {action_id}; nothing was removed, lift that action"


class ActionNeedsMember(FieldInvalid):
    """Accounts are frozen and capped, nothing else."""

    reason = "ACTION_NEEDS_MEMBER"
    field = "key.kind"
    text = "{kind} is for members and the key is a {key_kind}; give a member, or use a list"


class ActionPointsInvalid(FieldInvalid):
    """Points where no cap is asked for."""

    reason = "ACTION_POINTS_INVALID"
    field = "points"
    text = "{points} points were given for {kind}; they are for CAP_POINTS alone, leave them out"


class ActionTierInvalid(FieldInvalid):
    """A tier that nobody can be put down to, or where nobody is."""

    reason = "ACTION_TIER_INVALID"
    field = "tier_id"
    text = "{tier_id} {problem}"


class ActionInForce(LaurelError):
    """There is one already."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ACTION_IN_FORCE"
    text = "action {action_id} of that kind is in force on {value}; lift it first to take another"


class ActionNotFound(LaurelError):
    """There is no such action, or none that is about the member."""

    code = StatusCode.NOT_FOUND
    reason = "ACTION_NOT_FOUND"
    text = "there is no such action {action_id}; give the id of one, as ListActions shows it"


class NothingToAppeal(ActionNotFound):
    """Nothing is in force on the member."""

    text = "no action is in force on the account of member {member_id}; there is nothing to appeal"


class ActionNotInForce(LaurelError):
    """It was lifted, or its time has ended."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ACTION_NOT_IN_FORCE"
    text = "action {action_id} is not in force any more; nothing was changed"


class AppealOpen(LaurelError):
    """One appeal at a time."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "APPEAL_OPEN"
    text = "an appeal against action {action_id} is open; wait until it was decided"


class AppealsUsedUp(LaurelError):
    """Appeals have a bound."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "APPEALS_USED_UP"
    text = (
        "action {action_id} was appealed against {count_max} times, which is the most that may be"
    )


class AppealNotFound(LaurelError):
    """There is no such appeal."""

    code = StatusCode.NOT_FOUND
    reason = "APPEAL_NOT_FOUND"
    text = "there is no appeal {appeal_id}; give the id of one, as ListAppeals shows it"


class AppealDecided(LaurelError):
    """Somebody has decided before."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "APPEAL_DECIDED"
    text = "appeal {appeal_id} was decided already: {state}; nothing was changed"
