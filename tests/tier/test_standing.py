"""The steps of a member, decided without I/O: what holds for any purchases (TR-03, TR-04)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from house import SAMPLE
from laurel.program.v1.program_pb2 import Program
from rules.compiled import ProgramHistory, compile_program
from rules.document import load
from tier.growth import Growth, Spend
from tier.standing import Decision, Kind, Standing, decide, review_at, review_window, tier_in

START = datetime(2020, 3, 1, 17, tzinfo=UTC)
PROGRAM = load(SAMPLE.read_text()).program
HISTORY = ProgramHistory([compile_program(1, PROGRAM, START - timedelta(days=3650))])
Told = tuple[Standing, list[Decision]]


def stories(days_max: int) -> st.SearchStrategy[list[Spend]]:
    """Purchases on days, several on one day among them, in the order of their time."""
    one = st.tuples(st.integers(0, days_max), st.integers(1, 40_000))
    return st.lists(one, min_size=1, max_size=14).map(
        lambda rows: [
            Spend(START + timedelta(days=day), UUID(int=number), minor)
            for number, (day, minor) in enumerate(sorted(rows))
        ]
    )


def tell(*messages: list[Spend]) -> Told:
    """What a member's standing comes to when messages arrive one after the other."""
    standing, made, known = Standing(), [], []
    for fresh in messages:
        known += fresh
        standing, steps = decide(standing, Growth(known), fresh, HISTORY)
        made += steps
    return standing, made


def rank(standing: Standing) -> int:
    ids = [tier.id for tier in HISTORY.newest.ladder]
    return ids.index(standing.tier_id) if standing.tier_id else 0


def review_until(standing: Standing, growth: Growth, until: datetime) -> Standing:
    while (end := standing.valid_until) is not None and end <= until:
        spend = growth.spend_in(review_window(end, standing, HISTORY))
        standing, _ = review_at(end, standing, spend, HISTORY)
    return standing


@given(stories(1500))
@settings(max_examples=200, deadline=None)
def test_one_message_or_many_come_to_the_same_steps(story: list[Spend]):
    assert tell(story) == tell(*([spend] for spend in story))


@given(stories(1500))
@settings(max_examples=200, deadline=None)
def test_reviews_in_time_and_reviews_never_come_to_the_same(story: list[Spend]):
    """A scheduler that was down for years changes nothing: late decides as timely."""
    timely = Standing()
    for count, spend in enumerate(story, 1):
        timely = review_until(timely, Growth(story[: count - 1]), spend.counted_time)
        timely, _ = decide(timely, Growth(story[:count]), [spend], HISTORY)
    assert timely == tell(story)[0]


@given(stories(360), st.randoms())
@settings(max_examples=200, deadline=None)
def test_any_order_of_arrival_comes_to_the_same_tier(story: list[Spend], chance):
    """Within a validity: the same tier, and a validity that is never shorter."""
    expected = tell(story)[0]
    shuffled = story[:]
    chance.shuffle(shuffled)
    cut = chance.randrange(len(shuffled) + 1)
    rest = [[spend] for spend in shuffled[cut:]]
    standing = tell(*[part for part in [shuffled[:cut], *rest] if part])[0]
    assert standing.tier_id == expected.tier_id
    assert (standing.valid_until is None) == (expected.valid_until is None)
    assert standing.valid_until is None or standing.valid_until >= expected.valid_until


@given(stories(1500), st.randoms())
@settings(max_examples=200, deadline=None)
def test_late_news_never_lowers_and_each_step_follows_the_one_before(story: list[Spend], chance):
    chance.shuffle(story)
    tier_id, standing, known = "member", Standing(), []
    for spend in story:
        known.append(spend)
        before = standing
        standing, steps = decide(before, Growth(known), [spend], HISTORY)
        for step in steps:
            assert step.from_tier_id == tier_id
            tier_id = step.target.id
            gained = step.target.rank - step.origin.rank
            assert gained > 0 if step.kind is Kind.UPGRADE else gained in (0, -1)
            enough = step.window_spend_minor >= step.threshold_minor
            assert enough is (step.kind is not Kind.DEMOTION)
        if before.decide_time and spend.counted_time < before.decide_time and not any(
            step.kind is Kind.DEMOTION for step in steps
        ):  # fmt: skip
            assert rank(standing) >= rank(before)
        assert standing.decision_count == before.decision_count + len(steps)


