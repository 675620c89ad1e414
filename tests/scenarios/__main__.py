"""`make scenarios`: plays the scenarios against anti-fraud with the sample program; prints what
was stopped, who was disturbed, and by which rules (ARGS="--seed 7" for others of the kind).
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from rich.console import Console

from house import Ground
from kit.telemetry import set_up_logs
from scenarios.generator import SEED, generate
from scenarios.playing import fired_rules, play
from scenarios.report import hits, summarise, table


async def main() -> None:
    """Plays and prints."""
    parser = argparse.ArgumentParser(prog="make scenarios", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    stream = generate(parser.parse_args().seed)
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder))
        await ground.open()
        try:
            async with ground.house() as house:
                verdicts = await play(house, stream)
                console.print(table(summarise(verdicts)))
                console.print(hits(await fired_rules(house, verdicts)))
        finally:
            await ground.close()


set_up_logs("warning")
asyncio.run(main())
