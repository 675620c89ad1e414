"""The house that tests share, with the benefits service."""

import sys
from pathlib import Path

import pytest

# Helpers of one folder: `benefits` itself is the service.
sys.path.append(str(Path(__file__).parent))

from benefits_desk import Desk

from house import House


@pytest.fixture
async def desk(house: House) -> Desk:
    """The benefits service, with the sample program."""
    await house.start("benefits")
    return Desk(house)
