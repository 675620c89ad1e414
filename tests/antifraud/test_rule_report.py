"""What each live rule has picked out, and how right it was by the labels (AF-05)."""

from back_test_lab import LAB_PROGRAM, Lab, numbers, rule
from fraud_desk import ALLOW, DENY, EARLY, LATE, operation

from house import Ground, new_id
from kit.clock import to_timestamp


async def test_a_rule_that_was_changed_stands_once_for_each_form(ground: Ground) -> None:
    """AF-05: by name and versions; what never fired is there with zeros."""
    changed = LAB_PROGRAM.replace("request.amount > 10000", "request.amount > 20000")
    async with ground.house() as house:
        await house.apply(LAB_PROGRAM, effective_time=to_timestamp(EARLY))
        await house.apply(changed, effective_time=to_timestamp(LATE))
        await house.start("antifraud")
        lab = Lab(house).open()
        first = operation(new_id(), amount="10001", at=EARLY)
        second = operation(new_id(), amount="20001", at=LATE)
        third = operation(new_id(), amount="10001", at=LATE)
        assert await lab.actions(first, second, third) == [DENY, DENY, ALLOW]
        await lab.label(second, is_fraud=True)
        await lab.label(third, is_fraud=True)
        report = await lab.report()
    lines = [line for line in report.rules if line.rule == "absurd_purchase"]
    assert [(line.first_version, line.last_version) for line in lines] == [(1, 1), (2, 2)]
    assert [numbers(line.measure) for line in lines] == [(1, 0, 0, 1), (1, 1, 0, 0)]
    assert [line.measure.HasField("recall") for line in lines] == [False, True]
    assert (lines[1].measure.recall, lines[1].recall_of_all) == (0.5, 0.5)
    assert (numbers(report.stopped), report.fraud_count) == ((2, 1, 0, 1), 2)
    watcher = rule(report, "watcher")
    assert (watcher.first_version, watcher.last_version, watcher.shadow) == (1, 2, True)
    assert numbers(watcher.measure) == (0, 0, 0, 0)
