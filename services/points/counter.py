"""The stores of what does not go through the queue: decisions about accounts, and points that move
between them.
"""

from dataclasses import dataclass

from kit.clock import Clock, NewId
from kit.db import Database
from points.accounts import AccountStore
from points.adjustments import AdjustmentStore
from points.clearance import Clearance
from points.household_store import HouseholdStore
from points.import_store import ImportStore
from points.merges import MergeStore
from points.office import Office
from points.remote import AntifraudClient
from points.till_store import TillStore
from points.transfers import TransferStore
from rules.feed import ProgramFeed


@dataclass(frozen=True, slots=True)
class Counter:
    """One store for each kind of operation."""

    office: Office
    accounts: AccountStore
    transfers: TransferStore
    adjustments: AdjustmentStore
    merges: MergeStore
    households: HouseholdStore
    imports: ImportStore
    tills: TillStore


def open_counter(
    database: Database, feed: ProgramFeed, fraud: AntifraudClient, clock: Clock, new_id: NewId
) -> Counter:
    """The stores, which share an office and anti-fraud's leave."""
    office = Office(database, feed, clock, new_id)
    clearance = Clearance(database, fraud)
    return Counter(
        office=office,
        accounts=AccountStore(office),
        transfers=TransferStore(office, clearance),
        adjustments=AdjustmentStore(office),
        merges=MergeStore(office),
        households=HouseholdStore(office, clearance),
        imports=ImportStore(office),
        tills=TillStore(database, clock),
    )
