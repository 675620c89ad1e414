"""The sample rules stop fraud and spare honest members (AF-01, AF-02): see `make scenarios`."""

import ast
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

import scenarios
from house import Ground, House
from scenarios.generator import SEED, generate
from scenarios.playing import play
from scenarios.report import Line, summarise, table
from scenarios.stream import HONEST, Deed, Enrolment, Happening

FRAUD_POINTS_SHARE_MIN = 0.90
HONEST_SHARE_MAX = 0.005
# Of each scenario most is stopped: no rule is carried by the others.
SCENARIO_POINTS_SHARE_MIN = 0.6
SCENARIOS = {
    "check_in_burst", "employee", "farm", "gift_ring", "impossible_travel", "new_account",
    "refund_abuse", "round_numbers", "same_order", "stolen_card", "take_over",
}  # fmt: skip


@pytest.fixture(scope="module")
def stream() -> list[Happening]:
    """All that happens."""
    return generate()


@pytest.fixture(scope="module")
async def scenario_house(ground: Ground) -> AsyncIterator[House]:
    """A house of its own, in which nothing else has happened."""
    async with ground.house() as house:
        yield house


async def test_the_sample_rules_stop_fraud_and_spare_honest_members(
    scenario_house: House, stream: list[Happening]
) -> None:
    lines = summarise(await play(scenario_house, stream))
    Console(width=100).print(table(lines))
    *frauds, fraud, honest = lines
    assert {line.scenario for line in frauds} == SCENARIOS
    assert fraud.points_share >= FRAUD_POINTS_SHARE_MIN
    assert honest.count_share <= HONEST_SHARE_MAX
    weak = {
        x.scenario: x.points_share for x in frauds if x.points_share < SCENARIO_POINTS_SHARE_MIN
    }
    assert not weak


def test_the_same_seed_tells_the_same_story(stream: list[Happening]) -> None:
    assert generate(SEED) == stream
    assert generate(SEED + 1) != stream


def test_the_story_is_told_in_the_order_of_time(stream: list[Happening]) -> None:
    assert all(one.time <= other.time for one, other in pairwise(stream))


def test_nobody_moves_points_before_joining(stream: list[Happening]) -> None:
    joined: set[str] = set()
    for one in stream:
        if isinstance(one, Enrolment):
            joined.add(one.member)
        elif isinstance(one, Deed) and one.scenario == HONEST:
            assert one.member in joined
            assert one.points >= 0


def test_there_are_enough_honest_operations_to_tell_half_a_percent(
    stream: list[Happening],
) -> None:
    honest = [one for one in stream if isinstance(one, Deed) and not one.is_fraud]
    assert len(honest) > 10_000
    assert sum(one.is_redemption for one in honest) > 300


def test_a_line_adds_up() -> None:
    line = Line("farm", True, 10, 200, 4, 150)
    assert (line.count_share, line.points_share) == (0.4, 0.75)
    assert (Line("none", True).count_share, Line("none", True).points_share) == (0.0, 0.0)


def test_scenarios_know_nothing_of_the_rules() -> None:
    """What is stopped is no echo of the thresholds: nothing that tells the story reads them."""
    folder = Path(scenarios.__file__).parent
    tellers = ("stream", "world", "people", "honest", "accounts", "farms", "goods", "generator")
    for name in tellers:
        tree = ast.parse((folder / f"{name}.py").read_text())
        found = {
            node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
        } | {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert all(module.split(".")[0] not in ("rules", "antifraud", "house") for module in found)
        assert "sample.yaml" not in (folder / f"{name}.py").read_text()
