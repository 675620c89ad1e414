"""AF-04: accounts frozen, capped and listed, by rule or by hand; the trail of it; appeals."""

from asyncio import gather
from collections.abc import AsyncIterator

import pytest
from fraud_desk import ALLOW, DENY, REDEMPTION, REVIEW, Desk, operation, program_with
from grpc import StatusCode

from cli.check import run_checks
from fraud_actions import (
    CAP,
    DENY_LIST,
    DEVICE,
    EARN_ONLY,
    FREEZE,
    GRANTED,
    REJECTED,
    WATCH_LIST,
    ActionDesk,
    key,
)
from house import Ground, House, new_id, refused
from points_ledger import settled

RULES = """
    - name: farm
      operations: [accrual]
      when: request.points > 1000
      action: deny
      score: 900
      reactions:
        - {kind: freeze_account}
        - {kind: deny_list, key: device, duration_days: 30}
        - {kind: watch_list, key: card}
        - {kind: cap_points, points: 100, duration_days: 7}
    - {name: listed, operations: [accrual], when: lists.denied_device, action: deny, score: 500}
    - name: capped
      operations: [redemption]
      when: velocity.member_1d.points > member.points_cap
      action: deny
      score: 0
    - name: quiet
      operations: [redemption]
      when: request.points == 13
      action: review
      score: 1
      reactions: [{kind: earn_only, duration_days: 1}]
"""


@pytest.fixture(scope="module")
async def acting_house(ground: Ground) -> AsyncIterator[House]:
    """A house whose rules react; at the end `laurel check` looks at what they did."""
    async with ground.house() as house:
        await house.apply(program_with(RULES))
        await house.start("antifraud")
        yield house
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


@pytest.fixture
def desk(acting_house: House) -> Desk:
    """The anti-fraud service of that house."""
    return Desk(acting_house)


@pytest.fixture
def hands(acting_house: House) -> ActionDesk:
    """Its lists and actions."""
    return ActionDesk(acting_house)


async def test_a_rule_that_fires_reacts_in_the_transaction_of_the_assessment(
    desk: Desk, hands: ActionDesk
) -> None:
    """AF-04: frozen, listed and capped by rule, with the rule and the assessment in the trail."""
    member, device = new_id(), new_id()
    [decision] = await desk.assess(operation(member, points=5000, device=device))
    assert decision.action == DENY
    taken = {action.kind: action for action in await hands.taken(member)}
    # No card was named: nothing was watched.
    assert set(taken) == {FREEZE, DENY_LIST, CAP}
    for action in taken.values():
        assert (action.rule, action.assessment_id) == ("farm", decision.assessment_id)
        assert (action.operator, action.member_id) == ("", member)
        assert not action.HasField("lift")
    assert not taken[FREEZE].HasField("end_time")
    assert taken[DENY_LIST].key == key(device, DEVICE)
    assert (taken[CAP].points, taken[CAP].HasField("end_time")) == (100, True)
    # The next one to come with that device is denied.
    assert await desk.actions(operation(new_id(), device=device)) == [DENY]


async def test_what_is_in_force_is_taken_once_however_often_the_rule_fires(
    desk: Desk, hands: ActionDesk
) -> None:
    """AF-04: once for each member and kind, in one batch, in many at once, and in a repeat."""
    member = new_id()
    batches = [[operation(member, points=5000), operation(member, points=6000)] for _ in range(12)]
    await gather(*[desk.assess(*batch) for batch in batches])
    await desk.assess(*batches[0])
    assert sorted(action.kind for action in await hands.taken(member)) == [FREEZE, CAP]


async def test_nothing_is_done_where_nothing_fires(desk: Desk, hands: ActionDesk) -> None:
    """AF-04: a rule without reactions does nothing beyond the operation."""
    member, device = new_id(), new_id()
    await hands.take(device, DENY_LIST, key=key(device, DEVICE))
    answers = await desk.actions(operation(member), operation(member, device=device))
    assert answers == [ALLOW, DENY]
    assert await hands.taken(member) == []


async def test_a_cap_bounds_what_a_member_redeems_a_day(desk: Desk, hands: ActionDesk) -> None:
    """AF-04: the fact `member.points_cap`, by hand; without one there is no bound."""
    member = new_id()
    redeem = {"kind": REDEMPTION, "points": 60}
    cap = await hands.take(member, CAP, points=100)
    assert await desk.actions(operation(member, **redeem)) == [ALLOW]
    assert await desk.actions(operation(member, **redeem, after=1)) == [DENY]
    await hands.lift(cap)
    assert await desk.actions(operation(member, **redeem, after=2)) == [ALLOW]
    zero = new_id()
    await hands.take(zero, CAP, points=0)
    assert await desk.actions(operation(zero, kind=REDEMPTION, points=1)) == [DENY]


