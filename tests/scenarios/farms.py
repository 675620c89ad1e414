"""Fraud that makes points out of nothing: many accounts, scripts, receipts of others."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from scenarios.stream import CHECK_IN, GIFT, ORDER, PURCHASE, Deed, Enrolment, Happening, Place
from scenarios.world import Chance, World, days, minutes

# What fixed points activities give, before any cap: a cap of the program is another guard.
POINTS = {CHECK_IN: 10, "sign_in": 5, "review": 5, "share": 20, "content": 20}


def farm(world: World) -> Iterator[Happening]:
    """Six farmers with 15 to 60 accounts each on one to three devices and as many addresses; all
    accounts join within two days and are worked through in 4 to 12 sittings, one after the other,
    each for one to three things that give points. One farmer of three has a device for each
    account, all behind one address. In the end every account spends what it has got.
    """
    for number in range(6):
        chance = Chance(world.seed, f"farm-{number}")
        begin = chance.instant(last_day=450)
        accounts = [f"farm-{number}-{n}" for n in range(chance.randint(15, 60))]
        own = number % 3 == 2
        count = len(accounts) if own else chance.randint(1, 3)
        devices = [chance.id("farm") for _ in range(count)]
        ips = [chance.ip() for _ in range(1 if own else count)]
        for account in accounts:
            yield Enrolment(begin - days(chance.uniform(0, 2)), account)
        earned = dict.fromkeys(accounts, 0)
        when = begin
        for _ in range(chance.randint(4, 12)):
            for n, account in enumerate(accounts):
                place = Place("app", device=devices[n % count], ip=ips[n % len(ips)])
                for kind in chance.choices(list(POINTS), k=chance.randint(1, 3)):
                    when += minutes(chance.uniform(0.1, 1))
                    earned[account] += POINTS[kind]
                    yield Deed(when, account, "farm", True, kind, POINTS[kind], place)
            when += days(chance.uniform(0.5, 3))
        when += days(15)
        for n, account in enumerate(accounts):
            place = Place("app", device=devices[n % count], ip=ips[n % len(ips)])
            points = earned[account]
            when += minutes(chance.uniform(0.5, 5))
            yield Deed(when, account, "farm", True, ORDER, points, place, points * 2, is_bound=True)


def check_in_burst(world: World) -> Iterator[Happening]:
    """Twenty-five members with a script, on one to five days: forty check-ins in the median, at
    least five, 1 to 20 seconds apart.
    """
    chance = Chance(world.seed, "check_in_burst")
    for number in range(25):
        member, when = f"script-{number}", chance.instant()
        yield Enrolment(when - days(chance.uniform(1, 200)), member)
        place = Place("app", device=chance.id("script"), ip=chance.ip())
        for _ in range(chance.randint(1, 5)):
            for _ in range(max(5, round(chance.about(40, 0.7)))):
                when += minutes(chance.uniform(1, 20) / 60)
                yield Deed(when, member, "check_in_burst", True, CHECK_IN, 10, place)
            when += days(chance.uniform(0.8, 3))


def same_order(world: World) -> Iterator[Happening]:
    """Eight rings of 4 to 10 accounts that hand receipts around: 3 to 12 receipts each, of 90
    dollars in the median, each claimed by two or more of the ring. The first claim is that of the
    buyer, in half of the cases, and then no fraud. A receipt names its store, and who claims it on
    the web has to name it as well.
    """
    chance = Chance(world.seed, "same_order")
    for number in range(8):
        ring = [f"receipt-{number}-{n}" for n in range(chance.randint(4, 10))]
        begin = chance.instant(last_day=450)
        homes = {m: Place("web", device=chance.id("claim"), ip=chance.ip()) for m in ring}
        for member in ring:
            yield Enrolment(begin - days(chance.uniform(1, 200)), member)
        for _ in range(chance.randint(3, 12)):
            order, cents = chance.id("order"), round(chance.about(9000, 0.6))
            when = begin + days(chance.uniform(0, 60))
            is_fraud, store = chance.happens(0.5), chance.choice(world.stores)
            for member in chance.sample(ring, chance.randint(2, len(ring))):
                yield Deed(
                    when, member, "same_order", is_fraud, PURCHASE, round(cents / 100),
                    replace(homes[member], store=store.name), cents, order,
                )  # fmt: skip
                is_fraud = True
                when += minutes(chance.about(120, 1.5))


def round_numbers(world: World) -> Iterator[Happening]:
    """Eight farmers of one to three accounts who buy and cash in gift cards at one store: 3 to 12
    a day and account on one to four days, of the values that gift cards have.
    """
    chance = Chance(world.seed, "round_numbers")
    for number in range(8):
        store, begin = chance.choice(world.stores), chance.instant()
        for n in range(chance.randint(1, 3)):
            member, card = f"giftcard-{number}-{n}", chance.id("card")
            yield Enrolment(begin - days(chance.uniform(1, 200)), member)
            for day in range(chance.randint(1, 4)):
                morning = begin.replace(hour=14) + days(day)
                for _ in range(chance.randint(3, 12)):
                    dollars = chance.choice((20, 25, 50, 50, 100, 100, 200, 500))
                    yield Deed(
                        morning + minutes(chance.uniform(0, 600)), member, "round_numbers", True,
                        PURCHASE, dollars, world.at_store(store, chance, card), dollars * 100,
                        chance.id("order"),
                    )  # fmt: skip


def gift_ring(world: World) -> Iterator[Happening]:
    """Points that are passed on until nobody knows where they came from.

    A gift is at most a fifth of what its giver has: the accounts of farms, with some hundreds to
    some thousands of points. Eight circles of three to five accounts pass on 300 points in the
    median, two to six times around. Six funnels: 5 to 25 accounts on one to three devices have 600
    points each in the median and give a fifth of what is left, one to five times, to one collector
    within ten days, who spends what arrived.
    """
    chance = Chance(world.seed, "gift_ring")
    for number in range(8):
        ring = [f"circle-{number}-{n}" for n in range(chance.randint(3, 5))]
        when = chance.instant()
        homes = [Place("web", device=chance.id("circle"), ip=chance.ip()) for _ in ring]
        points = round(chance.about(300, 0.7))
        for member in ring:
            joined = when - days(chance.uniform(1, 200))
            yield Enrolment(joined, member, points if member == ring[0] else 0)
        for turn in range(len(ring) * chance.randint(2, 6)):
            giver, receiver = turn % len(ring), (turn + 1) % len(ring)
            gift = _gift(when, ring[giver], ring[receiver], points, homes[giver])
            yield replace(gift, is_bound=True)
            when += minutes(chance.about(60, 1.5))
    for number in range(6):
        yield from _funnel(chance, number)


def _funnel(chance: Chance, number: int) -> Iterator[Happening]:
    begin, collector = chance.instant(), f"funnel-{number}"
    yield Enrolment(begin - days(chance.uniform(1, 60)), collector)
    devices = [chance.id("funnel") for _ in range(chance.randint(1, 3))]
    collected = 0
    for n in range(chance.randint(5, 25)):
        giver = f"funnel-{number}-{n}"
        yield Enrolment(begin - days(chance.uniform(1, 60)), giver)
        place = Place("web", device=chance.choice(devices), ip=chance.ip())
        left = round(chance.about(600, 0.7))
        for _ in range(chance.randint(1, 5)):
            points = left // 5
            left -= points
            collected += points * 9 // 10
            yield _gift(begin + days(chance.uniform(0, 10)), giver, collector, points, place)
    end, place = begin + days(10.5), Place("web", device=devices[0], ip=chance.ip())
    cents = collected * 2
    yield Deed(end, collector, "gift_ring", True, ORDER, collected, place, cents, is_bound=True)


def _gift(when: datetime, giver: str, receiver: str, points: int, place: Place) -> Deed:
    return Deed(when, giver, "gift_ring", True, GIFT, points, place, receiver=receiver)
