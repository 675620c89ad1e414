"""Anti-fraud: decides whether points may move, before they do.

It asks nobody but the program service, and that not in the hot path: the program is cached, and the
sliding windows that its rules read are kept in Postgres. Codes of challenges go out behind the
answers, through notification or external verifiers.
"""

import secrets

from antifraud.challenge_issue import Issuer, Means
from antifraud.challenge_store import ChallengeStore
from antifraud.challenging import SALT_BYTES
from antifraud.code_sender import CodeSender
from antifraud.service import AntifraudService
from antifraud.store import CONSTRAINTS, AssessmentStore
from antifraud.verifiers import Verifiers
from kit.client import open_channel
from kit.events import Consumer
from kit.schedule import Schedule
from kit.server import Runtime, Service
from kit.telemetry import log
from laurel.antifraud.v1.antifraud_service_pb2_grpc import add_AntifraudServiceServicer_to_server
from laurel.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from rules.feed import ProgramFeed


async def wire(runtime: Runtime) -> Service:
    """Wires the service."""
    database = await runtime.database(CONSTRAINTS)
    feed = ProgramFeed(await runtime.channel("program"))
    key = _code_key(runtime)
    verifiers = await _verifiers(runtime)
    issuer = Issuer(Means(key, verifiers.names), runtime.clock, runtime.new_id, _new_salt)
    store = AssessmentStore(database, issuer, clock=runtime.clock, new_id=runtime.new_id)
    challenges = ChallengeStore(database, key, verifiers, runtime.clock, _new_salt)
    notification = NotificationServiceStub(await runtime.channel("notification"))
    sender = CodeSender(challenges, feed, key, verifiers, notification)
    seconds = runtime.settings.schedule_seconds
    return Service(
        database=database,
        servicers=[
            (
                add_AntifraudServiceServicer_to_server,
                AntifraudService(store, challenges, feed),
                "laurel.antifraud.v1.AntifraudService",
            )
        ],
        consumer=Consumer(("program_applied",), feed.handle_event),
        schedules=[
            Schedule("prune_velocity", seconds, store.prune),
            Schedule("prune_challenges", seconds, challenges.prune),
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
