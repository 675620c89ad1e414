"""Who may enrol, and what is known of a member (TR-14)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from kit.errors import InvalidArgument, LaurelError, RequestIdReused, Violation
from tier.errors import MemberAlreadyEnrolled

DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a member said of themselves; birth month and day are 0 when unknown."""

    enrol_time: datetime
    email: str
    birth_month: int
    birth_day: int
    channel: str
    language: str
    email_consent: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A member; without a profile one who is known from purchases alone."""

    member_id: str
    profile: Profile | None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A request to enrol a member."""

    request_id: str
    content_hash: bytes
    member_id: str
    profile: Profile

    @property
    def member(self) -> Member:
        """The member as enrolled by this request."""
        return Member(self.member_id, self.profile)


Verdict = Member | LaurelError


def check_birthday(month: int, day: int) -> None:
    """Raises InvalidArgument for a day that no year has, and for half a birthday."""
    if month == 0 and day == 0:
        return
    if month == 0:
        raise InvalidArgument(
            Violation("birth_month", f"is missing for day {day}; give both or none")
        )
    if not 1 <= day <= DAYS_OF_MONTH[month - 1]:
        reason = (
            f"month {month} has days 1 to {DAYS_OF_MONTH[month - 1]}, got {day}; give both or none"
        )
        raise InvalidArgument(Violation("birth_day", reason))


def check_text(**fields: str) -> None:
    """Raises InvalidArgument for text with a NUL, which Postgres cannot keep."""
    wrong = [name for name, text in fields.items() if "\x00" in text]
    if wrong:
        raise InvalidArgument(
            *(Violation(name, "holds a NUL character; remove it") for name in wrong)
        )


def judge(
    enrolments: Iterable[Enrolment], hashes: Mapping[str, bytes], enrolled: Mapping[str, Member]
) -> tuple[list[Verdict], list[Enrolment]]:
    """An answer for each enrolment in turn, and those that are new.

    `hashes` are the contents of the request ids that took effect, `enrolled` the members who
    enrolled before.
    """
    seen, members = dict(hashes), dict(enrolled)
    verdicts: list[Verdict] = []
    fresh: list[Enrolment] = []
    for enrolment in enrolments:
        member_id = enrolment.member_id
        before = seen.get(enrolment.request_id)
        if before is not None and before != enrolment.content_hash:
            verdicts.append(RequestIdReused(request_id=enrolment.request_id))
        elif before is None and member_id in members:
            verdicts.append(MemberAlreadyEnrolled(member_id=member_id))
        elif before is None:
            seen[enrolment.request_id] = enrolment.content_hash
            members[member_id] = enrolment.member
            fresh.append(enrolment)
            verdicts.append(enrolment.member)
        else:
            # The same content names the same member.
            verdicts.append(members[member_id])
    return verdicts, fresh
