"""PT-12: accounts are frozen, unfrozen and closed, and what each of them may do."""

import asyncio

import pytest
from grpc import StatusCode

from house import new_id, refused, usd
from laurel.points.v1 import accounts_pb2 as accounts
from laurel.points.v1 import points_service_pb2 as pb
from points_earning import Earner
from points_ledger import events_of, settled
from points_moving import Counter


async def test_a_frozen_account_earns_and_settles_and_spends_nothing(
    counter: Counter, member: str
) -> None:
    """PT-12: accruals are booked, what was begun is settled, redemptions are refused."""
    await counter.accrue(member, "100")
    hold = await counter.hold(member, 30)
    assert (await counter.freeze(member)).state == accounts.ACCOUNT_STATE_FROZEN
    earned = await counter.accrue(member, "50")
    refusal = await refused(counter.hold(member, 10))
    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "ACCOUNT_FROZEN")
    assert refusal.metadata["member_id"] == member
    await counter.capture(hold, 20, release_rest=True)
    await counter.refund(hold, 5)
    await counter.reverse(earned)
    assert await counter.balance(member) == pb.Balance(active=85)
    assert (await counter.unfreeze(member)).state == accounts.ACCOUNT_STATE_OPEN
    await counter.hold(member, 85)


async def test_a_decision_is_kept_with_who_why_and_when(counter: Counter, member: str) -> None:
    """PT-12: every decision about an account can be read again."""
    await counter.freeze(member, operator="olga", reason="a stolen card")
    await counter.unfreeze(member, operator="piet", reason="it was found")
    standing = await counter.account(member)
    assert standing.state == accounts.ACCOUNT_STATE_OPEN
    assert standing.last_action.reason == "it was found"
    request = accounts.ListAccountActionsRequest(member_id=member, page_size=1)
    first = await counter.stub.ListAccountActions(request)
    request.page_token = first.next_page_token
    second = await counter.stub.ListAccountActions(request)
    assert second.next_page_token == ""
    told = [(a.kind, a.operator, a.identity) for a in (*second.actions, *first.actions)]
    assert told == [
        (accounts.ACCOUNT_ACTION_KIND_FREEZE, "olga", "admin"),
        (accounts.ACCOUNT_ACTION_KIND_UNFREEZE, "piet", "admin"),
    ]
    events = await events_of(counter.house, "account_changed", member)
    assert sorted(event.account_changed.action for event in events) == ["FREEZE", "UNFREEZE"]


async def test_freezing_again_or_unfreezing_an_open_account_is_refused(
    counter: Counter, member: str
) -> None:
    assert (await refused(counter.unfreeze(member))).reason == "ACCOUNT_NOT_FROZEN"
    await counter.freeze(member)
    assert (await refused(counter.freeze(member))).reason == "ACCOUNT_FROZEN"


