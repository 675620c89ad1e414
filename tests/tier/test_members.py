"""Members enrol once, alone or in batches (TR-14)."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from google.rpc import status_pb2
from grpc import StatusCode
from tier_desk import Desk, bought, enrolment

from house import new_id, refused
from kit.clock import from_timestamp, to_timestamp
from kit.errors import info_of
from laurel.tier.v1 import member_service_pb2 as pb

ENROLLED = datetime(2024, 5, 1, tzinfo=UTC)


async def enrol_all(desk: Desk, *requests: pb.EnrolMemberRequest) -> list[pb.EnrolResult]:
    batch = pb.BatchEnrolMembersRequest(requests=requests)
    return list((await desk.members.BatchEnrolMembers(batch)).results)


def reason(result: pb.EnrolResult) -> str:
    error: status_pb2.Status = result.error
    return info_of(error).reason


async def enrolled_events(desk: Desk, member: str) -> int:
    """How many MemberEnrolled a member has caused."""
    return len(await desk.published("member_enrolled", member))


async def test_an_enrolled_member_is_told_back(desk: Desk, member: str):
    request = enrolment(
        member, enrol_time=to_timestamp(ENROLLED), birth_month=2, birth_day=29, channel="shop",
        language="en", email_consent=True,
    )  # fmt: skip
    made = (await desk.members.EnrolMember(request)).member
    assert made.status == pb.MEMBER_STATUS_ENROLLED
    assert (made.birth_month, made.birth_day, made.email) == (2, 29, "ann@example.com")
    assert from_timestamp(made.enrol_time) == ENROLLED
    got = await desk.members.GetMember(pb.GetMemberRequest(member_id=member))
    assert got.member == made
    assert await desk.tier(member) == "member"


async def test_a_repeated_enrolment_gets_the_stored_answer(desk: Desk, member: str):
    request = enrolment(member)
    first = await desk.members.EnrolMember(request)
    assert await desk.members.EnrolMember(request) == first
    [again] = await enrol_all(desk, request)
    assert again.member == first.member
    assert await enrolled_events(desk, member) == 1


async def test_a_request_id_is_good_for_one_content(desk: Desk, member: str):
    request = enrolment(member)
    await desk.members.EnrolMember(request)
    other = enrolment(new_id(), request_id=request.request_id)
    refusal = await refused(desk.members.EnrolMember(other))
    assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    unknown = await refused(desk.members.GetMember(pb.GetMemberRequest(member_id=other.member_id)))
    assert (unknown.code, unknown.reason) == (StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND")


async def test_twenty_enrolments_of_a_member_make_one(desk: Desk, member: str):
    results = await asyncio.gather(
        *[desk.members.EnrolMember(enrolment(member, channel=str(n))) for n in range(20)],
        return_exceptions=True,
    )
    assert sum(isinstance(result, pb.EnrolMemberResponse) for result in results) == 1
    assert await enrolled_events(desk, member) == 1
    refusal = await refused(desk.members.EnrolMember(enrolment(member)))
    assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "MEMBER_ALREADY_ENROLLED")


async def test_twenty_of_the_same_request_get_the_same_answer(desk: Desk, member: str):
    request = enrolment(member)
    answers = await asyncio.gather(*[desk.members.EnrolMember(request) for _ in range(20)])
    assert all(answer == answers[0] for answer in answers)
    assert await enrolled_events(desk, member) == 1


async def test_one_request_id_for_twenty_members_enrols_one(desk: Desk):
    request_id = new_id()
    calls = [
        desk.members.EnrolMember(enrolment(new_id(), request_id=request_id)) for _ in range(20)
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, pb.EnrolMemberResponse) for result in results) == 1


async def test_batches_that_overlap_crosswise_do_not_deadlock(desk: Desk):
    members = [new_id() for _ in range(50)]
    batches = [
        [enrolment(member) for member in (members if n % 2 else reversed(members))]
        for n in range(10)
    ]
    answers = await asyncio.gather(*[enrol_all(desk, *batch) for batch in batches])
    made = [
        result.member.member_id
        for results in answers
        for result in results
        if result.HasField("member")
    ]
    assert sorted(made) == sorted(members)


async def test_each_row_of_a_batch_answers_for_itself(desk: Desk, member: str):
    first = enrolment(member)
    twin, other = enrolment(member), enrolment(new_id(), request_id=first.request_id)
    bad_mail, nobody = enrolment(new_id(), email="no mail"), enrolment("")
    nul = enrolment(new_id() + "\x00")
    good = enrolment(new_id())
    results = await enrol_all(desk, first, twin, other, first, bad_mail, nobody, nul, good)
    assert [reason(result) for result in results] == [
        "", "MEMBER_ALREADY_ENROLLED", "REQUEST_ID_REUSED", "", "INVALID_ARGUMENT",
        "INVALID_ARGUMENT", "INVALID_ARGUMENT", "",
    ]  # fmt: skip
    assert results[0] == results[3]
    assert info_of(results[4].error).metadata["fields"] == "email"


@pytest.mark.parametrize(
    ("month", "day", "field"), [(2, 30, "birth_day"), (5, 0, "birth_day"), (0, 5, "birth_month")]
)
async def test_a_birthday_that_cannot_be_is_refused(
    desk: Desk, member: str, month: int, day: int, field: str
):
    request = enrolment(member, birth_month=month, birth_day=day)
    refusal = await refused(desk.members.EnrolMember(request))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert refusal.metadata["fields"] == field


async def test_tr_14_an_address_is_no_longer_than_mail_can_be_sent_to(desk: Desk, member: str):
    """RFC 5321: 254 bytes; the longest that is one, and one byte more."""
    longest = "a" * 242 + "@example.com"
    request = enrolment(member, email="a" + longest)
    refusal = await refused(desk.members.EnrolMember(request))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert refusal.metadata["fields"] == "email"
    [row] = await enrol_all(desk, request)
    assert reason(row) == "INVALID_ARGUMENT"
    request.email = longest
    assert (await desk.members.EnrolMember(request)).member.email == longest


async def test_an_enrolment_in_the_future_is_refused(desk: Desk, member: str):
    ahead = to_timestamp(datetime.now(UTC) + timedelta(minutes=6))
    refusal = await refused(desk.members.EnrolMember(enrolment(member, enrol_time=ahead)))
    assert (refusal.reason, refusal.metadata["field"]) == ("TIME_IN_FUTURE", "enrol_time")


async def test_one_known_from_purchases_is_provisional_and_keeps_what_they_earned(
    desk: Desk, member: str
):
    await desk.tell(bought(member, "120", ENROLLED))
    got = await desk.members.GetMember(pb.GetMemberRequest(member_id=member))
    assert got.member.status == pb.MEMBER_STATUS_PROVISIONAL
    assert not got.member.HasField("enrol_time")
    await desk.members.EnrolMember(enrolment(member))
    assert await desk.tier(member) == "silver"


async def test_a_thousand_enrol_in_one_call(desk: Desk):
    results = await enrol_all(desk, *(enrolment(new_id()) for _ in range(1000)))
    assert all(result.HasField("member") for result in results)
