"""What anti-fraud refuses, beyond what the kit knows."""

from grpc import StatusCode

from kit.errors import LaurelError


class AssessmentContended(LaurelError):
    """Other calls kept assessing the same request ids at the same moment."""

    code = StatusCode.UNAVAILABLE
    reason = "ASSESSMENT_CONTENDED"
    text = (
        "the same request ids were assessed by {attempts} other calls at the same moment; "
        "nothing was counted twice, try again with the same request ids"
    )
