"""PT-10: promotion windows, in which points are worth double, capped per member and day."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.type.money_pb2 import Money
from grpc import StatusCode

from cli.check import run_checks
from house import Ground, House, new_id, refused, usd
from kit.auth import Certificates, load_policy
from kit.client import open_channel
from kit.clock import from_timestamp, to_timestamp
from kit.db import Transaction
from kit.server import start_service
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1 import redemptions_pb2 as quotes
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from points.app import wire
from points_ledger import calm_program, free_address, settled
from points_moving import Counter

CALLS = 20
CAP = 1000
NEW_YORK = ZoneInfo("America/New_York")
TODAY = datetime.now(NEW_YORK).replace(hour=0, minute=0, second=0, microsecond=0)


def promoted_program(cap: int = CAP, factor: str = "2") -> str:
    """Points are worth double these days, and were worth half as much again until 5 days ago."""
    begin, end, early = (
        f"{TODAY + timedelta(days=days):%Y-%m-%d}" for days in (-5, 30, -20)
    )  # fmt: skip
    windows = f"""\
  windows:
    - name: early
      window: {{start: {early}, end: {begin}}}
      factor: 1.5
      member_day_points_max: 300
    - name: double
      window: {{start: {begin}, end: {end}}}
      factor: {factor}
      member_day_points_max: {cap}
