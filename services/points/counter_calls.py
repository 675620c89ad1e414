"""The calls of PointsService that do not go through the queue."""

from points.account_calls import AccountCalls
from points.adjustment_calls import AdjustmentCalls
from points.household_calls import HouseholdCalls
from points.import_calls import ImportCalls
from points.merge_calls import MergeCalls
from points.till_calls import TillCalls
from points.transfer_calls import TransferCalls


class CounterCalls(
    AccountCalls, AdjustmentCalls, HouseholdCalls, MergeCalls, TransferCalls, ImportCalls, TillCalls
):
    """All that is done at the counter."""
