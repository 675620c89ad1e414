"""AF-06: who does not answer is not asked for a while."""

from prometheus_client import REGISTRY

from kit.breaker import Breaker, State


class Hands:
    """A clock that is turned by hand."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def breaker(hands: Hands) -> Breaker:
    return Breaker("test", failures_max=3, pause_seconds=1, monotonic=hands)


def shown() -> float | None:
    return REGISTRY.get_sample_value("laurel_breaker_state", {"breaker": "test"})


def fail(one: Breaker, count: int) -> None:
    for _ in range(count):
        assert one.admits()
        one.fail()


def test_it_opens_after_so_many_failures_one_after_another() -> None:
    one = breaker(Hands())
    fail(one, 2)
    one.succeed()
    fail(one, 2)
    assert (one.state, one.admits(), shown()) == (State.CLOSED, True, 0)
    one.fail()
    assert (one.state, one.admits(), shown()) == (State.OPEN, False, 2)


def test_after_a_pause_one_call_tries_and_its_answer_closes_it() -> None:
    hands = Hands()
    one = breaker(hands)
    fail(one, 3)
    hands.seconds += 0.9
    assert not one.admits()
    hands.seconds += 0.1
    assert [one.admits() for _ in range(3)] == [True, False, False]
    assert (one.state, shown()) == (State.HALF_OPEN, 1)
    one.succeed()
    assert (one.state, one.admits(), shown()) == (State.CLOSED, True, 0)
    # It takes as many failures as ever to open it again.
    fail(one, 2)
    assert one.admits()


def test_a_try_that_fails_is_followed_by_another_pause() -> None:
    hands = Hands()
    one = breaker(hands)
    fail(one, 3)
    hands.seconds += 1
    fail(one, 1)
    assert (one.state, one.admits()) == (State.OPEN, False)
    hands.seconds += 1
    assert one.admits()


def test_a_try_that_never_ends_does_not_keep_it_shut_for_ever() -> None:
    """A caller who is cancelled notes nothing."""
    hands = Hands()
    one = breaker(hands)
    fail(one, 3)
    hands.seconds += 1
    assert one.admits()
    hands.seconds += 0.5
    assert not one.admits()
    hands.seconds += 0.5
    assert one.admits()
