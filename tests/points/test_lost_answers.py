"""PT-07: a deadline that passes after the commit, as the answer is lost on its way, and a retry.

Callers reach the service through a wire that can be cut in one direction: what they send arrives,
what they are answered does not.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from grpc import StatusCode

from house import House, new_id, refused, usd
from kit.auth import Certificates
from kit.client import open_channel
from kit.clock import to_timestamp
from laurel.points.v1 import accounts_pb2 as accounts
from laurel.points.v1 import adjustments_pb2 as adjustments
from laurel.points.v1 import imports_pb2 as imports
from laurel.points.v1 import merges_pb2 as merges
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1 import transfers_pb2 as transfers
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub
from points_earning import Earner
from points_moving import Counter

DEADLINE_SECONDS = 5


class Wire:
    """A relay of TCP in front of a service; deaf, it keeps the answers to itself."""

    def __init__(self, target: str) -> None:
        self._host, _, self._port = target.rpartition(":")
        self.deaf = False
        self.address = ""

    @asynccontextmanager
    async def laid(self) -> AsyncIterator["Wire"]:
        """The wire, for as long as it is used."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        try:
            yield self
        finally:
            server.close()

    async def _relay(self, caller: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        answers, out = await asyncio.open_connection(self._host, int(self._port))
        await asyncio.gather(self._pump(caller, out), self._pump(answers, back, answering=True))

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answering: bool = False
    ) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                if not (answering and self.deaf):
                    sink.write(data)
                    await sink.drain()
        sink.close()


async def every_kind_of_write(counter: Counter, member: str, friend: str) -> dict[str, Any]:
    """By call, a request that would take effect now; none of them is in another one's way."""
    await counter.accrue(member, "1000")
    returned = await counter.accrue(member, "10")
    await counter.accrue(friend, "100")
    held = [await counter.hold(member, 10) for _ in range(2)]
    spent = await counter.hold(member, 10)
    await counter.capture(spent)
    asked = [await counter.adjust(member, 2000) for _ in range(2)]
    now = to_timestamp(datetime.now(UTC))
    rows = [counter.accrual(member, "7") for _ in range(2)]
    row = {"request_id": new_id(), "member_id": member, "points": 9}
    order = {"request_id": new_id(), "member_id": member, "order_id": new_id(), "points": 11}
    till = pb.TillRow(member_id=member, purchase=rows[0].purchase, occurred_time=now)
    return {
        "AccruePoints": counter.accrual(member, "30"),
        "AccrueActivity": Earner(counter.house).activity(member, "check_in"),
        "BatchAccruePoints": pb.BatchAccruePointsRequest(requests=rows),
        "SubmitTillBatch": pb.SubmitTillBatchRequest(
            device_id=new_id(), batch_number=1, rows=[till]
        ),
        "ImportBalances": imports.ImportBalancesRequest(
            rows=[imports.ImportedBalance(earned_time=now, **row)]
        ),
        "HoldPoints": counter.holding(member, 20),
        "RedeemPoints": pb.RedeemPointsRequest(**order),
        "CapturePoints": pb.CapturePointsRequest(request_id=new_id(), hold_id=held[0].hold_id),
        "ReleaseHold": pb.ReleaseHoldRequest(request_id=new_id(), hold_id=held[1].hold_id),
        "RefundPoints": pb.RefundPointsRequest(request_id=new_id(), hold_id=spent.hold_id),
        "ReverseAccrual": pb.ReverseAccrualRequest(
            request_id=new_id(), member_id=member, transaction_id=returned.transaction_id,
            returned_amount=usd("4"),
        ),
        "TransferPoints": counter.giving(member, friend, 20),
        "DonatePoints": transfers.DonatePointsRequest(
            request_id=new_id(), member_id=member, points=10, cause="red_cross"
        ),
        "AdjustPoints": adjustments.AdjustPointsRequest(member_id=member, points=5, **signed()),
        "ApproveAdjustment": adjustments.ApproveAdjustmentRequest(
            adjustment_id=asked[0].adjustment_id, **signed("piet")
        ),
        "RejectAdjustment": adjustments.RejectAdjustmentRequest(
            adjustment_id=asked[1].adjustment_id, **signed("piet")
        ),
        "FreezeAccount": accounts.FreezeAccountRequest(member_id=f"m-{new_id()}", **signed()),
        "MergeMembers": merges.MergeMembersRequest(
            survivor_member_id=f"m-{new_id()}", merged_member_id=f"m-{new_id()}", **signed()
        ),
        "CloseAccount": accounts.CloseAccountRequest(member_id=f"m-{new_id()}", **signed()),
    }  # fmt: skip


def signed(operator: str = "olga") -> dict[str, str]:
    """What a decision is signed with."""
    return {"request_id": new_id(), "operator": operator, "reason": "for a test"}


async def test_pt_07_a_deadline_after_the_commit_and_a_retry_have_one_effect(
    calm: House, counter: Counter, member: str
) -> None:
    """Of each kind of write: its commit is seen before its deadline passes without an answer."""
    friend = f"m-{new_id()}"
    requests = await every_kind_of_write(counter, member, friend)
    async with Wire(calm.settings.addr("points")).laid() as wire:
        certificates = Certificates.load(calm.settings.cert_dir, "admin")
        async with open_channel(wire.address, certificates) as channel:
            stub = PointsServiceStub(channel)
            await stub.GetBalance(pb.GetBalanceRequest(member_id=member))
            wire.deaf = True
            late = {
                name: asyncio.create_task(
                    refused(getattr(stub, name)(request, timeout=DEADLINE_SECONDS))
                )
                for name, request in requests.items()
            }
            await committed(calm, requests)
            assert not [name for name, call in late.items() if call.done()]
            for name, call in late.items():
                assert (await call).code is StatusCode.DEADLINE_EXCEEDED, name
    before = await all_that_is_told(counter, member, friend)
    for name, request in requests.items():
        call = getattr(counter.stub, name)
        answers = await asyncio.gather(*[call(request) for _ in range(3)])
        assert all(answer == answers[0] for answer in answers), name
        for result in getattr(answers[0], "results", ()):
            assert not result.HasField("error"), name
    assert await all_that_is_told(counter, member, friend) == before


async def committed(house: House, requests: dict[str, Any]) -> None:
    """Waits until every request is in the ledger."""
    ids = {first_id(request) for request in requests.values()}
    found: set[str] = set()
    while found != ids:
        await asyncio.sleep(0.05)
        sql = "SELECT request_id FROM points.request WHERE request_id = ANY($1)"
        found = {row["request_id"] for row in await house.fetch(sql, list(ids))}


def first_id(request: Any) -> str:
    """The id under which a request is kept; of a bulk call that of its first row."""
    if isinstance(request, pb.SubmitTillBatchRequest):
        return f"till:{request.device_id}:{request.batch_number}:0"
    rows = getattr(request, "requests", None) or getattr(request, "rows", None)
    return rows[0].request_id if rows else request.request_id


async def all_that_is_told(counter: Counter, *members: str) -> list[Any]:
    """Balances and histories."""
    told = []
    for member in members:
        told += [await counter.balance(member), *await counter.transactions(member)]
    return told
