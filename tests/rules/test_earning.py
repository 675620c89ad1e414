"""What a purchase earns (PT-01), line by line (PT-05), and what a return takes back (PT-09)."""

from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.compiled import CompiledProgram
from rules.earn_rules import Purchase
from rules.earning import (
    POINTS_MAX,
    PointsOutOfRange,
    earn,
    earned_after_return,
    earned_at_rate,
    rate_of,
)

Compile = Callable[..., CompiledProgram]

MUSIC = """\
    - name: music
      when: '"music" in order.categories && order.amount >= 50'
      points_per_unit: 0.5
      tier_multiplier: false
    # A rule may"""


def applied(program: CompiledProgram, amount: int, tier_id: str, *categories: str) -> set[str]:
    purchase = Purchase(amount, categories)
    lines = earn(purchase, program.tier(tier_id), program).lines
    return {line.rule for line in lines if line.applied}


def test_pt_01_spend_of_128_50_earns_a_silver_member_154_points(program: CompiledProgram) -> None:
    earned = earn(Purchase(12850), program.tier("silver"), program)
    assert earned.points == 154  # 128.50 x 1 x 1.2 = 154.2
    assert [(step.rule, step.applied, step.factor, step.points) for step in earned.lines] == [
        ("spend", True, "1", "128.5"),
        ("tier_multiplier", True, "1.2", "25.7"),
        ("rounding", True, "", "-0.2"),
    ]


@pytest.mark.parametrize(
    ("tier", "points"), [("member", 129), ("silver", 154), ("gold", 193), ("diamond", 257)]
)
def test_pt_01_each_tier_multiplies_by_its_own_factor(
    program: CompiledProgram, tier: str, points: int
) -> None:
    assert earn(Purchase(12850), program.tier(tier), program).points == points


def test_pt_05_an_unknown_tier_multiplies_nothing_and_says_so(program: CompiledProgram) -> None:
    earned = earn(Purchase(12850), program.tier("left_the_program"), program)
    assert earned.points == 129
    line = next(line for line in earned.lines if line.rule == "tier_multiplier")
    assert (line.applied, line.points) == (False, "0")
    assert line.reason == "the member's tier is not known"


@pytest.mark.parametrize(
    ("rounding", "amount", "points"),
    [
        ("half_up", 50, 1),
        ("half_up", 49, 0),
        ("half_up", 150, 2),
        ("down", 199, 1),
        ("down", 99, 0),
    ],
)
def test_pt_01_a_fraction_is_rounded_by_the_programs_rule(
    compiled: Compile, rounding: str, amount: int, points: int
) -> None:
    program = compiled(("rounding: half_up", f"rounding: {rounding}"))
    assert earn(Purchase(amount), program.tier("member"), program).points == points


def test_pt_01_points_are_rounded_once_over_all_rules(compiled: Compile) -> None:
    program = compiled(("    # A rule may", MUSIC))
    earned = earn(Purchase(5090, ("music",)), program.tier("member"), program)
    assert earned.points == 76  # 50.90 + 25.45 = 76.35; each rounded alone it were 51 + 25


def test_pg_03_a_rule_applies_where_its_condition_holds(compiled: Compile) -> None:
    program = compiled(("    # A rule may", MUSIC))
    assert "music" in applied(program, 5000, "member", "books", "music")
    assert "music" not in applied(program, 4999, "member", "music")
    assert "music" not in applied(program, 5000, "member", "books")


def test_a_rule_that_cannot_be_evaluated_gives_nothing_and_leaves_the_others(
    compiled: Compile,
) -> None:
    broken = MUSIC.replace('"music" in order.categories', 'order.categories[3] == "a"')
    program = compiled(("    # A rule may", broken))
    earned = earn(Purchase(5000), program.tier("member"), program)
    assert earned.points == 50
    assert earned.lines[1].reason == "its condition could not be evaluated"


def test_currencies_without_decimals_earn_by_their_unit(compiled: Compile) -> None:
    program = compiled(("currency: USD", "currency: JPY"))
    assert earn(Purchase(128), program.tier("member"), program).points == 128


