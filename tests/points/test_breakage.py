"""PT-14: expected breakage, by hand-made cohorts whose answer is known."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from points.breakage import Cohort, Flows, breakage_curve, breakage_rate

# 1,000 points: a fifth is used at once, half of the rest at age 1, all that is left expires at 2.
FULL = {0: Flows(issued=1000, used=200), 1: Flows(used=400), 2: Flows(expired=400)}


def test_a_full_life_gives_the_shares_that_it_had() -> None:
    curve = breakage_curve([Cohort(3, FULL)])
    assert [step.breakage for step in curve] == [Fraction(2, 5), Fraction(1, 2), Fraction(1)]
    assert [(step.exposed, step.used, step.expired) for step in curve] == [
        (1000, 200, 0), (800, 400, 0), (400, 0, 400),
    ]  # fmt: skip


def test_a_young_cohort_is_expected_to_go_the_way_of_the_old_ones() -> None:
    young = Cohort(1, {0: Flows(issued=500, used=100)})
    curve = breakage_curve([Cohort(3, FULL), young])
    assert breakage_rate(curve, young.age_months) == Fraction(1, 2)
    assert young.remaining * breakage_rate(curve, 1) == 200


def test_the_month_under_way_does_not_count_yet() -> None:
    """Half a month would look as if fewer points were used than usual."""
    steps = breakage_curve([Cohort(3, FULL), Cohort(1, {0: Flows(1000, 200), 1: Flows(used=1)})])
    assert [step.exposed for step in steps] == [2000, 800, 400]
    assert steps[1].used == 400


def test_what_nobody_has_observed_is_not_expected_to_expire() -> None:
    """Revenue is not recognised early: a new program owes all of its points."""
    new = Cohort(0, {0: Flows(issued=100)})
    assert breakage_curve([new]) == []
    assert breakage_rate([], 0) == 0
    older = Cohort(2, {0: Flows(issued=100, used=50), 1: Flows(used=10)})
    curve = breakage_curve([older, new])
    assert [step.breakage for step in curve] == [0, 0]
    assert breakage_rate(curve, 2) == 0


def test_large_cohorts_weigh_more() -> None:
    small = Cohort(1, {0: Flows(issued=10, expired=10)})
    large = Cohort(1, {0: Flows(issued=990)})
    assert breakage_curve([small, large])[0].breakage == Fraction(1, 100)


def test_withdrawn_points_neither_break_nor_stay() -> None:
    cohort = Cohort(2, {0: Flows(issued=100, withdrawn=50), 1: Flows(expired=50)})
    assert [step.breakage for step in breakage_curve([cohort])] == [Fraction(1, 2), Fraction(1)]


def test_points_that_came_back_do_not_make_a_share_above_one() -> None:
    cohort = Cohort(2, {0: Flows(issued=100, used=90), 1: Flows(used=-60, expired=70)})
    assert [step.breakage for step in breakage_curve([cohort])] == [Fraction(1, 10), Fraction(1)]


flows = st.builds(
    Flows,
    issued=st.integers(0, 10**6),
    used=st.integers(-(10**5), 10**6),
    expired=st.integers(0, 10**6),
    withdrawn=st.integers(0, 10**5),
)
cohorts = st.lists(
    st.builds(Cohort, st.integers(0, 30), st.dictionaries(st.integers(0, 30), flows, max_size=8)),
    max_size=6,
)


@given(cohorts)
def test_a_share_is_between_zero_and_one_whatever_happened(many: list[Cohort]) -> None:
    for step in breakage_curve(many):
        assert 0 <= step.breakage <= 1
