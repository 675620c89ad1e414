"""Sliding windows against a plain count over everything that was ever added (AF-02)."""

from hypothesis import given
from hypothesis import strategies as st

from antifraud.series import SECOND_US
from antifraud.velocity import CELLS_PER_WINDOW, REORDER_US, Entry, Track, merge

HOUR_US = 3600 * SECOND_US
WINDOWS_US = (HOUR_US, 24 * HOUR_US)

steps = st.lists(st.integers(0, 1800 * SECOND_US), min_size=1, max_size=300)


def one(time_us: int) -> Entry:
    return (time_us, 1, 100, 10)


def track_of(windows_us: tuple[int, ...]) -> Track:
    return Track(one(0), windows_us)


@given(steps)
def test_a_merged_window_errs_by_one_cell_and_to_the_strict_side(gaps: list[int]) -> None:
    track = track_of(WINDOWS_US)
    times: list[int] = []
    now = 0
    for gap in gaps:
        now += gap
        for window in WINDOWS_US:
            seen = track.counts_with(one(now), window)
            least = 1 + sum(1 for t in times if t > now - window)
            # An entry of a longer window's cell may have been merged before a shorter one looks.
            blur = window // CELLS_PER_WINDOW
            most = 1 + sum(1 for t in times if t > now - window - blur)
            assert least <= seen.count <= most
            assert (seen.amount_minor, seen.points) == (100 * seen.count, 10 * seen.count)
        track.add(one(now))
        times.append(now)


# Within the longest window: an operation behind it may drop what it leaves behind.
@given(st.lists(st.integers(0, 24 * HOUR_US - 1), min_size=1, max_size=40))
def test_few_entries_are_counted_exactly_in_any_order(times: list[int]) -> None:
    track = track_of(WINDOWS_US)
    for index, time in enumerate(times):
        low, high = time - HOUR_US, time + REORDER_US
        exact = 1 + sum(1 for t in times[:index] if low < t <= high)
        assert track.counts_with(one(time), HOUR_US).count == exact
        track.add(one(time))


@given(st.lists(st.integers(-90 * HOUR_US, 90 * HOUR_US), min_size=1, max_size=500))
def test_a_merged_row_is_small_and_keeps_what_its_longest_window_holds(times: list[int]) -> None:
    merged = merge([one(time) for time in times], WINDOWS_US)
    assert len(merged) <= len(WINDOWS_US) * (CELLS_PER_WINDOW + 1)
    kept = [time for time in times if max(times) - time < WINDOWS_US[-1]]
    assert sum(count for _, count, _, _ in merged) == len(kept)
    assert max(merged)[0] == max(times)


def test_a_late_operation_under_a_merged_key_counts_itself_and_its_cell() -> None:
    track = track_of((HOUR_US,))
    for second in range(100):
        track.add(one(second * SECOND_US))
    assert track.counts_with(one(60 * SECOND_US), HOUR_US).count > 60
    assert track.counts_with(one(-HOUR_US), HOUR_US).count == 1