def test_more_points_than_the_ledger_counts_are_refused(program: CompiledProgram) -> None:
    most = POINTS_MAX * 100 // 2
    assert earn(Purchase(most), program.tier("diamond"), program).points == POINTS_MAX
    with pytest.raises(PointsOutOfRange) as caught:
        earn(Purchase(most + 100), program.tier("diamond"), program)
    assert caught.value.points == POINTS_MAX + 2


amounts = st.integers(0, 10**12)
tiers = st.sampled_from(["member", "silver", "gold", "diamond"])
factors = {"member": "1", "silver": "1.2", "gold": "1.5", "diamond": "2"}


@given(amount=amounts, tier=tiers)
def test_pt_01_points_are_what_exact_decimals_give(
    program: CompiledProgram, amount: int, tier: str
) -> None:
    exact = Decimal(amount) / 100 * Decimal(factors[tier])
    earned = earn(Purchase(amount), program.tier(tier), program)
    assert earned.points == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


@given(amount=amounts, rate=st.decimals(0, 1000, places=6), tier=tiers)
def test_pt_05_the_lines_add_up_to_the_points(
    compiled: Compile, amount: int, rate: Decimal, tier: str
) -> None:
    per_unit = ("points_per_unit: 1 ", f"points_per_unit: {rate:f} ")
    program = compiled(per_unit, ("rounding: half_up", "rounding: down"))
    earned = earn(Purchase(amount), program.tier(tier), program)
    assert sum(Decimal(line.points) for line in earned.lines) == earned.points
    exact = Decimal(amount) / 100 * rate * Decimal(factors[tier])
    assert earned.points == int(exact.quantize(Decimal(1), ROUND_DOWN))


@given(amount=amounts, cuts=st.lists(st.fractions(0, 1), max_size=8), tier=tiers)
def test_pt_09_successive_returns_take_back_exactly_what_was_earned(
    compiled: Compile, amount: int, cuts: list[object], tier: str
) -> None:
    program = compiled(("    # A rule may", MUSIC))
    member_tier = program.tier(tier)
    whole = earn(Purchase(amount, ("music",)), member_tier, program)
    rules = {line.rule for line in whole.lines if line.applied}
    left = sorted((int(amount * cut) for cut in cuts), reverse=True)  # type: ignore[operator]
    standing = [
        earned_after_return(minor, rules, member_tier, program).points
        for minor in [amount, *left, 0]
    ]
    taken = [before - after for before, after in pairwise(standing)]
    assert standing[0] == whole.points
    assert all(points >= 0 for points in taken)
    assert sum(taken) == whole.points


def test_pt_09_a_return_keeps_what_the_rules_had_found_true(compiled: Compile) -> None:
    program = compiled(("    # A rule may", MUSIC))
    rules = applied(program, 6000, "member", "music")
    # 30.00 alone would not meet the condition of 50; what is left of 60.00 keeps its part.
    left = earned_after_return(3000, rules, program.tier("member"), program)
    assert left.points == 45


@given(
    amount=st.integers(0, 10**12),
    tier_id=st.sampled_from(["member", "silver", "diamond", "", "gone"]),
    rounding=st.sampled_from(["half_up", "down"]),
    categories=st.sampled_from([(), ("music",)]),
)
def test_pt_05_all_that_is_kept_of_a_decision_is_its_rate(
    compiled: Compile, amount: int, tier_id: str, rounding: str, categories: tuple[str, ...]
) -> None:
    changes = (("    # A rule may", MUSIC), ("rounding: half_up", f"rounding: {rounding}"))
    program = compiled(*changes)
    purchase = Purchase(amount, categories)
    earned = earn(purchase, program.tier(tier_id), program)
    rate = rate_of(purchase, tier_id, program)
    assert rate.points(amount) == earned.points
    assert earned_at_rate(amount, rate.held, program.tier(rate.tier_id), program) == earned
