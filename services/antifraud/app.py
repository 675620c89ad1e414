"""Anti-fraud: decides whether points may move, before they do.

It asks nobody but the program service, and that not in the hot path: the program is cached, and the
sliding windows that its rules read are kept in Postgres.
"""

from antifraud.action_store import ActionStore
from antifraud.list_store import ListStore
from antifraud.service import AntifraudService
from antifraud.store import CONSTRAINTS, AssessmentStore
from kit.events import Consumer
from kit.schedule import Schedule
from kit.server import Runtime, Service
from laurel.antifraud.v1.antifraud_service_pb2_grpc import add_AntifraudServiceServicer_to_server
from rules.feed import ProgramFeed


async def wire(runtime: Runtime) -> Service:
    """Wires the service."""
    database = await runtime.database(CONSTRAINTS)
    feed = ProgramFeed(await runtime.channel("program"))
    lists = ListStore(database, runtime.clock)
    actions = ActionStore(database, clock=runtime.clock, new_id=runtime.new_id)
    store = AssessmentStore(database, actions, clock=runtime.clock, new_id=runtime.new_id)
    seconds = runtime.settings.schedule_seconds
    return Service(
        database=database,
        servicers=[
            (
                add_AntifraudServiceServicer_to_server,
                AntifraudService(store, feed, lists, actions),
                "laurel.antifraud.v1.AntifraudService",
            )
        ],
        consumer=Consumer(("program_applied",), feed.handle_event),
        schedules=[
            Schedule("prune_velocity", seconds, store.prune),
            Schedule("prune_lists", seconds, lists.prune),
            Schedule("end_actions", seconds, actions.end_due),
        ],
        loops=[feed.loop],
    )
