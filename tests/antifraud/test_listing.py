"""What operators are shown of the assessments (AF-01)."""

import pytest
from fraud_desk import ALLOW, DENY, NOON, REDEMPTION, REVIEW, Desk, operation
from grpc import StatusCode

from house import refused
from kit.clock import to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as pb


async def test_a_list_shows_the_rules_that_fired_and_the_facts_they_read(
    desk: Desk, member: str
) -> None:
    """AF-01: score, reasons and rule version."""
    await desk.assess(operation(member, kind=REDEMPTION, points=600, tier="gold", request_id="r-1"))
    [decision] = await desk.assess(operation(member, kind=REDEMPTION, points=500, tier="gold"))
    denied, allowed = (await desk.list(member)).assessments
    assert denied.assessment_id == decision.assessment_id
    assert (denied.action, denied.score, denied.program_version) == (DENY, 500, 2)
    assert (denied.kind, denied.points, denied.member_id) == (REDEMPTION, 500, member)
    assert denied.occurred_time == to_timestamp(NOON)
    assert denied.create_time.seconds > 0
    [fired] = denied.fired_rules
    assert (fired.rule, fired.action, fired.score) == ("draining", DENY, 500)
    assert fired.facts == {"velocity.member_1d.points": "1100", "member.tier": "gold"}
    assert (allowed.request_id, allowed.action) == ("r-1", ALLOW)
    assert not allowed.fired_rules


async def test_pages_go_from_the_newest_to_the_oldest(desk: Desk, member: str) -> None:
    batch = [operation(member) for _ in range(7)]
    await desk.assess(*batch)
    seen, token = [], ""
    for size in (3, 3, 1):
        page = await desk.list(member, page_size=3, page_token=token)
        assert len(page.assessments) == size
        seen += [assessment.request_id for assessment in page.assessments]
        token = page.next_page_token
    assert token == ""
    assert seen == [one.request_id for one in reversed(batch)]


async def test_a_list_can_be_narrowed_to_an_action(desk: Desk, member: str) -> None:
    await desk.assess(*[operation(member) for _ in range(5)])
    page = await desk.list(member, action=REVIEW, page_size=1)
    rest = await desk.list(member, action=REVIEW, page_token=page.next_page_token)
    assert [a.action for a in (*page.assessments, *rest.assessments)] == [REVIEW, REVIEW]
    assert len((await desk.list(member, action=ALLOW)).assessments) == 3
    assert not (await desk.list(member, action=DENY)).assessments


async def test_a_member_without_assessments_has_an_empty_list(desk: Desk, member: str) -> None:
    page = await desk.list(member)
    assert not page.assessments
    assert page.next_page_token == ""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"page_token": "x"}, "PAGE_TOKEN_INVALID"),
        ({"page_token": "WyJ4Il0="}, "PAGE_TOKEN_INVALID"),
        ({"page_size": 1001}, "INVALID_ARGUMENT"),
        ({"action": 9}, "INVALID_ARGUMENT"),
    ],
)
async def test_a_list_refuses_what_it_cannot_read(
    desk: Desk, member: str, fields: dict[str, object], reason: str
) -> None:
    refusal = await refused(desk.list(member, **fields))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, reason)


async def test_a_list_shows_what_the_operation_was(desk: Desk, member: str) -> None:
    """AF-05: all that the request said is kept, so that rules can be tried on it again."""
    asked = operation(member, amount="20.00", tier="gold")
    asked.order_id, asked.type, asked.counterparty_member_id = "o-1", "gift", "friend"
    origin = pb.Origin(channel="web", store="s", device="d", ip="1.2.3.4", card="c")
    origin.staff_member_id = "clerk"
    origin.location.latitude_degrees, origin.location.longitude_degrees = 0.0, -5.25
    asked.origin.CopyFrom(origin)
    await desk.assess(asked, operation(member))
    plain, shown = (await desk.list(member)).assessments
    assert (shown.amount, shown.tier_id, shown.origin) == (asked.amount, "gold", origin)
    assert (shown.order_id, shown.type, shown.counterparty_member_id) == ("o-1", "gift", "friend")
    assert not plain.HasField("origin")
