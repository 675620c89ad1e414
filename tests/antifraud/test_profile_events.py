"""What other services tell of members (AF-02)."""

from datetime import timedelta

from fraud_desk import ALLOW, DENY, REVIEW
from member_desk import (
    MemberDesk,
    spend,
)

from house import House, new_id, usd
from kit.clock import make_clock, to_timestamp
from laurel.points.v1 import points_service_pb2 as points_pb
from laurel.points.v1.accounts_pb2 import FreezeAccountRequest, UnfreezeAccountRequest
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from laurel.tier.v1.member_service_pb2 import EnrolMemberRequest
from laurel.tier.v1.member_service_pb2_grpc import MemberServiceStub


async def test_enrolment_and_state_of_the_account_are_heard(
    booth: MemberDesk, member_house: House, member: str
) -> None:
    await member_house.start("points", "tier")
    tier = member_house.stub(MemberServiceStub, "tier")
    points = member_house.stub(PointsServiceStub, "points")
    now = make_clock(None)()
    await tier.EnrolMember(
        EnrolMemberRequest(
            request_id=new_id(), member_id=member, enrol_time=to_timestamp(now - timedelta(days=3))
        )
    )
    await member_house.settle()
    seen = await booth.see(spend(member, at=now))
    told = ("member.known", "member.age_days", "member.status")
    assert [seen[name] for name in told] == ["True", "3", "active"]
    big = [spend(member, at=now + timedelta(days=days), points=2000) for days in (0, 5)]
    assert await booth.actions(*big) == [DENY, ALLOW]
    decided = {"member_id": member, "operator": "o", "reason": "r"}
    await points.FreezeAccount(FreezeAccountRequest(request_id=new_id(), **decided))
    await member_house.settle()
    assert (await booth.see(spend(member, at=now)))["member.status"] == "frozen"
    await points.UnfreezeAccount(UnfreezeAccountRequest(request_id=new_id(), **decided))
    await member_house.settle()
    assert (await booth.see(spend(member, at=now)))["member.status"] == "active"


async def test_what_was_returned_shows_in_the_refund_ratio(
    booth: MemberDesk, member_house: House, member: str
) -> None:
    await member_house.start("points", "tier")
    points = member_house.stub(PointsServiceStub, "points")
    bought = []
    for amount in ("30.00", "10.00", "60.00"):
        purchase = points_pb.Purchase(order_id=new_id(), amount=usd(amount))
        bought.append(
            await points.AccruePoints(
                points_pb.AccruePointsRequest(
                    request_id=new_id(), member_id=member, purchase=purchase
                )
            )
        )
    await member_house.settle()
    now = make_clock(None)()
    names = ("member.refund_ratio", "member.refund_count")
    seen = await booth.see(spend(member, at=now))
    assert [seen[name] for name in names] == ["0.0", "0"]
    for accrual, amount in ((bought[0], "15.00"), (bought[1], "10.00")):
        await points.ReverseAccrual(
            points_pb.ReverseAccrualRequest(
                request_id=new_id(),
                member_id=member,
                transaction_id=accrual.transaction.transaction_id,
                returned_amount=usd(amount),
            )
        )
    await member_house.settle()
    seen = await booth.see(spend(member, at=now))
    assert [seen[name] for name in names] == ["0.25", "2"]
    assert await booth.actions(spend(member, at=now, points=4321)) == [REVIEW]
    assert await booth.actions(spend(new_id(), at=now, points=4321)) == [ALLOW]
    seen = await booth.see(spend(member, at=now + timedelta(days=91)))
    assert [seen[name] for name in names] == ["0.0", "0"]
