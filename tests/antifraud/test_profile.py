"""What is remembered of a member, against plain arithmetic over all that ever happened (AF-02)."""

from statistics import mean, stdev

import orjson
import pytest
from fraud_desk import EARLY, EARLY_RULES, program_with
from hypothesis import given
from hypothesis import strategies as st
from member_desk import WITNESS

from antifraud.gifts import LOOKED_AT_MAX, WINDOW_US, Gift, GiftGraph
from antifraud.profile import (
    DAY_US,
    DEVICES_MAX,
    REFUND_DAYS,
    Profile,
    Series,
    profile_of,
    state_of,
)
from antifraud.profile_events import changes_nothing
from antifraud.profile_store import _packed
from antifraud.profile_views import (
    EARTH_RADIUS_KM,
    MINUTE_US,
    VIEWS,
    Moment,
    distance_km,
    minutes_since,
)
from laurel.event.v1.event_pb2 import AccrualReversed, Event, MemberEnrolled, PointsAccrued
from rules.compiled import ProgramHistory, compile_program
from rules.document import load
from rules.facts import PROFILE_FACTS, Type
from rules.fraud_rules import FraudFacts
from rules.profile_facts import GIFT_FACTS, NEVER_MINUTES, UNKNOWN
from rules.values import Operation

EMPTY = Moment(0, FraudFacts(Operation.ACCRUAL, 1), 100)
PYTHON_TYPES = {
    Type.BOOL: bool, Type.INT: int, Type.DOUBLE: float, Type.STRING: str, Type.STRINGS: list,
}  # fmt: skip

times = st.integers(-(10**15), 10**16)
degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def test_every_fact_has_a_view_and_is_of_its_type_where_nothing_is_known() -> None:
    assert set(UNKNOWN) == set(PROFILE_FACTS) == {*VIEWS, *GIFT_FACTS}
    for path, kind in PROFILE_FACTS.items():
        assert type(UNKNOWN[path]) is PYTHON_TYPES[kind]
    assert {path: view(Profile(), EMPTY) for path, view in VIEWS.items()} == {
        path: value for path, value in UNKNOWN.items() if path in VIEWS
    }


# History


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=200))
def test_mean_and_deviation_are_those_of_all_values(values: list[int]) -> None:
    series = Series()
    for value in values:
        series = series.with_one(value, 3 * value)
    assert series.number == len(values)
    assert series.points_mean == pytest.approx(mean(values))
    assert series.deviation(series.points_m2) == pytest.approx(stdev(values), rel=1e-6, abs=1e-3)
    assert series.deviation(series.amount_m2) == pytest.approx(
        3 * stdev(values), rel=1e-6, abs=1e-3
    )


def test_the_largest_values_that_there_are_can_be_stored() -> None:
    profile = Profile()
    for points in (0, 2**63 - 1):
        profile.operate(1, points, points)
    profile.spend(0, 2**63, 2**63)
    assert profile_of(loaded(profile)) == profile


# Travel


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        # A quarter, a half and a 360th of the sphere's circumference.
        ((0, 0), (90, 77), EARTH_RADIUS_KM * 3.141592653589793 / 2),
        ((0, -90), (0, 90), EARTH_RADIUS_KM * 3.141592653589793),
        ((0, 179.5), (0, -179.5), EARTH_RADIUS_KM * 3.141592653589793 / 180),
        # Nashville to Los Angeles, by their airports.
        ((36.12, -86.67), (33.94, -118.40), 2886.4),
    ],
)
def test_known_distances(one: tuple[float, float], other: tuple[float, float], km: float) -> None:
    assert distance_km(*one, *other) == pytest.approx(km, rel=1e-4)


@given(degrees, degrees)
def test_distances_are_symmetric_and_end_at_half_the_circumference(
    one: tuple[float, float], other: tuple[float, float]
) -> None:
    there, back = distance_km(*one, *other), distance_km(*other, *one)
    assert there == pytest.approx(back, abs=1e-6)
    assert 0 <= there <= EARTH_RADIUS_KM * 3.1415926536
    assert distance_km(*one, *one) == 0


# Times and bounds


def test_minutes_are_whole_and_the_future_has_not_happened() -> None:
    assert minutes_since(0, None) == NEVER_MINUTES
    assert minutes_since(10 * MINUTE_US - 1, 0) == 9
    assert minutes_since(0, 1_000_000) == 0
    assert minutes_since(0, MINUTE_US) == NEVER_MINUTES
    assert minutes_since(10**18, -(10**18)) == NEVER_MINUTES


@given(st.lists(st.tuples(times, st.sampled_from("abcdefgh")), min_size=1, max_size=60))
def test_devices_are_the_same_in_whatever_order_they_are_told(uses: list[tuple[int, str]]) -> None:
    told, shuffled = Profile(), Profile()
    for at_us, device in uses:
        told.use_device(at_us, device)
    for at_us, device in sorted(uses + uses, reverse=True):
        shuffled.use_device(at_us, device)
    assert told == shuffled
    assert told.first_device_us == min(uses)[0]


