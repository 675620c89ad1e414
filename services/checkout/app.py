"""Checkout: pays an order with points plus cash.

A quote asks benefits, points and tier. Authorising, completing, cancelling and refunding are steps
at points and benefits, driven from rest to rest; the sweeper takes up what a crash or an absent
service left standing.
"""

from checkout.driver import Driver
from checkout.quoting import Quoter
from checkout.refund_store import RefundStore
from checkout.remote import Remote
from checkout.service import CheckoutService
from checkout.store import CheckoutStore
from kit.events import Consumer
from kit.schedule import Schedule
from kit.server import Runtime, Service
from laurel.checkout.v1.checkout_service_pb2_grpc import add_CheckoutServiceServicer_to_server
from rules.feed import ProgramFeed

# A member waits for what stands still: look often.
SWEEP_SECONDS_MAX = 5.0


async def wire(runtime: Runtime) -> Service:
    """Wires the service."""
    database = await runtime.database()
    clock, new_id = runtime.clock, runtime.new_id
    feed = ProgramFeed(await runtime.channel("program"))
    remote = Remote(
        await runtime.channel("points"),
        await runtime.channel("benefits"),
        await runtime.channel("tier"),
    )
    store = CheckoutStore(database, clock=clock, new_id=new_id)
    refunds = RefundStore(database, clock=clock, new_id=new_id)
    driver = Driver(store, refunds, remote, clock)
    servicer = CheckoutService(store, Quoter(store, remote, feed, clock, new_id), driver)
    seconds = min(SWEEP_SECONDS_MAX, runtime.settings.schedule_seconds)
    return Service(
        database=database,
        servicers=[
            (
                add_CheckoutServiceServicer_to_server,
                servicer,
                "laurel.checkout.v1.CheckoutService",
            )
        ],
        consumer=Consumer(("program_applied",), feed.handle_event),
        schedules=[Schedule("sweep", seconds, driver.sweep)],
        loops=[feed.loop],
    )
