"""All that happens, honest and not, in the order of time."""

from itertools import chain

from scenarios.accounts import impossible_travel, new_account, take_over
from scenarios.farms import check_in_burst, farm, gift_ring, round_numbers, same_order
from scenarios.goods import employee, refund_abuse, stolen_card
from scenarios.honest import Honest
from scenarios.stream import Happening
from scenarios.world import END, World

SEED = 20261127


def generate(seed: int = SEED) -> list[Happening]:
    """The same stream for the same seed."""
    world = World(seed)
    honest = Honest(world)
    lives = honest.live()
    frauds = (
        farm, check_in_burst, same_order, round_numbers, gift_ring, refund_abuse, stolen_card,
        employee, new_account, impossible_travel,
    )  # fmt: skip
    found = chain(lives, take_over(world, honest.people), *(scenario(world) for scenario in frauds))
    return sorted((one for one in found if one.time < END), key=lambda one: one.time)
