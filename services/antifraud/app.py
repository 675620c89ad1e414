"""Anti-fraud: decides whether points may move, before they do.

It asks nobody but the program service, and that not in the hot path: the program is cached, and the
sliding windows that its rules read are kept in Postgres. Where rules read the score of an external
engine, that one is asked as well, once for a batch.
"""

from collections.abc import Sequence

from antifraud.back_test_store import BackTestStore
from antifraud.case_store import CaseStore
from antifraud.external import ExternalEngine
from antifraud.fill_store import FillStore
from antifraud.profile_events import MEMBER_EVENTS, SPEND_EVENTS, changes_nothing, note_events
from antifraud.profile_store import ProfileStore
from antifraud.service import AntifraudService
from antifraud.store import CONSTRAINTS, AssessmentStore
from kit.breaker import Breaker
from kit.db import Transaction
from kit.events import Consumer
from kit.schedule import Schedule
from kit.server import Runtime, Service
from laurel.antifraud.v1.antifraud_service_pb2_grpc import add_AntifraudServiceServicer_to_server
from laurel.event.v1.event_pb2 import Event
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
    profiles = ProfileStore(database, clock=runtime.clock)

    async def take_events(tx: Transaction, events: Sequence[Event]) -> None:
        await feed.handle_event(tx, events)
        await note_events(tx, events, runtime.clock)

    def ignores(events: Sequence[Event]) -> bool:
        # Points are booked all the time: where no rule asks for it, that must cost no transaction.
        return changes_nothing(events, feed.known)

    engine_channel = await runtime.outer_channel(runtime.settings.external_engine_addr)
    engine = ExternalEngine(engine_channel, Breaker("antifraud.external"))
    cases = CaseStore(database, clock=runtime.clock, new_id=runtime.new_id)
    return Service(
        database=database,
        servicers=[
            (
                add_AntifraudServiceServicer_to_server,
                AntifraudService(
                    store,
                    feed,
                    engine=engine,
                    back_tests=back_tests,
                    cases=cases,
                    profiles=profiles,
                ),
                "laurel.antifraud.v1.AntifraudService",
            )
        ],
        consumer=Consumer(("program_applied", *MEMBER_EVENTS, *SPEND_EVENTS), take_events, ignores),
        schedules=[
            Schedule("prune_velocity", pause, store.prune),
            Schedule("fill_velocity", min(FILL_SECONDS_MAX, pause), fills.run),
            Schedule("prune_gifts", pause, profiles.prune),
        ],
        loops=[feed.loop],
    )
