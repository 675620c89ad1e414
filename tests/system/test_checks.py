"""Every check of `laurel check` finds what it guards against: each is broken once, rolled back."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import pytest

from cli.check import load_checks, run_checks, run_on
from fraud_actions import DEMOTE, DENY_LIST, EARN_ONLY, FREEZE, GRANTED, ActionDesk
from house import SAMPLE, Ground, House, new_id, usd
from kit.clock import to_timestamp
from kit.settings import SERVICES
from laurel.antifraud.v1 import cases_pb2 as cases_pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.checkout.v1 import checkout_service_pb2 as checkout_pb
from laurel.checkout.v1.checkout_service_pb2_grpc import CheckoutServiceStub
from laurel.points.v1 import points_service_pb2 as points_pb
from laurel.points.v1.accounts_pb2 import CloseAccountRequest
from laurel.points.v1.activities_pb2 import (
    Activity,
    AddTeamMemberRequest,
    CreateTeamRequest,
    RunBonusesRequest,
)
from laurel.points.v1.adjustments_pb2 import AdjustPointsRequest
from laurel.points.v1.households_pb2 import (
    ContributeToPoolRequest,
    CreateHouseholdRequest,
    HoldPoolPointsRequest,
)
from laurel.points.v1.merges_pb2 import MergeMembersRequest
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from laurel.points.v1.transfers_pb2 import DonatePointsRequest, TransferPointsRequest
from laurel.tier.v1.member_service_pb2 import EnrolMemberRequest
from laurel.tier.v1.member_service_pb2_grpc import MemberServiceStub

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)
ENTRIES = "the entries of every transaction sum to 0, and all of them together"
BALANCE_LOTS = "a balance equals the sum of its lots and holds"
BALANCE_ENTRIES = "a balance equals the sum of its entries"
REMEMBERED = "every effect of a request is remembered under its id"
HOLD_LEDGER = "what the ledger says of a hold equals the hold"
WINDOW_USED = "what holds use of a day of a promotion window is what is counted for the member"
POOL_MOVES = "what went into a pool and out of it is what both transactions say"
DELIVERIES = "every message has a delivery, and every delivery a message"
OWN_HISTORY = "a member's own history is of operations that were assessed and not refused"
GIFTS = "a gift that is remembered was assessed and not refused"
NOT_BOOKED = "what was denied is not booked, and what is to be reviewed is pending"
SETTLED = (
    "a settled review is of an accrual that was under review, and was booked as it was decided"
)
COUPONS_USED = (
    "a coupon set aside is in one open reservation, a used one in one redeemed reservation, "
    "any other in none"
)
LINES_BACK = "what went back of a line is what the refunds name of it"
LINES_PRICED = "what went back of a checkout is what went back of its lines, at their prices"
STEPS = "a step is done if and only if it has taken effect under its request id"
TOLD = (
    "what a checkout tells of an accrual and of its refunds is what the ledger has booked for them"
)


class Damage(NamedTuple):
    """SQL that breaks what a check guards, and the other checks that cannot but see it, too."""

    sql: str
    also: tuple[str, ...] = ()


def one(table: str, key: str, where: str) -> str:
    """A condition for one row of a table; there must be one."""
    return f"({key}) = (SELECT {key} FROM {table} WHERE {where} ORDER BY {key} LIMIT 1)"


def copy(table: str, where: str, changes: str) -> str:
    """Adds a row once more, with changes."""
    return f"""
        CREATE TEMP TABLE copied AS SELECT * FROM {table} WHERE {where} LIMIT 1;
        UPDATE copied SET {changes};
        INSERT INTO {table} SELECT * FROM copied;
    """


def transaction(where: str) -> str:
    return one("points.transaction", "member_id, transaction_id", where)


def checkout(where: str) -> str:
    return one("checkout.checkout", "checkout_id", where)


# Without a rule that reads of them, anti-fraud remembers neither members nor gifts.
MEMBERS = """
    - name: ring
      operations: [redemption]
      when: gifts.cycle && history.count > 0
      action: review
      score: 100
