"""Benefits: gives members what their tier earns them, and sees that a coupon is used once.

It hears of tiers and enrolments by event, and asks nobody but the program service for anything.
"""

from benefits.errors import EntitlementTaken
from benefits.grant_store import GrantStore
from benefits.service import BenefitsService
from benefits.store import BenefitsStore
from kit.events import Consumer
from kit.schedule import Schedule
from kit.server import Runtime, Service
from laurel.benefits.v1.benefits_service_pb2_grpc import add_BenefitsServiceServicer_to_server
from rules.feed import ProgramFeed

# An order that was given up keeps a coupon from the next one: look often.
SWEEP_SECONDS_MAX = 30.0


async def wire(runtime: Runtime) -> Service:
    """Wires the service."""
    database = await runtime.database({"reservation_item_single_use": EntitlementTaken})
    feed = ProgramFeed(await runtime.channel("program"))
    grants = GrantStore(feed, clock=runtime.clock, new_id=runtime.new_id)
    store = BenefitsStore(database, clock=runtime.clock, new_id=runtime.new_id)
    servicer = BenefitsService(store, feed, runtime.clock)
    seconds = min(SWEEP_SECONDS_MAX, runtime.settings.schedule_seconds)
    return Service(
        database=database,
        servicers=[
            (
                add_BenefitsServiceServicer_to_server,
                servicer,
                "laurel.benefits.v1.BenefitsService",
            )
        ],
        consumer=Consumer(
            ("tier_changed", "member_enrolled", "program_applied"), grants.take_events
        ),
        schedules=[
            Schedule("release_expired", seconds, store.release_expired),
            Schedule("expire_coupons", seconds, store.expire_coupons),
        ],
        loops=[feed.loop],
    )
