"""What Postgres refuses reaches callers as one of our errors."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from house import House
from kit.db import meanwhile, packed_texts
from kit.errors import DatabaseUnavailable


async def test_of_a_deadlock_one_is_undone_and_told_to_try_again(house: House) -> None:
    await house.start("tier")
    database = house.running["tier"].service.database
    both_hold = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with database.transaction() as tx:
            await tx.connection.execute("SELECT pg_advisory_xact_lock($1)", first)
            await both_hold.wait()
            await tx.connection.execute("SELECT pg_advisory_xact_lock($1)", second)

    outcomes = await asyncio.gather(lock(71, 72), lock(72, 71), return_exceptions=True)
    assert sorted(type(outcome) for outcome in outcomes if outcome is not None) == [
        DatabaseUnavailable
    ]


@pytest.mark.parametrize("condition", ["disk_full", "out_of_memory", "too_many_connections"])
async def test_a_database_without_room_is_told_as_one_that_is_away(
    house: House, condition: str
) -> None:
    """SC-05: nothing was done, and it may have room in a while."""
    await house.start("tier")
    database = house.running["tier"].service.database
    with pytest.raises(DatabaseUnavailable) as refusal:
        async with database.transaction() as tx:
            await tx.connection.execute(f"DO $$ BEGIN RAISE {condition}; END $$")
    assert refusal.value.retry_after_ms


CONTROLS = "".join(map(chr, range(1, 0x20)))
ODD = ["\x1f", CONTROLS, "\x1f\x01", "\u1234\x1f", "\U0001f600", " ", "{,}", "NULL"]
ALL_SIGNS = "".join(map(chr, range(1, 0xD800)))


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [""],
        ["", ""],
        ["a", "", "b"],
        ["\x1f"],
        ODD,
        [*ODD, ""],
        [ALL_SIGNS, "behind all of them"],
        random.Random(4).choices([*ODD, "", "plain"], k=500),
    ],
)
async def test_texts_that_go_as_one_come_out_as_they_were(
    house: House, texts: Sequence[str]
) -> None:
    await house.start("tier")
    (row,) = await house.fetch("SELECT tier.split_texts($1)", packed_texts(texts))
    assert row[0] == list(texts)


async def test_what_is_done_meanwhile_may_fail_and_the_connection_goes_on(house: House) -> None:
    await house.start("tier")
    database = house.running["tier"].service.database

    def fail() -> None:
        raise ValueError("no")

    async with database.statements() as tx:
        assert await meanwhile(tx.connection.fetchval("SELECT 1"), lambda: 2) == (1, 2)
        with pytest.raises(ValueError, match="no"):
            await meanwhile(tx.connection.fetchval("SELECT pg_sleep(30)"), fail)
        assert await tx.connection.fetchval("SELECT 3") == 3
