"""Profiles of members and gifts between them in Postgres."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from antifraud.gifts import LOOKED_AT_MAX, STEPS_MAX, WINDOW_US, Gift
from antifraud.profile import Profile, profile_of, state_of
from antifraud.profiles import Profiles, profiles_of
from antifraud.values import Asked
from kit.clock import Clock
from kit.db import Database, Transaction

# Of one member, as many gifts given and received are looked at.
GIFTS_PER_MEMBER_MAX = 256
# What a batch looks at, at most, is so much for each of its gifts above what one search does.
LOOKED_AT_MORE = 20
PRUNE_PAGE = 2000
# The window, and a day for what is late.
GIFT_AGE = timedelta(microseconds=WINDOW_US, days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Change = tuple[str, Callable[[Profile], None]]
"""A member, and what is to be noted of them."""


async def open_profiles(tx: Transaction, asked: Sequence[Asked], now: datetime) -> Profiles | None:
    """The members of a batch, locked; None where no rule on its operations reads of them."""
    profiles = profiles_of(asked)
    if profiles is None:
        return None
    profiles.load(await _lock(tx, profiles.member_ids(), now))
    if profiles.gifts():
        await _load_gifts(tx, profiles)
    return profiles


async def _load_gifts(tx: Transaction, profiles: Profiles) -> None:
    """What the receivers were given, and where their gifts lead, a step at a time."""
    gifts = profiles.gifts()
    since = time_of(min(gift.last_us for gift in gifts) - WINDOW_US)
    receivers = sorted({gift.receiver for gift in gifts})
    received = await tx.fetch("gifts_received", receivers, since, GIFTS_PER_MEMBER_MAX)
    profiles.load_gifts(_gift(row) for row in received)
    left = LOOKED_AT_MAX + LOOKED_AT_MORE * len(gifts)
    seen, following = set(receivers), receivers
    for _ in range(STEPS_MAX):
        rows = await tx.fetch("gifts_given", following, since, GIFTS_PER_MEMBER_MAX, left)
        profiles.load_gifts(_gift(row) for row in rows)
        left -= len(rows)
        following = sorted({row[1] for row in rows} - seen)
        if not following or left <= 0:
            break
        seen.update(following)


async def close_profiles(tx: Transaction, profiles: Profiles) -> None:
    """Keeps what a batch has changed."""
    await _save(tx, profiles.changed())
    gifts = profiles.added_gifts()
    if gifts:
        givers, receivers, times = zip(*gifts, strict=True)
        times = tuple(time_of(at) for at in times)
        await tx.execute("add_gifts", list(givers), list(receivers), list(times))


async def change_profiles(tx: Transaction, changes: Sequence[Change], now: datetime) -> int:
    """Notes changes in the order given; of how many members they told something new."""
    known = dict(await _lock(tx, sorted({member_id for member_id, _ in changes}), now))
    before = {member_id: _packed(profile) for member_id, profile in known.items()}
    for member_id, change in changes:
        change(known[member_id])
    changed = [(m, profile) for m, profile in known.items() if _packed(profile) != before[m]]
    await _save(tx, changed)
    return len(changed)


class ProfileStore:
    """Notes what others tell of members."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def now(self) -> datetime:
        """The time."""
        return self._clock()

    async def report(self, changes: Sequence[Change]) -> int:
        """Notes changes; of how many members they told something new."""
        async with self._database.transaction() as tx:
            return await change_profiles(tx, changes, self._clock())

    async def prune(self) -> None:
        """Forgets gifts that no rule looks at any more, in small steps."""
        last: tuple[str, str] | None = ("", "")
        old = self._clock() - GIFT_AGE
        while last is not None:
            async with self._database.transaction() as tx:
                row = await tx.fetchrow("prune_gifts", *last, old, PRUNE_PAGE)
            last = (row[0], row[1]) if row is not None else None


def _gift(row: Any) -> Gift:
    return Gift(row[0], row[1], micros_of(row[2]))


async def _lock(
    tx: Transaction, member_ids: Sequence[str], now: datetime
) -> list[tuple[str, Profile]]:
    rows = await tx.fetch("lock_profiles", member_ids, now)
    return [(row[0], profile_of(row[1])) for row in rows]


async def _save(tx: Transaction, changed: Sequence[tuple[str, Profile]]) -> None:
    if changed:
        states = [_packed(profile).decode() for _, profile in changed]
        await tx.execute("save_profiles", [member_id for member_id, _ in changed], states)


def _packed(profile: Profile) -> bytes:
    return orjson.dumps(state_of(profile))


def time_of(at_us: int) -> datetime:
    """The instant of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=at_us)


def micros_of(instant: datetime) -> int:
    """Microseconds since 1970."""
    return (instant - EPOCH) // timedelta(microseconds=1)
