"""Members in Postgres."""

from collections.abc import Sequence
from typing import Any

from kit.clock import Clock, NewId
from kit.db import Database, Transaction
from kit.events import publish
from tier.enrolment import Enrolment, Member, Profile, Verdict, judge
from tier.errors import EnrolmentsCollide, MemberNotFound
from tier.events import member_enrolled

TRIES_MAX = 5
METHOD = "EnrolMemberRequest"


class _Overtaken(Exception):
    """Another transaction enrolled one of the members or used one of the ids meanwhile."""


class MemberStore:
    """Who the members are."""

    def __init__(self, database: Database, *, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id

    async def get(self, member_id: str) -> Member:
        """A member. Raises MemberNotFound."""
        async with self._database.transaction(readonly=True) as tx:
            rows = await tx.fetch("get_members", [member_id])
        if not rows:
            raise MemberNotFound(member_id=member_id)
        return _read_member(rows[0])

    async def enrol(self, enrolments: Sequence[Enrolment]) -> list[Verdict]:
        """Enrols members, each for itself, and answers each in turn; all in one commit."""
        for _ in range(TRIES_MAX):
            try:
                async with self._database.transaction() as tx:
                    return await self._enrol(tx, enrolments)
            except _Overtaken:
                # Nothing was written; what the other one did is visible to the next try.
                continue
        raise EnrolmentsCollide(retry_after_ms=200)

    async def _enrol(self, tx: Transaction, enrolments: Sequence[Enrolment]) -> list[Verdict]:
        rows = await tx.fetch(
            "get_enrolments",
            [enrolment.request_id for enrolment in enrolments],
            [enrolment.member_id for enrolment in enrolments],
        )
        hashes = {row["request_id"]: row["content_hash"] for row in rows if row["content_hash"]}
        enrolled = {row["member_id"]: _read_member(row) for row in rows if row["is_enrolled"]}
        verdicts, fresh = judge(enrolments, hashes, enrolled)
        if fresh:
            await self._write(tx, fresh)
        return verdicts

    async def _write(self, tx: Transaction, fresh: Sequence[Enrolment]) -> None:
        # Members, then request ids, then profiles, each in key order: batches cannot deadlock.
        await tx.execute("add_members", [enrolment.member_id for enrolment in fresh])
        claimed = await tx.fetch(
            "claim_enrolments",
            [enrolment.request_id for enrolment in fresh],
            METHOD,
            [enrolment.content_hash for enrolment in fresh],
        )
        added = await tx.fetch("add_profiles", *_profile_columns(fresh))
        if not len(claimed) == len(added) == len(fresh):
            raise _Overtaken
        now = self._clock()
        await publish(tx, self._new_id, [member_enrolled(one, now) for one in fresh])


def _profile_columns(fresh: Sequence[Enrolment]) -> list[list[Any]]:
    return [list(column) for column in zip(*map(_profile_row, fresh), strict=True)]


def _profile_row(enrolment: Enrolment) -> tuple[object, ...]:
    profile = enrolment.profile
    return (
        enrolment.member_id, profile.enrol_time, profile.email, profile.birth_month,
        profile.birth_day, profile.channel, profile.language, profile.email_consent,
    )  # fmt: skip


def _read_member(row: Any) -> Member:
    if not row["is_enrolled"]:
        return Member(row["member_id"], None)
    return Member(
        row["member_id"],
        Profile(
            enrol_time=row["enrol_time"],
            email=row["email"],
            birth_month=row["birth_month"],
            birth_day=row["birth_day"],
            channel=row["channel"],
            language=row["language"],
            email_consent=row["email_consent"],
        ),
    )
