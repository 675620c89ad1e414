"""Gifts between members (AF-02): many senders to one, and rings."""

from asyncio import gather
from collections.abc import Iterable
from datetime import timedelta

import pytest
from fraud_desk import ALLOW, DENY, NOON
from member_desk import (
    DAY,
    HOUR,
    MemberDesk,
    gift,
)

from antifraud.gifts import LOOKED_AT_MAX, Gift
from antifraud.profile_store import GIFTS_PER_MEMBER_MAX, LOOKED_AT_MORE
from antifraud.profiles import Profiles
from house import new_id
from kit.clock import make_clock


async def ring_of(booth: MemberDesk, number: int, step: float = HOUR) -> list[int]:
    """What is done with the gifts of a ring, the last of which closes it."""
    members = [new_id() for _ in range(number)]
    pairs = zip(members, [*members[1:], members[0]], strict=True)
    actions = []
    for index, (giver, receiver) in enumerate(pairs):
        actions += await booth.actions(gift(giver, receiver, index * step))
    return actions


@pytest.mark.parametrize("number", [2, 3, 4, 5])
async def test_a_gift_that_closes_a_small_ring_is_found(booth: MemberDesk, number: int) -> None:
    assert await ring_of(booth, number) == [ALLOW] * (number - 1) + [DENY]


async def test_a_ring_of_six_and_one_that_takes_longer_are_not_found(
    booth: MemberDesk,
) -> None:
    assert await ring_of(booth, 6) == [ALLOW] * 6
    assert await ring_of(booth, 3, 16 * DAY) == [ALLOW] * 3


async def test_a_ring_within_one_batch_is_found(booth: MemberDesk) -> None:
    a, b, c, d = [new_id() for _ in range(4)]
    assert await booth.actions(gift(a, b)) == [ALLOW]
    assert await booth.actions(gift(c, d), gift(b, c), gift(d, a), gift(d, new_id())) == [
        ALLOW, ALLOW, DENY, ALLOW,
    ]  # fmt: skip


async def test_racing_gifts_to_each_other_see_each_other(booth: MemberDesk) -> None:
    for _ in range(10):
        a, b, c = [new_id() for _ in range(3)]
        actions = await gather(*[booth.actions(gift(*pair)) for pair in ((a, b), (b, c), (c, a))])
        assert sorted(actions) == [[ALLOW], [ALLOW], [DENY]]


async def test_senders_are_counted_once_each_and_for_30_days(booth: MemberDesk) -> None:
    collector = new_id()
    givers = [new_id() for _ in range(6)]
    before = [gift(one, collector) for one in (*givers[:5], givers[0])]
    assert await booth.actions(*before) == [ALLOW] * 6
    assert await booth.actions(gift(givers[5], collector)) == [DENY]
    seen = await booth.see(gift(givers[0], collector, 20 * DAY))
    assert seen["gifts.senders"] == "5"
    seen = await booth.see(gift(givers[1], collector, 31 * DAY))
    assert seen["gifts.senders"] == "2"


async def test_racing_gifts_to_one_member_count_exactly(booth: MemberDesk) -> None:
    collector = new_id()
    calls = [booth.actions(gift(new_id(), collector)) for _ in range(20)]
    answers = [action for answer in await gather(*calls) for action in answer]
    assert (answers.count(ALLOW), answers.count(DENY)) == (5, 15)


async def test_a_search_among_many_gifts_ends(booth: MemberDesk, member: str) -> None:
    """AF-02: of what a hub gave to 300, each of whom gave to 100, a bounded part is looked at."""
    await booth.house.fetch(
        """
        INSERT INTO antifraud.gift (giver, receiver, last_time)
        SELECT 'hub', 'n-' || n, $1::timestamptz FROM generate_series(1, 300) AS n
        UNION ALL
        SELECT 'n-' || n, 'far-' || n % 3 || '-' || m, $1::timestamptz
        FROM generate_series(1, 300) AS n, generate_series(1, 100) AS m
        """,
        NOON,
    )
    loaded: list[int] = []
    load = Profiles.load_gifts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Profiles, "load_gifts",
            lambda self, gifts: load(self, count_into(loaded, gifts)),
        )  # fmt: skip
        assert await booth.actions(gift(member, "hub")) == [ALLOW]
    assert GIFTS_PER_MEMBER_MAX < sum(loaded) <= LOOKED_AT_MAX + LOOKED_AT_MORE
    await booth.house.fetch("DELETE FROM antifraud.gift WHERE giver = 'hub' OR giver LIKE 'n-%'")


def count_into(loaded: list[int], gifts: Iterable[Gift]) -> list[Gift]:
    """The gifts, of which the number is noted."""
    found = list(gifts)
    loaded.append(len(found))
    return found


async def test_old_gifts_are_forgotten(booth: MemberDesk, member: str) -> None:
    """AF-02: the table keeps what a window reaches, and a day more."""
    now = make_clock(None)()
    for days in (29, 32):
        await booth.assess(gift(member, f"{member}-{days}", at=now - timedelta(days=days)))
    schedules = booth.house.running["antifraud"].service.schedules
    await next(one for one in schedules if one.name == "prune_gifts").run()
    rows = await booth.house.fetch("SELECT receiver FROM antifraud.gift WHERE giver = $1", member)
    assert [row["receiver"] for row in rows] == [f"{member}-29"]
