"""A house with all that a checkout is made of, and a program whose points are quickly earned."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.check import run_checks

# Helpers of one folder: `checkout` itself is the service.
sys.path.append(str(Path(__file__).parent))

from checkout_shop import SERVICES, Shop, shop_program

from house import Ground, House


@pytest.fixture(scope="session")
async def mall(ground: Ground) -> AsyncIterator[House]:
    """The house of the checkout tests; at the end `laurel check` looks at all that they wrote."""
    async with ground.house() as house:
        await house.apply(shop_program())
        await house.start(*SERVICES)
        yield house
        broken = [one for one in await run_checks(house.settings.database_url) if one.violations]
        assert not broken, broken


@pytest.fixture
async def shop(mall: House) -> Shop:
    """The shop."""
    await mall.start(*SERVICES)
    return Shop(mall)
