"""Anti-fraud: decides whether points may move, before they do.

It asks nobody but the program service, and that not in the hot path: the program is cached, and the
sliding windows that its rules read are kept in Postgres.
"""

from antifraud.back_test_store import BackTestStore
from antifraud.fill_store import FillStore
from antifraud.service import AntifraudService
from antifraud.store import CONSTRAINTS, AssessmentStore
from kit.events import Consumer
from kit.schedule import Schedule
from kit.server import Runtime, Service
from laurel.antifraud.v1.antifraud_service_pb2_grpc import add_AntifraudServiceServicer_to_server
from rules.feed import ProgramFeed

# A new rule waits for its counters.
FILL_SECONDS_MAX = 5.0


async def wire(runtime: Runtime) -> Service:
    """Wires the service."""
    database = await runtime.database(CONSTRAINTS)
    feed = ProgramFeed(await runtime.channel("program"))
    store = AssessmentStore(database, clock=runtime.clock, new_id=runtime.new_id)
    fills = FillStore(database, feed, clock=runtime.clock)
    pause = runtime.settings.schedule_seconds
    back_tests = BackTestStore(database, clock=runtime.clock)
    return Service(
        database=database,
        servicers=[
            (
                add_AntifraudServiceServicer_to_server,
                AntifraudService(store, feed, back_tests),
                "laurel.antifraud.v1.AntifraudService",
            )
        ],
        consumer=Consumer(("program_applied",), feed.handle_event),
        schedules=[
            Schedule("prune_velocity", pause, store.prune),
            Schedule("fill_velocity", min(FILL_SECONDS_MAX, pause), fills.run),
        ],
        loops=[feed.loop],
    )