async def test_an_action_by_hand_is_repeated_and_raced_without_harm(hands: ActionDesk) -> None:
    """AF-04: the same request again gets the first answer; of two at once, one is refused."""
    member = new_id()
    request = hands.taking(member, FREEZE, duration_days=3)
    answers = await gather(*[hands.stub.TakeAction(request) for _ in range(8)])
    assert len({answer.action.action_id for answer in answers}) == 1
    action = answers[0].action
    assert (action.operator, action.identity, action.reason) == ("anna", "admin", "for a test")
    span = action.end_time.ToDatetime() - action.create_time.ToDatetime()
    assert span.days == 3
    request.duration_days = 4
    reused = await refused(hands.stub.TakeAction(request))
    assert reused.reason == "REQUEST_ID_REUSED"
    other = new_id()
    taken, refusals = await settled(hands.take(other, EARN_ONLY) for _ in range(8))
    assert len(taken) == 1
    assert {one.reason for one in refusals} == {"ACTION_IN_FORCE"}
    assert {one.metadata["action_id"] for one in refusals} == {taken[0].action_id}


async def test_an_action_is_lifted_once_and_can_be_taken_anew(hands: ActionDesk) -> None:
    """AF-04: release, with who and why; lifting and taking race without harm."""
    member, request_id = new_id(), new_id()
    action = await hands.take(member, FREEZE)
    lifted = await hands.lift(action, request_id=request_id)
    assert (lifted.lift.operator, lifted.lift.reason) == ("piet", "a mistake")
    assert await hands.lift(action, request_id=request_id) == lifted
    again = await refused(hands.lift(action))
    assert (again.code, again.reason) == (StatusCode.FAILED_PRECONDITION, "ACTION_NOT_IN_FORCE")
    unknown = await refused(hands.lift(type(action)(action_id=lifted.lift.action_id)))
    assert (unknown.code, unknown.reason) == (StatusCode.NOT_FOUND, "ACTION_NOT_FOUND")
    second = await hands.take(member, FREEZE)
    done, refusals = await settled(
        [*(hands.lift(second) for _ in range(6)), *(hands.take(member, FREEZE) for _ in range(6))]
    )
    assert {one.reason for one in refusals} <= {"ACTION_NOT_IN_FORCE", "ACTION_IN_FORCE"}
    assert len([one for one in done if one.action_id == second.action_id]) == 1
    standing = await hands.taken(member, in_force=True)
    assert len(standing) <= 1
    assert len(await hands.taken(member)) == len({one.action_id for one in done}) + 1


async def test_what_cannot_be_done_is_refused(hands: ActionDesk) -> None:
    """AF-04: accounts alone are frozen, caps alone have points; nothing is taken."""
    device = new_id()
    no_member = await refused(hands.take(device, FREEZE, key=key(device, DEVICE)))
    assert (no_member.reason, no_member.metadata["key_kind"]) == ("ACTION_NEEDS_MEMBER", "device")
    points = await refused(hands.take(device, FREEZE, points=5))
    assert points.reason == "ACTION_POINTS_INVALID"
    unsigned = await refused(hands.take(device, FREEZE, operator=""))
    assert unsigned.code is StatusCode.INVALID_ARGUMENT
    assert await hands.taken(device) == []


async def test_an_action_ends_by_itself_and_leaves_room_for_the_next(
    desk: Desk, hands: ActionDesk
) -> None:
    """AF-04: by the clock, or at once where the same is taken before the clock has come by."""
    first, second = new_id(), new_id()
    for member in (first, second):
        assert await desk.actions(operation(member, kind=REDEMPTION, points=13)) == [REVIEW]
    await desk.house.fetch(
        "UPDATE antifraud.action_in_force SET end_time = now() - interval '1 s' "
        "WHERE value = ANY($1)", [first, second],
    )  # fmt: skip
    await desk.house.fetch(
        "UPDATE antifraud.action SET end_time = now() - interval '1 s' WHERE value = ANY($1)",
        [first, second],
    )
    assert await desk.actions(operation(first, kind=REDEMPTION, points=13)) == [REVIEW]
    standing, ended = await hands.taken(first)
    assert (ended.lift.operator, ended.lift.reason) == ("", "its time has ended")
    assert not standing.HasField("lift")
    await hands.run("end_actions")
    [ended] = await hands.taken(second)
    assert ended.lift.reason == "its time has ended"
    assert (await hands.taken(first, in_force=True)) == [standing]


