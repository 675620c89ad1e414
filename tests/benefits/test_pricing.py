"""What an order costs with benefits, and why (BN-01, BN-04)."""

from benefits_desk import Desk, change, days_ago
from google.type.money_pb2 import Money
from grpc import StatusCode

from house import new_id, refused, usd
from laurel.benefits.v1 import benefits_service_pb2 as pb


def told(answer: pb.EvaluateBenefitsResponse) -> list[tuple[str, bool, Money]]:
    return [(one.benefit_id, one.applies, one.discount) for one in answer.effects]


async def test_bn_04_the_discount_comes_first_and_the_best_coupon_off_what_is_left(
    desk: Desk, member: str
) -> None:
    await desk.tell(change(member, "member", "silver", days_ago(2)))
    await desk.tell(change(member, "silver", "gold", days_ago(1)))
    answer = await desk.evaluate(member, "100")
    assert told(answer) == [
        ("gold_discount", True, usd("10")),
        ("gold_welcome", True, usd("10")),
        ("silver_welcome", False, usd("0")),
    ]
    assert answer.amount_due == usd("80")
    assert all(effect.reason for effect in answer.effects)


async def test_bn_04_the_member_may_choose_the_coupons(desk: Desk, member: str) -> None:
    await desk.tell(change(member, "member", "silver", days_ago(2)))
    await desk.tell(change(member, "silver", "gold", days_ago(1)))
    held = await desk.held(member)
    chosen = held["silver_welcome"].entitlement_id
    answer = await desk.evaluate(member, "100", [chosen])
    assert answer.amount_due == usd("85")
    both = [chosen, held["gold_welcome"].entitlement_id]
    assert (await desk.evaluate(member, "100", both)).amount_due == usd("75")


async def test_bn_04_a_coupon_below_its_least_amount_says_so(desk: Desk, member: str) -> None:
    await desk.coupon(member, "gold")
    answer = await desk.evaluate(member, "39.99")
    effect = answer.effects[1]
    assert (effect.benefit_id, effect.applies) == ("gold_welcome", False)
    assert "least amount" in effect.reason
    assert answer.amount_due == usd("35.99")


async def test_bn_04_an_expired_coupon_is_left_out_and_explained_when_named(
    desk: Desk, member: str
) -> None:
    await desk.tell(change(member, "member", "gold", days_ago(200)))
    coupon = (await desk.held(member))["gold_welcome"].entitlement_id
    assert told(await desk.evaluate(member, "100")) == [("gold_discount", True, usd("10"))]
    named = (await desk.evaluate(member, "100", [coupon])).effects[-1]
    assert (named.benefit_id, named.applies) == ("gold_welcome", False)
    assert named.reason.startswith("it ended at")


async def test_bn_04_a_reserved_and_a_used_coupon_say_for_which_order(
    desk: Desk, member: str
) -> None:
    coupon = await desk.coupon(member)
    reservation = await desk.reserve(member, [coupon], order_id="order-7")
    named = (await desk.evaluate(member, "100", [coupon])).effects[-1]
    assert named.reason == "it is set aside for order order-7"
    await desk.redeem(reservation.reservation_id)
    named = (await desk.evaluate(member, "100", [coupon])).effects[-1]
    assert named.reason == "it was used for order order-7"


async def test_an_id_that_is_none_of_the_member_does_not_apply(desk: Desk, member: str) -> None:
    of_another = await desk.coupon(f"{member}-other")
    answer = await desk.evaluate(member, "100", [of_another, "no id"])
    assert [(one.entitlement_id, one.applies) for one in answer.effects] == [
        (of_another, False),
        ("no id", False),
    ]
    assert answer.amount_due == usd("100")


async def test_a_member_without_benefits_pays_the_order(desk: Desk) -> None:
    answer = await desk.evaluate(new_id(), "12.34")
    assert (list(answer.effects), answer.amount_due) == ([], usd("12.34"))


async def test_money_of_another_currency_and_negative_money_are_refused(
    desk: Desk, member: str
) -> None:
    for money, reason in (
        (Money(currency_code="EUR", units=1), "CURRENCY_MISMATCH"),
        (Money(currency_code="USD", units=-1), "AMOUNT_INVALID"),
        (Money(currency_code="USD", nanos=1), "AMOUNT_INVALID"),
    ):
        request = pb.EvaluateBenefitsRequest(member_id=member, order_amount=money)
        refusal = await refused(desk.stub.EvaluateBenefits(request))
        assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, reason)
        assert refusal.metadata["field"] == "order_amount"
