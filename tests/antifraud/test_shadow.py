"""A shadow rule is evaluated and recorded, and decides nothing (AF-05)."""

import asyncpg
from back_test_lab import LAB_PROGRAM, Lab
from fraud_desk import ALLOW, DENY, REVIEW, operation
from prometheus_client import REGISTRY

from cli.check import run_checks, run_on
from house import Ground, new_id
from laurel.antifraud.v1 import antifraud_service_pb2 as pb


def hits(kind: str, rule: str) -> float:
    """What a metric counts of a rule."""
    return REGISTRY.get_sample_value(f"laurel_antifraud_{kind}_hits_total", {"rule": rule}) or 0


async def fired(lab: Lab, member: str) -> list[pb.FiredRule]:
    """The rules that fired on the member's newest operation."""
    return list((await lab.list(member, page_size=1)).assessments[0].fired_rules)


async def test_a_shadow_rule_that_fires_is_recorded_and_decides_nothing(
    lab: Lab, member: str
) -> None:
    """AF-05: neither its action nor its score counts."""
    [decision] = await lab.assess(operation(member, channel="kiosk"))
    assert (decision.action, decision.score) == (ALLOW, 0)
    [watched] = await fired(lab, member)
    assert (watched.rule, watched.action, watched.score) == ("watcher", DENY, 700)
    assert watched.shadow
    assert watched.facts == {"request.channel": "kiosk"}


async def test_beside_a_shadow_rule_the_others_decide(lab: Lab, member: str) -> None:
    await lab.assess(*[operation(member) for _ in range(3)])
    [decision] = await lab.assess(operation(member, channel="kiosk"))
    assert (decision.action, decision.score) == (REVIEW, 200)
    assert [(one.rule, one.shadow) for one in await fired(lab, member)] == [
        ("many_purchases", False),
        ("watcher", True),
    ]


async def test_a_repeat_keeps_what_the_shadow_rule_said_and_counts_once(
    lab: Lab, member: str
) -> None:
    before, live = hits("shadow", "watcher"), hits("rule", "watcher")
    once = operation(member, channel="kiosk")
    assert await lab.assess(once) == await lab.assess(once)
    assert len((await lab.list(member)).assessments) == 1
    assert (hits("shadow", "watcher"), hits("rule", "watcher")) == (before + 1, live)


async def test_the_counters_of_a_shadow_rule_are_kept(ground: Ground) -> None:
    """AF-05: it sees what it would see, were it to decide."""
    watching = LAB_PROGRAM.replace("request.channel == 'kiosk'", "velocity.card_1h.count > 1")
    async with ground.house() as house:
        await house.apply(watching)
        await house.start("antifraud")
        lab, card = Lab(house).open(), new_id()
        last = operation(new_id(), card=card, at=lab.opened)
        first = operation(new_id(), card=card, at=lab.opened)
        assert await lab.actions(first, last) == [ALLOW, ALLOW]
        [watched] = await fired(lab, last.member_id)
        assert watched.facts == {"velocity.card_1h.count": "2"}


async def test_the_invariants_hold_with_shadow_rules(lab: Lab, member: str) -> None:
    """The strictest rule that decides, and the sum of those that count."""
    await lab.assess(
        operation(member, channel="kiosk"),
        operation(member, channel="kiosk", amount="20000"),
    )
    outcomes = await run_checks(lab.house.settings.database_url)
    assert [one for one in outcomes if one.violations] == []


async def test_a_shadow_rule_that_had_decided_would_break_the_invariants(
    lab: Lab, member: str
) -> None:
    await lab.assess(operation(member, channel="kiosk"))
    connection = await asyncpg.connect(lab.house.settings.database_url)
    changes = connection.transaction()
    await changes.start()
    await connection.execute(
        "UPDATE antifraud.assessment SET action = 3, score = 700 WHERE member_id = $1", member
    )
    broken = {one.check.title for one in await run_on(connection) if one.violations}
    await changes.rollback()
    await connection.close()
    assert broken == {
        "the strictest rule that fired decides, and none means allow",
        "a score is the sum of the rules that fired, 1,000 at most",
    }
