"""A house with the sample program, in which the scenarios are played."""

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson

from house import SAMPLE, House
from kit.clock import to_timestamp
from scenarios.driver import Driver, Verdict
from scenarios.stream import Happening

IN_FORCE = datetime(2000, 1, 1, tzinfo=UTC)


async def open_desk(house: House) -> None:
    """Starts anti-fraud with the sample program."""
    await house.apply(SAMPLE.read_text(), effective_time=to_timestamp(IN_FORCE))
    await house.start("antifraud")


async def play(house: House, stream: Sequence[Happening]) -> list[Verdict]:
    """The verdicts on all that happens, in its order."""
    await open_desk(house)
    return await Driver(house).play(stream)


async def fired_rules(house: House, verdicts: Sequence[Verdict]) -> list[tuple[Verdict, list[str]]]:
    """Each verdict with the rules that fired, for those where any did."""
    rows = await house.fetch(
        "SELECT request_id, fired FROM antifraud.assessment"
        " WHERE request_id = ANY($1) AND fired IS NOT NULL",
        [one.request_id for one in verdicts],
    )
    names = {row["request_id"]: [one["rule"] for one in orjson.loads(row["fired"])] for row in rows}
    return [(one, names[one.request_id]) for one in verdicts if one.request_id in names]
