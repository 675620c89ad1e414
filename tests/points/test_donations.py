"""PT-11: donations and the certificates that prove them."""

import asyncio

from google.type.money_pb2 import Money
from grpc import StatusCode

from house import new_id, refused
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1 import transfers_pb2 as transfers
from points_ledger import events_of, settled
from points_moving import Counter


async def test_a_thousand_points_give_one_dollar_and_a_certificate(
    counter: Counter, member: str
) -> None:
    """PT-11: 1,000 points = 1.00."""
    await counter.accrue(member, "5000")
    certificate = await counter.donate(member, 2_510)
    assert certificate.amount == Money(currency_code="USD", units=2, nanos=510_000_000)
    assert await counter.balance(member) == pb.Balance(active=2_490)
    donation = (await counter.transactions(member))[-1]
    assert (donation.kind, donation.points) == (pb.TRANSACTION_KIND_DONATION, -2_510)
    assert donation.transaction_id == certificate.transaction_id
    assert {e.account: e.points for e in donation.entries}[pb.ACCOUNT_DONATED] == 2_510
    (told,) = await events_of(counter.house, "points_donated", member)
    assert told.points_donated.certificate_id == certificate.certificate_id


async def test_whoever_is_shown_a_certificate_can_verify_it_without_learning_the_member(
    counter: Counter, member: str
) -> None:
    """PT-11: amount, points, time and cause are told; the member only to who named them."""
    await counter.accrue(member, "5000")
    made = await counter.donate(member, 1_000, "music_schools")
    answer = await counter.verify(made.certificate_id)
    assert answer.valid
    told = answer.certificate
    assert (told.points, told.amount, told.cause) == (1_000, made.amount, "music_schools")
    assert told.create_time == made.create_time
    assert (told.member_id, told.transaction_id) == ("", "")
    named = await counter.verify(made.certificate_id, member)
    assert (named.valid, named.certificate) == (True, made)
    for wrong in (
        await counter.verify(made.certificate_id, "somebody-else"),
        await counter.verify("00000000-0000-7000-8000-000000000000"),
        await counter.verify("no certificate at all"),
    ):
        assert wrong == transfers.VerifyDonationResponse(valid=False)


async def test_a_member_reads_their_certificate_again(counter: Counter, member: str) -> None:
    await counter.accrue(member, "5000")
    made = await counter.donate(member, 1_000)
    request = transfers.GetDonationCertificateRequest(
        member_id=member, certificate_id=made.certificate_id
    )
    assert (await counter.stub.GetDonationCertificate(request)).certificate == made
    request.member_id = "somebody-else"
    missing = await refused(counter.stub.GetDonationCertificate(request))
    assert (missing.code, missing.reason) == (StatusCode.NOT_FOUND, "CERTIFICATE_NOT_FOUND")


async def test_a_fraction_of_a_cent_and_an_unknown_cause_are_mistakes(
    counter: Counter, member: str
) -> None:
    await counter.accrue(member, "5000")
    fraction = await refused(counter.donate(member, 1_005))
    assert (fraction.code, fraction.reason) == (StatusCode.INVALID_ARGUMENT, "DONATION_NOT_WHOLE")
    assert (fraction.metadata["lower"], fraction.metadata["higher"]) == ("1000", "1010")
    unknown = await refused(counter.donate(member, 1_000, "whales"))
    assert unknown.reason == "CAUSE_UNKNOWN"
    assert "red_cross" in unknown.metadata["causes"]


async def test_who_has_too_little_or_is_frozen_donates_nothing(
    counter: Counter, member: str
) -> None:
    await counter.accrue(member, "100")
    assert (await refused(counter.donate(member, 110))).reason == "INSUFFICIENT_POINTS"
    await counter.freeze(member)
    assert (await refused(counter.donate(member, 10))).reason == "ACCOUNT_FROZEN"


async def test_a_donation_repeated_or_raced_takes_effect_once(
    counter: Counter, member: str
) -> None:
    await counter.accrue(member, "1000")
    request_id = new_id()
    answers = await asyncio.gather(
        *(counter.donate(member, 300, request_id=request_id) for _ in range(20))
    )
    assert all(answer == answers[0] for answer in answers)
    assert await counter.balance(member) == pb.Balance(active=700)
    # More than anti-fraud was asked about: it is not asked again.
    other = await refused(counter.donate(member, 400, request_id=request_id))
    assert (other.code, other.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    made, refusals = await settled(counter.donate(member, 200) for _ in range(10))
    assert (len(made), {one.reason for one in refusals}) == (3, {"INSUFFICIENT_POINTS"})
    assert await counter.balance(member) == pb.Balance(active=100)
