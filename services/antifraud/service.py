"""The calls of AntifraudService, by what they are about."""

from antifraud.action_calls import ActionCalls
from antifraud.action_store import ActionStore
from antifraud.activity_calls import ActivityCalls
from antifraud.appeal_store import AppealStore
from antifraud.assess_calls import AssessCalls
from antifraud.back_test_calls import BackTestCalls
from antifraud.back_test_store import BackTestStore
from antifraud.case_calls import CaseCalls
from antifraud.case_store import CaseStore
from antifraud.challenge_calls import ChallengeCalls
from antifraud.challenge_store import ChallengeStore
from antifraud.external import ExternalEngine
from antifraud.list_calls import ListCalls
from antifraud.list_store import ListStore
from antifraud.profile_store import ProfileStore
from antifraud.store import AssessmentStore
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceServicer
from rules.feed import ProgramFeed


class AntifraudService(
    ActionCalls,
    AssessCalls,
    ActivityCalls,
    BackTestCalls,
    CaseCalls,
    ChallengeCalls,
    ListCalls,
    AntifraudServiceServicer,
):
    """The calls of laurel.antifraud.v1."""

    def __init__(
        self,
        store: AssessmentStore,
        feed: ProgramFeed,
        *,
        engine: ExternalEngine,
        back_tests: BackTestStore,
        cases: CaseStore,
        challenges: ChallengeStore,
        profiles: ProfileStore,
        lists: ListStore,
        actions: ActionStore,
    ) -> None:
        self._store = store
        self._engine = engine
        self._back_tests = back_tests
        self._challenges = challenges
        self._feed = feed
        self._profiles = profiles
        self._cases = cases
        self._lists = lists
        self._actions = actions
        self._appeals = AppealStore(actions)
