"""AF-04: what anti-fraud decides about an account reaches the ledger, with all services real."""

from asyncio import gather
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from grpc import StatusCode

from cli.check import run_checks
from fraud_actions import CAP, EARN_ONLY, FREEZE, GRANTED, REJECTED, ActionDesk, Time
from house import Ground, House, new_id, refused
from kit.clock import from_timestamp, to_timestamp
from kit.clock import new_id as new_uuid
from kit.events import STREAM
from laurel.event.v1.event_pb2 import EventBatch
from laurel.points.v1 import accounts_pb2 as accounts
from laurel.points.v1 import liability_pb2 as report_pb
from laurel.points.v1 import points_service_pb2 as pb
from points_ledger import calm_program, settled
from points_moving import Counter

DAY = timedelta(days=1)
AFTER_ALL = 1000 * DAY
"""Later than anything that happens in other tests: a report is about all members."""
RULES = """\
  rules:
    - name: whale
      operations: [accrual]
      when: request.points > 50000
      action: deny
      score: 900
      reactions: [{kind: freeze_account, duration_days: 2}]
"""


class Bench(Counter):
    """The ledger and anti-fraud side by side."""

    def __init__(self, house: House, time: Time) -> None:
        super().__init__(house)
        self.time = time
        self.hands = ActionDesk(house)

    async def take(self, member: str, kind: int, **fields: Any) -> Any:
        """Takes an action, and waits until points has heard of it."""
        action = await self.hands.take(member, kind, **fields)
        await self.house.settle()
        return action

    async def lift(self, action: Any) -> Any:
        """Lifts one, and waits likewise."""
        lifted = await self.hands.lift(action)
        await self.house.settle()
        return lifted

    async def standing(self, member: str) -> accounts.AccountStanding:
        """How an account stands."""
        request = accounts.GetAccountRequest(member_id=member)
        return (await self.stub.GetAccount(request)).account

    async def trail(self, member: str) -> list[accounts.AccountAction]:
        """What was decided about an account, oldest first."""
        request = accounts.ListAccountActionsRequest(member_id=member)
        return list(reversed((await self.stub.ListAccountActions(request)).actions))

    async def lot(self, member: str) -> pb.Lot:
        """The member's only lot."""
        [lot] = await self.lots(member)
        return lot

    async def lots(
        self, member: str, state: pb.LotState = pb.LOT_STATE_UNSPECIFIED
    ) -> list[pb.Lot]:
        """The member's lots in a state, newest first."""
        request = pb.ListLotsRequest(member_id=member, state=state)
        return list((await self.stub.ListLots(request)).lots)

    async def ageing(self, at: datetime) -> dict[tuple[int, int], int]:
        """What all members have, by what is special about the range of its end and by its first
        day.
        """
        request = report_pb.GetLiabilityReportRequest(as_of_time=to_timestamp(at))
        told = (await self.stub.GetLiabilityReport(request)).report
        return {
            (bucket.kind, getattr(bucket, "from")): bucket.points for bucket in told.expiry_buckets
        }


@pytest.fixture(scope="module")
async def bench(ground: Ground) -> AsyncIterator[Bench]:
    """A house whose time a test sets; at the end `laurel check` looks at all of it."""
    time = Time()
    async with ground.house() as house:
        house.clock = time
        program = calm_program(multiplied=False, deadline_ms=2000)
        await house.apply(program.replace("  rules: []\n", RULES))
        await house.start("antifraud", "tier", "points")
        yield Bench(house, time)
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


@pytest.fixture(autouse=True)
def now_again(bench: Bench) -> None:
    """Each test begins at the real time."""
    bench.time.ahead = timedelta(0)


