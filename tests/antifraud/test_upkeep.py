"""The program arrives by itself, and idle keys leave."""

from asyncio import gather

from fraud_desk import ALLOW, DENY, EARLY_RULES, RULES, Desk, operation, program_with
from grpc import StatusCode

from house import Ground, new_id, refused


async def test_the_program_is_found_at_the_first_call_and_followed(ground: Ground) -> None:
    """PG-02: NO_PROGRAM only while there is none; a new version decides once it was heard of."""
    async with ground.house() as house:
        await house.start("antifraud")
        desk = Desk(house)
        alone = await refused(desk.assess(operation("m-1")))
        assert (alone.code, alone.reason) == (StatusCode.UNAVAILABLE, "PROGRAM_UNAVAILABLE")
        await house.start("program")
        empty = await refused(desk.assess(operation("m-1")))
        assert (empty.code, empty.reason) == (StatusCode.FAILED_PRECONDITION, "NO_PROGRAM")
        await house.apply(program_with(RULES))
        answers = await gather(*[desk.actions(operation(f"m-{n}")) for n in range(20)])
        assert answers == [[ALLOW]] * 20
        await house.apply(program_with(EARLY_RULES), effective_time=operation("").occurred_time)
        await house.settle()
        [decision] = await desk.assess(operation("m-2"))
        assert (decision.action, decision.program_version) == (DENY, 2)


async def test_keys_that_no_window_reaches_are_forgotten(desk: Desk) -> None:
    """Idle for longer than the longest window; what is in use stays."""
    idle, busy = new_id(), new_id()
    await desk.assess(operation(idle), operation(busy))
    await desk.house.fetch(
        "UPDATE antifraud.velocity SET write_time = now() - interval '92 days' WHERE key = $1", idle
    )
    schedules = desk.house.running["antifraud"].service.schedules
    [schedule] = [one for one in schedules if one.name == "prune_velocity"]
    await schedule.run()
    rows = await desk.house.fetch(
        "SELECT key FROM antifraud.velocity WHERE key = ANY($1)", [idle, busy]
    )
    assert [row["key"] for row in rows] == [busy]
    assert await desk.actions(operation(idle)) == [ALLOW]
