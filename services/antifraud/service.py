"""The calls of AntifraudService, by what they are about."""

from antifraud.assess_calls import AssessCalls
from antifraud.case_calls import CaseCalls
from antifraud.case_store import CaseStore
from antifraud.external import ExternalEngine
from antifraud.store import AssessmentStore
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceServicer
from rules.feed import ProgramFeed


class AntifraudService(AssessCalls, CaseCalls, AntifraudServiceServicer):
    """The calls of laurel.antifraud.v1."""

    def __init__(
        self, store: AssessmentStore, feed: ProgramFeed, engine: ExternalEngine, cases: CaseStore
    ) -> None:
        self._store = store
        self._engine = engine
        self._feed = feed
        self._cases = cases
