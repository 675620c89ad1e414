"""What Postgres refuses reaches callers as one of our errors."""

import asyncio

from house import House
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
