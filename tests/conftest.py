"""Fixtures: see house.py."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from house import SAMPLE, Ground, House, new_id
from kit.telemetry import set_up_logs

# So that what they compare is shown where it differs.
pytest.register_assert_rewrite("crowd_counting", "crowd_desk", "model_hands")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Databases of tests stand in .laurel, a folder for each run; what dead runs left goes."""
    # As services log: a traceback drawn with the values of all locals takes seconds.
    set_up_logs("warning")
    if config.option.basetemp is None:
        runs = config.rootpath / ".laurel" / "tests"
        runs.mkdir(parents=True, exist_ok=True)
        for past in runs.iterdir():
            if not Path("/proc", past.name).exists():
                shutil.rmtree(past, ignore_errors=True)
        config.option.basetemp = str(runs / str(os.getpid()))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What a run that passed has written is of no more use."""
    if exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(session.config.option.basetemp, ignore_errors=True)


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
