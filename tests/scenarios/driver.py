"""Plays a stream against a served anti-fraud, as points, tier and the shop's front ends would."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from house import House
from kit.clock import new_id
from kit.events import EVENTS_PER_MESSAGE_MAX, STREAM
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.event.v1.event_pb2 import Event, EventBatch
from laurel.program.v1 import program_pb2
from scenarios.stream import PROFILE_CHANGE, Deed, Enrolment, Happening, Report, Return
from scenarios.wire import accrued, activity, enrolled, operation, reversed_

DEEDS_MAX = 500
REPORTS_MAX = 1000
ALLOW = program_pb2.FRAUD_ACTION_ALLOW
DENY = program_pb2.FRAUD_ACTION_DENY
REVIEW = program_pb2.FRAUD_ACTION_REVIEW


@dataclass(frozen=True, slots=True)
class Verdict:
    """A deed and what anti-fraud said to it."""

    deed: Deed
    request_id: str
    action: int


class Driver:
    """Hands on what happens in calls as large as they can be. What is told of a member may overtake
    what the member did before, as it does in the world; but of places and of changes of the profile
    only the latest is remembered, so that these wait.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._stub: AntifraudServiceStub = house.stub(AntifraudServiceStub, "antifraud")
        self._run = new_id().hex
        self._deeds: list[Deed] = []
        self._members: set[str] = set()
        self._reports: list[Report] = []
        self._events: list[Event] = []
        self._verdicts: list[Verdict] = []
        self._purses: Counter[str] = Counter()

    async def play(self, stream: Iterable[Happening]) -> list[Verdict]:
        """The verdicts on all deeds, in their order."""
        for one in stream:
            if isinstance(one, Deed):
                await self._take(one)
                continue
            if len(self._reports) == REPORTS_MAX:
                await self._flush()
            if isinstance(one, Report):
                holds_one = one.activity == PROFILE_CHANGE or one.place.location is not None
                if holds_one and one.member in self._members:
                    await self._flush()
                self._reports.append(one)
            else:
                if isinstance(one, Enrolment):
                    self._purses[one.member] += one.points
                told = reversed_(one) if isinstance(one, Return) else enrolled(one)
                self._events.append(told)
        await self._flush()
        return self._verdicts

    async def _take(self, deed: Deed) -> None:
        is_full = len(self._deeds) == DEEDS_MAX
        if is_full or (deed.is_bound and deed.member in self._members):
            await self._flush()
        if deed.is_bound:
            deed = replace(deed, points=min(deed.points, self._purses[deed.member]))
            if not deed.points:
                return
        self._deeds.append(deed)
        self._members |= {deed.member, deed.receiver}

    async def _flush(self) -> None:
        """First what was told, then what it led to."""
        await self._publish()
        if self._reports:
            activities = [activity(one) for one in self._reports]
            await self._stub.ReportActivities(pb.ReportActivitiesRequest(activities=activities))
        if self._deeds:
            await self._assess()
        self._deeds, self._members, self._reports = [], set(), []

    async def _assess(self) -> None:
        first = len(self._verdicts)
        operations = [
            operation(one, f"{self._run}-{first + n}") for n, one in enumerate(self._deeds)
        ]
        response = await self._stub.BatchAssess(pb.BatchAssessRequest(operations=operations))
        for deed, asked, decision in zip(self._deeds, operations, response.decisions, strict=True):
            self._verdicts.append(Verdict(deed, asked.request_id, decision.action))
            if decision.action == ALLOW:
                self._book(deed)
            if deed.cents is not None and not deed.is_redemption and decision.action != DENY:
                self._events.append(accrued(deed, under_review=decision.action == REVIEW))

    def _book(self, deed: Deed) -> None:
        """What is earned or arrives can be spent; a tenth of a gift is the program's."""
        self._purses[deed.member] += -deed.points if deed.is_redemption else deed.points
        if deed.receiver:
            self._purses[deed.receiver] += deed.points * 9 // 10

    async def _publish(self) -> None:
        """Events by kind; waits until those took effect that rules may depend on."""
        waiting, self._events = self._events, []
        if not waiting:
            return
        running = self._house.running["antifraud"]
        assert running.broker is not None
        js = await running.broker.jetstream()
        for kind in ("member_enrolled", "points_accrued", "accrual_reversed"):
            chosen = [one for one in waiting if one.WhichOneof("payload") == kind]
            for start in range(0, len(chosen), EVENTS_PER_MESSAGE_MAX):
                await _send(js, kind, chosen[start : start + EVENTS_PER_MESSAGE_MAX])
        while any(not one.HasField("points_accrued") for one in waiting):
            # A service that has just started has no consumer yet.
            with suppress(NotFoundError):
                info = await js.consumer_info(STREAM, running.runtime.name)
                if not info.num_pending and not info.num_ack_pending:
                    return
            await asyncio.sleep(0.003)


async def _send(js: JetStreamContext, kind: str, events: Sequence[Event]) -> None:
    service = "tier" if kind == "member_enrolled" else "points"
    batch = EventBatch(batch_id=str(new_id()), events=events)
    await js.publish(
        f"laurel.{service}.{kind}",
        batch.SerializeToString(),
        headers={"Nats-Msg-Id": batch.batch_id},
    )