"""
WINDOW = """\
  windows:
    - name: double
      window: {start: 2026-01-01, end: 2099-01-01}
      factor: 2
      member_day_points_max: 150
"""
COMPLETED = "(SELECT checkout_id FROM checkout.checkout WHERE state = 'COMPLETED' LIMIT 1)"
CANCELLED = "(SELECT checkout_id FROM checkout.checkout WHERE state = 'CANCELLED' LIMIT 1)"
HOLD_OF = "(SELECT hold_id::uuid FROM checkout.checkout WHERE state = '{}' LIMIT 1)"

POINTS = {
    ENTRIES: Damage(
        "UPDATE points.transaction SET sources = sources || 1::smallint WHERE "
        + transaction("kind = 1")
    ),
    BALANCE_LOTS: Damage(
        "DELETE FROM points.lot WHERE "
        + one("points.lot", "member_id, lot_id", "remaining > 0 AND NOT pending")
    ),
    BALANCE_ENTRIES: Damage(
        "UPDATE points.transaction "
        "SET targets = array_fill(2::smallint, ARRAY[cardinality(targets)]) WHERE "
        + transaction("kind = 1 AND (explanation ->> 'review')::boolean IS NOT TRUE")
    ),
    "every member with transactions has an account": Damage(
        copy(
            "points.transaction",
            "kind = 3",
            "member_id = 'nobody', request_id = NULL, hold_id = NULL",
        )
    ),
    "no balance is below 0": Damage(
        "UPDATE points.account SET active = -1, pending = pending + active + 1 WHERE "
        + one("points.account", "member_id", "active > 0"),
        also=(BALANCE_LOTS, BALANCE_ENTRIES),
    ),
    "what is left of a lot equals what was put into it less what was drawn from it": Damage(
        "UPDATE points.transaction SET lot_ids = '{}', lot_points = '{}' WHERE "
        + transaction("kind = 1")
    ),
    "one effect per request id": Damage(
        "UPDATE points.transaction SET request_id = 'twice' WHERE kind = 1",
        also=(REMEMBERED, SETTLED),
    ),
    REMEMBERED: Damage(
        "DELETE FROM points.request WHERE request_id = "
        "(SELECT request_id FROM points.transaction WHERE request_id IS NOT NULL LIMIT 1)"
    ),
    "held = captured + released + still held, for every hold and each of its lots": Damage(
        "UPDATE points.hold_lot SET points = points + 1"
    ),
    HOLD_LEDGER: Damage("UPDATE points.transaction SET hold_id = NULL WHERE kind = 3"),
    WINDOW_USED: Damage("UPDATE points.hold SET window_points = 1 WHERE window_points > 1"),
    "nobody uses more of a day of a promotion window than its cap": Damage(
        "UPDATE points.promotion_use SET points_max = points - 1 WHERE points > 0"
    ),
    "refunded never exceeds captured": Damage(
        """
        UPDATE points.hold SET refunded = captured + 1;
        UPDATE points.hold_lot SET refunded = captured + 1;
        """,
        also=(HOLD_LEDGER, WINDOW_USED),
    ),
    "no accrual is taken back beyond what it earned": Damage(
        "UPDATE points.accrual_return SET returned_minor = 1000000000"
    ),
    "what members hold equals what the program has issued less what it took back": Damage(
        "UPDATE points.transaction SET sources = '{}' WHERE " + transaction("kind = 1"),
        also=(ENTRIES,),
    ),
    "an account stands as it was last decided": Damage(
        "UPDATE points.account SET state = 0 WHERE state = 2"
    ),
    "a closed or merged account has no points": Damage(
        "UPDATE points.account SET state = 2 WHERE "
        + one("points.account", "member_id", "active > 0"),
        also=("an account stands as it was last decided",),
    ),
    "what left members for other members has reached them": Damage(
        "UPDATE points.transaction SET sources = '{20}' WHERE kind = 10",
    ),
    "what anti-fraud forbids an account is what it was heard to do and not to lift": Damage(
        "UPDATE points.account SET restriction = 0 WHERE restriction = 1"
    ),
    "what was heard of anti-fraud is what it did": Damage(
        "UPDATE points.antifraud_action SET kind = 2 WHERE lift_time IS NOT NULL"
    ),
    "a lot ends where its end was last moved to": Damage(
        "UPDATE points.lot_extension SET to_time = to_time + interval '1 day'"
    ),
    "a gift is what both of its transactions say": Damage("DELETE FROM points.gift"),
    "a lot that came out of another one has its expiry and its accrual": Damage(
        "UPDATE points.lot_origin SET source_lot_id = gen_random_uuid()"
    ),
    "a bonus names the activity that completed it": Damage(
        "UPDATE points.transaction SET explanation = explanation - 'cause' WHERE kind = 19"
    ),
    "a counter that was reached names the bonus that was booked for it": Damage(
        "UPDATE points.progress SET bonus_transaction_id = gen_random_uuid() "
        "WHERE bonus_transaction_id IS NOT NULL"
    ),
    "a bonus of a team is what the ledger says, booked once for each member and period": Damage(
        "UPDATE points.team_bonus SET points = points + 1"
    ),
    "a team has as many members as it counts": Damage("DELETE FROM points.team_member"),
    "a donation certificate says what the ledger says": Damage(
        "UPDATE points.donation SET points = points + 1000"
    ),
    "an adjustment is booked as it was asked for, "
    "and by two operators where it had to wait": Damage(
        "UPDATE points.adjustment SET points = -points WHERE state = 2"
    ),
    "a merge moved what both of its transactions say, and so did its undoing": Damage(
        "UPDATE points.merge SET active = active + 1"
    ),
    "an account is merged while its merge stands": Damage(
        "UPDATE points.account SET merged_into = 'nobody' WHERE state = 3"
    ),
    POOL_MOVES: Damage("UPDATE points.pool_move SET points = points + 1"),
    "a household that stands has one owner and its pool, "
    "a dissolved one has neither members nor points": Damage(
        "UPDATE points.household_member SET role = 2"
    ),
    "every hold of a pool names who spends": Damage("DELETE FROM points.pool_hold"),
    "nobody has more in a pool than they brought": Damage(
        "UPDATE points.pool_move SET points = 1", also=(POOL_MOVES,)
    ),
    "what anti-fraud has yet to be asked about is an accrual under review "
    "that has no assessment": Damage(
        "INSERT INTO points.unassessed"
        " (member_id, request_id, transaction_id, operation, record_time, due_time)"
        " SELECT member_id, request_id, transaction_id, '', now(), now()"
        " FROM points.transaction WHERE kind = 1 LIMIT 1"
    ),
    "every gift and every donation was assessed by anti-fraud": Damage(
        "UPDATE points.transaction SET explanation = explanation - 'assessment' WHERE kind = 9"
    ),
    "a debt is what its return made, and what was written off of it is booked": Damage(
        "INSERT INTO points.debt (member_id, transaction_id, points)"
        " SELECT member_id, transaction_id, 1 FROM points.transaction WHERE kind = 1 LIMIT 1"
    ),
    "a lot that was opened in place of another one is of the same account and accrual": Damage(
        "INSERT INTO points.lot_replacement "
        "SELECT member_id, lot_id, gen_random_uuid() FROM points.lot LIMIT 1"
    ),
    "nobody owes more than what may be left of their debts, "
    "and of those of accounts merged into theirs": Damage(
        "UPDATE points.account SET debt = debt + 1, held = held + 1 WHERE "
        + one("points.account", "member_id", "state = 0"),
        also=(BALANCE_LOTS, BALANCE_ENTRIES),
    ),
    "every accrual and every redemption was assessed by anti-fraud, "
    "or waits for a review because it gave no answer": Damage(
        "UPDATE antifraud.assessment SET assessment_id = gen_random_uuid() WHERE action = 1",
        also=("every gift and every donation was assessed by anti-fraud",),
    ),
    "what waits for a review stems from an accrual under review that is not settled": Damage(
        "UPDATE points.transaction SET explanation = explanation - 'review' WHERE kind = 1",
        also=(NOT_BOOKED, SETTLED),
    ),
    SETTLED: Damage("UPDATE points.review_verdict SET is_legitimate = NOT is_legitimate"),
}

TIER = {
    "every member stands where their last decision put them": Damage(
        "UPDATE tier.member SET tier_id = 'diamond' WHERE tier_id = 'gold'"
    ),
    "decisions about a member are numbered without a gap, "
    "and each begins where the one before ended": Damage(
        """
        UPDATE tier.decision SET number = number + 1;
        UPDATE tier.member SET decision_count = decision_count + 1 WHERE decision_count > 0;
        """
    ),
    "only a review lowers a tier, and by one level": Damage("UPDATE tier.decision SET kind = 3"),
    "who was raised had the spend that was asked for, "
    "and a purchase that counted set it off": Damage(
        "UPDATE tier.decision SET cause_event_id = gen_random_uuid()"
    ),
    "growth is counted once for each transaction": Damage(
        copy("tier.growth", "true", "event_id = gen_random_uuid()")
    ),
    "growth is what the ledger's transaction was for, and nothing under review": Damage(
        "UPDATE tier.growth SET spend_minor = spend_minor + 1"
    ),
    "whoever is held down, or was, was demoted by anti-fraud, "
    "and what was lifted here was lifted there": Damage(
        "UPDATE tier.ceiling SET lift_time = now()"
    ),
    "whoever enrolled or was decided about is a member": Damage(
        "UPDATE tier.profile SET member_id = 'nobody' WHERE "
        + one("tier.profile", "member_id", "true")
    ),
}

BENEFITS = {
    COUPONS_USED: Damage(
        "UPDATE benefits.entitlement SET state = 'REDEEMED', order_id = 'another' "
        "WHERE kind = 'UPGRADE_COUPON' AND state = 'AVAILABLE'"
    ),
    "a cause gives a member a benefit once": Damage(
        copy("benefits.entitlement", "state = 'AVAILABLE'", "entitlement_id = gen_random_uuid()")
    ),
    "what was promised for an order is not more than its amount": Damage(
        "UPDATE benefits.reservation SET order_amount_minor = 0"
    ),
    "a coupon takes no more off than it is worth": Damage(
        "UPDATE benefits.entitlement SET amount_off_minor = 1 WHERE kind = 'UPGRADE_COUPON'"
    ),
    "a standing discount was given by the latest decision about the member's tier": Damage(
        "UPDATE benefits.member_tier SET cause_event_id = gen_random_uuid()"
    ),
}

NOTIFICATION = {
    "one message for each member, cause and rule": Damage(
        copy("notification.message", "true", "message_id = gen_random_uuid()"), also=(DELIVERIES,)
    ),
    DELIVERIES: Damage("DELETE FROM notification.delivery"),
    "a delivery says how it ended: when it was delivered, or why it was not": Damage(
        "UPDATE notification.delivery SET deliver_time = NULL WHERE state = 'DELIVERED'"
    ),
    "e-mail is delivered by an attempt, and no delivery takes more than 8": Damage(
        "UPDATE notification.delivery SET attempt_count = 9"
    ),
}

ANTIFRAUD = {
    "an assessment has an id of its own, and a member's request has one assessment": Damage(
        copy("antifraud.assessment", "action = 1", "request_id = 'another'")
    ),
    "the strictest rule that fired decides, and none means allow": Damage(
        """
        UPDATE antifraud.assessment SET fired = '[{"action": 2, "score": 0}]'
        WHERE fired IS NULL
        """
    ),
    "a score is the sum of the rules that fired, 1,000 at most": Damage(
        "UPDATE antifraud.assessment SET score = score + 1 WHERE action = 1"
    ),
    NOT_BOOKED: Damage(
        """
        UPDATE antifraud.assessment SET action = 3, fired = '[{"action": 3, "score": 0}]'
        WHERE fired IS NULL
        """,
        also=(OWN_HISTORY, GIFTS),
    ),
    "what is remembered of a member is of bounded size, "
    "and nothing was last before it was first": Damage(
        'UPDATE antifraud.profile SET state = state || \'{"devices": [["d", 2, 1]]}\''
    ),
    OWN_HISTORY: Damage(
        """
        UPDATE antifraud.profile
        SET state = jsonb_set(state, '{history,2,0}', '99') WHERE state #> '{history,2}' IS NOT NULL
        """
    ),
    "the memory of a key stays small": Damage(
        "UPDATE antifraud.velocity SET entries = convert_to(repeat('x', 40000), 'UTF8')"
    ),
    "a counter is filled from no assessment that may still be on its way": Damage(
        """
        INSERT INTO antifraud.velocity_fill (
            version, series, until_time, cursor_time, slice_us, safe_time, fence_time, fence_xid
        )
        SELECT 99, '[]', now(), now(), 1, now() - interval '1 minute', now(), 1
        """
    ),
    GIFTS: Damage("UPDATE antifraud.gift SET receiver = 'nobody'"),
    "what is to be reviewed is in a case of its member, and nothing else is": Damage(
        "UPDATE antifraud.case_item SET kind = 3 - kind"
    ),
    "a case counts its assessments and has the highest of their scores": Damage(
        "UPDATE antifraud.fraud_case SET assessment_count = assessment_count + 1"
    ),
    "what a decided case is about is labelled": Damage("DELETE FROM antifraud.label"),
    "what was challenged is booked only once the challenge is solved, "
    "and pending where others asked for a review": Damage(
        """
        UPDATE antifraud.assessment SET action = 4, fired = '[{"action": 4, "score": 0}]'
        WHERE fired IS NULL AND kind = 1
        """
    ),
    "a challenge is bound to what was assessed": Damage(
        """
        INSERT INTO antifraud.challenge (
            member_id, request_id, number, challenge_id, kind, points, amount_minor,
            program_version, verifier, state, tries_left, sends_left, send_number, salt,
            resend_time, expire_time, create_time
        )
        SELECT
            member_id, request_id, 1, gen_random_uuid(), kind, points + 1, amount_minor,
            1, '', 1, 3, 2, 1, 'salt', now(), now(), now()
        FROM antifraud.assessment LIMIT 1
        """
    ),
    "an action is in force from when it was taken until it was lifted": Damage(
        "DELETE FROM antifraud.action_in_force WHERE kind = 2"
    ),
    "what lifts an action is about the same, and comes after it": Damage(
        "UPDATE antifraud.action SET kind = 5 WHERE lifts_action_id IS NOT NULL"
    ),
    "what an action put on a list is there while it is in force": Damage(
        "DELETE FROM antifraud.list_entry"
    ),
    "a rule's action comes of an assessment in which the rule fired": Damage(
        """
        UPDATE antifraud.action SET rule = 'none', assessment_id = gen_random_uuid()
        WHERE kind = 2
        """
    ),
    "an appeal is against an action on its member, and one that was granted has lifted it": Damage(
        "UPDATE antifraud.appeal SET member_id = 'nobody'"
    ),
}

PROGRAM = {
    "versions of the program are 1, 2, 3 and so on, without a gap": Damage(
        copy("program.program_version", "version = 1", "version = 3")
    ),
    "whatever was decided names a version of the program that exists": Damage(
        "UPDATE notification.message SET program_version = 99"
    ),
}

CHECKOUT = {
    "the lines and discounts of a checkout sum up to its price": Damage(
        "UPDATE checkout.line SET unit_price_minor = unit_price_minor + 1",
        also=(LINES_PRICED,),
    ),
    "what went back of a checkout is what its refunds gave back": Damage(
        "DELETE FROM checkout.refund", also=(TOLD,)
    ),
    LINES_BACK: Damage(
        f"UPDATE checkout.line SET refunded_quantity = 1 WHERE checkout_id = {CANCELLED}",
        also=(LINES_PRICED,),
    ),
    LINES_PRICED: Damage(
        "UPDATE checkout.checkout SET refunded_lines_minor = refunded_lines_minor - 1 WHERE "
        + checkout("refund_count > 0")
    ),
    "a checkout that went back as a whole gave back all that was paid": Damage(
        "UPDATE checkout.line SET refunded_quantity = quantity", also=(LINES_BACK, LINES_PRICED)
    ),
    "a completed checkout has spent what it was to be paid with": Damage(
        f"DELETE FROM checkout.step WHERE step = 'capture' AND checkout_id = {COMPLETED}"
    ),
    "a cancelled checkout holds nothing": Damage(
        f"DELETE FROM checkout.step WHERE step = 'release_hold' AND checkout_id = {CANCELLED}"
    ),
    "what has come to rest has no step under way": Damage(
        "UPDATE checkout.step SET mark = 'STARTED' "
        f"WHERE step = 'accrue' AND checkout_id = {COMPLETED}"
    ),
    "what pays for a completed checkout is spent in the ledger, and its coupons are used": Damage(
        f"UPDATE points.hold SET state = 3 WHERE hold_id = {HOLD_OF.format('COMPLETED')}"
    ),
    "what a checkout has reserved and paid with are the coupons of its price": Damage(
        f"UPDATE checkout.checkout SET coupon_ids = '{{another}}' WHERE checkout_id = {COMPLETED}"
    ),
    STEPS: Damage(
        "UPDATE checkout.step SET mark = 'REFUSED' "
        f"WHERE step = 'accrue' AND checkout_id = {COMPLETED}"
    ),
    TOLD: Damage("UPDATE checkout.refund SET reversed_points = reversed_points + 1"),
    "points pay for a checkout what the ledger has promised for them": Damage(
        "UPDATE checkout.checkout SET points_minor = points_minor - 1, cash_minor = cash_minor + 1 "
        f"WHERE checkout_id = {CANCELLED}"
    ),
    "a cancelled checkout leaves no open hold, no open reservation, no coupon used "
    "and no points spent": Damage(
        "UPDATE benefits.reservation SET state = 'REDEEMED' WHERE state = 'RELEASED'",
        also=(COUPONS_USED,),
    ),
    "the points that complete refunds gave back are back in the ledger": Damage(
        """
        UPDATE checkout.refund SET points = points + 1 WHERE complete;
        UPDATE checkout.checkout SET refunded_points = refunded_points + 1 WHERE refund_count > 0;
        """,
        also=(TOLD,),
    ),
}

DAMAGES: dict[str, dict[str, Damage]] = {
    "points": POINTS,
    "tier": TIER,
    "benefits": BENEFITS,
    "notification": NOTIFICATION,
    "antifraud": ANTIFRAUD,
    "program": PROGRAM,
    "checkout": CHECKOUT,
}

# What the database itself would refuse is let pass, so that the check is what finds it.
WITHOUT_CONSTRAINTS = """
DO $$
DECLARE
    known record;
