"""The calls of PointsService that do not go through the queue."""

from points.account_calls import AccountCalls
from points.adjustment_calls import AdjustmentCalls
from points.merge_calls import MergeCalls
from points.transfer_calls import TransferCalls


class CounterCalls(AccountCalls, AdjustmentCalls, MergeCalls, TransferCalls):
    """All that is done at the counter."""
