"""A house with the anti-fraud service."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# Helpers of one folder: `antifraud` itself is the service.
sys.path.append(str(Path(__file__).parent))

from back_test_lab import LAB_PROGRAM, Lab
from fraud_desk import EARLY, EARLY_RULES, LATE, RULES, Desk, program_with
from member_desk import DECIDING, WITNESS, MemberDesk

from house import Ground, House
from kit.clock import to_timestamp


@pytest.fixture(scope="session")
async def fraud_house(ground: Ground) -> AsyncIterator[House]:
    """A house of its own: one set of rules from 1990, another from 2000."""
    async with ground.house() as house:
        await house.apply(program_with(EARLY_RULES), effective_time=to_timestamp(EARLY))
        await house.apply(program_with(RULES), effective_time=to_timestamp(LATE))
        await house.start("antifraud")
        yield house


@pytest.fixture
def desk(fraud_house: House) -> Desk:
    """The anti-fraud service with the rules of `fraud_desk`."""
    return Desk(fraud_house)


@pytest.fixture(scope="module")
async def lab_house(ground: Ground) -> AsyncIterator[House]:
    """A house whose rules are those of `fraud_desk` and one that only watches."""
    async with ground.house() as house:
        await house.apply(LAB_PROGRAM, effective_time=to_timestamp(EARLY))
        await house.start("antifraud")
        yield house


@pytest.fixture(scope="session")
async def member_house(ground: Ground) -> AsyncIterator[House]:
    """A house whose rules from 2000 read every fact about the member; those from 1990 read none."""
    async with ground.house() as house:
        program = program_with(WITNESS + DECIDING)
        patient = program.replace("deadline_ms: 500", "deadline_ms: 20000")
        await house.apply(program_with(EARLY_RULES), effective_time=to_timestamp(EARLY))
        await house.apply(patient, effective_time=to_timestamp(LATE))
        await house.start("antifraud")
        yield house


@pytest.fixture
def lab(lab_house: House) -> Lab:
    """The anti-fraud service; back-tests look at what is assessed from now on."""
    return Lab(lab_house).open()


@pytest.fixture
def booth(member_house: House) -> MemberDesk:
    """The anti-fraud service with the rules of `member_desk`."""
    return MemberDesk(member_house)
