"""What is known of the caller ends with a quote that nobody authorised (CK-01)."""

from importlib.resources import files

from checkout_shop import CANCELLED, QUOTED, Shop, cart

from house import refused


async def test_a_quote_that_nobody_authorised_forgets_where_it_came_from(
    shop: Shop, member: str
) -> None:
    """Nobody needs the member's address any more; whoever comes late is told why."""
    await shop.earn(member, "90")
    quoted = await shop.quote(member, cart((1, "10")), points=500)
    await shop.sweep(minutes=14)
    assert await shop.knows_origin(quoted)
    await shop.time_out(quoted)
    await shop.sweep(minutes=16)
    assert not await shop.knows_origin(quoted)
    assert (await shop.get(quoted)).state == QUOTED
    assert (await refused(shop.authorize(quoted))).reason == "QUOTE_EXPIRED"
    assert (await shop.cancel(quoted)).state == CANCELLED


async def test_quotes_from_before_they_were_swept_are_forgotten_by_the_migration(
    shop: Shop, member: str
) -> None:
    expired, live = [await shop.quote(member, cart((1, "10"))) for _ in range(2)]
    await shop.time_out(expired)
    ids = [expired.checkout_id, live.checkout_id]
    unswept = "UPDATE checkout.checkout SET sweep_time = NULL WHERE checkout_id = ANY($1::uuid[])"
    await shop.house.fetch(unswept, ids)
    sql = files("checkout").joinpath("migrations/021_expired_quotes.sql").read_text()
    for statement in sql.split(";\n")[:-1]:
        await shop.house.fetch(statement.replace("UPDATE checkout", "UPDATE checkout.checkout"))
    assert not await shop.knows_origin(expired)
    assert await shop.knows_origin(live)
    assert (await refused(shop.authorize(expired))).reason == "QUOTE_EXPIRED"
    await shop.sweep(minutes=16)
    assert not await shop.knows_origin(live)
