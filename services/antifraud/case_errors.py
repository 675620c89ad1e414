"""What is refused of cases and labels."""

from grpc import StatusCode

from kit.errors import LaurelError


class CaseNotFound(LaurelError):
    """There is no such case."""

    code = StatusCode.NOT_FOUND
    reason = "CASE_NOT_FOUND"
    text = "there is no case {case_id}; give the id that ListCases shows"


class CaseClaimed(LaurelError):
    """Somebody else works on it."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CASE_CLAIMED"
    text = "{claimant} works on case {case_id} until {claim_expire_time}; take another case"


class CaseNotClaimed(LaurelError):
    """Only who works on it may decide it."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CASE_NOT_CLAIMED"
    text = "nobody works on case {case_id}; claim it first"


class CaseIsDecided(LaurelError):
    """It was decided before."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CASE_DECIDED"
    text = "case {case_id} was decided before: {outcome}; nothing was changed"


class AssessmentNotFound(LaurelError):
    """The operation was never assessed."""

    code = StatusCode.NOT_FOUND
    reason = "ASSESSMENT_NOT_FOUND"
    text = "no operation {request_id} of member {member_id} was assessed; nothing was labelled"