async def test_a_frozen_account_earns_and_spends_nothing_until_it_is_lifted(bench: Bench) -> None:
    """AF-04: the freeze reaches the ledger by event; its trail names anti-fraud and the action."""
    member = new_id()
    await bench.accrue(member, "100")
    held = await bench.hold(member, 10)
    action = await bench.take(member, FREEZE)
    for call in (
        bench.hold(member, 5), bench.give(member, new_id(), 5), bench.donate(member, 100),
    ):  # fmt: skip
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "ACCOUNT_FROZEN")
    await bench.accrue(member, "10")
    await bench.capture(held)
    frozen = await bench.standing(member)
    assert frozen.state == accounts.ACCOUNT_STATE_FROZEN
    assert frozen.restriction == accounts.ACCOUNT_RESTRICTION_FROZEN
    await bench.lift(action)
    await bench.hold(member, 5)
    thawed = await bench.standing(member)
    assert (thawed.state, thawed.restriction) == (accounts.ACCOUNT_STATE_OPEN, 0)
    taken, lifted = await bench.trail(member)
    assert (taken.kind, lifted.kind) == (6, 8)
    assert taken.operator == lifted.identity == "antifraud"
    assert action.action_id in taken.reason
    assert action.action_id in lifted.reason


async def test_a_rule_freezes_the_account_for_as_long_as_it_says(bench: Bench) -> None:
    """AF-04: by rule, without anyone calling points; the rule's name stays with operators."""
    member = new_id()
    await bench.accrue(member, "100")
    denied = await refused(bench.accrue(member, "90000"))
    assert denied.reason == "DENIED"
    await bench.house.settle()
    assert (await refused(bench.hold(member, 5))).reason == "ACCOUNT_FROZEN"
    [taken] = await bench.trail(member)
    assert "whale" not in taken.reason
    [action] = await bench.hands.taken(member)
    assert action.rule == "whale"
    bench.time.ahead += 2 * DAY
    await bench.hands.run("end_actions")
    await bench.house.settle()
    await bench.hold(member, 5)
    assert "its time has ended" in (await bench.trail(member))[-1].reason


async def test_earn_only_refuses_what_spends_and_books_what_earns(bench: Bench) -> None:
    """AF-04: the soft form, with an error of its own; points end as ever."""
    member, friend = new_id(), new_id()
    accrual = await bench.accrue(member, "100")
    await bench.accrue(friend, "100")
    action = await bench.take(member, EARN_ONLY)
    for call in (
        bench.hold(member, 5), bench.give(member, friend, 5), bench.donate(member, 100),
        bench.give(friend, member, 5),
    ):  # fmt: skip
        assert (await refused(call)).reason == "ACCOUNT_EARN_ONLY"
    await bench.accrue(member, "10")
    standing = await bench.standing(member)
    assert standing.state == accounts.ACCOUNT_STATE_OPEN
    assert standing.restriction == accounts.ACCOUNT_RESTRICTION_EARN_ONLY
    await bench.run_expiry(from_timestamp(accrual.lot_movements[0].expire_time))
    assert (await bench.balance(member)).active < 110
    await bench.lift(action)
    assert (await bench.standing(member)).restriction == 0


async def test_points_do_not_end_while_frozen_and_get_the_time_back(bench: Bench) -> None:
    """AF-04: the end moves by the length of the freeze, and the ledger says so when it comes."""
    member = new_id()
    accrual = await bench.accrue(member, "100")
    points = accrual.points
    end = from_timestamp(accrual.lot_movements[0].expire_time)
    bench.time.ahead = end - bench.time() - 2 * DAY
    action = await bench.take(member, FREEZE)
    bench.time.ahead += 10 * DAY
    await bench.run_expiry(bench.time())
    assert (await bench.balance(member)).active == points
    assert (await bench.lot(member)).remaining_points == points
    lifted = await bench.lift(action)
    length = from_timestamp(lifted.lift.create_time) - from_timestamp(lifted.create_time)
    assert length > 10 * DAY
    moved = from_timestamp((await bench.lot(member)).expire_time)
    assert moved == end + length
    await bench.capture(await bench.hold(member, 30))
    await bench.run_expiry(moved - timedelta(seconds=1))
    assert (await bench.balance(member)).active == points - 30
    bench.time.ahead = moved - datetime.now(UTC)
    await bench.run_expiry(moved)
    last = [t for t in await bench.transactions(member) if t.kind == pb.TRANSACTION_KIND_EXPIRY][-1]
    assert "moved by 10 days" in str(last.explanation)
    assert "the ends of 1 lots moved by 10 days" in (await bench.trail(member))[-1].reason