async def test_an_appeal_is_filed_decided_and_lifts_what_it_was_against(hands: ActionDesk) -> None:
    """AF-04: the member's words, who decided and why; one that is granted releases."""
    member = new_id()
    action = await hands.take(member, FREEZE)
    await hands.take(member, CAP, points=5)
    request_id = new_id()
    appeal_id = await hands.appeal(member, request_id=request_id)
    assert await hands.appeal(member, request_id=request_id) == appeal_id
    assert (await refused(hands.appeal(member, action.action_id))).reason == "APPEAL_OPEN"
    [waiting] = await hands.appeals(member, state=1)
    # What weighs most is what a member means who names nothing.
    assert (waiting.action_id, waiting.text) == (action.action_id, "it was not me")
    decided, refusals = await settled(hands.decide(appeal_id, GRANTED) for _ in range(6))
    assert len(decided) == 1
    assert (decided[0].operator, decided[0].reason) == ("piet", "we looked")
    assert {one.reason for one in refusals} == {"APPEAL_DECIDED"}
    lifted = next(one for one in await hands.taken(member) if one.kind == FREEZE)
    assert (lifted.lift.operator, lifted.lift.reason) == ("piet", "we looked")
    assert [one.kind for one in await hands.taken(member, in_force=True)] == [CAP]


async def test_appeals_are_bounded_and_about_oneself(hands: ActionDesk) -> None:
    """AF-04: three against one action; none against what is about others or lifted."""
    member, stranger = new_id(), new_id()
    nothing = await refused(hands.appeal(member))
    assert (nothing.code, nothing.reason) == (StatusCode.NOT_FOUND, "ACTION_NOT_FOUND")
    action = await hands.take(member, EARN_ONLY)
    foreign = await refused(hands.appeal(stranger, action.action_id))
    assert (foreign.code, foreign.reason) == (StatusCode.NOT_FOUND, "ACTION_NOT_FOUND")
    filed, refusals = await settled(hands.appeal(member, action.action_id) for _ in range(6))
    assert (len(filed), {one.reason for one in refusals}) == (1, {"APPEAL_OPEN"})
    await hands.decide(filed[0], REJECTED)
    assert (await hands.taken(member, in_force=True))[0].action_id == action.action_id
    for _ in range(2):
        await hands.decide(await hands.appeal(member), REJECTED)
    assert (await refused(hands.appeal(member))).reason == "APPEALS_USED_UP"
    await hands.lift(action)
    late = await refused(hands.appeal(member, action.action_id))
    assert late.reason == "ACTION_NOT_IN_FORCE"
    unknown = await refused(hands.decide(action.action_id, GRANTED))
    assert (unknown.code, unknown.reason) == (StatusCode.NOT_FOUND, "APPEAL_NOT_FOUND")


async def test_the_trail_comes_in_pages_and_is_never_changed(
    hands: ActionDesk, acting_house: House
) -> None:
    """AF-04: all audited: the service's own role may neither change nor delete it."""
    member = new_id()
    for kind in (FREEZE, EARN_ONLY, WATCH_LIST, DENY_LIST):
        await hands.take(member, kind)
    newest = await hands.taken(member, page_size=3)
    assert [one.kind for one in newest] == [DENY_LIST, WATCH_LIST, EARN_ONLY]
    assert [one.kind for one in await hands.taken(member, kind=FREEZE)] == [FREEZE]
    rows = await acting_house.fetch(
        "SELECT privilege_type FROM information_schema.table_privileges "
        "WHERE table_schema = 'antifraud' AND table_name = 'action' AND grantee <> grantor"
    )
    assert {row["privilege_type"] for row in rows} == {"SELECT", "INSERT"}


async def test_members_appeal_and_operators_act(acting_house: House) -> None:
    """AF-04: nobody else may: not points, not the platform."""
    for identity, may_appeal, may_act in (
        ("platform", True, False), ("operator", False, True), ("points", False, False),
    ):  # fmt: skip
        hands = ActionDesk(acting_house)
        hands.stub = acting_house.stub(type(hands.stub), "antifraud", identity)
        appeal = await refused(hands.appeal(new_id()))
        assert (appeal.code is StatusCode.PERMISSION_DENIED) is not may_appeal
        action = await refused(hands.take(new_id(), FREEZE, operator=""))
        assert (action.code is StatusCode.PERMISSION_DENIED) is not may_act
