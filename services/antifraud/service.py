"""The calls of AntifraudService, by what they are about."""

from antifraud.action_calls import ActionCalls
from antifraud.action_store import ActionStore
from antifraud.appeal_store import AppealStore
from antifraud.assess_calls import AssessCalls
from antifraud.list_calls import ListCalls
from antifraud.list_store import ListStore
from antifraud.store import AssessmentStore
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceServicer
from rules.feed import ProgramFeed


class AntifraudService(AssessCalls, ListCalls, ActionCalls, AntifraudServiceServicer):
    """The calls of laurel.antifraud.v1."""

    def __init__(
        self, store: AssessmentStore, feed: ProgramFeed, lists: ListStore, actions: ActionStore
    ) -> None:
        self._store = store
        self._feed = feed
        self._lists = lists
        self._actions = actions
        self._appeals = AppealStore(actions)
