"""Gifts and donations, each in one transaction."""

from dataclasses import dataclass
from uuid import UUID

from points.clearance import Clearance
from points.counter_errors import CertificateNotFound
from points.gifts import (
    Certificate,
    Donating,
    Gift,
    Giving,
    Room,
    check_donation,
    check_gift,
    donate,
    give,
)
from points.moving_events import donation_event, gift_events
from points.office import Call, Office, R, Render, Session
from points.values import Hold, Origin
from rules.compiled import CompiledProgram
from rules.gifts import month_of


@dataclass(frozen=True, slots=True)
class Spending:
    """Points that a member wants to part with, and where the wish comes from."""

    request_id: str
    digest: bytes
    member_id: str
    points: int
    origin: Origin


class TransferStore:
    """Gives and donates."""

    def __init__(self, office: Office, clearance: Clearance) -> None:
        self._office = office
        self._clearance = clearance

    async def give(
        self, spending: Spending, receiver_id: str, call: Call[R], render: Render[Gift, R]
    ) -> R:
        """See `gifts.give`; raises what anti-fraud says, too."""
        program = (await self._office.desk()).program
        assessment_id = ""
        if not await self._office.is_done(call):
            check_gift(spending.member_id, receiver_id, spending.points, program)
            assessment_id = await self._clear(spending, program, "gift", receiver_id)
        giving = Giving(
            spending.request_id, spending.member_id, receiver_id, spending.points, program,
            assessment_id,
        )  # fmt: skip

        async def act(session: Session) -> R:
            return render(await _give(giving, session))

        members = (spending.member_id, receiver_id)
        return await self._office.carry_out(call, members, act, opened=[receiver_id])

    async def donate(
        self, spending: Spending, cause: str, call: Call[R], render: Render[Certificate, R]
    ) -> R:
        """See `gifts.donate`; raises what anti-fraud says, too."""
        program = (await self._office.desk()).program
        assessment_id, amount_minor = "", 0
        if not await self._office.is_done(call):
            amount_minor = check_donation(spending.points, cause, program)
            assessment_id = await self._clear(spending, program, "donation")
        donating = Donating(
            spending.request_id, spending.member_id, spending.points, amount_minor, cause, program,
            assessment_id,
        )  # fmt: skip

        async def act(session: Session) -> R:
            await session.load_spendable_lots(donating.member_id, donating.points)
            posted, certificate = donate(donating, session.book, session.desk)
            session.posted.append(posted)
            session.events.append(donation_event(posted, certificate))
            await session.tx.execute(
                "add_donation", certificate.member_id, certificate.certificate_id,
                certificate.transaction_id, certificate.points, certificate.amount_minor,
                certificate.currency, certificate.digits, certificate.cause,
                certificate.create_time,
            )  # fmt: skip
            return render(certificate)

        return await self._office.carry_out(call, [spending.member_id], act)

    async def get_certificate(self, member_id: str, certificate_id: UUID) -> Certificate:
        """A member's certificate. Raises CertificateNotFound."""
        found = await self.verify(certificate_id)
        if found is None or found.member_id != member_id:
            raise CertificateNotFound(member_id=member_id, certificate_id=certificate_id)
        return found

    async def verify(self, certificate_id: UUID) -> Certificate | None:
        """A certificate, where there is one and the ledger says the same."""
        async with self._office.database.statements() as tx:
            row = await tx.fetchrow("get_donation", certificate_id)
        return Certificate(*tuple(row)[:9]) if row and row["is_booked"] else None

    async def _clear(
        self, spending: Spending, program: CompiledProgram, type_: str, receiver_id: str = ""
    ) -> str:
        now = (await self._office.desk()).now
        asked = Hold(
            spending.request_id, spending.digest, spending.member_id, spending.points, "", None,
            spending.origin, now, program, type=type_, receiver_id=receiver_id,
        )  # fmt: skip
        return await self._clearance.clear(asked)


async def _give(giving: Giving, session: Session) -> Gift:
    month = month_of(session.desk.now, giving.program.zone)
    used = await session.tx.fetchval("sum_gifts_of_month", giving.member_id, month)
    room = Room(await session.get_spendable(giving.member_id), month, used)
    await session.load_spendable_lots(giving.member_id, giving.points)
    gift = give(giving, room, session.book, session.desk)
    session.posted += [gift.sent, gift.received]
    session.origins += gift.origins
    session.events += gift_events(gift)
    await session.tx.execute(
        "add_gift", giving.member_id, gift.sent.transaction_id, giving.receiver_id,
        gift.received.transaction_id, gift.points, gift.fee, gift.month, session.desk.now,
    )  # fmt: skip
    return gift