BEGIN
    FOR known IN
        SELECT c.conrelid::regclass AS made_on, c.conname FROM pg_constraint AS c
        WHERE c.connamespace::regnamespace::text = ANY ({services}) AND c.conrelid <> 0
        AND c.contype IN ('f', 'c', 'u', 'p') AND c.conparentid = 0 AND c.coninhcount = 0
        -- Foreign keys first: others lean on what they point to.
        ORDER BY c.contype = 'f' DESC
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', known.made_on, known.conname);
    END LOOP;
    FOR known IN
        SELECT i.indexrelid::regclass AS name FROM pg_index AS i
        INNER JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE i.indisunique AND c.relnamespace::regnamespace::text = ANY ({services})
    LOOP
        EXECUTE format('DROP INDEX %s', known.name);
    END LOOP;
END $$
""".format(services=f"ARRAY{list(SERVICES)}")


class Town:
    """Members who did a little of everything."""

    def __init__(self, house: House) -> None:
        self.points: PointsServiceStub = house.stub(PointsServiceStub, "points")
        self.members: MemberServiceStub = house.stub(MemberServiceStub, "tier")
        self.fraud: AntifraudServiceStub = house.stub(AntifraudServiceStub, "antifraud")
        self.checkouts: CheckoutServiceStub = house.stub(CheckoutServiceStub, "checkout")

    async def enrol(self, member: str) -> None:
        # Long ago: who has just come may not spend much.
        request = EnrolMemberRequest(
            request_id=new_id(), member_id=member, enrol_time=to_timestamp(LONG_AGO)
        )
        await self.members.EnrolMember(request)

    async def buy(self, member: str, amount: str) -> None:
        purchase = points_pb.Purchase(order_id=new_id(), amount=usd(amount))
        await self.points.AccruePoints(
            points_pb.AccruePointsRequest(request_id=new_id(), member_id=member, purchase=purchase)
        )

    async def close(self, member: str) -> None:
        await self.points.CloseAccount(
            CloseAccountRequest(
                request_id=new_id(), member_id=member, operator="olga", reason="asked for"
            )
        )

    async def give(self, member: str, receiver: str, points: int) -> None:
        await self.points.TransferPoints(
            TransferPointsRequest(
                request_id=new_id(), member_id=member, receiver_member_id=receiver, points=points
            )
        )

    async def adjust(self, member: str, points: int) -> None:
        await self.points.AdjustPoints(
            AdjustPointsRequest(
                request_id=new_id(), member_id=member, points=points, operator="o", reason="r"
            )
        )

    async def merge(self, survivor: str, merged: str) -> None:
        await self.points.MergeMembers(
            MergeMembersRequest(
                request_id=new_id(),
                survivor_member_id=survivor,
                merged_member_id=merged,
                operator="o",
                reason="r",
            )
        )

    async def share(self, member: str, points: int, held: int) -> None:
        made = await self.points.CreateHousehold(
            CreateHouseholdRequest(request_id=new_id(), owner_member_id=member, name="Hal's")
        )
        home = {"household_id": made.household.household_id, "member_id": member}
        await self.points.ContributeToPool(
            ContributeToPoolRequest(request_id=new_id(), points=points, **home)
        )
        await self.points.HoldPoolPoints(
            HoldPoolPointsRequest(request_id=new_id(), points=held, order_id="hal", **home)
        )

    async def donate(self, member: str, points: int) -> None:
        await self.points.DonatePoints(
            DonatePointsRequest(
                request_id=new_id(), member_id=member, points=points, cause="red_cross"
            )
        )

    async def do(self, member: str, event: str, days_ago: int = 0) -> None:
        at = datetime.now(UTC) - timedelta(days=days_ago)
        await self.points.AccrueActivity(
            points_pb.AccrueActivityRequest(
                request_id=new_id(),
                member_id=member,
                activity=Activity(event_type=event),
                occurred_time=to_timestamp(at),
            )
        )

    async def clear(self, member: str) -> None:
        """Decides what is under review of a member: it was no fraud."""
        listed = await self.fraud.ListCases(cases_pb.ListCasesRequest(member_id=member))
        request = cases_pb.DecideCaseRequest(
            request_id=new_id(),
            case_id=listed.cases[0].case_id,
            outcome=cases_pb.CASE_OUTCOME_LEGITIMATE,
            operator="o",
            reason="r",
        )
        await self.fraud.DecideCase(request)

    async def circle(self, member: str) -> None:
        """A team of one, who writes three reviews."""
        await self.points.CreateTeam(
            CreateTeamRequest(request_id=new_id(), team_id="circle", name="Circle")
        )
        await self.points.AddTeamMember(
            AddTeamMemberRequest(request_id=new_id(), team_id="circle", member_id=member)
        )
        for _ in range(3):
            await self.do(member, "review")
        await self.points.RunBonuses(RunBonusesRequest())

    async def authorize(self, member: str) -> str:
        lines = [
            checkout_pb.Line(line_id="cd", category="cd", quantity=2, unit_price=usd("15")),
            checkout_pb.Line(line_id="box", category="cd", quantity=1, unit_price=usd("40")),
        ]
        quote = checkout_pb.QuoteCheckoutRequest(
            request_id=new_id(), member_id=member, order_id=new_id(), lines=lines, points_wanted=200
        )
        checkout_id = (await self.checkouts.QuoteCheckout(quote)).checkout.checkout_id
        await self.checkouts.AuthorizeCheckout(
            checkout_pb.AuthorizeCheckoutRequest(request_id=new_id(), checkout_id=checkout_id)
        )
        return checkout_id

    async def complete(self, checkout_id: str) -> None:
        await self.checkouts.CompleteCheckout(
            checkout_pb.CompleteCheckoutRequest(request_id=new_id(), checkout_id=checkout_id)
        )

    async def refund(self, checkout_id: str, quantity: int) -> None:
        lines = [checkout_pb.RefundLine(line_id="cd", quantity=quantity)]
        await self.checkouts.RefundCheckout(
            checkout_pb.RefundCheckoutRequest(
                request_id=new_id(), checkout_id=checkout_id, lines=lines
            )
        )

    async def cancel(self, checkout_id: str) -> None:
        await self.checkouts.CancelCheckout(
            checkout_pb.CancelCheckoutRequest(request_id=new_id(), checkout_id=checkout_id)
        )


async def suspect(house: House, member: str) -> None:
    """Freezes an account until an appeal is granted; lets it earn only, and lists it."""
    hands = ActionDesk(house)
    await hands.take(member, FREEZE)
    await house.settle()
    await hands.decide(await hands.appeal(member), GRANTED)
    await hands.take(member, EARN_ONLY)
    await hands.take(member, DEMOTE, tier_id="silver")
    await hands.take(member, DENY_LIST)


@pytest.fixture(scope="module")
async def books(ground: Ground) -> AsyncIterator[House]:
    """A house in which something of every kind was written."""
    async with ground.house() as house:
        program = SAMPLE.read_text().replace("pending_days: 14", "pending_days: 0")
        program = program.replace("  points_min: 100 ", f"{WINDOW}  points_min: 100 ")
        # Nobody is there to type in codes.
        program = program.replace("action: challenge", "action: allow")
        await house.apply(program.rstrip() + MEMBERS)
        await house.start(*SERVICES)
        town = Town(house)
        for member in ("ada", "bea", "cai"):
            await town.enrol(member)
            await town.buy(member, "400")
        await town.buy("dan", "1200")
        await house.settle()
        paid = await town.authorize("ada")
        await town.complete(paid)
        await town.refund(paid, 1)
        await town.cancel(await town.authorize("bea"))
        await town.authorize("cai")
        await town.buy("eva", "90")
        await town.close("eva")
        await town.buy("fay", "900")
        await town.give("fay", "ada", 100)
        await town.donate("fay", 500)
        await town.adjust("fay", -20)
        await town.buy("gus", "40")
        await town.merge("fay", "gus")
        await town.buy("hal", "400")
        await town.share("hal", 200, 150)
        await town.adjust("fay", 5000)
        for day in range(7, 0, -1):
            await town.do("ivy", "check_in", day)
        await town.circle("ivy")
        await town.buy("jon", "1500")
        await town.clear("jon")
        await suspect(house, "jon")
        await house.settle()
        yield house


@pytest.fixture
async def owner(books: House) -> AsyncIterator[Any]:
    """The owner of the database, in a transaction that is rolled back."""
    connection = await asyncpg.connect(books.settings.database_url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def test_all_checks_hold_on_what_the_services_wrote(books: House) -> None:
    outcomes = await run_checks(books.settings.database_url)
    assert outcomes
    assert [outcome for outcome in outcomes if outcome.violations] == []


def test_every_service_has_checks_and_every_check_is_broken_below() -> None:
    checks = load_checks()
    assert {check.service for check in checks} == set(SERVICES)
    listed = {(service, title) for service, table in DAMAGES.items() for title in table}
    assert {(check.service, check.title) for check in checks} == listed


@pytest.mark.parametrize(
    ("title", "damage"),
    [
        pytest.param(title, damage, id=f"{service}: {title}")
        for service, table in DAMAGES.items()
        for title, damage in table.items()
    ],
)
async def test_a_check_finds_what_it_guards_against(owner: Any, title: str, damage: Damage) -> None:
    await owner.execute(WITHOUT_CONSTRAINTS)
    await owner.execute(damage.sql)
    broken = {outcome.check.title for outcome in await run_on(owner) if outcome.violations}
    assert broken == {title, *damage.also}
