"""What callers are told when benefits refuses."""

from grpc import StatusCode

from kit.errors import LaurelError


class EntitlementNotFound(LaurelError):
    """The member holds no such entitlement."""

    code = StatusCode.NOT_FOUND
    reason = "ENTITLEMENT_NOT_FOUND"
    text = (
        "member {member_id} holds no entitlement {entitlement_id}; "
        "list the entitlements of the member and use one of their ids"
    )


class EntitlementNotAvailable(LaurelError):
    """The entitlement is set aside, was used or has ended."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ENTITLEMENT_NOT_AVAILABLE"
    text = "entitlement {entitlement_id} cannot be used: {why}; leave it out or choose another one"


class EntitlementTaken(LaurelError):
    """Another reservation took the entitlement at the same moment."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ENTITLEMENT_NOT_AVAILABLE"
    text = "another reservation took an entitlement at the same moment; evaluate the order again"


class EntitlementNotApplicable(LaurelError):
    """The entitlement takes nothing off this order."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "ENTITLEMENT_NOT_APPLICABLE"
    text = (
        "entitlement {entitlement_id} takes nothing off an order of {order_amount}: {why}; "
        "leave it out or change the order"
    )


class ReservationNotFound(LaurelError):
    """There is no such reservation."""

    code = StatusCode.NOT_FOUND
    reason = "RESERVATION_NOT_FOUND"
    text = "there is no reservation {reservation_id}; use the id that ReserveBenefits returned"


class ReservationNotOpen(LaurelError):
    """The reservation has ended already."""

    code = StatusCode.FAILED_PRECONDITION
    reason = "RESERVATION_NOT_OPEN"
    text = (
        "reservation {reservation_id} is {state}, not open; "
        "reserve again where the order still needs its benefits"
    )