async def test_what_lies_frozen_past_its_end_is_told_alike_by_every_view(bench: Bench) -> None:
    """AF-04, PT-07: it counts in the balance, so it has its day, its lot is open, and the report's
    ageing does not call it ended.
    """
    member = new_id()
    bench.time.ahead = AFTER_ALL
    first = await bench.accrue(member, "100")
    bench.time.ahead += 5 * DAY
    second = await bench.accrue(member, "60")
    end = from_timestamp(first.lot_movements[0].expire_time)
    bench.time.ahead = end - datetime.now(UTC) - 2 * DAY
    action = await bench.take(member, FREEZE)
    bench.time.ahead += 4 * DAY
    await bench.run_expiry(bench.time())
    request = pb.GetBalanceRequest(member_id=member, view=pb.BALANCE_VIEW_DATES)
    told = await bench.stub.GetBalance(request)
    assert told.balance.active == first.points + second.points
    assert [day.points for day in told.expirations] == [first.points, second.points]
    assert from_timestamp(told.expirations[0].first_time) == end
    assert (told.next_expire_time, told.next_expire_points) == (
        told.expirations[0].first_time, first.points,
    )  # fmt: skip
    assert [lot.points for lot in await bench.lots(member, pb.LOT_STATE_OPEN)] == [
        second.points, first.points,
    ]  # fmt: skip
    assert not await bench.lots(member, pb.LOT_STATE_EXPIRED)
    assert (await bench.ageing(bench.time()))[report_pb.BUCKET_KIND_ENDED, 0] == 0
    await bench.lift(action)
    again = await bench.stub.GetBalance(request)
    assert [day.points for day in again.expirations] == [first.points, second.points]


async def test_a_past_report_knows_nothing_of_a_later_lift(bench: Bench) -> None:
    """PT-14: ends that were moved since are not moved in it; nor is what was frozen then ended."""
    member = new_id()
    bench.time.ahead = AFTER_ALL
    accrual = await bench.accrue(member, "100")
    end = from_timestamp(accrual.lot_movements[0].expire_time)
    bench.time.ahead = end - datetime.now(UTC) - 40 * DAY
    await bench.accrue(new_id(), "7")
    instants, reports = [], []

    async def note() -> None:
        instants.append(bench.time())
        reports.append(await bench.ageing(instants[-1]))

    await note()
    taken = await bench.take(member, FREEZE)
    bench.time.ahead += 20 * DAY
    await note()
    bench.time.ahead += 25 * DAY
    await bench.run_expiry(bench.time())
    await note()
    # 40 days are left of them while they lie frozen, however long.
    assert min(told[0, 30] for told in reports) >= accrual.points
    await bench.lift(taken)
    await note()
    again = await bench.take(member, FREEZE)
    bench.time.ahead += 5 * DAY
    await note()
    await bench.lift(again)
    assert [await bench.ageing(at) for at in instants] == reports


async def test_what_was_earned_or_held_while_frozen_gets_its_own_time_back(bench: Bench) -> None:
    """AF-04: a lot earned on the fourth of ten days lay frozen for six; held points count, too."""
    member = new_id()
    first = await bench.accrue(member, "50")
    held = await bench.hold(member, first.points)
    action = await bench.take(member, FREEZE)
    bench.time.ahead += 4 * DAY
    second = await bench.accrue(member, "70")
    bench.time.ahead += 6 * DAY
    await bench.lift(action)
    request = pb.ListLotsRequest(member_id=member)
    ends = {lot.points: lot.expire_time for lot in (await bench.stub.ListLots(request)).lots}
    for accrual, days in ((first, 10), (second, 6)):
        before = from_timestamp(accrual.lot_movements[0].expire_time)
        moved = from_timestamp(ends[accrual.points]) - before
        assert timedelta(0) <= moved - days * DAY < timedelta(minutes=1)
    await bench.release(held)
    assert (await bench.balance(member)).active == first.points + second.points


async def test_a_claw_back_takes_what_does_not_end_while_frozen(bench: Bench) -> None:
    """AF-04, PT-09: nothing is owed as long as there are points, be their end near or past."""
    member = new_id()
    bought = await bench.accrue(member, "30", bench.time() - DAY)
    old = await bench.accrue(member, "100")
    end = from_timestamp(old.lot_movements[0].expire_time)
    bench.time.ahead = end - bench.time() - 2 * DAY
    # Those of the purchase, which end first.
    await bench.capture(await bench.hold(member, 30))
    action = await bench.take(member, FREEZE)
    bench.time.ahead += 10 * DAY
    back = await bench.reverse(bought)
    assert (back.transaction.points, back.debt_points) == (-30, 0)
    await bench.lift(action)
    left = await bench.balance(member)
    assert (left.active, left.debt) == (70, 0)


