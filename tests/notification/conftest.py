"""Two houses with the notification service: the shared one without a mail server, and one with."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# Helpers of one folder: `notification` itself is the service.
sys.path.append(str(Path(__file__).parent))

from notification_desk import Desk
from post_office import PostOffice

from house import SAMPLE, Ground, House


@pytest.fixture
async def desk(house: House) -> Desk:
    """The notification service, with the sample program and without a mail server."""
    await house.start("notification")
    return Desk(house)


@pytest.fixture(scope="module")
async def post(ground: Ground) -> AsyncIterator[PostOffice]:
    """A real SMTP server."""
    post = PostOffice()
    await post.open()
    yield post
    await post.close()


@pytest.fixture(scope="module")
async def mail_house(ground: Ground, post: PostOffice) -> AsyncIterator[House]:
    """A house whose notification service sends e-mail."""
    async with ground.house(smtp_url=post.url, smtp_sender="club@laurel.example") as house:
        await house.apply(SAMPLE.read_text())
        await house.start("tier", "notification")
        yield house


@pytest.fixture
async def mail_desk(mail_house: House, post: PostOffice) -> Desk:
    """The notification service, with a mail server that works."""
    await post.open()
    await mail_house.start("tier", "notification")
    return Desk(mail_house)
