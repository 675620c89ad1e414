"""Points given to another member or to a cause, pure but for the book."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from points import counter_errors as errors
from points.book import Book
from points.moving import draw, explain, first_to_expire, hand_over, split
from points.posting import Desk, post
from points.standing import check_may_spend
from points.values import Account, Kind, LotOrigin, Posted, Posting
from rules.compiled import CompiledProgram
from rules.gifts import donation_minor, donation_step, gift_fee, gift_points_max
from rules.values import Gifts


@dataclass(frozen=True, slots=True)
class Giving:
    """A gift as it was asked for, and as anti-fraud has let it pass."""

    request_id: str
    member_id: str
    receiver_id: str
    points: int
    program: CompiledProgram
    assessment_id: str


@dataclass(frozen=True, slots=True)
class Room:
    """What the limits of gifts are measured by: what the giver can spend right before the gift, and
    what they gave in its month before.
    """

    spendable: int
    month: date
    used: int


@dataclass(frozen=True, slots=True)
class Gift:
    """A gift that was booked."""

    sent: Posted
    received: Posted
    origins: list[LotOrigin]
    points: int
    fee: int
    month: date
    month_left: int


@dataclass(frozen=True, slots=True)
class Donating:
    """A donation as it was asked for, and as anti-fraud has let it pass."""

    request_id: str
    member_id: str
    points: int
    amount_minor: int
    cause: str
    program: CompiledProgram
    assessment_id: str


@dataclass(frozen=True, slots=True)
class Certificate:
    """What proves a donation."""

    member_id: str
    certificate_id: UUID
    transaction_id: UUID
    points: int
    amount_minor: int
    currency: str
    digits: int
    cause: str
    create_time: datetime


def check_gift(member_id: str, receiver_id: str, points: int, program: CompiledProgram) -> Gifts:
    """What the program says of gifts. Raises GiftsNotAllowed, GiftToOneself or GiftTooSmall."""
    if program.gifts is None:
        raise errors.GiftsNotAllowed(version=program.version)
    if member_id == receiver_id:
        raise errors.GiftToOneself(member_id=member_id)
    fee = gift_fee(points, program.gifts)
    if fee >= points:
        raise errors.GiftTooSmall(points=points, fee=fee)
    return program.gifts


def give(giving: Giving, room: Room, book: Book, desk: Desk) -> Gift:
    """Moves points to the receiver, those that expire first; the first of them pay the fee.

    Raises GiftAboveShare, GiftAboveMonth, InsufficientPoints, and what the states of both accounts
    forbid. A debt of the receiver is left as it is: accruals pay it.
    """
    giver, receiver = book.account(giving.member_id), book.account(giving.receiver_id)
    check_may_spend(giver)
    check_may_spend(receiver)
    gifts = check_gift(giving.member_id, giving.receiver_id, giving.points, giving.program)
    _check_limits(giving, room, gifts)
    parts = first_to_expire(giver, giving.points, desk.now, book)
    fee = gift_fee(giving.points, gifts)
    net = giving.points - fee
    sent_id, received_id = desk.new_id(), desk.new_id()
    _, given = split(parts, fee)
    moves = draw(parts, book)
    arrived = hand_over(given, giving.receiver_id, received_id, book, desk)
    giver.active -= giving.points
    receiver.active += net
    postings = [Posting(Account.ACTIVE, Account.TRANSFERRED_OUT, net)]
    lines = [["gift", True, "", str(-net), f"given to {giving.receiver_id}"]]
    if fee:
        postings.append(Posting(Account.ACTIVE, Account.FEES, fee))
        lines.append(["gift_fee", True, gifts.fee_share, str(-fee), "kept as a fee"])
    sent = post(
        book, desk, giver, Kind.GIFT_SENT, postings, moves, transaction_id=sent_id,
        program_version=giving.program.version, request_id=giving.request_id,
        explanation=explain(
            (giving.receiver_id, received_id), lines, assessment=giving.assessment_id
        ),
    )  # fmt: skip
    line = ["gift", True, "", str(net), f"given by {giving.member_id}"]
    received = post(
        book, desk, receiver, Kind.GIFT_RECEIVED,
        [Posting(Account.TRANSFERRED_IN, Account.ACTIVE, net)], arrived.moves,
        transaction_id=received_id, program_version=giving.program.version,
        explanation=explain((giving.member_id, sent_id), [line], arrived.origins),
    )  # fmt: skip
    left = gifts.month_points_max - room.used - giving.points
    return Gift(sent, received, arrived.origins, giving.points, fee, room.month, left)


def _check_limits(giving: Giving, room: Room, gifts: Gifts) -> None:
    share = gift_points_max(room.spendable, gifts)
    if giving.points > share:
        raise errors.GiftAboveShare(
            asked=giving.points, share=gifts.share_max, limit=share, used=0, left=share
        )
    left = max(0, gifts.month_points_max - room.used)
    if giving.points > left:
        raise errors.GiftAboveMonth(
            asked=giving.points, month=f"{room.month:%Y-%m}", limit=gifts.month_points_max,
            used=room.used, left=left,
        )  # fmt: skip


def check_donation(points: int, cause: str, program: CompiledProgram) -> int:
    """What points give to a cause, in minor units.

    Raises DonationsNotAllowed, CauseUnknown or DonationNotWhole.
    """
    donations = program.donations
    if donations is None:
        raise errors.DonationsNotAllowed(version=program.version)
    if cause not in donations.causes:
        raise errors.CauseUnknown(cause=cause, causes=", ".join(sorted(donations.causes)))
    minor = donation_minor(points, program.minor_digits, donations)
    if minor is None:
        step = donation_step(program.minor_digits, donations)
        lower = points // step * step
        raise errors.DonationNotWhole(
            points=points, currency=program.currency, per_unit=donations.per_unit, lower=lower,
            higher=lower + step,
        )  # fmt: skip
    return minor


def donate(donating: Donating, book: Book, desk: Desk) -> tuple[Posted, Certificate]:
    """Moves points to what was donated, those that expire first.

    Raises InsufficientPoints, and what the state of the account forbids.
    """
    account = book.account(donating.member_id)
    check_may_spend(account)
    moves = draw(first_to_expire(account, donating.points, desk.now, book), book)
    account.active -= donating.points
    program, certificate_id = donating.program, desk.new_id()
    line = ["donation", True, "", str(-donating.points), f"donated to {donating.cause}"]
    posted = post(
        book, desk, account, Kind.DONATION,
        [Posting(Account.ACTIVE, Account.DONATED, donating.points)], moves,
        program_version=program.version, request_id=donating.request_id,
        explanation={
            "lines": [line], "assessment": donating.assessment_id,
            "certificate": str(certificate_id),
        },
    )  # fmt: skip
    certificate = Certificate(
        donating.member_id, certificate_id, posted.transaction_id, donating.points,
        donating.amount_minor, program.currency, program.minor_digits, donating.cause, desk.now,
    )  # fmt: skip
    return posted, certificate