def test_a_program_with_shorter_validities_shortens_none_that_was_given():
    later = Program()
    later.CopyFrom(PROGRAM)
    later.tiers.validity_months = 1
    change = START + timedelta(days=10)
    history = ProgramHistory([HISTORY.newest, compile_program(2, later, change)])
    silver, gold = Spend(START, UUID(int=1), 12_000), Spend(change, UUID(int=2), 30_000)
    before, _ = decide(Standing(), Growth([silver]), [silver], history)
    after, _ = decide(before, Growth([silver, gold]), [gold], history)
    assert (after.tier_id, after.program_version) == ("gold", 2)
    assert after.valid_until == before.valid_until


def test_a_return_alone_moves_nobody():
    bought = Spend(START, UUID(int=1), 30_000)
    back = Spend(START, UUID(int=2), -30_000)
    standing, made = tell([bought], [back])
    assert (standing.tier_id, len(made)) == ("gold", 1)


def test_a_return_that_overtakes_its_purchase_lifts_nobody():
    """Documented: the order of a purchase and its return matters until the review.

    Event ids rise with time: that of the return is the higher one, whichever event comes first.
    """
    bought = Spend(START, UUID(int=1), 30_000)
    back = Spend(START, UUID(int=2), -30_000)
    assert tell([back], [bought])[0].tier_id is None
    assert tell([back, bought])[0].tier_id is None


def test_what_is_left_of_a_purchase_whose_return_came_first_counts():
    bought = Spend(START, UUID(int=1), 30_000)
    back = Spend(START, UUID(int=2), -15_000)
    standing, [made] = tell([back], [bought])
    assert (standing.tier_id, made.window_spend_minor) == ("silver", 15_000)
    assert made.cause_event_id == bought.event_id


@pytest.mark.parametrize("day", [27, 28, 29, 30, 31])
def test_tr_04_the_last_days_of_a_month_are_no_better_than_others(day: int):
    """Held for a month, by the spend of a month: what reached a tier in January is over then."""
    monthly = Program()
    monthly.CopyFrom(PROGRAM)
    monthly.tiers.window_months = monthly.tiers.validity_months = 1
    history = ProgramHistory([compile_program(1, monthly, START)])
    growth = Growth([Spend(datetime(2023, 1, day, 17, tzinfo=UTC), UUID(int=1), 12_000)])
    standing, _ = decide(Standing(), growth, growth.spends, history)
    end = standing.valid_until
    assert end is not None
    assert growth.spend_in(review_window(end, standing, history)) == 0


def test_tr_03_a_tier_that_was_changed_before_it_left_counts_as_it_was_last():
    """As it does for points: what a member is told is what multiplies."""
    dearer, without = Program(), Program()
    dearer.CopyFrom(PROGRAM)
    dearer.tiers.ladder[2].qualify_spend = "400"
    without.CopyFrom(PROGRAM)
    without.tiers.ladder[2].id, without.tiers.ladder[2].qualify_spend = "ruby", "300"
    later = [compile_program(n, one, START) for n, one in ((2, dearer), (3, without))]
    history = ProgramHistory([HISTORY.newest, *later])
    purchase = Spend(START - timedelta(days=1), UUID(int=1), 30_000)
    standing, _ = decide(Standing(), Growth([purchase]), [purchase], history)
    assert (standing.tier_id, standing.program_version) == ("gold", 1)
    counted = tier_in(standing, history.newest, history)
    assert (counted.id, counted) == ("ruby", history.newest.counted_tier("gold"))
