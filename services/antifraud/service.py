"""The calls of AntifraudService, by what they are about."""

from antifraud.assess_calls import AssessCalls
from antifraud.challenge_calls import ChallengeCalls
from antifraud.challenge_store import ChallengeStore
from antifraud.store import AssessmentStore
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceServicer
from rules.feed import ProgramFeed


class AntifraudService(AssessCalls, ChallengeCalls, AntifraudServiceServicer):
    """The calls of laurel.antifraud.v1."""

    def __init__(
        self, store: AssessmentStore, challenges: ChallengeStore, feed: ProgramFeed
    ) -> None:
        self._store = store
        self._challenges = challenges
        self._feed = feed
