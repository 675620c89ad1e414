"""What callers of the tier service are told."""

from grpc import StatusCode

from kit.errors import FieldInvalid, LaurelError


class MemberNotFound(LaurelError):
    """Nobody of that id enrolled or bought anything."""

    code = StatusCode.NOT_FOUND
    reason = "MEMBER_NOT_FOUND"
    text = "member {member_id} is not known; enrol them, or wait for their first purchase to arrive"


class MemberAlreadyEnrolled(LaurelError):
    """The member enrolled under another request."""

    code = StatusCode.ALREADY_EXISTS
    reason = "MEMBER_ALREADY_ENROLLED"
    text = "member {member_id} enrolled before, under another request_id; nothing was changed"


class ReviewTooFarAhead(FieldInvalid):
    """A review as of a time that is years ahead."""

    reason = "TIME_IN_FUTURE"
    field = "as_of_time"
    text = "{time} is more than 10 years ahead, it is {now} now; give a time before that"


class EnrolmentsCollide(LaurelError):
    """Other enrolments of the same members kept getting in between."""

    code = StatusCode.UNAVAILABLE
    reason = "ENROLMENTS_COLLIDE"
    text = "other enrolments of the same members got in between; nothing was done, try again"


class ProgramBehind(LaurelError):
    """An event was decided by a program that has not reached this service yet; it comes again."""

    code = StatusCode.UNAVAILABLE
    reason = "PROGRAM_BEHIND"
    text = "version {version} of the program is not known here yet, only {known}; try again"
