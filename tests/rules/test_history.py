"""Which version decides, what differs between two, and how a service keeps them."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurel.program.v1.program_pb2 import Program
from rules.compiled import CompiledProgram, ProgramHistory, UnknownVersion, compile_program
from rules.diff import Difference, differences
from rules.document import load
from rules.source import NoProgram, ProgramSource

START = datetime(1997, 1, 1, tzinfo=UTC)
Versions = list[tuple[int, Program, datetime]]


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def history(program: CompiledProgram, *effective_days: int) -> ProgramHistory:
    """Versions 1, 2, 3, ... that decide from these days on."""
    message = program.message
    return ProgramHistory(
        compile_program(number, message, day(effective))
        for number, effective in enumerate(effective_days, start=1)
    )


@pytest.mark.parametrize(
    ("effective_days", "at_day", "version"),
    [
        ((10,), 0, 1),
        ((10, 20), 9, 1),
        ((10, 20), 19, 1),
        ((10, 20), 20, 2),
        ((10, 20, 20), 20, 3),
        # A version for the past decides there, and not before; what began later goes on deciding.
        ((10, 5), 4, 1),
        ((10, 5), 5, 2),
        ((10, 5), 10, 1),
        ((10, 20, 15), 25, 2),
    ],
)
def test_at_an_instant_the_version_that_began_last_decides(
    program: CompiledProgram, effective_days: tuple[int, ...], at_day: int, version: int
) -> None:
    assert history(program, *effective_days).in_force(day(at_day)).version == version


def test_versions_are_found_by_number(program: CompiledProgram) -> None:
    versions = history(program, 10, 5)
    assert versions.newest.version == 2
    assert versions.version(1).effective_time == day(10)
    assert versions.versions() == (1, 2)
    with pytest.raises(UnknownVersion):
        versions.version(3)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(-1, 7))
def test_the_rule_of_the_contract_decides(
    program: CompiledProgram, effective_days: list[int], at_day: int
) -> None:
    begun = [(d, n) for n, d in enumerate(effective_days, start=1) if d <= at_day]
    expected = max(begun)[1] if begun else 1
    assert history(program, *effective_days).in_force(day(at_day)).version == expected


def test_pg_02_differences_are_told_field_by_field_in_the_order_of_the_schema(
    sample_text: str,
) -> None:
    changed = (
        sample_text.replace("name: CDNOW Encore", "name: Encore")
        .replace("rounding: half_up", "rounding: down")
        .replace("tier_multiplier: true", "tier_multiplier: false")
        .replace("warning_days: [30, 7, 1]", "warning_days: [30]")
        .replace("qualify_spend: 260", "qualify_spend: 250")
        .replace("percent_off: 10", "percent_off: 12")
    )
    found = differences(load(sample_text).program, load(changed).program)
    assert found == (
        Difference("name", "CDNOW Encore", "Encore"),
        Difference("earning.rules[spend].tier_multiplier", "true", "false"),
        Difference("earning.rounding", "half_up", "down"),
        Difference("expiry.warning_days", "30, 7, 1", "30"),
        Difference("tiers.ladder[gold].qualify_spend", "260", "250"),
        Difference("benefits[gold_discount].tier_discount.percent_off", "10", "12"),
    )


def test_pg_02_an_item_that_comes_or_goes_changes_no_other(sample_text: str) -> None:
    lines = "    - {name: more, points_per_unit: 0.5}\n    - name: spend"
    more = load(sample_text.replace("    - name: spend", lines)).program
    sample = load(sample_text).program
    assert differences(sample, more) == (
        Difference("earning.rules[more].name", "", "more"),
        Difference("earning.rules[more].points_per_unit", "", "0.5"),
    )
    gone = differences(more, sample)
    assert gone[0] == Difference("earning.rules[more].name", "more", "")


def test_a_changed_order_is_told(sample_text: str) -> None:
    before, after = load(sample_text).program, load(sample_text).program
    first = after.benefits.pop(0)
    after.benefits.append(first)
    found = differences(before, after)
    assert [d.path for d in found] == ["benefits"]
    assert found[0].after.endswith("diamond_welcome, silver_discount")


def source_of(versions: Versions) -> tuple[ProgramSource, Callable[[], int]]:
    calls = 0

    async def fetch_all() -> Sequence[tuple[int, Program, datetime]]:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return list(versions)

    return ProgramSource(fetch_all), lambda: calls


async def test_a_service_without_a_program_says_so() -> None:
    source, _ = source_of([])
    with pytest.raises(NoProgram):
        source.history  # noqa: B018
    assert not await source.refresh()
    with pytest.raises(NoProgram):
        source.history  # noqa: B018


async def test_a_service_compiles_each_version_once(program: CompiledProgram) -> None:
    versions: Versions = [(1, program.message, day(0))]
    source, _ = source_of(versions)
    assert await source.refresh()
    first = source.history.version(1)
    assert not await source.refresh()
    versions.append((2, program.message, day(1)))
    assert await source.refresh()
    assert source.history.newest.version == 2
    assert source.history.version(1) is first


async def test_refreshes_side_by_side_leave_one_history(program: CompiledProgram) -> None:
    source, calls = source_of([(1, program.message, day(0))])
    news = await asyncio.gather(*[source.refresh() for _ in range(5)])
    assert sorted(news) == [False] * 4 + [True]
    assert calls() == 5


async def test_a_failed_refresh_leaves_what_was_known(program: CompiledProgram) -> None:
    versions: Versions = [(1, program.message, day(0))]
    source, _ = source_of(versions)
    await source.refresh()
    versions.append((2, Program(), day(1)))
    with pytest.raises(LookupError):
        await source.refresh()
    assert source.history.newest.version == 1
