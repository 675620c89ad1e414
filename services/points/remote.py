"""The two services that points asks: anti-fraud before every batch, tier about members it does not know."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import grpc
from google.type.money_pb2 import Money
from kit.clock import to_timestamp
from kit.telemetry import log
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.tier.v1.tier_service_pb2 import BatchGetTiersRequest
from laurel.tier.v1.tier_service_pb2_grpc import TierServiceStub
from rules.values import Action, Operation

from points.values import Origin

OPERATIONS_MAX = 1000
MEMBERS_MAX = 1000
TIER_DEADLINE_SECONDS = 0.5
TIER_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation that anti-fraud is asked about."""

    request_id: str
    kind: Operation
    member_id: str
    points: int
    amount: Money | None
    occurred_time: datetime
    origin: Origin
    tier_id: str
    order_id: str


@dataclass(frozen=True, slots=True)
class Decided:
    """What anti-fraud answered."""

    action: Action
    assessment_id: str


class Fraud(Protocol):
    """What the write path needs of anti-fraud."""

    async def assess(self, asked: Sequence[Asked], deadline_ms: int) -> list[Decided] | None:
        """A decision for each operation, in order; None when there is no answer in time."""


class AntifraudClient:
    """Asks the anti-fraud service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = AntifraudServiceStub(channel)
        self._log = log("points")

    async def assess(self, asked: Sequence[Asked], deadline_ms: int) -> list[Decided] | None:
        """A decision for each operation, in order; None when there is no answer in time."""
        decided: list[Decided] = []
        try:
            for start in range(0, len(asked), OPERATIONS_MAX):
                part = [_render(one) for one in asked[start : start + OPERATIONS_MAX]]
                response = await self._stub.BatchAssess(
                    pb.BatchAssessRequest(operations=part), timeout=deadline_ms / 1000
                )
                decided += [
                    Decided(Action(decision.action), decision.assessment_id)
                    for decision in response.decisions
                ]
        except grpc.aio.AioRpcError as error:
            self._log.warning("antifraud.silent", code=error.code().name, detail=error.details())
            return None
        return decided


def _render(asked: Asked) -> pb.Operation:
    origin = asked.origin
    return pb.Operation(
        request_id=asked.request_id,
        kind=int(asked.kind),  # type: ignore[arg-type]  # the numbers are those of the contract
        member_id=asked.member_id,
        points=asked.points,
        amount=asked.amount,
        occurred_time=to_timestamp(asked.occurred_time),
        origin=pb.Origin(
            channel=origin.channel, store=origin.store, device=origin.device, ip=origin.ip,
            card=origin.card,
        ),
        tier_id=asked.tier_id,
        order_id=asked.order_id,
    )  # fmt: skip


class TierClient:
    """Asks the tier service; after a failure it lets it rest for a while, so that accruals do not wait for it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = TierServiceStub(channel)
        self._rest_until = 0.0
        self._log = log("points")

    async def get_tiers(self, member_ids: Sequence[str]) -> dict[str, str] | None:
        """By member, the id of the tier, empty for one that tier does not know; None without an answer."""
        if time.monotonic() < self._rest_until:
            return None
        tiers: dict[str, str] = {}
        try:
            for start in range(0, len(member_ids), MEMBERS_MAX):
                request = BatchGetTiersRequest(member_ids=member_ids[start : start + MEMBERS_MAX])
                response = await self._stub.BatchGetTiers(request, timeout=TIER_DEADLINE_SECONDS)
                tiers.update((row.member_id, row.tier_id) for row in response.member_tiers)
        except grpc.aio.AioRpcError as error:
            self._rest_until = time.monotonic() + TIER_PAUSE_SECONDS
            self._log.warning("tier.silent", code=error.code().name, detail=error.details())
            return None
        return tiers
