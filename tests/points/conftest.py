"""A ledger in a house where points are active at once and anti-fraud has no rule."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from cli.check import run_checks
from house import Ground, House
from points_ledger import Ledger, calm_program
from points_moving import Counter


@pytest.fixture(scope="session")
async def calm(ground: Ground) -> AsyncIterator[House]:
    """The house of the ledger's tests; at the end `laurel check` looks at all that they wrote."""
    async with ground.house() as house:
        # Patient with a machine that is busy with other things.
        await house.apply(calm_program(multiplied=False, deadline_ms=2000))
        await house.start("antifraud", "tier", "points")
        yield house
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


@pytest.fixture
def ledger(calm: House) -> Ledger:
    """The ledger of the calm house."""
    return Ledger(calm)


@pytest.fixture
def counter(calm: House) -> Counter:
    """The counter of the calm house."""
    return Counter(calm)


@pytest.fixture(scope="session")
def now() -> datetime:
    """The instant at which the session began."""
    return datetime.now(UTC)


@pytest.fixture
def region(member: str) -> str:
    """A region that no other test uses."""
    return f"r-{member}"