"""
    return calm_program(multiplied=False).replace("  points_min: 1", f"{windows}  points_min: 1")


@pytest.fixture(scope="module")
async def fair(ground: Ground) -> AsyncIterator[House]:
    """A house in which points are worth double; at the end `laurel check` looks at all of it."""
    async with ground.house() as house:
        await house.apply(promoted_program())
        await house.start("antifraud", "tier", "points")
        yield house
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


@pytest.fixture
def shop(fair: House) -> Counter:
    """The counter of the house where points are worth double."""
    return Counter(fair)


def cents(money: Money) -> int:
    """Minor units of an amount."""
    return int(money.units) * 100 + int(money.nanos) // 10**7


def redeeming(member: str, points: int, **fields: Any) -> pb.RedeemPointsRequest:
    """A request to spend points at once."""
    fields = {"request_id": new_id(), "order_id": new_id(), **fields}
    return pb.RedeemPointsRequest(member_id=member, points=points, **fields)


async def quote(shop: Counter, member: str, amount: str) -> quotes.QuoteRedemptionResponse:
    """How an order may be paid."""
    request = quotes.QuoteRedemptionRequest(member_id=member, order_amount=usd(amount))
    return await shop.stub.QuoteRedemption(request)


async def left(shop: Counter, member: str) -> int:
    """Points that are still worth more today."""
    return (await quote(shop, member, "1")).window.points_left


async def test_a_quote_tells_what_points_are_worth_and_a_hold_promises_the_same(
    shop: Counter, member: str
) -> None:
    """PT-10: the first 1,000 of the day are worth double; the share of the order is of money."""
    await shop.accrue(member, "9000")
    found = await quote(shop, member, "100")
    # 50.00 may be paid with points: 1,000 pay 20.00 and 3,000 pay 30.00.
    assert (found.points, found.boosted_points, found.points_value) == (4000, CAP, usd("50"))
    assert found.cash == usd("50")
    assert (found.window.name, found.window.factor) == ("double", "2")
    assert (found.window.points_left, found.window.member_day_points_max) == (CAP, CAP)
    assert from_timestamp(found.window.end_time) > datetime.now(UTC)
    [limit] = [one for one in found.limits if one.kind == quotes.REDEMPTION_LIMIT_KIND_WINDOW]
    assert limit.points == CAP
    assert "1000 of them are worth 2 times as much (double)" in found.reason
    request = shop.holding(
        member, found.points, order_amount=usd("100"), expected_value=found.points_value
    )
    held = await shop.stub.HoldPoints(request)
    assert (held.hold.value, held.hold.spent_value) == (usd("50"), usd("0"))
    assert (held.hold.boosted_points, held.hold.promotion_window) == (CAP, "double")
    assert held.transaction.value == usd("50")
    after = await quote(shop, member, "100")
    assert (after.points, after.points_value, after.boosted_points) == (5000, usd("50"), 0)
    assert after.window.points_left == 0


async def test_points_beyond_the_cap_are_worth_the_ordinary_value(
    shop: Counter, member: str
) -> None:
    """PT-10: by hold or at once, what is used of the day is counted together."""
    await shop.accrue(member, "3000")
    first = await shop.hold(member, 600)
    second = (await shop.stub.RedeemPoints(redeeming(member, 600))).hold
    third = await shop.hold(member, 600)
    assert [cents(hold.value) for hold in (first, second, third)] == [1200, 1000, 600]
    assert [hold.boosted_points for hold in (first, second, third)] == [600, 400, 0]
    assert third.promotion_window == ""
    assert second.spent_value == usd("10")


async def test_outside_of_windows_points_are_worth_what_they_always_are(
    shop: Counter, member: str, now: datetime
) -> None:
    """PT-10: and what was worth more in another window is counted on its own."""
    await shop.accrue(member, "3000", at=now - timedelta(days=40))
    times = [to_timestamp(now - timedelta(days=days)) for days in (30, 10, 1)]
    holds = [await shop.hold(member, 400, occurred_time=time) for time in times]
    assert [cents(hold.value) for hold in holds] == [400, 550, 800]
    assert [hold.promotion_window for hold in holds] == ["", "early", "double"]
    assert await left(shop, member) == CAP


async def test_a_day_is_one_of_the_programs_time_zone(shop: Counter, member: str) -> None:
    """PT-10: a minute before midnight in New York and a minute after are two days."""
    await shop.accrue(member, "5000", at=TODAY - timedelta(days=30))
    midnight = TODAY - timedelta(days=2)
    times = [midnight + timedelta(minutes=minutes) for minutes in (-2, -1, 1, 2)]
    worth = [
        cents((await shop.hold(member, 700, occurred_time=to_timestamp(time))).value)
        for time in times
    ]
    assert worth == [1400, 1000, 1400, 1000]


async def test_a_repeated_hold_uses_the_day_once(shop: Counter, member: str) -> None:
    """The stored answer knows its worth, whatever happened since."""
    await shop.accrue(member, "3000")
    request = shop.holding(member, 600)
    answers = await asyncio.gather(*[shop.stub.HoldPoints(request) for _ in range(CALLS)])
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].hold.value == usd("12")
    assert await left(shop, member) == 400
    await shop.hold(member, 600)
    assert await shop.stub.HoldPoints(request) == answers[0]
    [stored, _] = (await shop.transactions(member))[1:]
    assert stored == answers[0].transaction


async def test_twenty_holds_at_once_never_pass_the_cap(shop: Counter, member: str) -> None:
    """PT-10: exact under concurrency, over two processes: to the very point, none above it."""
    await shop.accrue(member, "9000")
    settings = shop.house.settings.model_copy(
        update={"points_addr": free_address(), "points_admin_addr": free_address()}
    )
    second = await start_service("points", wire, settings, load_policy(settings.policy))
    channel = open_channel(settings.points_addr, Certificates.load(settings.cert_dir, "admin"))
    stubs = (shop.stub, PointsServiceStub(channel))
    try:
        won, lost = await settled(
            stubs[number % 2].HoldPoints(shop.holding(member, 70)) for number in range(CALLS)
        )
        assert (len(won), lost) == (CALLS, [])
        assert sum(one.hold.boosted_points for one in won) == CAP
        worth = [cents(one.hold.value) for one in won]
        assert sum(worth) == CALLS * 70 + CAP
        assert sorted(worth) == [70] * 5 + [90] + [140] * 14
        # Released at once by either process, all of it is there again.
        await asyncio.gather(
            *(
                stubs[number % 2].ReleaseHold(
                    pb.ReleaseHoldRequest(request_id=new_id(), hold_id=one.hold.hold_id)
                )
                for number, one in enumerate(won)
            )
        )
        assert await left(shop, member) == CAP
    finally:
        await channel.close()
        await second.stop()


async def test_a_hold_that_would_be_worth_something_else_is_refused_and_uses_nothing(
    shop: Counter, member: str
) -> None:
    """PT-10: whoever counts on a value gets it or a refusal."""
    await shop.accrue(member, "3000")
    await shop.hold(member, 900)
    expected = {"expected_value": usd("6"), "order_amount": usd("100")}
    for call in (
        shop.hold(member, 300, **expected),
        shop.stub.RedeemPoints(redeeming(member, 300, **expected)),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (
            StatusCode.FAILED_PRECONDITION,
            "POINTS_VALUE_CHANGED",
        )
        assert refusal.metadata == {"points": "300", "value": "4 USD", "expected": "6 USD"}
    # Not for more than was counted on, either.
    assert (await refused(shop.hold(member, 300, expected_value=usd("3")))).reason == (
        "POINTS_VALUE_CHANGED"
    )
    assert await left(shop, member) == 100
    assert (await shop.hold(member, 300, expected_value=usd("4"))).value == usd("4")
    foreign = shop.hold(member, 1, expected_value=Money(currency_code="EUR", units=1))
    assert (await refused(foreign)).reason == "CURRENCY_MISMATCH"


async def test_points_that_are_worth_more_pay_no_more_than_the_share_of_the_order(
    shop: Counter, member: str
) -> None:
    """PT-10: half of 10.00 are 250 points at double value, and 500 once the day is used up."""
    await shop.accrue(member, "3000")
    order = usd("10")
    refusal = await refused(shop.hold(member, 251, order_amount=order))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "POINTS_ABOVE_SHARE")
    assert refusal.metadata["points_max"] == "250"
    assert await left(shop, member) == CAP
    assert (await shop.hold(member, 250, order_amount=order)).value == usd("5")
    await shop.hold(member, 750)
    assert (await shop.hold(member, 500, order_amount=order)).value == usd("5")


async def test_what_is_released_or_times_out_gives_its_part_of_the_day_back(
    shop: Counter, member: str
) -> None:
    """PT-10: points of the ordinary value are released first."""
    await shop.accrue(member, "5000")
    hold = await shop.hold(member, 1500)
    part = await shop.capture(hold, 300, release_rest=True)
    assert (part.transaction.value, part.hold.spent_value) == (usd("6"), usd("6"))
    assert part.hold.value == usd("25")
    assert await left(shop, member) == 700
    released = await shop.release(await shop.hold(member, 800))
    assert released.transaction.value == usd("15")
    assert await left(shop, member) == 700
    await shop.hold(member, 800)
    assert await left(shop, member) == 0
    await shop.run_expiry(datetime.now(UTC) + timedelta(hours=1))
    assert await left(shop, member) == 700


async def test_captures_in_parts_add_up_to_what_the_hold_promised(
    shop: Counter, member: str
) -> None:
    """PT-10: what is worth more is spent first; refunds give it back last, and to the cent."""
    await shop.accrue(member, "5000")
    hold = await shop.hold(member, 1601)
    assert hold.value == usd("26.01")
    captured = [await shop.capture(hold, points) for points in (333, 800, 468)]
    assert [cents(one.transaction.value) for one in captured] == [666, 1467, 468]
    assert captured[-1].hold.spent_value == hold.value
    refunds = [await shop.refund(hold, points) for points in (468, 500, 633)]
    assert [cents(one.transaction.value) for one in refunds] == [468, 867, 1266]
    assert sum(cents(one.transaction.value) for one in refunds) == cents(hold.value)
    assert refunds[-1].hold.spent_value == usd("0")
    assert await left(shop, member) == CAP


async def test_a_refund_gives_back_what_it_takes_from_the_day(shop: Counter, member: str) -> None:
    """PT-10: and what is captured after a refund is worth what was promised for it."""
    await shop.accrue(member, "5000")
    hold = await shop.hold(member, 1500)
    await shop.capture(hold, 400)
    refunded = await shop.refund(hold, 400)
    assert refunded.transaction.value == usd("8")
    assert await left(shop, member) == 0
    rest = await shop.capture(hold)
    assert (rest.transaction.value, rest.hold.spent_value) == (usd("21"), usd("21"))
    assert await left(shop, member) == 0
    half = await shop.refund(hold, 600)
    assert half.transaction.value == usd("11")
    assert (half.hold.spent_value, await left(shop, member)) == (usd("10"), 500)


async def test_what_comes_back_at_once_is_counted_once(shop: Counter, member: str) -> None:
    """Twenty refunds of one hold, twenty holds beside them."""
    await shop.accrue(member, "9000")
    spent = (await shop.stub.RedeemPoints(redeeming(member, CAP))).hold
    calls = [shop.refund(spent, 50) for _ in range(CALLS)]
    holds = [shop.hold(member, 50) for _ in range(CALLS)]
    await asyncio.gather(*calls, *holds)
    rows = await shop.house.fetch(
        "SELECT points FROM points.promotion_use WHERE member_id = $1", member
    )
    shown = await shop.house.fetch(
        "SELECT sum(least(window_points, points - released - refunded)) AS points "
        "FROM points.hold WHERE window_member_id = $1",
        member,
    )
    assert [row["points"] for row in rows] == [row["points"] for row in shown]
    assert rows[0]["points"] <= CAP


async def test_holds_of_a_pool_use_the_day_of_the_member_who_spends(
    shop: Counter, member: str
) -> None:
    """PT-10, PT-17: a pool is no second cap; the hold is released without the member's account."""
    await shop.accrue(member, "3000")
    home = await shop.found(member)
    await shop.contribute(home, member, 1500)
    partner = f"m-{new_id()}"
    await shop.join(home, partner)
    await shop.hold(member, 700)
    held = await shop.hold_pool(home, member, 600, expected_value=usd("9"))
    assert (held.hold.value, held.hold.boosted_points) == (usd("9"), 300)
    theirs = await shop.hold_pool(home, partner, 600)
    assert theirs.hold.value == usd("12")
    too_much = shop.hold_pool(home, member, 100, expected_value=usd("2"))
    assert (await refused(too_much)).reason == "POINTS_VALUE_CHANGED"
    captured = await shop.capture(held.hold, 400, release_rest=True)
    assert captured.transaction.value == usd("7")
    assert await left(shop, member) == 0
    await shop.refund(held.hold, 250)
    assert (await left(shop, member), await left(shop, partner)) == (150, 400)


