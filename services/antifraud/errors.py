"""What anti-fraud refuses, beyond what the kit knows."""

from grpc import StatusCode

from kit.errors import LaurelError


class AssessedMeanwhile(LaurelError):
    """Another call assessed one of these request ids while this one was deciding."""

    code = StatusCode.UNAVAILABLE
    reason = "ASSESSED_MEANWHILE"
    text = (
        "other calls assessed the same request ids at the same moment; "
        "nothing was counted twice, try again with the same request ids"
    )
