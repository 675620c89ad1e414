"""Cases in Postgres: listed, worked on, decided; and labels."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from antifraud import cases, metrics
from antifraud.case_errors import AssessmentNotFound, CaseNotFound
from antifraud.case_events import case_decided
from antifraud.cases import Case, Link, LinkKind, Operator, Order, Outcome, State
from antifraud.store import assessment_of
from antifraud.values import Assessment
from kit.clock import Clock, NewId
from kit.db import Database, Transaction
from kit.events import publish
from kit.requests import once

LINKS_MAX = 50
# Assessments of a decided case that are labelled and told of in one transaction.
TOLD_MAX = 1000
FIRST = UUID(int=0)
"""Behind it stand all assessments of a case."""
ITEM_KEY = ("member_id", "request_id")

R = TypeVar("R", bound=Message)


class Call(NamedTuple):
    """A write as it was called: a repeat gets the answer of the first time."""

    request_id: str
    request: Message
    response_type: type[Any]


class Labelled(NamedTuple):
    """What was found out about an operation."""

    member_id: str
    request_id: str
    is_fraud: bool


class Query(NamedTuple):
    """Which cases are asked for: state, member and claimant, each 0 or empty for any."""

    state: int
    member_id: str
    claimant: str
    order: Order


class Found(NamedTuple):
    """A case with a page of its assessments, newest first, and whom they lead to."""

    case: Case
    assessments: list[Assessment]
    links: list[Link]


class CaseStore:
    """Each method is one transaction."""

    def __init__(self, database: Database, *, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id

    def now(self) -> datetime:
        """The instant that claims are judged at."""
        return self._clock()

    async def list(self, query: Query, after: tuple[int, UUID] | None, count: int) -> list[Case]:
        """Up to `count` cases behind one with a score and an id."""
        score, case_id = after or (0, None)
        states = [query.state] if query.state else [State.OPEN, State.DECIDED]
        by_score = query.order is Order.HIGHEST_SCORE
        claimed = (query.claimant, self._clock())
        async with self._database.transaction(readonly=True) as tx:
            if query.member_id:
                rows = await tx.fetch(
                    "list_member_cases", query.member_id, states, *claimed, by_score, case_id,
                    score, count,
                )  # fmt: skip
            elif by_score:
                rows = await tx.fetch("list_highest_cases", states, *claimed, count, case_id, score)
            else:
                rows = await tx.fetch("list_oldest_cases", states, *claimed, count, case_id)
        return [Case(*row) for row in rows]

    async def get(self, case_id: UUID, before: UUID | None, count: int) -> Found:
        """A case with up to `count` assessments older than `before`, and, on the first page, whom
        they lead to. Raises CaseNotFound.
        """
        async with self._database.transaction(readonly=True) as tx:
            case = _case(case_id, await tx.fetchrow("get_case", case_id))
            rows = await tx.fetch("list_case_assessments", case_id, before, count)
            assessments = [assessment_of(row) for row in rows]
            links = await _links(tx, case, assessments) if before is None else []
        return Found(case, assessments, links)

    async def claim(
        self, case_id: UUID, operator: str, call: Call, render: Callable[[Case], R]
    ) -> R:
        """Somebody works on it from now on. Raises CaseNotFound, CaseIsDecided or CaseClaimed."""

        async def act(tx: Transaction, case: Case, now: datetime) -> Case:
            claimed = cases.claim(case, operator, now)
            await tx.execute("claim_case", case_id, operator, claimed.claim_expire_time)
            return claimed

        return await self._change(case_id, act, call, render)

    async def unclaim(
        self, case_id: UUID, operator: str, call: Call, render: Callable[[Case], R]
    ) -> R:
        """Nobody works on it any more. Raises CaseNotFound, CaseIsDecided or CaseClaimed."""

        async def act(tx: Transaction, case: Case, now: datetime) -> Case:
            free = cases.unclaim(case, operator, now)
            await tx.execute("claim_case", case_id, None, None)
            return free

        return await self._change(case_id, act, call, render)

    async def decide(
        self,
        case_id: UUID,
        outcome: Outcome,
        operator: Operator,
        call: Call,
        render: Callable[[Case], R],
        *,
        claimant_only: bool,
    ) -> R:
        """Ends a case, labels its assessments, and tells whoever waits.

        Raises CaseNotFound, CaseIsDecided, CaseClaimed or CaseNotClaimed.
        """
        decided_now = False

        async def act(tx: Transaction, case: Case, now: datetime) -> Case:
            nonlocal decided_now
            decided = cases.decide(case, outcome, operator, now, claimant_only=claimant_only)
            await tx.execute("decide_case", case_id, outcome, *operator, now)
            # Whoever adds to the case waits for its lock: no assessment joins it any more.
            await self._tell(tx, decided, FIRST)
            decided_now = True
            return decided

        answer = await self._change(case_id, act, call, render)
        if decided_now:
            metrics.CASES.labels(outcome.name.lower()).inc()
        return answer

    async def tell_rest(self) -> None:
        """Goes on with decided cases of more assessments than one transaction takes."""
        while await self._tell_step():
            pass

    async def _tell_step(self) -> bool:
        async with self._database.transaction() as tx:
            row = await tx.fetchrow("take_untold")
            if row is None:
                return False
            case = _case(row["case_id"], await tx.fetchrow("get_case", row["case_id"]))
            await self._tell(tx, case, row["after_id"])
        return True

    async def _tell(self, tx: Transaction, case: Case, after: UUID) -> None:
        """Labels the next assessments of a decided case, and tells whoever waits for them."""
        items = await tx.fetch("list_case_items", case.case_id, after, TOLD_MAX)
        decided = case.decide_time
        assert decided is not None
        if items:
            members, requests = ([item[field] for item in items] for field in ITEM_KEY)
            frauds = [case.outcome == Outcome.FRAUDULENT] * len(items)
            is_step = after != FIRST
            await tx.execute(
                "set_labels", members, requests, frauds, case.operator, decided, is_step
            )
            events = [case_decided(item, case, decided, self._new_id()) for item in items]
            await publish(tx, self._new_id, events)
        if len(items) == TOLD_MAX:
            await tx.execute("note_untold", case.case_id, items[-1]["assessment_id"])
        elif after != FIRST:
            await tx.execute("forget_untold", case.case_id)

    async def label(
        self, labels: Sequence[Labelled], operator: str, call: Call, render: Callable[[int], R]
    ) -> R:
        """Labels operations. Raises AssessmentNotFound."""
        members, requests, frauds = (list(column) for column in zip(*labels, strict=True))
        async with self._database.transaction() as tx:

            async def act() -> R:
                rows = await tx.fetch("find_assessments", members, requests)
                known = {(row["member_id"], row["request_id"]) for row in rows}
                for one in labels:
                    if one[:2] not in known:
                        raise AssessmentNotFound(member_id=one.member_id, request_id=one.request_id)
                now = self._clock()
                await tx.execute("set_labels", members, requests, frauds, operator, now, False)
                return render(len(labels))

            return await once(tx, call.request_id, call.request, act, call.response_type)

    async def _change(self, case_id: UUID, act: Any, call: Call, render: Callable[[Case], R]) -> R:
        async with self._database.transaction() as tx:

            async def answer() -> R:
                case = _case(case_id, await tx.fetchrow("lock_case", case_id))
                return render(await act(tx, case, self._clock()))

            return await once(tx, call.request_id, call.request, answer, call.response_type)


def _case(case_id: UUID, row: Any) -> Case:
    if row is None:
        raise CaseNotFound(case_id=case_id)
    return Case(*row)


async def _links(tx: Transaction, case: Case, assessments: Sequence[Assessment]) -> list[Link]:
    member_id = case.member_id
    devices = sorted({one.facts.device for one in assessments} - {""})
    cards = sorted({one.facts.card for one in assessments} - {""})
    found: list[tuple[LinkKind, str, str]] = []
    for kind, statement, values in (
        (LinkKind.DEVICE, "find_device_links", devices),
        (LinkKind.CARD, "find_card_links", cards),
    ):
        if values:
            # One more: the member of the case is among them.
            rows = await tx.fetch(statement, values, member_id, LINKS_MAX + 1)
            found += [(kind, row["member_id"], row["value"]) for row in rows[:LINKS_MAX]]
    for kind, statement in (
        (LinkKind.GIFT_TO, "find_receivers"),
        (LinkKind.GIFT_FROM, "find_givers"),
    ):
        rows = await tx.fetch(statement, member_id, LINKS_MAX)
        found += [(kind, row["member_id"], "") for row in rows]
    if not found:
        return []
    others = sorted({other for _, other, _ in found})
    rows = await tx.fetch("count_frauds", others)
    frauds = {row["member_id"]: row["frauds"] for row in rows}
    return [Link(kind, other, value, frauds.get(other, 0)) for kind, other, value in found]