async def test_what_a_merge_moves_stays_counted_for_who_had_it(shop: Counter, member: str) -> None:
    """PT-12: holds go to the survivor with their worth; each account has a day of its own."""
    other = f"m-{new_id()}"
    await shop.accrue(member, "3000")
    await shop.accrue(other, "3000")
    hold = await shop.hold(other, 800)
    merge = await shop.merge(member, other)
    assert await left(shop, member) == CAP
    captured = await shop.capture(hold, 500)
    assert captured.transaction.value == usd("10")
    await shop.undo(merge)
    await shop.refund(hold, 500)
    assert (await left(shop, member), await left(shop, other)) == (CAP, 700)


async def test_a_later_program_changes_no_promise(ground: Ground, member: str) -> None:
    """PT-10: a hold is worth what its version said; the cap of the newest one is for new holds."""
    async with ground.house() as house:
        await house.apply(promoted_program())
        await house.start("antifraud", "tier", "points")
        shop = Counter(house)
        await shop.accrue(member, "9000")
        hold = await shop.hold(member, 800)
        await house.apply(promoted_program(cap=500, factor="3"))
        await house.settle()
        assert (await shop.capture(hold, 300)).transaction.value == usd("6")
        assert (await shop.hold(member, 100)).value == usd("1")
        assert (await shop.capture(hold, release_rest=True)).hold.spent_value == usd("16")
        await shop.refund(hold, 700)
        again = await shop.hold(member, 500, expected_value=usd("13"))
        assert again.boosted_points == 400
        assert not [o for o in await run_checks(house.settings.database_url) if o.violations]


async def test_without_a_window_a_hold_makes_no_statement_more(
    shop: Counter, calm: House, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PT-10: what promotions need is read and written in a window only."""
    made: list[str] = []
    for name in ("fetch", "execute", "fetchval", "fetchrow"):
        monkeypatch.setattr(Transaction, name, _noted(getattr(Transaction, name), made))
    plain, ordinary = Counter(calm), f"m-{new_id()}"
    for counter, one in ((plain, ordinary), (shop, member)):
        await counter.accrue(one, "100")
        made.clear()
        await counter.release(await counter.hold(one, 50))
        promotions = {name for name in made if "promotion" in name}
        assert promotions == (set() if counter is plain else PROMOTION_STATEMENTS)


PROMOTION_STATEMENTS = {"load_promotion_uses", "upsert_promotion_uses"}


def _noted(method: Any, made: list[str]) -> Any:
    async def call(self: Transaction, name: str, *values: object) -> Any:
        made.append(name)
        return await method(self, name, *values)

    return call
