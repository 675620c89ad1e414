"""Migrations that run outside of a transaction can be interrupted, and run by several at once."""

import asyncio

import asyncpg

from house import Ground
from kit.migrate import bootstrap

INDEXES = """
SELECT c.relname, pg_get_indexdef(c.oid) AS sql, i.indisvalid
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = 'points.lot'::regclass AND c.relname LIKE 'lot_due%'
"""


async def test_an_index_of_a_large_table_is_made_again_after_an_interruption(
    ground: Ground,
) -> None:
    """Whatever an interrupted migration left, the next run of it ends with the same index."""
    async with ground.house() as house:
        [index] = await house.fetch(INDEXES)
        assert index["indisvalid"]
        assert "(due_time, lot_id)" in index["sql"]
        await house.fetch("DROP INDEX points.lot_due_order")
        await house.fetch("CREATE INDEX lot_due ON points.lot (due_time)")
        await house.fetch("CREATE INDEX lot_due_order ON points.lot (points)")
        await house.fetch("DELETE FROM laurel.migration WHERE name LIKE '%due_lots_in_order%'")
        assert len(await bootstrap(house.settings.database_url)) == 1
        assert await house.fetch(INDEXES) == [index]


async def test_those_who_migrate_at_once_wait_for_one_another(ground: Ground) -> None:
    """An index that is made concurrently does not wait for those who wait for their turn."""
    assert ground.postgres is not None
    connection = await asyncpg.connect(ground.postgres.url)
    await connection.execute("CREATE DATABASE at_once")
    await connection.close()
    url = ground.postgres.url.rpartition("/")[0] + "/at_once"
    ran = await asyncio.gather(*(bootstrap(url) for _ in range(4)))
    assert sorted(map(bool, ran)) == [False, False, False, True]
