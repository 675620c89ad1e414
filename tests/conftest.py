"""Fixtures: see house.py."""

from collections.abc import AsyncIterator

import pytest

from house import SAMPLE, Ground, House, new_id


@pytest.fixture(scope="session")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """One Postgres and one CA for the session."""
    ground = Ground(tmp_path_factory.mktemp("ground"))
    await ground.open()
    yield ground
    await ground.close()


@pytest.fixture(scope="session")
async def house(ground: Ground) -> AsyncIterator[House]:
    """The house that tests share: the sample program is applied; `await house.start("points")` for
    more.
    """
    async with ground.house() as house:
        await house.apply(SAMPLE.read_text())
        yield house


@pytest.fixture
def member() -> str:
    """A member id that no other test uses."""
    return f"m-{new_id()}"
