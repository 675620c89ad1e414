"""Honest people: where they live, what they own, and what they share with others."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scenarios.stream import Place, Point
from scenarios.world import BEGIN, DAYS, Chance, Store, World, days

# A second device belongs to half of all people and a third to a fifth; phones are replaced every
# two and a half years.
SECOND_DEVICE, THIRD_DEVICE = 0.5, 0.2
REPLACEMENT_DAYS = 900
SHARED_DEVICE = 0.4
# Reaching home over a provider, an address lasts some two months.
HOME_IP_DAYS = 60
TRIPS_PER_YEAR = 2
TRAVEL_HOURS = 8
# Of visits with a location 3 in 1,000 are told wrong, mostly by tunnels into another city.
WRONG_LOCATION = 0.003


@dataclass(slots=True)
class Trip:
    """A stay in another city."""

    begin: datetime
    end: datetime
    store: Store


@dataclass(slots=True)
class Person:
    """A member; `devices` come with the instant from which on they are owned."""

    member: str
    home: Store
    enrolled: datetime
    devices: list[tuple[datetime, str]]
    cards: list[str]
    home_ips: list[str]
    office_ip: str
    store_share: float
    """How much of what they buy they buy at a store."""
    trips: list[Trip]
    household: "list[Person]" = field(default_factory=list)
    lots: list[tuple[datetime, int]] = field(default_factory=list)
    """(when, points) earned or, below 0, spent."""

    def balance(self, when: datetime) -> int:
        """The points that could be spent: those earned pend for 14 days, the return window."""
        ripe = when - timedelta(days=14)
        return sum(p for at, p in self.lots if at <= (ripe if p > 0 else when))

    def owned(self, when: datetime) -> list[str]:
        """Devices; the first is the phone."""
        return [device for since, device in self.devices if since <= when] or [self.devices[0][1]]


def settle(world: World, chance: Chance, enrolments: dict[str, datetime]) -> list[Person]:
    """People of the member ids; a fifth of them live in households of two to five, which share an
    address, often a tablet, and sometimes a card.
    """
    people = [_person(world, chance, m, enrolled) for m, enrolled in enrolments.items()]
    for home in _households(chance, people):
        tablet = chance.id("tablet")
        shares_tablet = chance.happens(SHARED_DEVICE)
        for one in home:
            one.household = [other for other in home if other is not one]
            one.home, one.home_ips = home[0].home, home[0].home_ips
            if shares_tablet:
                one.devices.append((one.enrolled, tablet))
            if chance.happens(0.3):
                one.cards.append(home[0].cards[0])
    # Readers in a library: twenty of them share its computer, beside what they own.
    for device in world.library_devices:
        for one in chance.sample(people, 20):
            one.devices.append((one.enrolled + days(chance.uniform(0, 300)), device))
    return people


def _households(chance: Chance, people: list[Person]) -> Iterator[list[Person]]:
    waiting = [one for one in people if chance.happens(0.2)]
    while len(waiting) > 5:
        size = chance.choices((2, 3, 4, 5), (5, 2, 2, 1))[0]
        yield [waiting.pop() for _ in range(size)]


def _person(world: World, chance: Chance, member: str, enrolled: datetime) -> Person:
    devices = [(enrolled, chance.id("phone"))]
    if chance.happens(SECOND_DEVICE):
        devices.append((enrolled + days(chance.uniform(-50, 250)), chance.id("laptop")))
        if chance.happens(THIRD_DEVICE / SECOND_DEVICE):
            devices.append((enrolled + days(chance.uniform(-50, 250)), chance.id("tablet")))
    if chance.happens(DAYS / REPLACEMENT_DAYS):
        bought = enrolled + days(chance.uniform(0, DAYS))
        devices.append((bought, chance.id("phone")))
    return Person(
        member=member,
        home=chance.choice(world.stores),
        enrolled=enrolled,
        devices=devices,
        cards=[chance.id("card") for _ in range(chance.choice((1, 1, 2)))],
        home_ips=[chance.ip() for _ in range(DAYS // HOME_IP_DAYS + 2)],
        office_ip=chance.choice(world.office_ips) if chance.happens(0.3) else "",
        store_share=0.7 if chance.happens(0.25) else 0.05,
        trips=[_trip(world, chance) for _ in range(chance.poisson(TRIPS_PER_YEAR * DAYS / 365))],
    )


def _trip(world: World, chance: Chance) -> Trip:
    begin = BEGIN + days(chance.uniform(0, DAYS))
    return Trip(begin, begin + days(chance.uniform(2, 10)), chance.choice(world.stores))


def where(person: Person, when: datetime) -> Store | None:
    """The store of the city that a person is in; None while under way."""
    hours = timedelta(hours=TRAVEL_HOURS)
    for trip in person.trips:
        if trip.begin - hours < when < trip.end + hours:
            return trip.store if trip.begin < when < trip.end else None
    return person.home


def online(world: World, chance: Chance, person: Person, when: datetime) -> Place:
    """A visit by web or app: from home, at work or under way; four in ten tell a location."""
    owned = person.owned(when)
    # What is nearest at hand is used most.
    device = chance.choices(owned, [1 / (n + 1) for n in range(len(owned))])[0]
    city = where(person, when)
    is_phone = device.startswith("phone")
    at_work = person.office_ip and when.weekday() < 5 and 14 <= when.hour < 22
    if (is_phone and chance.happens(0.4)) or city is not person.home:
        ip = chance.choice(world.carrier_ips)
    elif at_work and chance.happens(0.3):
        ip = person.office_ip
    else:
        ip = person.home_ips[max(0, (when - BEGIN).days) // HOME_IP_DAYS % len(person.home_ips)]
    location: Point | None = None
    if city is not None and chance.happens(0.4):
        wrong = chance.happens(WRONG_LOCATION)
        location = chance.near((chance.choice(world.stores) if wrong else city).location)
    card = chance.choice(person.cards) if chance.happens(0.8) else ""
    channel = "app" if is_phone else "web"
    return Place(channel=channel, device=device, ip=ip, card=card, location=location)
