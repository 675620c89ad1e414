"""The places of the scenarios: cities, stores, networks, offices; and how chance is drawn."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from scenarios.stream import Place, Point

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
END = datetime(2026, 7, 1, tzinfo=UTC)
DAYS = (END - BEGIN).days

# Cities of the United States with a store each, weighted alike: where people live matters for
# nothing but the distances between them, which are 150 to 4,300 km.
CITIES: tuple[tuple[str, Point], ...] = (
    ("new_york", (40.71, -74.01)),
    ("philadelphia", (39.95, -75.17)),
    ("boston", (42.36, -71.06)),
    ("washington", (38.91, -77.04)),
    ("chicago", (41.88, -87.63)),
    ("atlanta", (33.75, -84.39)),
    ("miami", (25.76, -80.19)),
    ("dallas", (32.78, -96.80)),
    ("denver", (39.74, -104.99)),
    ("seattle", (47.61, -122.33)),
    ("los_angeles", (34.05, -118.24)),
    ("san_francisco", (37.77, -122.42)),
)
ABROAD: tuple[Point, ...] = ((44.43, 26.10), (6.52, 3.38), (10.82, 106.63), (55.76, 37.62))
CLERKS_PER_STORE = 3


@dataclass(frozen=True, slots=True)
class Store:
    """A store; clerks are told by the ids that they have as members."""

    name: str
    location: Point
    clerks: tuple[str, ...]
    kiosk: str
    """Device of the kiosk that customers use; empty where there is none."""


class Chance(Random):
    """Random draws; each scenario has its own, so that none shifts another."""

    def __init__(self, seed: int, name: str) -> None:
        super().__init__(f"{seed}:{name}")

    def about(self, median: float, sigma: float) -> float:
        """A lognormal number: sizes and delays that people choose spread by factors."""
        return self.lognormvariate(math.log(median), sigma)

    def happens(self, share: float) -> bool:
        """True with a probability."""
        return self.random() < share

    def poisson(self, mean: float) -> int:
        """How often something rare happens."""
        count, product = 0, self.random()
        while product > math.exp(-mean):
            count, product = count + 1, product * self.random()
        return count

    def id(self, prefix: str) -> str:
        """A new id of a device, a card or an order."""
        return f"{prefix}-{self.getrandbits(48):012x}"

    def ip(self) -> str:
        """An address that nobody else is likely to have."""
        return f"100.{self.randint(64, 127)}.{self.randint(0, 255)}.{self.randint(1, 254)}"

    def near(self, point: Point, degrees: float = 0.05) -> Point:
        """A place within some kilometres."""
        north, east = point
        return north + self.uniform(-degrees, degrees), east + self.uniform(-degrees, degrees)

    def instant(self, first_day: int = 30, last_day: int = DAYS - 30) -> datetime:
        """An instant of the 18 months, away from their ends."""
        return BEGIN + timedelta(days=self.uniform(first_day, last_day))

    def hour(self) -> float:
        """The hour at which people shop: between 8 and 23, most in the evening; in UTC."""
        return self.triangular(8, 23, 19) + 5


def minutes(count: float) -> timedelta:
    """A span; milliseconds are as fine as it gets."""
    return timedelta(milliseconds=round(count * 60_000))


def days(count: float) -> timedelta:
    """A span."""
    return minutes(count * 1440)


class World:
    """What all people share."""

    def __init__(self, seed: int) -> None:
        chance = Chance(seed, "world")
        self.seed = seed
        # Every other store has a kiosk: one device for everybody who comes in.
        self.stores = tuple(
            Store(
                name,
                location,
                tuple(f"clerk-{name}-{n}" for n in range(CLERKS_PER_STORE)),
                f"kiosk-{name}" if number % 2 else "",
            )
            for number, (name, location) in enumerate(CITIES)
        )
        # A carrier puts many phones behind one address; an office all its people.
        self.carrier_ips = [chance.ip() for _ in range(40)]
        self.office_ips = [chance.ip() for _ in range(60)]
        self.library_devices = [chance.id("library") for _ in range(3)]

    def at_store(self, store: Store, chance: Chance, card: str, customer: str = "") -> Place:
        """A purchase at a counter, served by a clerk who is not the customer."""
        clerks = [clerk for clerk in store.clerks if clerk != customer]
        return Place(
            channel="store",
            store=store.name,
            card=card,
            staff=chance.choice(clerks),
            location=store.location,
        )
