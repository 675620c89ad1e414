"""PT-07, PT-15: an account holds so much and no more; a full one costs its neighbours nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from grpc import StatusCode
from prometheus_client import REGISTRY

from house import Ground, new_id, refused
from kit.errors import info_of
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1.merges_pb2 import MergeMembersRequest
from points.metrics import MOVED
from points_ledger import Ledger, calm_program, in_one_batch, settled

MOST = "9999999999999.99"
"""The largest amount there is; at 100 points a unit it earns 10^15 less one."""
EACH = 10**15 - 1
FULL_COUNT = 1000
"""So many of those fit."""


@pytest.fixture
async def ledger(ground: Ground) -> AsyncIterator[Ledger]:
    """One where a unit of currency brings a hundred points."""
    async with ground.house() as house:
        program = calm_program(multiplied=False, deadline_ms=5000)
        await house.apply(program.replace("points_per_unit: 1 ", "points_per_unit: 100 "))
        await house.start("antifraud", "tier", "points")
        yield Ledger(house)
    # Metrics are floats: beside so many points nobody would see what later tests move.
    MOVED.clear()


def issued() -> float:
    """Points that accruals have brought, by the metric."""
    labels = {"kind": "accrual", "account": "issued"}
    return REGISTRY.get_sample_value("laurel_points_moved_total", labels) or 0.0


@pytest.fixture
async def full(ledger: Ledger) -> str:
    """A member for whom no large purchase is booked any more."""
    member = f"full-{new_id()}"
    rows = [ledger.accrual(member, MOST) for _ in range(FULL_COUNT)]
    response = await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    assert all(result.HasField("accrued") for result in response.results)
    assert (await ledger.balance(member)).active == FULL_COUNT * EACH
    return member


async def test_a_full_account_is_refused_and_says_so(ledger: Ledger, full: str) -> None:
    """PT-07: nothing is booked, and what still fits is; of many at once none is too much."""
    _, refusals = await settled(ledger.accrue(full, MOST) for _ in range(20))
    assert {(one.code, one.reason) for one in refusals} == {
        (StatusCode.FAILED_PRECONDITION, "BALANCE_EXCEEDED")
    }
    assert len(refusals) == 20
    assert (await ledger.accrue(full, "10.00")).points == 1000
    assert (await ledger.balance(full)).active == 10**18
    repeated = ledger.accrual(full, MOST)
    for _ in range(2):
        assert (await refused(ledger.stub.AccruePoints(repeated))).reason == "BALANCE_EXCEEDED"


async def test_the_neighbours_of_a_full_account_are_booked(ledger: Ledger, full: str) -> None:
    """PT-15: each row of a batch answers for itself."""
    members = [f"m-{new_id()}" for _ in range(4)]
    good = [ledger.accrual(one, "2.00") for one in members]
    bad = [ledger.accrual(full, MOST) for _ in range(2)]
    rows = [*good[:2], bad[0], *good[2:], bad[1]]
    for _ in range(2):
        answer = await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
        reasons = [info_of(result.error).reason for result in answer.results]
        assert reasons == ["", "", "BALANCE_EXCEEDED", "", "", "BALANCE_EXCEEDED"]
    balances = await asyncio.gather(*map(ledger.balance, members))
    assert [balance.active for balance in balances] == [200] * 4


async def test_single_calls_beside_a_full_account_are_booked(ledger: Ledger, full: str) -> None:
    """PT-15: calls of one batch, of every kind."""
    member = f"m-{new_id()}"
    await ledger.accrue(member, "5.00")
    accrued, refusal, hold = await in_one_batch(
        ledger, ledger.accrue(member, "1.00"), refused(ledger.accrue(full, MOST)),
        ledger.hold(member, 600),
    )  # fmt: skip
    assert (accrued.points, refusal.reason, hold.points) == (100, "BALANCE_EXCEEDED", 600)


async def test_two_full_accounts_do_not_become_one(ledger: Ledger, full: str) -> None:
    """PT-12: refused whole."""
    other = f"m-{new_id()}"
    await ledger.accrue(other, MOST)
    request = MergeMembersRequest(
        request_id=new_id(), survivor_member_id=full, merged_member_id=other,
        operator="olga", reason="the same person",
    )  # fmt: skip
    assert (await refused(ledger.stub.MergeMembers(request))).reason == "BALANCE_EXCEEDED"
    assert (await ledger.balance(other)).active == EACH


async def test_a_repeat_of_what_filled_an_account_is_answered_as_the_first(
    ledger: Ledger, full: str
) -> None:
    """PT-07: it would not fit any more, and it is booked already."""
    request = ledger.accrual(full, "10.00")
    first = await ledger.stub.AccruePoints(request)
    assert await ledger.stub.AccruePoints(request) == first
    assert (await ledger.balance(full)).active == 10**18


async def test_what_is_booked_beside_a_refund_that_does_not_fit_is_told_as_booked(
    ledger: Ledger,
) -> None:
    """PT-15: plain accruals of a batch are committed before the rest of it fails."""
    member = f"m-{new_id()}"
    rows = [ledger.accrual(member, MOST) for _ in range(FULL_COUNT - 1)]
    await ledger.stub.BatchAccruePoints(pb.BatchAccruePointsRequest(requests=rows))
    hold = await ledger.hold(member, 5000)
    await ledger.capture(hold)
    await ledger.accrue(member, "55.00")
    before = issued()
    accrued, refusal = await in_one_batch(
        ledger, ledger.accrue(member, MOST), refused(ledger.refund(hold))
    )
    assert (accrued.points, refusal.reason) == (EACH, "BALANCE_EXCEEDED")
    assert (await ledger.balance(member)).active == FULL_COUNT * EACH + 500
    assert issued() - before == pytest.approx(EACH, rel=0.01), "counted once, as a float can"
