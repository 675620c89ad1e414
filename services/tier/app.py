"""Tier: knows the members, counts what they spend and decides which tier they are in.

It hears of purchases by event and asks nobody but the program service for anything.
"""

from collections.abc import Awaitable, Callable

from kit.events import Consumer
from kit.schedule import Schedule
from kit.server import Runtime, Service
from laurel.tier.v1.member_service_pb2_grpc import add_MemberServiceServicer_to_server
from laurel.tier.v1.tier_service_pb2_grpc import add_TierServiceServicer_to_server
from rules.feed import ProgramFeed
from tier.member_store import MemberStore
from tier.service import MemberService, TierService
from tier.tier_reader import TierReader
from tier.tier_store import TierStore

EVENTS = (
    "points_accrued", "accrual_reversed", "review_settled", "fraud_action_taken", "program_applied",
)  # fmt: skip


async def wire(runtime: Runtime) -> Service:
    """Wires the service."""
    database = await runtime.database()
    feed = ProgramFeed(await runtime.channel("program"))
    members = MemberStore(database, clock=runtime.clock, new_id=runtime.new_id)
    store = TierStore(database, feed, clock=runtime.clock, new_id=runtime.new_id)
    tiers = TierService(store, TierReader(database, feed), runtime.clock)
    return Service(
        database=database,
        servicers=[
            (
                add_MemberServiceServicer_to_server,
                MemberService(members, runtime.clock),
                "laurel.tier.v1.MemberService",
            ),
            (add_TierServiceServicer_to_server, tiers, "laurel.tier.v1.TierService"),
        ],
        consumer=Consumer(EVENTS, store.take_events),
        schedules=[Schedule("review", runtime.settings.schedule_seconds, _review(runtime, store))],
        loops=[feed.loop],
    )


def _review(runtime: Runtime, store: TierStore) -> Callable[[], Awaitable[object]]:
    return lambda: store.run_review(runtime.clock())
