"""Each rule of the sample program fires on what it is for, and spares what looks alike (AF-02)."""

from collections.abc import AsyncIterator

import pytest
import tales_of_accounts
import tales_of_earning
from tale import CASES, Tale, Teller

from house import SAMPLE, Ground, House
from rules.document import load
from scenarios.driver import ALLOW, Driver, Verdict
from scenarios.playing import fired_rules, open_desk

assert tales_of_earning
assert tales_of_accounts


@pytest.fixture(scope="module")
async def default_house(ground: Ground) -> AsyncIterator[House]:
    """Anti-fraud with the sample program."""
    async with ground.house() as house:
        await open_desk(house)
        yield house


def cases(*, fires: bool) -> list[tuple[str, Teller]]:
    """The tales that make their rule fire, or those that do not."""
    return [(rule, teller) for (rule, _, fired), teller in CASES.items() if fired == fires]


async def last(house: House, teller: Teller) -> tuple[Verdict, list[str]]:
    """The verdict on the last deed of a tale, and the rules that fired."""
    tale = Tale()
    teller(tale)
    verdicts = await Driver(house).play(tale.told)
    fired = await fired_rules(house, verdicts[-1:])
    return verdicts[-1], [name for _, names in fired for name in names]


def titles(found: list[tuple[str, Teller]]) -> list[str]:
    """How tests are named."""
    return [f"{rule}-{teller.__name__}" for rule, teller in found]


@pytest.mark.parametrize(("rule", "teller"), cases(fires=True), ids=titles(cases(fires=True)))
async def test_a_default_rule_fires(default_house: House, rule: str, teller: Teller) -> None:
    """AF-02: and what it fires on does not pass."""
    verdict, fired = await last(default_house, teller)
    assert rule in fired
    assert verdict.action != ALLOW


@pytest.mark.parametrize(("rule", "teller"), cases(fires=False), ids=titles(cases(fires=False)))
async def test_a_default_rule_spares_what_looks_alike(
    default_house: House, rule: str, teller: Teller
) -> None:
    """AF-02: neither this rule nor another minds it."""
    verdict, fired = await last(default_house, teller)
    assert fired == []
    assert verdict.action == ALLOW


def test_every_default_rule_has_a_tale_for_both() -> None:
    rules = [rule.name for rule in load(SAMPLE.read_text()).program.antifraud.rules]
    assert {*rules} == {rule for rule, _, fires in CASES if fires}
    assert {*rules} == {rule for rule, _, fires in CASES if not fires}
