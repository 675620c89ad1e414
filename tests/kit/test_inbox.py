"""The inbox forgets, in bounded steps, what the broker could not deliver again."""

from house import House
from kit.events import PRUNE_ROWS, Listener


async def test_old_messages_are_forgotten_and_recent_ones_kept(house: House) -> None:
    """More than one step of old rows go; a message of an hour ago still counts as handled."""
    await house.start("tier")
    running = house.running["tier"]
    assert running.service.consumer is not None
    assert running.broker is not None
    await house.fetch(
        "INSERT INTO tier.inbox (batch_id, handle_time)"
        " SELECT gen_random_uuid(), now() - interval '40 days' FROM generate_series(1, $1::int)",
        PRUNE_ROWS + 5,
    )
    recent = await house.fetch(
        "INSERT INTO tier.inbox (batch_id, handle_time)"
        " VALUES (gen_random_uuid(), now() - interval '1 hour') RETURNING batch_id"
    )
    service = running.service
    await Listener("tier", service.consumer, service.database, running.broker).prune()
    old = await house.fetch(
        "SELECT 1 FROM tier.inbox WHERE handle_time < now() - interval '28 days'"
    )
    kept = await house.fetch("SELECT 1 FROM tier.inbox WHERE batch_id = $1", recent[0]["batch_id"])
    assert (len(old), len(kept)) == (0, 1)
