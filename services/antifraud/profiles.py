"""The members of a batch: what the rules see of each, and what each operation adds to it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from antifraud.gifts import Gift, GiftGraph
from antifraud.profile import Place, Profile
from antifraud.profile_views import Moment
from antifraud.values import Asked
from rules.fraud import FraudDecision
from rules.values import Action, Operation


def profiles_of(asked: Sequence[Asked]) -> "Profiles | None":
    """The members that the rules want to know more of; None where they read nothing of it."""
    reading = [one for one in asked if one.scope.needs is not None]
    if not reading:
        return None
    profiles = Profiles(reading)
    return profiles if profiles.member_ids() else None


class Profiles:
    """The profiles that one batch reads and changes, and the gifts around it."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._member_ids: set[str] = set()
        # Whose row is not loaded is not known: so past operations can be gone through again.
        self._profiles: defaultdict[str, Profile] = defaultdict(Profile)
        self._changed: set[str] = set()
        self._graph = GiftGraph()
        self._gifts: list[Gift] = []
        self._needs = {one.request_key: one.scope.needs_of(one.facts) for one in asked}
        for one in asked:
            wanted = self._needs[one.request_key]
            if wanted is None:
                continue
            gift = _gift_of(one) if wanted.gifts else None
            if gift is not None:
                self._gifts.append(gift)
                # Whoever gives to the same member at the same moment waits for this gift.
                self._member_ids.add(gift.receiver)
            if wanted.views or gift is not None:
                self._member_ids.add(one.request_key[0])

    def member_ids(self) -> list[str]:
        """Whose rows are to be locked, in the order of locking."""
        return sorted(self._member_ids)

    def load(self, profiles: Iterable[tuple[str, Profile]]) -> None:
        """Takes in what is stored."""
        self._profiles.update(profiles)

    def gifts(self) -> list[Gift]:
        """The gifts of the batch that rules want to know more of."""
        return self._gifts

    def load_gifts(self, gifts: Iterable[Gift]) -> None:
        """Takes in what is stored."""
        self._graph.load(gifts)

    def facts_of(self, asked: Asked) -> dict[str, Any]:
        """By its path, each fact that a rule on the operation reads."""
        wanted = self._needs.get(asked.request_key)
        if wanted is None:
            return {}
        found: dict[str, Any] = {}
        if wanted.views:
            moment = Moment(asked.occurred_us, asked.facts, 10**asked.program.minor_digits)
            profile = self._profiles[asked.request_key[0]]
            found = {path: view(profile, moment) for path, view in wanted.views}
        gift = _gift_of(asked) if wanted.gifts else None
        if gift is not None:
            found["gifts.senders"] = self._graph.senders(gift)
            found["gifts.cycle"] = self._graph.closes_cycle(gift)
        return found

    def learn(self, asked: Asked, decision: FraudDecision) -> None:
        """Notes an operation that was decided; those behind it in the batch see it."""
        wanted = self._needs.get(asked.request_key)
        if wanted is None:
            return
        takes_effect = _takes_effect(asked, decision)
        if wanted.views:
            self._learn(asked, takes_effect=takes_effect)
        gift = _gift_of(asked) if wanted.gifts and takes_effect else None
        if gift is not None:
            self._graph.add(gift)

    def _learn(self, asked: Asked, *, takes_effect: bool) -> None:
        member_id, facts = asked.request_key[0], asked.facts
        profile = self._profiles[member_id]
        self._changed.add(member_id)
        if facts.device:
            # Also of what is refused: or else the device would be new for ever.
            profile.use_device(asked.occurred_us, facts.device)
        if not takes_effect:
            return
        profile.operate(facts.operation.value, facts.points, facts.amount_minor)
        if facts.latitude is not None and facts.longitude is not None:
            profile.be_at(Place(asked.occurred_us, facts.latitude, facts.longitude))

    def changed(self) -> list[tuple[str, Profile]]:
        """What is to be stored, in the order of locking."""
        return [(member_id, self._profiles[member_id]) for member_id in sorted(self._changed)]

    def added_gifts(self) -> list[Gift]:
        """The gifts that take effect, in the order of their key."""
        return self._graph.added()


def _takes_effect(asked: Asked, decision: FraudDecision) -> bool:
    """Whether the caller goes on: an accrual under review is booked, a redemption is refused."""
    return decision.action is Action.ALLOW or (
        decision.action is Action.REVIEW and asked.facts.operation is Operation.ACCRUAL
    )


def _gift_of(asked: Asked) -> Gift | None:
    receiver = asked.facts.counterparty
    return Gift(asked.request_key[0], receiver, asked.occurred_us) if receiver else None
