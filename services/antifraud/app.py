"""Anti-fraud: decides whether points may move, before they do.

It asks nobody but the program service, and that not in the hot path: the program is cached, and the
sliding windows that its rules read are kept in Postgres. Where rules read the score of an external
engine, that one is asked as well, once for a batch.
"""

from antifraud.case_store import CaseStore
from antifraud.external import ExternalEngine
from antifraud.service import AntifraudService
from antifraud.store import CONSTRAINTS, AssessmentStore
from kit.breaker import Breaker
from kit.events import Consumer
from kit.schedule import Schedule
from kit.server import Runtime, Service
from laurel.antifraud.v1.antifraud_service_pb2_grpc import add_AntifraudServiceServicer_to_server
from rules.feed import ProgramFeed


async def wire(runtime: Runtime) -> Service:
    """Wires the service."""
    database = await runtime.database(CONSTRAINTS)
    feed = ProgramFeed(await runtime.channel("program"))
    store = AssessmentStore(database, clock=runtime.clock, new_id=runtime.new_id)
    engine_channel = await runtime.outer_channel(runtime.settings.external_engine_addr)
    engine = ExternalEngine(engine_channel, Breaker("antifraud.external"))
    cases = CaseStore(database, clock=runtime.clock, new_id=runtime.new_id)
    return Service(
        database=database,
        servicers=[
            (
                add_AntifraudServiceServicer_to_server,
                AntifraudService(store, feed, engine, cases),
                "laurel.antifraud.v1.AntifraudService",
            )
        ],
        consumer=Consumer(("program_applied",), feed.handle_event),
        schedules=[Schedule("prune_velocity", runtime.settings.schedule_seconds, store.prune)],
        loops=[feed.loop],
    )
