"""PT-06: points end by the policy of the rule that gave them, or of the program: at the end of the
year, after some months, or never. Each is booked by RunExpiry at its end, and not before.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from accrual_programs import local, text_of
from house import Ground, House
from kit.clock import from_timestamp, make_clock, to_timestamp
from laurel.points.v1 import points_service_pb2 as pb
from points_earning import Earner
from points_ledger import events_of

RULES = """\
  rules:
    - {name: spend, points_per_unit: 1}
    - {name: extra, fixed_points: 5, expiry: {year_end: same_year}}
    - {name: visit, event: visit, fixed_points: 10, expiry: {rolling_months: 1}}
    - {name: review, event: review, fixed_points: 20, expiry: {year_end: next_year}}
    - {name: survey, event: survey, fixed_points: 40, expiry: {never: true}}
    - {name: late, event: late, fixed_points: 7, pending_days: 14, expiry: {year_end: same_year}}
"""
PLAIN = "  rules: [{name: spend, points_per_unit: 1}]\n"
ROLLING = "rolling_months: 12  "
NEW_YEARS_EVE = local("2025-12-31 23:30")  # in UTC the new year has begun
SECOND = timedelta(seconds=1)


def program(rules: str, policy: str) -> str:
    """A program of rules, patient with a busy machine; its points end as the policy says."""
    text = text_of(rules, pending_days=0).replace("deadline_ms: 500", "deadline_ms: 5000")
    assert ROLLING in text
    return text.replace(ROLLING, f"{policy}  ")


@pytest.fixture(scope="module")
async def house(ground: Ground) -> AsyncIterator[House]:
    """A house of New Year's Eve: in May points ended with the year, in June never."""
    versions = {
        "2025-05-01": program(PLAIN, "policy: {year_end: same_year}"),
        "2025-06-01": program(PLAIN, "policy: {never: true}"),
        "2025-07-01": program(PLAIN, "policy: {year_end: next_year}"),
        "2025-12-01": program(RULES, "rolling_months: 12"),
    }
    async with ground.house() as house:
        house.clock = make_clock(local("2025-12-31 23:30"))
        for day, text in versions.items():
            await house.apply(text, effective_time=to_timestamp(local(f"{day} 00:00")))
        await house.start("antifraud", "tier", "points")
        yield house


@pytest.fixture
def earner(house: House) -> Earner:
    return Earner(house)


def ends(accrual: pb.Transaction) -> list[datetime | None]:
    """When each lot of an accrual ends."""
    return [
        from_timestamp(move.expire_time) if move.HasField("expire_time") else None
        for move in accrual.lot_movements
    ]


async def left_after(earner: Earner, member: str, at: datetime) -> int:
    """What a member has once everything is booked that has ended by an instant."""
    await earner.run_expiry(at)
    return (await earner.balance(member)).active


async def test_pt_06_points_end_by_the_policy_of_the_rule_that_gave_them(
    earner: Earner, member: str
) -> None:
    bought = await earner.buy(member, "80", NEW_YEARS_EVE)
    done = [
        await earner.do(member, event, NEW_YEARS_EVE) for event in ("visit", "review", "survey")
    ]
    midnight, a_year_on = local("2026-01-01 00:00"), local("2026-12-31 23:30")
    a_month_on, two_midnights_on = local("2026-01-31 23:30"), local("2027-01-01 00:00")
    assert ends(bought) == [a_year_on, midnight]
    assert [ends(one) for one in done] == [[a_month_on], [two_midnights_on], [None]]
    left = [
        (await left_after(earner, member, end - SECOND), await left_after(earner, member, end))
        for end in (midnight, a_month_on, a_year_on, two_midnights_on)
    ]
    assert left == [(155, 150), (150, 140), (140, 60), (60, 40)]
    assert await left_after(earner, member, local("2199-12-31 12:00")) == 40
    told = await events_of(earner.house, "points_expired", member)
    assert {(e.points_expired.points, from_timestamp(e.occurred_time)) for e in told} == {
        (5, midnight), (10, a_month_on), (80, a_year_on), (20, two_midnights_on),
    }  # fmt: skip


async def test_pt_06_points_whose_end_comes_before_they_are_active_end_at_their_end(
    earner: Earner, member: str
) -> None:
    """The return window is longer than what is left of the year: nobody waits for it."""
    done = await earner.do(member, "late", NEW_YEARS_EVE)
    [end] = ends(done)
    assert end == local("2026-01-01 00:00")
    await earner.run_expiry(end - SECOND)
    assert await earner.balance(member) == pb.Balance(pending=7)
    await earner.run_expiry(end)
    assert await earner.balance(member) == pb.Balance()
    await earner.run_maturation(local("2026-02-01 00:00"))
    assert [one.kind for one in await earner.transactions(member)] == [
        pb.TRANSACTION_KIND_ACCRUAL,
        pb.TRANSACTION_KIND_EXPIRY,
    ]


@pytest.mark.parametrize(
    ("month", "end"), [(5, "2026-01-01 00:00"), (7, "2027-01-01 00:00"), (6, None)]
)
async def test_pt_06_points_end_with_the_year_or_never_as_the_program_then_said(
    earner: Earner, member: str, month: int, end: str | None
) -> None:
    bought = await earner.accrue(member, "30", local(f"2025-{month:02}-15 12:00"))
    assert ends(bought) == [local(end) if end else None]
    if end:
        assert await left_after(earner, member, local(end) - SECOND) == 30
        assert await left_after(earner, member, local(end)) == 0
    else:
        assert await left_after(earner, member, local("2199-12-31 12:00")) == 30