async def test_the_time_that_a_survivor_was_given_back_goes_along_when_a_merge_is_undone(
    bench: Bench,
) -> None:
    """AF-04, PT-17: the points had lain frozen, whoever has them later."""
    member, other = new_id(), new_id()
    accrual = await bench.accrue(other, "100")
    held = await bench.hold(other, 30)
    end = from_timestamp(accrual.lot_movements[0].expire_time)
    merge = await bench.merge(member, other)
    action = await bench.take(member, FREEZE)
    bench.time.ahead += 8 * DAY
    await bench.lift(action)
    moved = from_timestamp((await bench.lot(member)).expire_time)
    assert moved - end >= 8 * DAY
    await bench.undo(merge)
    assert from_timestamp((await bench.lot(other)).expire_time) == moved
    await bench.release(held)
    await bench.run_expiry(moved - timedelta(seconds=1))
    assert (await bench.balance(other)).active == accrual.points
    bench.time.ahead = moved - datetime.now(UTC)
    await bench.run_expiry(moved)
    assert (await bench.balance(other)).active == 0
    last = [t for t in await bench.transactions(other) if t.kind == pb.TRANSACTION_KIND_EXPIRY][-1]
    assert "moved by 8 days" in str(last.explanation)


async def test_points_in_a_pool_end_while_those_that_stayed_with_a_frozen_member_do_not(
    bench: Bench,
) -> None:
    """AF-04, PT-17: a pool is nobody's own; the rest of the same lot gets its time back."""
    member = new_id()
    accrual = await bench.accrue(member, "100")
    home = await bench.found(member)
    await bench.contribute(home, member, 60)
    end = from_timestamp(accrual.lot_movements[0].expire_time)
    bench.time.ahead = end - bench.time() - 2 * DAY
    action = await bench.take(member, FREEZE)
    bench.time.ahead += 10 * DAY
    await bench.run_expiry(bench.time())
    await bench.lift(action)
    assert (await bench.balance(home.household_id)).active == 0
    assert (await bench.balance(member)).active == accrual.points - 60
    assert from_timestamp((await bench.lot(member)).expire_time) > end + 10 * DAY


async def test_what_had_ended_before_the_freeze_stays_ended(bench: Bench) -> None:
    """AF-04: a freeze stops the clock; it does not turn it back."""
    member = new_id()
    accrual = await bench.accrue(member, "100")
    end = from_timestamp(accrual.lot_movements[0].expire_time)
    bench.time.ahead = end - bench.time() + DAY
    action = await bench.take(member, FREEZE)
    assert (await bench.balance(member)).active == 0
    await bench.run_expiry(bench.time())
    bench.time.ahead += DAY
    await bench.lift(action)
    assert (await bench.balance(member)).active == 0
    assert from_timestamp((await bench.lot(member)).expire_time) == end


async def test_operators_and_antifraud_freeze_each_for_themselves(bench: Bench) -> None:
    """AF-04, PT-12: what the one has frozen the other does not unfreeze."""
    member = new_id()
    await bench.accrue(member, "100")
    action = await bench.take(member, FREEZE)
    nobody = await refused(bench.unfreeze(member))
    assert (nobody.code, nobody.reason) == (StatusCode.FAILED_PRECONDITION, "FROZEN_BY_ANTIFRAUD")
    await bench.freeze(member)
    assert (await refused(bench.freeze(member))).reason == "ACCOUNT_FROZEN"
    await bench.lift(action)
    assert (await refused(bench.hold(member, 5))).reason == "ACCOUNT_FROZEN"
    second = await bench.take(member, FREEZE)
    await bench.unfreeze(member)
    assert (await bench.standing(member)).state == accounts.ACCOUNT_STATE_FROZEN
    assert (await refused(bench.hold(member, 5))).reason == "ACCOUNT_FROZEN"
    await bench.lift(second)
    await bench.hold(member, 5)


