"""Anti-fraud: decides whether points may move, before they do.

It asks nobody but the program service, and that not in the hot path: the program is cached, and the
sliding windows that its rules read are kept in Postgres. Where rules read the score of an external
engine, that one is asked as well, once for a batch. Codes of challenges go out behind the answers,
through notification or external verifiers.
"""

import secrets
from collections.abc import Sequence

from antifraud.action_store import ActionStore
from antifraud.back_test_store import BackTestStore
from antifraud.case_store import CaseStore
from antifraud.challenge_issue import Issuer, Means
from antifraud.challenge_store import ChallengeStore
from antifraud.challenging import SALT_BYTES
from antifraud.code_sender import CodeSender
from antifraud.external import ExternalEngine
from antifraud.fill_store import FillStore
from antifraud.list_store import ListStore
from antifraud.profile_events import MEMBER_EVENTS, SPEND_EVENTS, changes_nothing, note_events
from antifraud.profile_store import ProfileStore
from antifraud.service import AntifraudService
from antifraud.store import CONSTRAINTS, AssessmentStore
from antifraud.verifiers import Verifiers
from kit.breaker import Breaker
from kit.client import open_channel
from kit.db import Transaction
from kit.events import Consumer
from kit.schedule import Schedule
from kit.server import Runtime, Service
from kit.telemetry import log
from laurel.antifraud.v1.antifraud_service_pb2_grpc import add_AntifraudServiceServicer_to_server
from laurel.event.v1.event_pb2 import Event
from laurel.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from rules.feed import ProgramFeed

# A new rule waits for its counters.
FILL_SECONDS_MAX = 5.0
TELL_SECONDS = 1.0


async def wire(runtime: Runtime) -> Service:
    """Wires the service."""
    database = await runtime.database(CONSTRAINTS)
    feed = ProgramFeed(await runtime.channel("program"))
    key = _code_key(runtime)
    verifiers = await _verifiers(runtime)
    issuer = Issuer(Means(key, verifiers.names), runtime.clock, runtime.new_id, _new_salt)
    lists = ListStore(database, runtime.clock)
    actions = ActionStore(database, clock=runtime.clock, new_id=runtime.new_id)
    store = AssessmentStore(database, issuer, actions, clock=runtime.clock, new_id=runtime.new_id)
    challenges = ChallengeStore(database, key, verifiers, runtime.clock, _new_salt)
    notification = NotificationServiceStub(await runtime.channel("notification"))
    sender = CodeSender(challenges, feed, key, verifiers, notification)
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
                    challenges=challenges,
                    back_tests=back_tests,
                    cases=cases,
                    profiles=profiles,
                    lists=lists,
                    actions=actions,
                ),
                "laurel.antifraud.v1.AntifraudService",
            )
        ],
        consumer=Consumer(("program_applied", *MEMBER_EVENTS, *SPEND_EVENTS), take_events, ignores),
        schedules=[
            Schedule("prune_velocity", pause, store.prune),
            Schedule("fill_velocity", min(FILL_SECONDS_MAX, pause), fills.run),
            Schedule("prune_challenges", pause, challenges.prune),
            Schedule("prune_lists", pause, lists.prune),
            Schedule("end_actions", pause, actions.end_due),
            Schedule("tell_cases", TELL_SECONDS, cases.tell_rest),
            Schedule("prune_gifts", pause, profiles.prune),
        ],
        loops=[feed.loop, sender.run],
    )


def _new_salt() -> bytes:
    return secrets.token_bytes(SALT_BYTES)


def _code_key(runtime: Runtime) -> bytes | None:
    key = runtime.settings.code_key
    if key is None:
        log(runtime.name).warning("codes.off", problem="LAUREL_CODE_KEY is not set")
        return None
    return key.get_secret_value().encode()


async def _verifiers(runtime: Runtime) -> Verifiers:
    channels = {}
    for name, address in runtime.settings.verifier_addrs().items():
        channel = open_channel(address, runtime.certificates, retries=False)
        runtime.stack.push_async_callback(channel.close)
        channels[name] = channel
    return Verifiers(channels)
