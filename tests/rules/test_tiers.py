"""Which tier a member is in (TR-01, TR-03, TR-04)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.compiled import CompiledProgram, ProgramHistory
from rules.tiers import Demote, Keep, decide_upgrade, next_tier, review, tier_for
from rules.values import Tier

spends = st.integers(-(10**6), 10**7)
ranks = st.integers(0, 3)


@pytest.mark.parametrize(
    ("spend", "tier"),
    [
        (-500, "member"),
        (0, "member"),
        (9_999, "member"),
        (10_000, "silver"),
        (25_999, "silver"),
        (26_000, "gold"),
        (56_000, "diamond"),
        (10**9, "diamond"),
    ],
)
def test_tr_01_spend_in_the_window_reaches_a_tier(
    program: CompiledProgram, spend: int, tier: str
) -> None:
    assert tier_for(spend, program.ladder).id == tier


@pytest.mark.parametrize(
    ("before", "spend", "after"),
    [
        ("member", 9_999, None),
        ("member", 10_000, "silver"),
        ("member", 56_000, "diamond"),
        ("silver", 56_000, "diamond"),
        ("gold", 26_000, None),
        ("diamond", 0, None),
    ],
)
def test_tr_03_a_member_rises_at_once_and_several_levels_in_one_go(
    program: CompiledProgram, before: str, spend: int, after: str | None
) -> None:
    current = program.tier(before)
    assert current is not None
    reached = decide_upgrade(current, spend, program.ladder)
    assert (reached.id if reached else None) == after


@pytest.mark.parametrize(
    ("rank", "spend", "tier", "kept", "threshold"),
    [
        (3, 42_000, "diamond", True, 42_000),
        (3, 41_999, "gold", False, 42_000),
        (3, 0, "gold", False, 42_000),
        (2, 19_500, "gold", True, 19_500),
        (1, 7_499, "member", False, 7_500),
        (0, 0, "member", True, 0),
        (0, -100, "member", True, 0),
    ],
)
def test_tr_04_a_review_keeps_the_tier_or_takes_one_level(
    program: CompiledProgram, rank: int, spend: int, tier: str, kept: bool, threshold: int
) -> None:
    decided = review(rank, spend, program.ladder)
    assert isinstance(decided, Keep if kept else Demote)
    assert (decided.tier.id, decided.threshold_minor) == (tier, threshold)


@given(rank=ranks, spend=spends)
def test_tr_04_nobody_falls_by_more_than_one_level(
    program: CompiledProgram, rank: int, spend: int
) -> None:
    assert review(rank, spend, program.ladder).tier.rank >= rank - 1


@given(rank=ranks, spend=spends)
def test_who_has_just_risen_keeps_the_tier_at_a_review_with_the_same_spend(
    program: CompiledProgram, rank: int, spend: int
) -> None:
    reached = decide_upgrade(program.ladder[rank], spend, program.ladder)
    if reached is not None:
        assert reached.rank > rank
        assert isinstance(review(reached.rank, spend, program.ladder), Keep)


def test_a_tier_that_left_the_ladder_counts_as_the_highest_that_asks_for_no_more(
    program: CompiledProgram,
) -> None:
    """Also where it is yet to come; of one that was changed before it left, as it was last."""

    def version(number: int, *ladder: tuple[str, int]) -> CompiledProgram:
        tiers = [
            Tier(name, name, rank, spend, spend, "1", 10_000)
            for rank, (name, spend) in enumerate(ladder)
        ]
        by_id = {tier.id: tier for tier in tiers}
        return replace(program, version=number, ladder=tuple(tiers), tiers_by_id=by_id)

    history = ProgramHistory(
        [
            version(1, ("member", 0), ("silver", 100), ("gold", 260)),
            version(2, ("member", 0), ("silver", 100), ("gold", 400), ("onyx", 900)),
            version(3, ("member", 0), ("silver", 100), ("ruby", 300), ("onyx", 500)),
        ]
    )

    def counts_as(tier_id: str) -> list[str | None]:
        tiers = [history.version(number).counted_tier(tier_id) for number in (1, 2, 3)]
        return [tier.id if tier else None for tier in tiers]

    assert counts_as("gold") == ["gold", "gold", "ruby"]
    assert counts_as("ruby") == ["gold", "silver", "ruby"]
    assert counts_as("onyx") == ["gold", "onyx", "onyx"]
    assert counts_as("nothing") == [None, None, None]
    assert history.version(3).tier("gold") is None


def test_the_way_up_ends_at_the_top(program: CompiledProgram) -> None:
    ladder = program.ladder
    above = [next_tier(tier, ladder) for tier in ladder]
    assert [tier.id if tier else None for tier in above] == ["silver", "gold", "diamond", None]