async def test_a_request_id_is_of_one_decision_alone(counter: Counter, member: str) -> None:
    """An account that was to be unfrozen must not stay frozen with nobody told."""
    request_id = new_id()
    await counter.freeze(member, request_id=request_id)
    other = await refused(counter.unfreeze(member, request_id=request_id))
    assert (other.code, other.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert (await counter.account(member)).state == accounts.ACCOUNT_STATE_FROZEN


async def test_a_repeated_decision_takes_effect_once(counter: Counter, member: str) -> None:
    request_id = new_id()
    answers = await asyncio.gather(
        *(counter.freeze(member, request_id=request_id) for _ in range(20))
    )
    assert all(answer == answers[0] for answer in answers)
    other = await refused(counter.freeze(member, request_id=request_id, reason="another"))
    assert (other.code, other.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    await counter.unfreeze(member)
    assert await counter.freeze(member, request_id=request_id) == answers[0]
    assert (await counter.account(member)).state == accounts.ACCOUNT_STATE_OPEN


async def test_a_closed_account_has_forfeited_all_and_takes_nothing_more(
    counter: Counter, member: str
) -> None:
    """PT-12: active and pending points are forfeited; later accruals and holds are refused."""
    await counter.accrue(member, "100")
    await counter.accrue(member, "20")
    closed = await counter.close(member)
    assert closed.state == accounts.ACCOUNT_STATE_CLOSED
    assert await counter.balance(member) == pb.Balance()
    closure = (await counter.transactions(member))[-1]
    assert closure.transaction_id == closed.last_action.transaction_id
    assert (closure.kind, closure.points) == (pb.TRANSACTION_KIND_CLOSURE, -120)
    assert {e.account: e.points for e in closure.entries}[pb.ACCOUNT_FORFEITED] == 120
    for call in (
        counter.accrue(member, "5"),
        counter.hold(member, 1),
        counter.close(member),
        counter.freeze(member),
        counter.unfreeze(member),
    ):
        assert (await refused(call)).reason == "ACCOUNT_CLOSED"


async def test_an_account_with_open_holds_is_not_closed(counter: Counter, member: str) -> None:
    await counter.accrue(member, "100")
    hold = await counter.hold(member, 30)
    refusal = await refused(counter.close(member))
    assert (refusal.reason, refusal.metadata["held"]) == ("HOLDS_OPEN", "30")
    await counter.release(hold)
    await counter.close(member)


async def test_what_comes_back_to_a_closed_account_is_forfeited_or_owed(
    counter: Counter, member: str
) -> None:
    """PT-12: a refund and a return settle on a closed account, and leave it without points."""
    accrual = await counter.accrue(member, "100")
    hold = await counter.hold(member, 40)
    await counter.capture(hold)
    await counter.close(member)
    refund = (await counter.refund(hold)).transaction
    assert refund.points == 0
    assert {e.account: e.points for e in refund.entries} == {
        pb.ACCOUNT_REDEEMED: -40,
        pb.ACCOUNT_ACTIVE: 0,
        pb.ACCOUNT_FORFEITED: 40,
    }
    assert await counter.balance(member) == pb.Balance()
    await counter.reverse(accrual, "10")
    assert await counter.balance(member) == pb.Balance(debt=10)


async def test_a_debt_is_given_up_when_the_account_is_closed(counter: Counter, member: str) -> None:
    accrual = await counter.accrue(member, "50")
    hold = await counter.hold(member, 50)
    await counter.capture(hold)
    await counter.reverse(accrual)
    assert await counter.balance(member) == pb.Balance(debt=50)
    await counter.close(member)
    assert await counter.balance(member) == pb.Balance()


@pytest.mark.parametrize("ending", ["closed", "merged"])
async def test_pt_07_what_is_repeated_after_its_account_has_ended_gets_its_first_answer(
    counter: Counter, member: str, ending: str
) -> None:
    """Accruals are booked without a look at what was booked before; a refusal has one."""
    lines = counter.accrual(member, "30")
    lines.purchase.lines.add(line_id="a", quantity=1, amount=usd("20"))
    rows = [counter.accrual(member, "7"), counter.accrual(member, "8")]
    requests = {
        counter.stub.AccruePoints: counter.accrual(member, "100"),
        counter.stub.BatchAccruePoints: pb.BatchAccruePointsRequest(requests=rows),
        counter.stub.AccrueActivity: Earner(counter.house).activity(member, "check_in"),
    }
    first = [await call(request) for call, request in requests.items()]
    first.append(await counter.stub.AccruePoints(lines))
    if ending == "closed":
        await counter.close(member)
    else:
        await counter.merge(f"m-{new_id()}", member)
    # What comes for the first time is refused, and looks nothing up for what comes after it.
    late = await refused(counter.accrue(member, "1"))
    assert late.reason == f"ACCOUNT_{ending.upper()}"
    again = [await call(request) for call, request in requests.items()]
    again.append(await counter.stub.AccruePoints(lines))
    assert again == first


async def test_closing_while_everybody_earns_and_spends_leaves_no_point(
    counter: Counter, member: str
) -> None:
    """PT-12: whoever comes after the closure is refused, whoever came before is forfeited."""
    await counter.accrue(member, "100")
    earning = [counter.accrue(member, "10") for _ in range(30)]
    closing = [counter.close(member) for _ in range(3)]
    answers, refusals = await settled([*earning[:15], *closing, *earning[15:]])
    assert {one.reason for one in refusals} <= {"ACCOUNT_CLOSED"}
    assert len(answers) + len(refusals) == 33
    assert await counter.balance(member) == pb.Balance()
    kinds = [one.kind for one in await counter.transactions(member)]
    assert kinds.count(pb.TRANSACTION_KIND_CLOSURE) == 1