async def test_an_appeal_that_is_granted_restores_redemptions(bench: Bench) -> None:
    """AF-04: appeal releases and restores what was held; one that is rejected does not."""
    member = new_id()
    await bench.accrue(member, "100")
    await bench.take(member, FREEZE)
    await bench.take(member, CAP, points=3)
    await bench.hands.decide(await bench.hands.appeal(member), REJECTED)
    await bench.house.settle()
    assert (await refused(bench.hold(member, 5))).reason == "ACCOUNT_FROZEN"
    await bench.hands.decide(await bench.hands.appeal(member), GRANTED)
    await bench.house.settle()
    await bench.hold(member, 5)


async def test_both_kinds_at_once_leave_what_is_left_of_them(bench: Bench) -> None:
    """AF-04: the strictest of what is in force holds."""
    member = new_id()
    await bench.accrue(member, "100")
    soft, hard = await bench.take(member, EARN_ONLY), await bench.take(member, FREEZE)
    assert (await refused(bench.hold(member, 5))).reason == "ACCOUNT_FROZEN"
    await bench.lift(hard)
    assert (await refused(bench.hold(member, 5))).reason == "ACCOUNT_EARN_ONLY"
    await bench.lift(soft)
    await bench.hold(member, 5)


async def test_events_that_come_twice_or_in_the_wrong_order_change_nothing(bench: Bench) -> None:
    """AF-04: what was lifted stays lifted, however late one hears that it was taken."""
    member = new_id()
    await bench.accrue(member, "100")
    await bench.house.settle()
    await bench.house.stop("points")
    first = await bench.hands.take(member, FREEZE)
    await bench.hands.lift(first)
    second = await bench.hands.take(member, EARN_ONLY)
    await bench.house.settle()
    # The broker forgets all three and gets them again, backwards, and once more.
    js, told = await _told(bench.house, member)
    assert len(told) == 3
    for message in told:
        await js.delete_msg(STREAM, message.metadata.sequence.stream)
    for message in [*reversed(told), *reversed(told)]:
        await _send(js, message.data)
    await bench.house.start("points")
    await bench.house.settle()
    assert (await refused(bench.hold(member, 5))).reason == "ACCOUNT_EARN_ONLY"
    # Nothing ever froze it: the trail has only what took effect.
    assert [one.kind for one in await bench.trail(member)] == [7]
    await bench.lift(second)
    for message in told:
        await _send(js, message.data)
    await bench.house.settle()
    await bench.hold(member, 5)
    assert [one.kind for one in await bench.trail(member)] == [7, 8]


async def test_freezing_and_spending_race_without_harm(bench: Bench) -> None:
    """AF-04: what is spent is spent, what comes after the freeze is refused; nothing is lost."""
    member = new_id()
    points = (await bench.accrue(member, "100")).points
    spending = [bench.hold(member, 1) for _ in range(30)]
    (holds, refusals), action = await gather(settled(spending), bench.take(member, FREEZE))
    assert {one.reason for one in refusals} <= {"ACCOUNT_FROZEN"}
    balance = await bench.balance(member)
    assert (balance.active, balance.held) == (points - len(holds), len(holds))
    lifts, lost = await settled(bench.hands.lift(action) for _ in range(4))
    assert (len(lifts), len(lost)) == (1, 3)
    await bench.house.settle()
    await bench.hold(member, 1)


async def _told(house: House, member: str) -> tuple[Any, list[Any]]:
    """The broker, and what anti-fraud has told about a member, in its order."""
    broker = house.running["antifraud"].broker
    assert broker is not None
    js = await broker.jetstream()
    subscription = await js.pull_subscribe("laurel.antifraud.fraud_action_taken", stream=STREAM)
    messages = []
    while (await subscription.consumer_info()).num_pending:
        messages += await subscription.fetch(100, timeout=5)
    await subscription.unsubscribe()
    return js, [message for message in messages if member.encode() in message.data]


async def _send(js: Any, data: bytes) -> None:
    """Sends a message once more, as another one: the inbox does not know it."""
    batch = EventBatch.FromString(data)
    batch.batch_id = str(new_uuid())
    await js.publish(
        "laurel.antifraud.fraud_action_taken", batch.SerializeToString(),
        headers={"Nats-Msg-Id": batch.batch_id},
    )  # fmt: skip
