"""Honest members, in the rhythm and with the amounts of CDNOW's orders.

Each sampled customer keeps the days and amounts of their orders, 28 years later (the weekdays are
the same), and does around them what the data set does not tell of.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from scenarios.people import Person, online, settle, where
from scenarios.stream import (
    CHECK_IN,
    GIFT,
    HONEST,
    LOG_IN,
    ORDER,
    PROFILE_CHANGE,
    PURCHASE,
    Deed,
    Enrolment,
    Happening,
    Place,
    Report,
    Return,
)
from scenarios.world import BEGIN, CLERKS_PER_STORE, DAYS, END, Chance, World, days, minutes

ORDERS = Path(__file__).resolve().parents[2] / "deploy" / "data" / "cdnow_orders.csv"
CUSTOMERS = 2500
YEARS_LATER = 28

# People log in to look around some six times for each order that they place.
LOOKS_PER_MONTH = 1.5
REMEMBERED = 0.4
PROFILE_CHANGES_PER_LOG_IN = 0.02
# Of mail-order music some 6 % come back; one in fifty customers makes a habit of it.
RETURNED, RETURNED_BY_HABIT, HABIT = 0.05, 0.3, 0.02
PARCELS = 0.01
WRONG_MEMBER = 0.001
ENTHUSIASTS = 0.06
GIVERS = 0.05


@dataclass(frozen=True, slots=True)
class Bought:
    """An order of the data set."""

    time: datetime
    cents: int


def orders(chance: Chance) -> dict[str, list[Bought]]:
    """The orders of a sample of customers, by new member ids; each at an hour of its own."""
    known: dict[str, list[tuple[datetime, int]]] = {}
    with ORDERS.open(newline="") as file:
        for row in csv.DictReader(file):
            day = datetime.fromisoformat(row["order_date"]).replace(tzinfo=UTC)
            day = day.replace(year=day.year + YEARS_LATER)
            cents = round(float(row["amount_usd"]) * 100)
            known.setdefault(row["customer_id"], []).append((day, cents))
    chosen = chance.sample(sorted(known), CUSTOMERS)
    found = {}
    for number, customer in enumerate(chosen):
        bought = [Bought(day + minutes(60 * chance.hour()), c) for day, c in known[customer]]
        found[f"member-{number:04d}"] = sorted(bought, key=lambda one: one.time)
    return found


class Honest:
    """The lives of all honest members."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = Chance(world.seed, HONEST)
        self._bought = orders(self._chance)
        clerks = [clerk for store in world.stores for clerk in store.clerks]
        # Clerks are customers as well: they take over the orders of the last of the sample.
        for clerk, member in zip(clerks, list(self._bought)[-len(clerks) :], strict=True):
            self._bought[clerk] = self._bought.pop(member)
        enrolments = {m: b[0].time - minutes(15) for m, b in self._bought.items()}
        self.people = settle(world, self._chance, enrolments)
        for person in self.people:
            if person.member.startswith("clerk-"):
                number = clerks.index(person.member) // CLERKS_PER_STORE
                person.home, person.store_share = world.stores[number], 0.7

    def live(self) -> list[Happening]:
        """All that they do; afterwards `people` know what they own."""
        found: list[Happening] = []
        for person in self.people:
            found += self._life(person)
        # What is given depends on what was earned.
        for person in self.people:
            if self._chance.happens(GIVERS):
                found += self._gifts(person)
        for _ in range(3):
            found += self._collection()
        return [one for one in found if one.time < END]

    def _life(self, person: Person) -> Iterator[Happening]:
        chance = self._chance
        bought = self._bought[person.member]
        yield Enrolment(person.enrolled, person.member)
        first = True
        goal = self._goal()
        if chance.happens(ENTHUSIASTS):
            yield from self._enthusiasm(person)
        returned = RETURNED_BY_HABIT if chance.happens(HABIT) else RETURNED
        for one in bought:
            place = self._counter(person, one.time)
            if place is None:
                place = online(self._world, chance, person, one.time)
                yield from self._log_in(person, one.time, place, always=first)
            first = False
            order = chance.id("order")
            goal, points = self._spend(person, one, goal)
            if points:
                yield self._deed(
                    person, one.time, ORDER, points, place, cents=one.cents, order=order
                )
            yield from self._purchase(person, one, place, order)
            if chance.happens(returned):
                yield self._return(person, one, order)
        yield from self._looks(person, bought[-1].time + days(60))

    def _goal(self) -> int:
        """How many points a member saves up before spending: a few dollars, 2 or 10."""
        return max(100, round(self._chance.about(200, 0.6)))

    def _spend(self, person: Person, one: Bought, goal: int) -> tuple[int, int]:
        """The next goal and the points that pay a part of this order: at most half of it."""
        balance = person.balance(one.time)
        if balance < goal:
            return goal, 0
        points = min(balance, one.cents // 2)
        if points < 100:
            return goal, 0
        person.lots.append((one.time, -points))
        return self._goal(), points

    def _purchase(self, person: Person, one: Bought, place: Place, order: str) -> Iterator[Deed]:
        """One point for each dollar; one order in a hundred of those that are sent
        comes, and earns, in two parcels."""
        chance = self._chance
        points = round(one.cents / 100)
        person.lots.append((one.time, points))
        if place.channel != "store" and chance.happens(PARCELS):
            part = points // 2
            later = one.time + days(chance.uniform(1, 4))
            half = one.cents // 2
            yield self._deed(person, one.time, PURCHASE, part, place, cents=half, order=order)
            yield self._deed(
                person, later, PURCHASE, points - part, place, cents=one.cents - half, order=order
            )
            return
        if person.household and chance.happens(WRONG_MEMBER / 0.2):
            # The till had read the card of somebody else of the household.
            other = chance.choice(person.household)
            earlier = one.time - minutes(chance.uniform(2, 10))
            if other.enrolled < earlier:
                yield self._deed(
                    other, earlier, PURCHASE, points, place, cents=one.cents, order=order
                )
        yield self._deed(person, one.time, PURCHASE, points, place, cents=one.cents, order=order)

    def _return(self, person: Person, one: Bought, order: str) -> Return:
        when = one.time + days(self._chance.uniform(3, 30))
        points = round(one.cents / 100)
        person.lots.append((when, -points))
        return Return(when, person.member, order, one.cents, points, one.time)

    def _counter(self, person: Person, when: datetime) -> Place | None:
        """A store, where the member buys there."""
        chance = self._chance
        store = where(person, when)
        if store is None or not chance.happens(person.store_share):
            return None
        card = chance.choice(person.cards) if chance.happens(0.8) else ""
        if store.kiosk and chance.happens(0.1):
            return Place(
                channel="kiosk", store=store.name, device=store.kiosk, card=card,
                location=store.location,
            )  # fmt: skip
        # One in a hundred clerks who buy ring it up on their own, against the rules of the house.
        alone = person.member in store.clerks and chance.happens(0.01)
        customer = "" if alone else person.member
        return self._world.at_store(store, chance, card, customer)

    def _log_in(
        self, person: Person, when: datetime, place: Place, *, always: bool = False
    ) -> Iterator[Report]:
        """Some minutes ahead; a known device often still knows its member."""
        chance = self._chance
        if not always and chance.happens(REMEMBERED):
            return
        ahead = 0.5 + chance.expovariate(1 / 6)
        yield Report(when - minutes(ahead), person.member, LOG_IN, place)
        if chance.happens(PROFILE_CHANGES_PER_LOG_IN):
            changed = when - minutes(ahead * chance.uniform(0.1, 0.9))
            yield Report(changed, person.member, PROFILE_CHANGE, place)

    def _looks(self, person: Person, until: datetime) -> Iterator[Report]:
        """Visits that end without an order."""
        chance = self._chance
        when = person.enrolled
        while True:
            when += days(chance.expovariate(LOOKS_PER_MONTH / 30))
            if when > until:
                return
            place = online(self._world, chance, person, when)
            yield from self._log_in(person, when, place, always=True)

    def _enthusiasm(self, person: Person) -> Iterator[Happening]:
        """A habit of checking in, kept for a month in the mean and on six days of ten; often with
        a review or a word to friends within the same quarter of an hour. One in a hundred
        check-ins is tapped twice.
        """
        chance = self._chance
        begin = person.enrolled + days(chance.uniform(0, DAYS / 2))
        for day in range(1 + round(chance.expovariate(1 / 30))):
            if not chance.happens(0.6):
                continue
            midnight = (begin + days(day)).replace(hour=0, minute=0, second=0, microsecond=0)
            when = midnight + minutes(60 * chance.hour())
            city = where(person, when)
            if city is not None and city.kiosk and chance.happens(person.store_share / 2):
                place = Place("kiosk", city.name, city.kiosk, location=city.location)
            else:
                place = replace(online(self._world, chance, person, when), card="")
                yield from self._log_in(person, when, place)
            doings = [(CHECK_IN, 10)]
            doings += [(CHECK_IN, 10)] * chance.happens(0.01)
            doings += [("sign_in", 5)] * chance.happens(0.5)
            doings += [("review", 5)] * (chance.randint(1, 3) * chance.happens(0.2))
            doings += [("share", 20)] * chance.happens(0.1)
            doings += [("content", 20)] * chance.happens(0.05)
            for kind, points in doings:
                person.lots.append((when, points))
                yield self._deed(person, when, kind, points, place)
                when += minutes(chance.uniform(0.1, 5))

    def _gifts(self, person: Person) -> Iterator[Happening]:
        """Two a year, for birthdays and at Christmas, of a fifth of what there is."""
        chance = self._chance
        for _ in range(chance.poisson(2 * DAYS / 365)):
            when = BEGIN + days(chance.uniform(0, DAYS))
            if chance.happens(0.3):
                when = datetime(2025, 12, 15, 12, tzinfo=UTC) + days(chance.uniform(0, 10))
            points = person.balance(when) // 5
            if when < person.enrolled or points < 10:
                continue
            near = person.household or self.people
            receiver = chance.choice(near)
            if receiver is not person:
                place = replace(online(self._world, chance, person, when), card="")
                yield from self._log_in(person, when, place)
                person.lots.append((when, -points))
                yield self._deed(person, when, GIFT, points, place, receiver=receiver.member)

    def _collection(self) -> Iterator[Happening]:
        """Colleagues give to one who leaves: five to nine of them, within four days."""
        chance = self._chance
        *givers, receiver = chance.sample(self.people, chance.randint(6, 10))
        begin = chance.instant(150)
        for giver in givers:
            when = begin + days(chance.uniform(0, 4))
            place = replace(online(self._world, chance, giver, when), card="")
            points = chance.randint(20, 100)
            yield self._deed(giver, when, GIFT, points, place, receiver=receiver.member)

    def _deed(
        self, person: Person, when: datetime, kind: str, points: int, place: Place,
        *, cents: int | None = None, order: str = "", receiver: str = "",
    ) -> Deed:  # fmt: skip
        return Deed(when, person.member, HONEST, False, kind, points, place, cents, order, receiver)
