"""All that answers questions about the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

from kit.batch import Batcher
from kit.clock import Clock
from kit.db import Database
from points.apart import Work
from points.balances import BalanceReader, BalanceView
from points.board_store import BoardStore
from points.liability_reader import LiabilityReader
from points.reading import LedgerReader
from points.store import Answer
from points.values import Accrue, Command, Posted
from points.watching import BalanceHub
from rules.feed import ProgramFeed

# A statement costs as much as what ten balances of it do.
GATHER_TURNS = 32

BalanceQueue = Batcher[str, BalanceView]


@dataclass(frozen=True, slots=True)
class Reads:
    """One reader for each kind of question."""

    ledger: LedgerReader
    balances: BalanceReader
    balance_queue: BalanceQueue
    hub: BalanceHub
    liability: LiabilityReader
    boards: BoardStore

    def telling(self, work: Work) -> Work:
        """Work on commands after which those who watch the members are told at once."""

        async def work_and_tell(commands: Sequence[Command]) -> list[Answer]:
            answers = await work(commands)
            if self.hub.watcher_count:
                members = {one.member_id for one in answers if isinstance(one, Posted)}
                members |= {one.member_id for one in commands if isinstance(one, Accrue)}
                self.hub.touch(members)
            return answers

        return work_and_tell


def open_reads(
    database: Database, feed: ProgramFeed, clock: Clock, queue_max: int, batch_max: int
) -> Reads:
    """The readers of one process."""
    balances = BalanceReader(database, clock)
    return Reads(
        ledger=LedgerReader(database, feed, clock),
        balances=balances,
        # Reads share statements as writes share commits: a statement for each would cost more than
        # the call that asks for it.
        balance_queue=Batcher(
            balances.get_balances,
            queue_max=queue_max,
            batch_max=batch_max,
            gather_turns=GATHER_TURNS,
        ),
        hub=BalanceHub(balances.get_balances),
        liability=LiabilityReader(database, feed, clock),
        boards=BoardStore(database, feed, clock),
    )
