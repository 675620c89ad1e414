"""AF-06: what becomes of points while anti-fraud is silent, and afterwards."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from grpc import StatusCode
from prometheus_client import REGISTRY

from cli.check import run_checks
from house import Ground, House, new_id, refused
from laurel.antifraud.v1 import antifraud_service_pb2 as fraud_pb
from laurel.antifraud.v1 import cases_pb2 as cases
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.accounts_pb2 import CloseAccountRequest
from points_earning import Earner, calm_rules
from points_ledger import calm_program
from rules.values import Action

FALLBACKS = """\
  fallbacks:
    - {name: small_things, operation: accrual, types: [check_in], policy: pend, points_max: 20}
    - {name: shares, operation: accrual, types: [share], policy: refuse}
    - {name: spending, operation: redemption, policy: refuse}
  rules:
    - {name: large, operations: [accrual], when: request.points > 300, action: review, score: 1}
    - {name: absurd, operations: [accrual], when: request.points > 400, action: deny, score: 1}
    - {name: odd, operations: [accrual], when: request.points == 299, action: challenge, score: 1}
"""


def with_fallbacks(program: str) -> str:
    """Check-ins pend, shares are refused, purchases follow `fallback_accrual_points_max`: 500."""
    return program.replace("  rules: []\n", FALLBACKS)


@asynccontextmanager
async def silent(ground: Ground, program: str) -> AsyncIterator[Earner]:
    """A ledger without anti-fraud; at the end `laurel check` finds nothing."""
    async with ground.house() as house:
        await house.apply(with_fallbacks(program))
        await house.start("tier", "points")
        yield Earner(house)
        await house.settle()
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


async def assess_late(house: House) -> None:
    """What points does by itself every few seconds, until nothing is left."""
    schedules = house.running["points"].service.schedules
    (run,) = [one.run for one in schedules if one.name == "late_assessments"]
    deadline = asyncio.get_running_loop().time() + 20
    while await waiting(house):
        await run()
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


async def earn_late(earner: Earner, member: str, amount: str) -> None:
    """A purchase that anti-fraud hears of only afterwards."""
    await earner.accrue(member, amount)
    await earner.house.start("antifraud")
    await assess_late(earner.house)


async def waiting(house: House) -> int:
    """Accruals that anti-fraud has yet to be asked about, and may be by now."""
    (row,) = await house.fetch("SELECT count(*) FROM points.unassessed WHERE due_time <= now()")
    return int(row[0])


def counted(operation: str, policy: str) -> float:
    labels = {"operation": operation, "policy": policy}
    return REGISTRY.get_sample_value("laurel_points_antifraud_fallback_total", labels) or 0.0


async def test_each_operation_and_type_has_the_policy_that_the_program_states(
    ground: Ground, member: str
) -> None:
    async with silent(ground, calm_rules()) as earner:
        pended, refusals = counted("accrual", "pend"), counted("accrual", "refuse")
        spent = counted("redemption", "refuse")
        assert (await earner.do(member, "check_in")).explanation.under_review
        assert (await earner.accrue(member, "450")).explanation.under_review
        for call in (
            earner.do(member, "share"),
            earner.accrue(member, "501"),
            earner.stub.HoldPoints(earner.holding(member, 1)),
        ):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == (
                StatusCode.UNAVAILABLE, "ANTIFRAUD_UNAVAILABLE",
            )  # fmt: skip
            assert refusal.status is not None
            assert any(detail.Is(RetryInfo.DESCRIPTOR) for detail in refusal.status.details)
        assert counted("accrual", "pend") - pended == 2
        # The client has tried again by itself.
        assert counted("accrual", "refuse") - refusals >= 2
        assert counted("redemption", "refuse") - spent >= 1


async def test_what_was_pending_is_settled_by_the_answer_that_comes_later(
    ground: Ground, member: str
) -> None:
    """ALLOW as if it had been allowed, REVIEW waits on, DENY is taken back; nothing twice."""
    async with silent(ground, calm_program()) as earner:
        await earner.accrue(member, "300")
        await earner.accrue(member, "0")
        reviewed, denied = f"{member}-r", f"{member}-d"
        await earner.accrue(reviewed, "301")
        await earner.accrue(denied, "401")
        house = earner.house
        assert await waiting(house) == 4
        await house.start("antifraud")
        await assess_late(house)
        assert await earner.balance(member) == pb.Balance(active=300)
        assert await earner.balance(reviewed) == pb.Balance(pending=301)
        assert await earner.balance(denied) == pb.Balance()
        rows = await house.fetch("SELECT member_id, action FROM antifraud.assessment")
        assert sorted(row["action"] for row in rows) == [1, 1, 2, 3]
        kinds = [one.kind for one in await earner.transactions(denied)]
        assert kinds == [pb.TRANSACTION_KIND_ACCRUAL, pb.TRANSACTION_KIND_REVERSAL]


async def test_af_06_a_challenge_that_comes_late_takes_back_and_sends_no_code(
    ground: Ground, member: str
) -> None:
    async with silent(ground, calm_program()) as earner:
        await earn_late(earner, member, "299")
        assert await earner.balance(member) == pb.Balance()
        (assessed,) = await earner.house.fetch("SELECT action FROM antifraud.assessment")
        assert assessed["action"] == Action.CHALLENGE
        assert not await earner.house.fetch("SELECT 1 FROM antifraud.challenge")


async def test_a_review_that_comes_late_opens_a_case_which_settles_it(
    ground: Ground, member: str
) -> None:
    async with silent(ground, calm_program()) as earner:
        await earn_late(earner, member, "301")
        house = earner.house
        stub = house.stub(AntifraudServiceStub, "antifraud")
        (case,) = (await stub.ListCases(cases.ListCasesRequest(member_id=member))).cases
        request = cases.DecideCaseRequest(
            request_id=new_id(), case_id=case.case_id, operator="ann", reason="looked at it",
            outcome=cases.CASE_OUTCOME_LEGITIMATE,
        )  # fmt: skip
        await stub.DecideCase(request)
        await house.settle()
        assert await earner.balance(member) == pb.Balance(active=301)


async def test_what_is_allowed_later_waits_for_returns_like_any_other(
    ground: Ground, member: str
) -> None:
    async with silent(ground, calm_program(pending_days=14)) as earner:
        now = datetime.now(UTC)
        await earner.accrue(member, "50", at=now - timedelta(days=13))
        await earner.accrue(member, "70", at=now - timedelta(days=15))
        await earner.house.start("antifraud")
        await assess_late(earner.house)
        assert await earner.balance(member) == pb.Balance(active=70, pending=50)
        await earner.run_maturation(now + timedelta(days=2))
        assert await earner.balance(member) == pb.Balance(active=120)


async def test_it_is_asked_as_of_its_own_time_and_under_its_own_request(
    ground: Ground, member: str
) -> None:
    async with silent(ground, calm_program()) as earner:
        at = datetime.now(UTC) - timedelta(days=3)
        origin = fraud_pb.Origin(store="s1", device="d1")
        request = earner.accrual(member, "20", at=at)
        request.origin.CopyFrom(pb.AccruePointsRequest(origin=origin).origin)
        await earner.stub.AccruePoints(request)
        await earner.house.start("antifraud")
        await assess_late(earner.house)
        (row,) = await earner.house.fetch("SELECT * FROM antifraud.assessment")
        assert (row["request_id"], row["points"]) == (request.request_id, 20)
        assert (row["occurred_time"], row["type"]) == (at, "purchase")
        assert '"s1"' in row["context"]


async def test_many_runs_at_once_settle_once(ground: Ground, member: str) -> None:
    async with silent(ground, calm_program()) as earner:
        for _ in range(20):
            await earner.accrue(member, "10")
        house = earner.house
        await house.start("antifraud")
        async with house.twin("points"):
            await asyncio.gather(*(assess_late(house) for _ in range(5)))
        assert await earner.balance(member) == pb.Balance(active=200)
        kinds = [one.kind for one in await earner.transactions(member)]
        assert kinds.count(pb.TRANSACTION_KIND_MATURATION) == 20


async def test_an_answer_that_points_did_not_live_to_book_is_the_answer_of_the_next_run(
    ground: Ground, member: str
) -> None:
    """Killed between the answer and its transaction: anti-fraud has decided, nothing is settled."""
    async with silent(ground, calm_program()) as earner:
        await earner.accrue(member, "300")
        await earner.accrue(member, "401")
        house = earner.house
        await house.start("antifraud")
        rows = await house.fetch("SELECT operation FROM points.unassessed")
        operations = [fraud_pb.Operation.FromString(row["operation"]) for row in rows]
        stub = house.stub(AntifraudServiceStub, "antifraud")
        await stub.BatchAssess(fraud_pb.BatchAssessRequest(operations=operations))
        assert await earner.balance(member) == pb.Balance(pending=701)
        await assess_late(house)
        assert await earner.balance(member) == pb.Balance(active=300)
        (count,) = await house.fetch("SELECT count(*) FROM antifraud.assessment")
        assert count[0] == 2


async def test_what_was_taken_back_or_forfeited_meanwhile_stays_so(
    ground: Ground, member: str
) -> None:
    async with silent(ground, calm_program()) as earner:
        returned = await earner.accrue(member, "100")
        await earner.accrue(member, "40")
        await earner.reverse(returned)
        closed = f"{member}-c"
        await earner.accrue(closed, "100")
        denied = f"{member}-d"
        await earner.reverse(await earner.accrue(denied, "450"))
        await earner.stub.CloseAccount(
            CloseAccountRequest(
                request_id=new_id(), member_id=closed, operator="ann", reason="asked for it"
            )
        )
        await earner.house.start("antifraud")
        await assess_late(earner.house)
        assert await earner.balance(member) == pb.Balance(active=40)
        for gone in (closed, denied):
            assert await earner.balance(gone) == pb.Balance()


async def test_an_operation_that_cannot_be_asked_about_does_not_hold_up_the_others(
    ground: Ground, member: str
) -> None:
    async with silent(ground, calm_program()) as earner:
        for _ in range(4):
            await earner.accrue(member, "10")
        broken = await earner.accrue(member, "7")
        await earner.house.fetch(
            "UPDATE points.unassessed SET operation = $1 WHERE transaction_id::text = $2",
            fraud_pb.Operation(request_id="x").SerializeToString(),
            broken.transaction_id,
        )
        await earner.house.start("antifraud")
        await assess_late(earner.house)
        assert await earner.balance(member) == pb.Balance(active=40, pending=7)
        (row,) = await earner.house.fetch("SELECT due_time > now() FROM points.unassessed")
        assert row[0]


async def test_a_repeat_gets_its_first_answer_before_and_after_it_is_settled(
    ground: Ground, member: str
) -> None:
    async with silent(ground, calm_program()) as earner:
        request = earner.accrual(member, "30")
        first = await earner.stub.AccruePoints(request)
        assert await earner.stub.AccruePoints(request) == first
        assert await waiting(earner.house) == 1
        await earner.house.start("antifraud")
        await assess_late(earner.house)
        assert await earner.stub.AccruePoints(request) == first
        assert await earner.balance(member) == pb.Balance(active=30)


async def test_who_does_not_answer_is_not_waited_for_time_and_again(
    ground: Ground, member: str
) -> None:
    """Anti-fraud takes calls and never answers: after a few deadlines nobody waits for one."""
    async with silent(ground, calm_program(deadline_ms=400)) as earner:
        taken: list[asyncio.StreamWriter] = []

        async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            taken.append(writer)

        host, _, port = earner.house.settings.antifraud_addr.rpartition(":")
        async with await asyncio.start_server(hang, host, int(port)):
            waits = []
            for _ in range(9):
                start = time.perf_counter()
                assert (await earner.accrue(member, "1")).explanation.under_review
                waits.append(time.perf_counter() - start)
            assert len([one for one in waits if one < 0.2]) >= 3, waits
            assert taken
            for writer in taken:
                writer.close()
        await earner.house.start("antifraud")
        await assess_late(earner.house)
        assert await earner.balance(member) == pb.Balance(active=9)


@pytest.mark.parametrize("answered", ["true", "false"])
async def test_the_time_that_anti_fraud_takes_is_in_the_metrics(
    ground: Ground, member: str, answered: str
) -> None:
    def count() -> float:
        name = "laurel_points_antifraud_seconds_count"
        return REGISTRY.get_sample_value(name, {"answered": answered}) or 0.0

    async with silent(ground, calm_program()) as earner:
        if answered == "true":
            await earner.house.start("antifraud")
        before = count()
        await earner.accrue(member, "1")
        assert count() == before + 1