@given(st.lists(st.tuples(times, st.integers(0, 200)), min_size=1, max_size=200))
def test_a_profile_stays_small(uses: list[tuple[int, int]]) -> None:
    profile = Profile()
    for at_us, number in uses:
        profile.use_device(at_us, str(number))
        profile.spend(at_us, number, number)
    assert len(profile.devices) <= DEVICES_MAX
    assert len(profile.refunds) <= REFUND_DAYS
    assert str(uses[0][1]) in profile.devices or len(profile.devices) == DEVICES_MAX


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 900), st.booleans()), max_size=80))
def test_the_refund_ratio_is_that_of_the_last_90_days(spends: list[tuple[int, int, bool]]) -> None:
    profile = Profile()
    for day, amount, back in sorted(spends):
        profile.spend(day * DAY_US, 0 if back else amount, amount if back else 0)
    moment = Moment(max(spends, default=(0,))[0] * DAY_US, EMPTY.facts, 100)
    low = moment.at_us // DAY_US - REFUND_DAYS
    recent = [one for one in spends if one[0] > low]
    returned = sum(amount for _, amount, back in recent if back)
    earned = sum(amount for _, amount, back in recent if not back)
    ratio = min(1.0, returned / earned) if earned else float(returned > 0)
    assert VIEWS["member.refund_ratio"](profile, moment) == ratio
    assert VIEWS["member.refund_count"](profile, moment) == sum(
        back and amount > 0 for _, amount, back in recent
    )


@given(st.data())
def test_a_profile_is_read_as_it_was_stored(data: st.DataObject) -> None:
    profile = Profile()
    assert state_of(profile) == {}
    at_us = data.draw(times)
    for step in (
        lambda: profile.enrol(at_us), lambda: profile.set_status(at_us, 2),
        lambda: profile.set_tags(at_us, ["a"]), lambda: profile.change(at_us),
        lambda: profile.log_in(at_us), lambda: profile.use_device(at_us, "d\u20ac"),
        lambda: profile.operate(2, 7, 11), lambda: profile.spend(at_us, 5, 3),
    ):  # fmt: skip
        if data.draw(st.booleans()):
            step()
    assert profile_of(loaded(profile)) == profile


def loaded(profile: Profile) -> dict[str, object]:
    state: dict[str, object] = orjson.loads(_packed(profile))
    return state


# Gifts


gifts = st.builds(
    Gift, st.sampled_from("abcdef"), st.sampled_from("abcdef"), st.integers(0, 2 * WINDOW_US)
)


@given(st.lists(gifts, max_size=30), gifts)
def test_a_cycle_is_a_path_of_four_steps_at_most(known: list[Gift], last: Gift) -> None:
    graph = GiftGraph()
    latest: dict[tuple[str, str], int] = {}
    for gift in known:
        graph.add(gift)
        pair = gift[:2]
        latest[pair] = max(latest.get(pair, 0), gift.last_us)
    pairs = {
        pair
        for pair, at in latest.items()
        if pair[0] != pair[1] and last.last_us - WINDOW_US < at <= last.last_us + 5_000_000
    }
    paths, found = {last.receiver}, False
    for _ in range(4):
        paths = {receiver for giver, receiver in pairs if giver in paths}
        found = found or last.giver in paths
    if last.giver != last.receiver:
        assert graph.closes_cycle(last) is found
    givers = {giver for giver, receiver in pairs if receiver == last.receiver}
    assert graph.senders(last) == len(givers | {last.giver})


def test_a_search_ends() -> None:
    graph = GiftGraph()
    graph.load(Gift("hub", f"m-{n}", 0) for n in range(LOOKED_AT_MAX))
    graph.load([Gift(f"m-{LOOKED_AT_MAX - 1}", "giver", 0)])
    assert not graph.closes_cycle(Gift("giver", "hub", 0))
    graph.load([Gift("first", "giver", 0), Gift("near", "first", 0)])
    assert graph.closes_cycle(Gift("giver", "near", 0))


# Events


def history_of(rules: str) -> ProgramHistory:
    return ProgramHistory([compile_program(1, load(program_with(rules)).program, EARLY)])


def test_events_of_spend_are_passed_over_unless_a_rule_may_read_of_refunds() -> None:
    reading, silent = history_of(WITNESS), history_of(EARLY_RULES)
    accrued = Event(points_accrued=PointsAccrued(), program_version=1)
    later = Event(points_accrued=PointsAccrued(), program_version=2)
    enrolled = Event(member_enrolled=MemberEnrolled())
    assert changes_nothing([accrued], silent)
    assert not changes_nothing([accrued], reading)
    assert not changes_nothing([accrued], None)
    assert not changes_nothing([accrued, later], silent)
    assert not changes_nothing([enrolled], silent)


def test_purchases_are_passed_over_where_rules_only_read_how_often_something_came_back() -> None:
    counting = history_of("""
    - name: returns
      operations: [redemption]
      when: member.refund_count > 2
      action: review
      score: 1
""")
    accrued = Event(points_accrued=PointsAccrued(), program_version=1)
    returned = Event(accrual_reversed=AccrualReversed(), program_version=1)
    assert changes_nothing([accrued], counting)
    assert not changes_nothing([returned], counting)
