"""A thousand callers and all that they may ask for: every write of the contract."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from crowd_desk import Declined, Desk
from house import House, new_id, usd
from kit.clock import to_timestamp
from laurel.antifraud.v1.antifraud_service_pb2 import Origin
from laurel.points.v1 import accounts_pb2 as accounts
from laurel.points.v1 import activities_pb2 as activities
from laurel.points.v1 import adjustments_pb2 as adjustments
from laurel.points.v1 import households_pb2 as households
from laurel.points.v1 import imports_pb2 as imports
from laurel.points.v1 import merges_pb2 as merges
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1 import transfers_pb2 as transfers
from points_earning import Earner

MEMBERS = 20
GUESTS = 6
WRITES = 3
LAST_ROUNDS = 20
CATEGORIES = ("baby", "music", "")
EVENTS = ("check_in", "share", "referral")

Write = Callable[[Random], Awaitable[None]]


class Crowd(Desk):
    """Callers who know of each other's members, purchases, holds, adjustments and merges.

    Guests are merged into members and come out again, leavers are closed: the twenty stay.
    """

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.earner = Earner(house)
        self.members = [f"m-{new_id()}" for _ in range(MEMBERS)]
        self.guests = [f"guest-{new_id()}" for _ in range(GUESTS)]
        self.leavers = [f"leaver-{new_id()}" for _ in range(GUESTS)]
        self.founders: list[str] = []
        self.ending.update(self.guests, self.leavers)
        self.accruals: list[tuple[pb.Transaction, pb.Purchase]] = []
        self.holds: list[str] = []
        self.waiting: list[str] = []
        self.merges: list[str] = []
        self.referred: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self.tills = count(1)

    async def open(self) -> None:
        """A household of four with a child, a team of five, and points for everybody to spend."""
        await self.earner.team(*self.members[:5])
        self.other_team = await self.earner.team(*self.members[5:8])
        everybody = (*self.members, *self.guests, *self.leavers)
        for member in everybody:
            await self.send("AccruePoints", self.purchase(member, 90), Random(0))
        owner, *adults, child = self.members[:4]
        self.home = await self.counter.found(owner)
        for adult in adults:
            await self.counter.join(self.home, adult)
        await self.counter.join(self.home, child, limit=200)
        for member in self.members[:4]:
            await self.counter.contribute(self.home, member, 40)

    @property
    def accounts(self) -> list[str]:
        """All accounts that anything was written to, the pool as well."""
        others = (*self.guests, *self.leavers, *self.founders, self.home.household_id)
        return [*self.members, *others]

    async def call(self, random: Random) -> None:
        """A few writes, each perhaps twice at once."""
        for _ in range(WRITES):
            with suppress(Declined):
                await random.choice(self.writes())(random)

    async def finish(self, wanted: set[str], random: Random) -> None:
        """Does what chance or the others let nobody do, now that it is quiet, a few times over."""
        for _ in range(LAST_ROUNDS):
            for write in self.writes() if wanted - set(self.done) else ():
                with suppress(Declined):
                    await write(random)

    def writes(self) -> list[Write]:
        """What a caller may do."""
        earning = [self.buy, self.buy_lines, self.bulk, self.stream, self.till]
        earning += [self.check_in, self.check_in_often, self.bring_balance, self.bring_history]
        spending = [self.hold, self.redeem, self.capture, self.release, self.refund]
        spending += [self.take_back, self.take_back, self.take_back_lines]
        moving = [self.give, self.donate, self.contribute, self.hold_pool, self.visit_household]
        deciding = [self.adjust, self.ask, self.approve, self.reject, self.freeze, self.close]
        deciding += [self.merge, self.undo, self.found, self.change_team]
        return [*earning, *spending, *moving, *deciding]

    # Earning

    def anybody(self, random: Random) -> str:
        """One of the twenty; once in a while a guest or one who leaves."""
        ending = [*self.guests, *self.leavers]
        return random.choice(ending if random.random() < 0.04 else self.members)

    def purchase(self, member: str, units: int, *lines: str) -> pb.AccruePointsRequest:
        """A purchase of an amount, in lines of a category each, which cost the same."""
        bought = pb.Purchase(order_id=new_id(), amount=usd(str(units)), categories=["music"])
        for number, category in enumerate(lines):
            part = usd(str(units // len(lines)))
            bought.lines.add(line_id=f"l{number}", category=category, quantity=1, amount=part)
        channel = Origin(channel="app") if units % 3 == 0 else Origin()
        return pb.AccruePointsRequest(
            request_id=new_id(), member_id=member, purchase=bought, origin=channel
        )

    def any_purchase(self, random: Random) -> pb.AccruePointsRequest:
        return self.purchase(self.anybody(random), random.randint(1, 100))

    async def buy(self, random: Random) -> None:
        request = self.any_purchase(random)
        answer = await self.send("AccruePoints", request, random)
        self.accruals.append((answer.transaction, request.purchase))

    async def buy_lines(self, random: Random) -> None:
        lines = [random.choice(CATEGORIES) for _ in range(3)]
        request = self.purchase(self.anybody(random), random.randint(10, 90), *lines)
        answer = await self.send("AccruePoints", request, random)
        self.accruals.append((answer.transaction, request.purchase))

    async def bulk(self, random: Random) -> None:
        rows = [self.any_purchase(random) for _ in range(5)]
        await self.send("BatchAccruePoints", pb.BatchAccruePointsRequest(requests=rows), random)

    async def stream(self, random: Random) -> None:
        rows = [self.any_purchase(random) for _ in range(4)]
        await self.send("StreamAccruePoints", pb.BatchAccruePointsRequest(requests=rows), random)

    async def till(self, random: Random) -> None:
        now = to_timestamp(datetime.now(UTC))
        rows = [
            pb.TillRow(member_id=one.member_id, purchase=one.purchase, occurred_time=now)
            for one in (self.any_purchase(random) for _ in range(3))
        ]
        request = pb.SubmitTillBatchRequest(
            device_id="till", batch_number=next(self.tills), rows=rows
        )
        await self.send("SubmitTillBatch", request, random)

    def activity(self, random: Random) -> pb.AccrueActivityRequest:
        """Something that a member did on one of the last days."""
        member, event = self.anybody(random), random.choice(EVENTS)
        at = datetime.now(UTC) - timedelta(days=random.randint(0, 3))
        reference = random.choice([one for one in self.members if one != member])
        fields = {"reference": reference} if event == "referral" else {}
        return self.earner.activity(member, event, at, **fields)

    async def check_in(self, random: Random) -> None:
        request = self.activity(random)
        answer = await self.send("AccrueActivity", request, random)
        self.note_referral(request, answer.transaction.transaction_id)

    async def check_in_often(self, random: Random) -> None:
        rows = [self.activity(random) for _ in range(3)]
        request = pb.BatchAccrueActivitiesRequest(requests=rows)
        answer = await self.send("BatchAccrueActivities", request, random)
        for row, result in zip(rows, answer.results, strict=True):
            self.note_referral(row, result.accrued.transaction_id)

    def note_referral(self, request: pb.AccrueActivityRequest, transaction_id: str) -> None:
        if request.activity.event_type == "referral" and transaction_id:
            about = request.member_id, request.activity.reference_member_id
            self.referred[about].append(transaction_id)

    async def bring_balance(self, random: Random) -> None:
        at = to_timestamp(datetime.now(UTC) - timedelta(days=random.randint(0, 90)))
        rows = [
            imports.ImportedBalance(
                request_id=new_id(), member_id=self.anybody(random), points=5, earned_time=at
            )
            for _ in range(3)
        ]
        await self.send("ImportBalances", imports.ImportBalancesRequest(rows=rows), random)

    async def bring_history(self, random: Random) -> None:
        at = to_timestamp(datetime.now(UTC) - timedelta(days=random.randint(0, 90)))
        rows = [
            imports.ImportedTransaction(
                request_id=new_id(), member_id=self.anybody(random), points=points,
                occurred_time=at,
            )
            for points in (7, -3, 4)
        ]  # fmt: skip
        await self.send("ImportTransactions", imports.ImportTransactionsRequest(rows=rows), random)

    # Spending

    async def hold(self, random: Random) -> None:
        request = self.counter.holding(self.anybody(random), random.randint(1, 60))
        self.holds.append((await self.send("HoldPoints", request, random)).hold.hold_id)

    async def redeem(self, random: Random) -> None:
        request = pb.RedeemPointsRequest(
            request_id=new_id(), member_id=self.anybody(random), points=random.randint(1, 40),
            order_id=new_id(),
        )  # fmt: skip
        self.holds.append((await self.send("RedeemPoints", request, random)).hold.hold_id)

    async def capture(self, random: Random) -> None:
        request = pb.CapturePointsRequest(
            request_id=new_id(), hold_id=pick(self.holds, random), points=random.randint(0, 30),
            release_rest=random.random() < 0.2,
        )  # fmt: skip
        await self.send("CapturePoints", request, random)

    async def release(self, random: Random) -> None:
        hold_id = pick(self.holds, random)
        request = pb.ReleaseHoldRequest(request_id=new_id(), hold_id=hold_id)
        await self.send("ReleaseHold", request, random)

    async def refund(self, random: Random) -> None:
        request = pb.RefundPointsRequest(
            request_id=new_id(), hold_id=pick(self.holds, random), points=random.randint(0, 30)
        )
        await self.send("RefundPoints", request, random)

    async def take_back(self, random: Random) -> None:
        accrual, _ = pick(self.accruals, random)
        request = pb.ReverseAccrualRequest(
            request_id=new_id(), member_id=accrual.member_id,
            transaction_id=accrual.transaction_id,
            returned_amount=usd(str(random.randint(1, 40))) if random.random() < 0.6 else None,
        )  # fmt: skip
        await self.send("ReverseAccrual", request, random)

    async def take_back_lines(self, random: Random) -> None:
        accrual, bought = pick([one for one in self.accruals if one[1].lines], random)
        lines = random.sample(list(bought.lines), random.randint(1, 3))
        request = pb.ReverseAccrualRequest(
            request_id=new_id(), member_id=accrual.member_id, transaction_id=accrual.transaction_id
        )
        for line in lines:
            part = usd(str(random.randint(1, line.amount.units)))
            request.returned_lines.add(line_id=line.line_id, amount=part)
        await self.send("ReverseAccrual", request, random)

    # Moving

    async def give(self, random: Random) -> None:
        giver, receiver = random.sample(self.members, 2)
        request = self.counter.giving(giver, receiver, random.randint(1, 30))
        await self.send("TransferPoints", request, random)

    async def donate(self, random: Random) -> None:
        request = transfers.DonatePointsRequest(
            request_id=new_id(), member_id=random.choice(self.members), points=10,
            cause="red_cross",
        )  # fmt: skip
        await self.send("DonatePoints", request, random)

    async def contribute(self, random: Random) -> None:
        request = households.ContributeToPoolRequest(
            request_id=new_id(), household_id=self.home.household_id,
            member_id=random.choice(self.members[:5]), points=random.randint(1, 20),
        )  # fmt: skip
        await self.send("ContributeToPool", request, random)

    async def hold_pool(self, random: Random) -> None:
        request = households.HoldPoolPointsRequest(
            request_id=new_id(), household_id=self.home.household_id,
            member_id=random.choice(self.members[:5]), points=random.randint(1, 20),
            order_id=new_id(),
        )  # fmt: skip
        self.holds.append((await self.send("HoldPoolPoints", request, random)).hold.hold_id)

    async def visit_household(self, random: Random) -> None:
        """The fifth and the sixth come and go; the limit of the child changes."""
        owner, child, visitor = self.members[0], self.members[3], random.choice(self.members[4:6])
        about = {"household_id": self.home.household_id, "acting_member_id": owner}
        change = households.UpdateHouseholdMemberRequest(
            request_id=new_id(), member_id=child, role=households.HOUSEHOLD_ROLE_CHILD,
            month_points_max=random.randint(100, 400), **about,
        )  # fmt: skip
        await self.send("UpdateHouseholdMember", change, random)
        add = households.AddHouseholdMemberRequest(
            request_id=new_id(), member_id=visitor, role=households.HOUSEHOLD_ROLE_ADULT, **about
        )
        remove = households.RemoveHouseholdMemberRequest(
            request_id=new_id(), member_id=visitor, **about
        )
        if random.random() < 0.5:
            await self.send("AddHouseholdMember", add, random)
        else:
            await self.send("RemoveHouseholdMember", remove, random)

    async def found(self, random: Random) -> None:
        """A household of somebody new."""
        self.founders.append(f"founder-{new_id()}")
        request = households.CreateHouseholdRequest(
            request_id=new_id(), owner_member_id=self.founders[-1], name="The Does"
        )
        await self.send("CreateHousehold", request, random)

    # Deciding

    async def adjust(self, random: Random) -> None:
        await self.adjust_by(random.choice([-20, 10, 30]), random)

    async def ask(self, random: Random) -> None:
        """More than one operator may give alone."""
        answer = await self.adjust_by(1001, random)
        self.waiting.append(answer.adjustment.adjustment_id)

    async def adjust_by(self, points: int, random: Random) -> Any:
        request = adjustments.AdjustPointsRequest(
            member_id=random.choice(self.members), points=points, **signed("olga")
        )
        return await self.send("AdjustPoints", request, random)

    async def approve(self, random: Random) -> None:
        adjustment_id = pick(self.waiting, random)
        request = adjustments.ApproveAdjustmentRequest(
            adjustment_id=adjustment_id, **signed("piet")
        )
        await self.send("ApproveAdjustment", request, random)

    async def reject(self, random: Random) -> None:
        adjustment_id = pick(self.waiting, random)
        request = adjustments.RejectAdjustmentRequest(adjustment_id=adjustment_id, **signed("piet"))
        await self.send("RejectAdjustment", request, random)

    async def freeze(self, random: Random) -> None:
        member = random.choice(self.members)
        freeze = accounts.FreezeAccountRequest(member_id=member, **signed("olga"))
        await self.send("FreezeAccount", freeze, random)
        unfreeze = accounts.UnfreezeAccountRequest(member_id=member, **signed("olga"))
        await self.send("UnfreezeAccount", unfreeze, random)

    async def close(self, random: Random) -> None:
        leaver = random.choice(self.leavers)
        request = accounts.CloseAccountRequest(member_id=leaver, **signed("olga"))
        await self.send("CloseAccount", request, random)

    async def merge(self, random: Random) -> None:
        request = merges.MergeMembersRequest(
            survivor_member_id=random.choice(self.members),
            merged_member_id=random.choice(self.guests), **signed("olga"),
        )  # fmt: skip
        self.merges.append((await self.send("MergeMembers", request, random)).merge.merge_id)

    async def undo(self, random: Random) -> None:
        request = merges.UndoMergeRequest(
            merge_id=pick(self.merges[-GUESTS:], random), **signed("olga")
        )
        await self.send("UndoMerge", request, random)

    async def change_team(self, random: Random) -> None:
        """A team of nobody; the other team lets somebody go and takes them in again."""
        team = activities.CreateTeamRequest(
            request_id=new_id(), team_id=f"t-{new_id()}", name="Team"
        )
        await self.send("CreateTeam", team, random)
        about = {"team_id": self.other_team, "member_id": random.choice(self.members[5:8])}
        remove = activities.RemoveTeamMemberRequest(request_id=new_id(), **about)
        await self.send("RemoveTeamMember", remove, random)
        add = activities.AddTeamMemberRequest(request_id=new_id(), **about)
        await self.send("AddTeamMember", add, random)


def signed(operator: str) -> dict[str, str]:
    """What a decision is signed with."""
    return {"request_id": new_id(), "operator": operator, "reason": "for a test"}


def pick(things: list[Any], random: Random) -> Any:
    """One of what is known so far. Raises Declined while nothing is."""
    if not things:
        raise Declined
    return random.choice(things)
