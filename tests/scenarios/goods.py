"""Fraud with goods: returned on purpose, paid with stolen cards, or bought by somebody else."""

from collections.abc import Iterator
from datetime import datetime

from scenarios.stream import ORDER, PURCHASE, Deed, Enrolment, Happening, Place, Return
from scenarios.world import Chance, World, days, minutes


def refund_abuse(world: World) -> Iterator[Happening]:
    """Twenty-five accounts that buy to return: 8 to 30 orders in four months, of 80 dollars in the
    median, three times what others spend. Six in seven come back, after ten days in the median, and
    points are spent before they are taken back. The whole account serves the abuse, so that all it
    does is labelled so, the orders that are kept as well.
    """
    chance = Chance(world.seed, "refund_abuse")
    for number in range(25):
        member, begin = f"returner-{number}", chance.instant(last_day=400)
        yield Enrolment(begin - days(chance.uniform(1, 200)), member)
        place = Place("web", device=chance.id("device"), ip=chance.ip(), card=chance.id("card"))
        bought = sorted(begin + days(chance.uniform(0, 120)) for _ in range(chance.randint(8, 30)))
        for when in bought:
            order, cents = chance.id("order"), round(chance.about(8_000, 0.5))
            points = round(cents / 100)
            yield Deed(when, member, "refund_abuse", True, PURCHASE, points, place, cents, order)
            if chance.happens(6 / 7):
                back = when + days(chance.about(10, 0.7))
                yield Return(back, member, order, cents, points, when)
        for when in chance.sample(bought[len(bought) // 3 :], 3):
            points = round(chance.about(150, 0.5))
            yield Deed(
                when + minutes(chance.uniform(5, 60)), member, "refund_abuse", True, ORDER, points,
                place, points * 2, chance.id("order"), is_bound=True,
            )  # fmt: skip


def stolen_card(world: World) -> Iterator[Happening]:
    """Fifteen testers with 10 to 60 stolen cards on one device, through one to four accounts, and
    ten cards that were sold to 4 to 20 buyers each. All within two days; orders of 120 dollars in
    the median.
    """
    chance = Chance(world.seed, "stolen_card")
    for number in range(15):
        device, ip = chance.id("tester"), chance.ip()
        members = [f"tester-{number}-{n}" for n in range(chance.randint(1, 4))]
        begin = chance.instant()
        for member in members:
            yield Enrolment(begin - days(chance.uniform(0, 20)), member)
        for _ in range(chance.randint(10, 60)):
            place = Place("web", device=device, ip=ip, card=chance.id("card"))
            yield _buy(chance, begin, chance.choice(members), place)
    for number in range(10):
        card, begin = chance.id("card"), chance.instant()
        for n in range(chance.randint(4, 20)):
            member = f"carder-{number}-{n}"
            yield Enrolment(begin - days(chance.uniform(0, 100)), member)
            place = Place("web", device=chance.id("device"), ip=chance.ip(), card=card)
            yield _buy(chance, begin, member, place)


def _buy(chance: Chance, begin: datetime, member: str, place: Place) -> Deed:
    when, cents = begin + days(chance.uniform(0, 2)), round(chance.about(12_000, 0.8))
    return Deed(
        when, member, "stolen_card", True, PURCHASE, round(cents / 100), place, cents,
        chance.id("order"),
    )  # fmt: skip


def employee(world: World) -> Iterator[Happening]:
    """Eight clerks who book the purchases of customers without an account: six in ten to
    themselves, the others to a friend. Twenty to 120 in 10 to 60 days, of the amounts that
    customers spend: 26 dollars in the median.
    """
    chance = Chance(world.seed, "employee")
    for number, store in enumerate(chance.sample(world.stores, 8)):
        clerk, friend, begin = chance.choice(store.clerks), f"friend-{number}", chance.instant()
        yield Enrolment(begin - days(chance.uniform(1, 200)), friend)
        span = chance.uniform(10, 60)
        for _ in range(chance.randint(20, 120)):
            when, cents = begin + days(chance.uniform(0, span)), round(chance.about(2600, 0.75))
            place = Place("store", store.name, staff=clerk, location=store.location)
            member = clerk if chance.happens(0.6) else friend
            yield Deed(
                when, member, "employee", True, PURCHASE, round(cents / 100), place, cents,
                chance.id("order"),
            )  # fmt: skip
