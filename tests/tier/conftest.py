"""A house with the tier service."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# Helpers of one folder: `tier` itself is the service.
sys.path.append(str(Path(__file__).parent))

from tier_desk import PROGRAM_BEGIN, Desk

from house import SAMPLE, Ground, House
from kit.clock import to_timestamp


@pytest.fixture(scope="session")
async def tier_house(ground: Ground) -> AsyncIterator[House]:
    """A house of its own: a review looks at everybody in it."""
    async with ground.house() as house:
        begin = to_timestamp(PROGRAM_BEGIN)
        await house.apply(SAMPLE.read_text(), effective_time=begin)
        await house.start("tier")
        yield house


@pytest.fixture
def desk(tier_house: House) -> Desk:
    """The tier service with the sample program: silver from 100, gold 260, diamond 560."""
    return Desk(tier_house)
