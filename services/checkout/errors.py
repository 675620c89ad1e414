"""What checkout refuses, and why."""

from grpc import StatusCode

from kit.errors import LaurelError


class CheckoutNotFound(LaurelError):
    """There is no such checkout."""

    code = StatusCode.NOT_FOUND
    reason = "CHECKOUT_NOT_FOUND"
    text = "there is no checkout {checkout_id}; use the id that QuoteCheckout returned"


class LineNotFound(LaurelError):
    """The checkout has no such line."""

    code = StatusCode.NOT_FOUND
    reason = "LINE_NOT_FOUND"
    text = "checkout {checkout_id} has no line {line_id}; use the ids of its lines"


class CheckoutInState(LaurelError):
    """The checkout stands where this cannot be done."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CHECKOUT_STATE"
    text = (
        "checkout {checkout_id} is {state}, this needs {needed}; "
        "look at it with GetCheckout, or quote the cart again"
    )


class QuoteExpired(LaurelError):
    """The quote is good no more."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "QUOTE_EXPIRED"
    text = "the quote {checkout_id} was good until {expire_time}; quote the cart again"


class AuthorizationExpired(LaurelError):
    """What was authorised has timed out."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "AUTHORIZATION_EXPIRED"
    text = (
        "the authorisation of checkout {checkout_id} has ended and what it held went back; "
        "give the cash back, or quote and authorise the cart again"
    )


class RefundExceeded(LaurelError):
    """More was to go back than is left."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "REFUND_EXCEEDED"
    text = "{asked} of line {line_id} were to go back and {left} are left of it; ask for no more"


class NothingLeft(LaurelError):
    """Everything went back already."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "REFUND_EXCEEDED"
    text = "everything of checkout {checkout_id} went back already; there is nothing left to refund"


class TooManyRefunds(LaurelError):
    """Only what is left can still go back, in one go."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "REFUND_EXCEEDED"
    text = "checkout {checkout_id} has {count} refunds already; refund all that is left in one"


class StepRefused(LaurelError):
    """Another service refused a step, so all of it was undone; the reason is that service's own."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "STEP_REFUSED"
    text = "checkout {checkout_id} was undone: {why}"

    def __init__(self, reason: str, checkout_id: object, why: str) -> None:
        self.reason = reason  # type: ignore[misc]
        super().__init__(checkout_id=checkout_id, why=why)


class ChallengeRequired(LaurelError):
    """The member has to prove first who asks; the checkout is quoted as before."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "CHALLENGE_REQUIRED"
    text = (
        "checkout {checkout_id} is not authorised: the member has to solve challenge "
        "{challenge_id} first; call VerifyChallenge and try again with the same request_id"
    )


class StepUnfinished(LaurelError):
    """Another service gave no answer; the step is done later, by a repeat or by the sweeper."""

    code = StatusCode.UNAVAILABLE
    reason = "DEPENDENCY_UNAVAILABLE"
    text = "{service} gave no answer ({problem}); try again with the same request_id"

    def __init__(self, reason: str, service: str, problem: str) -> None:
        if reason:
            self.reason = reason  # type: ignore[misc]
        super().__init__(service=service, problem=problem, retry_after_ms=1000)
