"""Tries draft rules on what was assessed: the same windows, the same rules of deciding (AF-05)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from antifraud.assessing import Batch
from antifraud.drafts import Draft
from antifraud.errors import TooManyKeys
from antifraud.values import Asked, asked_of, facts_of, fired_from_json
from antifraud.velocity import INT64_MAX, Key
from rules.facts import WINDOW_SECONDS_MAX
from rules.fraud import STEP_UP_RULE, Fired, FraudDecision, decision_of
from rules.fraud_rules import FraudFacts
from rules.values import Action, FraudRule

SAMPLES_MAX = 10
# Some 350 bytes each, and 28 for every entry.
KEYS_MAX = 500_000
# As the service forgets keys that nobody uses.
IDLE_AGE = timedelta(seconds=WINDOW_SECONDS_MAX, days=1)
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECOND = timedelta(microseconds=1)


class Past(NamedTuple):
    """A stored assessment, as a back-test looks at it."""

    assessment_id: UUID
    member_id: str
    request_id: str
    facts: FraudFacts
    action: Action
    fired: tuple[Fired, ...]
    program_version: int
    occurred_time: datetime
    create_time: datetime
    is_complete: bool
    """Whether amount and origin were kept with it."""
    is_fraud: bool | None
    """What its label says; None without one."""


def past_of(row: Any) -> Past:
    """An assessment from its row."""
    return Past(
        row["assessment_id"], row["member_id"], row["request_id"], facts_of(row),
        Action(row["action"]), fired_from_json(row["fired"]), row["program_version"],
        row["occurred_time"], row["create_time"], row["amount_minor"] is not None,
        row["is_fraud"],
    )  # fmt: skip


@dataclass(slots=True)
class Measure:
    """Operations that were picked out, and what is known of them."""

    hit_count: int = 0
    points: int = 0
    fraud_count: int = 0
    legitimate_count: int = 0

    def add(self, past: Past) -> None:
        """Picks an operation out."""
        self.hit_count += 1
        self.points = min(self.points + past.facts.points, INT64_MAX)
        self.fraud_count += past.is_fraud is True
        self.legitimate_count += past.is_fraud is False

    def __add__(self, other: "Measure") -> "Measure":
        """Both together."""
        return Measure(
            self.hit_count + other.hit_count,
            min(self.points + other.points, INT64_MAX),
            self.fraud_count + other.fraud_count,
            self.legitimate_count + other.legitimate_count,
        )

    @property
    def unlabelled_count(self) -> int:
        """Those without a label."""
        return self.hit_count - self.fraud_count - self.legitimate_count

    @property
    def precision(self) -> float | None:
        """Of those with a label, the share of fraud; None where none has one."""
        return share(self.fraud_count, self.fraud_count + self.legitimate_count)

    def recall(self, fraud_count: int) -> float | None:
        """The share of all fraud; None where there was none."""
        return share(self.fraud_count, fraud_count)


def share(part: int, whole: int) -> float | None:
    """A share from 0 to 1; None of nothing."""
    return part / whole if whole else None


class Sample(NamedTuple):
    """An operation, with what the draft makes of it."""

    past: Past
    action: Action


@dataclass(slots=True)
class Finding:
    """A measure with its first operations."""

    measure: Measure = field(default_factory=Measure)
    samples: list[Sample] = field(default_factory=list)

    def add(self, past: Past, action: Action) -> None:
        """Picks an operation out."""
        self.measure.add(past)
        if len(self.samples) < SAMPLES_MAX:
            self.samples.append(Sample(past, action))


class Windows:
    """The rows of `velocity` as a back-test fills them: appended to and rewritten as the store does
    it, in memory and in the order of deciding.
    """

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._rows: dict[Key, tuple[datetime, bytes]] = {}
        """Time of the last write, and the entries; what was written last stands last."""

    def decide(self, asked: Sequence[Asked], now: datetime) -> list[FraudDecision]:
        """Counts and decides some operations. Raises TooManyKeys."""
        batch = Batch(asked)
        additions = batch.additions()
        stored = []
        for key, added in additions:
            _, before = self._rows.pop(key, (now, b""))
            self._rows[key] = now, before + added
            stored.append((*key, before + added))
        if len(self._rows) > self._keys_max:
            self._forget(now - IDLE_AGE)
        decisions = batch.decide(stored)
        for key, entries in batch.untidy():
            self._rows[key] = now, entries
        return decisions

    def _forget(self, until: datetime) -> None:
        idle = []
        for key, (time, _) in self._rows.items():
            if time >= until:
                break
            idle.append(key)
        for key in idle:
            del self._rows[key]
        if len(self._rows) > self._keys_max:
            raise TooManyKeys(most=self._keys_max)


class BackTest:
    """What a draft makes of assessments that come in the order in which they were decided."""

    def __init__(self, draft: Draft, from_time: datetime) -> None:
        self.draft = draft
        self.from_time = from_time
        self.assessment_count = 0
        self.warm_up_count = 0
        self.incomplete_count = 0
        self.labels: Counter[bool] = Counter()
        self.rules: dict[str, Finding] = {rule.name: Finding() for rule in draft.rules}
        self.unanswered: Counter[str] = Counter()
        self.stopped_live = Measure()
        self.stopped = Measure()
        self.changes: dict[tuple[Action, Action], Finding] = {}
        self._windows = Windows()
        self._order = {rule.name: (n, rule) for n, rule in enumerate(draft.rules)}
        # Asked for each operation anew, and there are few versions.
        self._recorded_by = cache(draft.recorded_by)

    def take(self, page: Sequence[Past]) -> None:
        """Takes up what comes next. Raises TooManyKeys."""
        asked = [self._asked(past) for past in page]
        decisions = self._windows.decide(asked, page[-1].create_time)
        for past, decision in zip(page, decisions, strict=True):
            if past.create_time < self.from_time:
                self.warm_up_count += 1
            else:
                self._look_at(past, decision)

    def _asked(self, past: Past) -> Asked:
        return asked_of(
            (past.member_id, past.request_id), past.occurred_time,
            (past.occurred_time - _EPOCH) // _MICROSECOND, self.draft.program, past.facts,
        )  # fmt: skip

    def _look_at(self, past: Past, decision: FraudDecision) -> None:
        self.assessment_count += 1
        self.incomplete_count += not past.is_complete
        if past.is_fraud is not None:
            self.labels[past.is_fraud] += 1
        self.unanswered.update(decision.broken)
        if self.draft.recorded:
            decision = self._with_recorded(past, decision)
        for fired in decision.fired:
            # The limit of the step-up is no rule; what it stops is among the changes.
            if fired.rule != STEP_UP_RULE:
                self.rules[fired.rule].add(past, decision.action)
        self._compare(past, decision.action)

    def _with_recorded(self, past: Past, decision: FraudDecision) -> FraudDecision:
        """The decision once the recorded answers have joined it, in the order of the draft."""
        known = self._recorded_by(past.program_version)
        for name in self.draft.recorded - known:
            if past.facts.operation in self._order[name][1].operations:
                self.unanswered[name] += 1
        recorded = [self._as_drafted(one) for one in past.fired if one.rule in known]
        fired = [*decision.fired, *recorded]
        fired.sort(key=lambda one: self._place(one.rule))
        return decision_of(fired, decision.broken)

    def _place(self, rule: str) -> int:
        known = self._order.get(rule)
        return known[0] if known is not None else len(self._order)

    def _as_drafted(self, fired: Fired) -> Fired:
        rule: FraudRule = self._order[fired.rule][1]
        return Fired(rule.name, rule.action, rule.score, fired.facts, rule.shadow)

    def _compare(self, past: Past, action: Action) -> None:
        if past.action is not Action.ALLOW:
            self.stopped_live.add(past)
        if action is not Action.ALLOW:
            self.stopped.add(past)
        if action is not past.action:
            change = self.changes.setdefault((past.action, action), Finding())
            change.add(past, action)

    def count_changes(self, *, live: bool, draft: bool) -> int:
        """Operations decided otherwise, by whether they were stopped live and by the draft."""
        return sum(
            change.measure.hit_count
            for (before, after), change in self.changes.items()
            if (before is not Action.ALLOW) is live and (after is not Action.ALLOW) is draft
        )
