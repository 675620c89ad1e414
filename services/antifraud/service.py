"""The calls of AntifraudService, by what they are about."""

from antifraud.assess_calls import AssessCalls
from antifraud.external import ExternalEngine
from antifraud.store import AssessmentStore
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceServicer
from rules.feed import ProgramFeed


class AntifraudService(AssessCalls, AntifraudServiceServicer):
    """The calls of laurel.antifraud.v1."""

    def __init__(self, store: AssessmentStore, feed: ProgramFeed, engine: ExternalEngine) -> None:
        self._store = store
        self._engine = engine
        self._feed = feed
