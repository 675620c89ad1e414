"""Fraud with accounts: taken over, made for it, or used at two ends of the country."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from scenarios.people import Person
from scenarios.stream import (
    GIFT,
    LOG_IN,
    ORDER,
    PROFILE_CHANGE,
    PURCHASE,
    Deed,
    Enrolment,
    Happening,
    Place,
    Report,
)
from scenarios.world import ABROAD, END, Chance, World, days, minutes

# Each at least 900 km from each other.
FAR_APART = ("boston", "chicago", "miami", "dallas", "seattle", "los_angeles")


def take_over(world: World, people: list[Person]) -> Iterator[Happening]:
    """A hundred and fifty accounts with savings, the richer the likelier, by crews.

    Six in seven log in with the stolen password from a device of the crew, one in seven has stolen
    a session and looks like the member's own device. Six in ten change the profile, so that the
    member hears nothing. Four in five drain at once, after a quarter of an hour in the median, the
    others wait one to six days until the alarm is forgotten. All is taken, in one to four pieces,
    as gift cards or, three in ten, as a gift to a collector.
    """
    chance = Chance(world.seed, "take_over")
    crews = [[chance.id("crew") for _ in range(chance.randint(1, 4))] for _ in range(8)]
    ready = [(p, when, b) for p in people for when, b in [_savings(chance, p)] if b >= 100]
    for _ in range(min(150, len(ready))):
        victim, when, balance = chance.choices(ready, [b for _, _, b in ready])[0]
        ready.remove((victim, when, balance))
        crew = chance.choice(crews)
        location = chance.choice(ABROAD) if chance.happens(0.3) else None
        place = Place("web", device=chance.choice(crew), ip=chance.ip(), location=location)
        if chance.happens(1 / 7):
            place = replace(place, device=victim.owned(when)[0])
        else:
            yield Report(when, victim.member, LOG_IN, place)
        if chance.happens(0.6):
            when += minutes(chance.uniform(1, 20))
            yield Report(when, victim.member, PROFILE_CHANGE, place)
        patient = chance.happens(0.2)
        when += days(chance.uniform(1, 6)) if patient else minutes(chance.about(15, 1))
        receiver = f"collector-{crews.index(crew)}" if chance.happens(0.3) else ""
        for points in _pieces(chance, balance, chance.randint(1, 4)):
            yield _spend(victim.member, "take_over", when, points, place, chance, receiver)
            when += minutes(chance.about(3, 1))


def _savings(chance: Chance, person: Person) -> tuple[datetime, int]:
    """An instant after the last that the member did, and what there was then."""
    last = max((at for at, _ in person.lots), default=person.enrolled)
    when = max(last + days(chance.uniform(15, 120)), person.enrolled + days(60))
    return (when, person.balance(when)) if when < END - days(10) else (when, 0)


def _pieces(chance: Chance, points: int, count: int) -> list[int]:
    cuts = sorted(chance.randint(1, points) for _ in range(count - 1))
    ends = [0, *cuts, points]
    return [high - low for low, high in pairwise(ends) if high > low]


def _spend(
    member: str, scenario: str, when: datetime, points: int, place: Place, chance: Chance,
    receiver: str = "",
) -> Deed:  # fmt: skip
    """A gift, or an order of which the points pay a half."""
    if receiver:
        return Deed(when, member, scenario, True, GIFT, points, place, receiver=receiver)
    order = chance.id("order")
    return Deed(when, member, scenario, True, ORDER, points, place, points * 2, order)


def new_account(world: World) -> Iterator[Happening]:
    """Thirty accounts that launder points stolen elsewhere: made, filled from outside of what is
    seen here, and emptied after three days in the median: 3,000 points in the median, which are
    30 dollars, in one to three pieces within an hour.
    """
    chance = Chance(world.seed, "new_account")
    for number in range(30):
        member, when = f"mule-{number}", chance.instant()
        yield Enrolment(when, member)
        place = Place("web", device=chance.id("mule"), ip=chance.ip())
        yield Report(when + minutes(1), member, LOG_IN, place)
        when += days(chance.about(3, 1))
        for points in _pieces(chance, round(chance.about(3000, 0.7)), chance.randint(1, 3)):
            yield _spend(member, "new_account", when, points, place, chance)
            when += minutes(chance.uniform(1, 30))


def impossible_travel(world: World) -> Iterator[Happening]:
    """Thirty accounts that are sold to several people: used at counters of two or three cities that
    lie a flight apart, three to eight times, with 5 to 60 minutes in between, so that nobody gets
    there in time; half of the time to earn and half to spend.
    """
    chance = Chance(world.seed, "impossible_travel")
    for number in range(30):
        member, when = f"resold-{number}", chance.instant()
        yield Enrolment(when - days(chance.uniform(100, 300)), member)
        cities = chance.sample(FAR_APART, chance.randint(2, 3))
        stores = [store for store in world.stores if store.name in cities]
        card = chance.id("card")
        for turn in range(chance.randint(3, 8)):
            place = world.at_store(stores[turn % len(stores)], chance, card)
            if chance.happens(0.5):
                points = round(chance.about(400, 0.7))
                yield _spend(member, "impossible_travel", when, points, place, chance)
            else:
                cents = round(chance.about(6000, 0.8))
                order = chance.id("order")
                yield Deed(
                    when, member, "impossible_travel", True, PURCHASE, round(cents / 100), place,
                    cents, order,
                )  # fmt: skip
            when += minutes(chance.uniform(5, 60))
