"""Short ways to shop: members with points and coupons, carts, and the calls of CheckoutService."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import grpc
import yaml
from google.type.money_pb2 import Money
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from checkout.driver import Driver
from house import SAMPLE, House, new_id, usd
from kit.events import STREAM
from laurel.antifraud.v1.antifraud_service_pb2 import Origin
from laurel.benefits.v1 import benefits_service_pb2 as benefits_pb
from laurel.benefits.v1.benefits_service_pb2_grpc import BenefitsServiceStub
from laurel.checkout.v1 import checkout_service_pb2 as pb
from laurel.checkout.v1.checkout_service_pb2_grpc import CheckoutServiceStub
from laurel.event.v1.event_pb2 import Event, EventBatch
from laurel.points.v1 import points_service_pb2 as points_pb
from laurel.points.v1.points_service_pb2_grpc import PointsServiceStub

SERVICES = ("antifraud", "tier", "benefits", "points", "checkout")
QUOTED = pb.CHECKOUT_STATE_QUOTED
AUTHORIZING = pb.CHECKOUT_STATE_AUTHORIZING
AUTHORIZED = pb.CHECKOUT_STATE_AUTHORIZED
COMPLETING = pb.CHECKOUT_STATE_COMPLETING
COMPLETED = pb.CHECKOUT_STATE_COMPLETED
CANCELLING = pb.CHECKOUT_STATE_CANCELLING
CANCELLED = pb.CHECKOUT_STATE_CANCELLED

FREE = benefits_pb.ENTITLEMENT_STATE_AVAILABLE
RESERVED = benefits_pb.ENTITLEMENT_STATE_RESERVED
USED = benefits_pb.ENTITLEMENT_STATE_REDEEMED

T = TypeVar("T")


def shop_program() -> str:
    """The sample program with 10 active points for each 1.00 and anti-fraud by the channel."""
    document = yaml.safe_load(SAMPLE.read_text())
    # YAML 1.1 would read their `on` as true.
    document["messages"] = []
    document["earning"] |= {"pending_days": 0}
    document["earning"]["rules"][0]["points_per_unit"] = 10
    document["antifraud"]["rules"] = [
        _rule("no_spending", "redemption", 'request.channel == "no-spending"', "deny"),
        _rule("look_first", "redemption", 'request.channel == "look-first"', "review"),
        _rule("no_earning", "accrual", 'request.channel == "no-earning"', "deny"),
    ]
    return yaml.safe_dump(document)


def _rule(name: str, operation: str, when: str, action: str) -> dict[str, Any]:
    return {"name": name, "operations": [operation], "when": when, "action": action, "score": 1}


def cart(*lines: tuple[int, str]) -> list[pb.Line]:
    """A cart of lines `l0`, `l1`, ... with quantity and price of one."""
    return [
        pb.Line(line_id=f"l{place}", category="cd", quantity=quantity, unit_price=usd(price))
        for place, (quantity, price) in enumerate(lines)
    ]


def cents(money: Money) -> int:
    """Minor units of an amount."""
    return int(money.units) * 100 + int(money.nanos) // 10**7


async def eventually(call: Callable[[], Awaitable[T]], seconds_max: float = 15) -> T:
    """The answer of a call, tried again while a service that was away is not heard yet."""
    deadline = asyncio.get_running_loop().time() + seconds_max
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(0.1)


class Crash(Exception):
    """The process is gone."""


class Shop:
    """What a shop does, in a few words."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.stub: CheckoutServiceStub = house.stub(CheckoutServiceStub, "checkout")
        self.points: PointsServiceStub = house.stub(PointsServiceStub, "points")
        self.benefits: BenefitsServiceStub = house.stub(BenefitsServiceStub, "benefits")

    @property
    def driver(self) -> Driver:
        """The driver of the running service."""
        driver: Driver = self.house.running["checkout"].service.servicers[0][1].driver
        return driver

    @contextmanager
    def crash(self, checkpoint: str) -> Iterator[None]:
        """Within, the service dies at a checkpoint: before or after a step took effect."""

        def die(reached: str) -> None:
            if reached == checkpoint:
                raise Crash(reached)

        before, self.driver.checkpoint = self.driver.checkpoint, die
        try:
            yield
        finally:
            self.driver.checkpoint = before

    async def restart(self, service: str) -> None:
        """Starts a service again, and waits until checkout hears of it."""
        await self.house.start(service)
        probe = cart((1, "10"))
        await eventually(lambda: self.quote(f"probe-{new_id()}", probe, channel="probe"))

    async def sweep(self, **later: float) -> int:
        """Runs the sweeper as of a minute from now, or as of a time that much later."""
        return await self.driver.sweep(datetime.now(UTC) + timedelta(**(later or {"minutes": 1})))

    async def earn(self, member: str, amount: str) -> None:
        """Lets a member earn 10 points for each 1.00."""
        await self.points.AccruePoints(
            points_pb.AccruePointsRequest(
                request_id=new_id(),
                member_id=member,
                purchase=points_pb.Purchase(order_id=new_id(), amount=usd(amount)),
            )
        )

    async def regular(self, member: str) -> str:
        """Makes a member gold, with 3,000 points, 10 % off and a coupon; returns its id."""
        await self.earn(member, "300")
        await self.house.settle()
        return (await self.coupons(member))["gold_welcome"].entitlement_id

    async def coupons(self, member: str) -> dict[str, benefits_pb.Entitlement]:
        request = benefits_pb.ListEntitlementsRequest(member_id=member)
        answer = await self.benefits.ListEntitlements(request)
        return {one.benefit_id: one for one in answer.entitlements}

    async def coupon_state(self, member: str) -> int:
        return (await self.coupons(member))["gold_welcome"].state

    async def balance(self, member: str) -> tuple[int, int, int, int]:
        """Active, pending, held and owed points."""
        request = points_pb.GetBalanceRequest(member_id=member)
        got = (await self.points.GetBalance(request)).balance
        return got.active, got.pending, got.held, got.debt

    def quote_request(
        self, member: str, lines: list[pb.Line], points: int = 0, **fields: Any
    ) -> pb.QuoteCheckoutRequest:
        channel = fields.pop("channel", "web")
        values = {"request_id": new_id(), "order_id": new_id(), **fields}
        return pb.QuoteCheckoutRequest(
            member_id=member,
            lines=lines,
            points_wanted=points,
            origin=Origin(channel=channel, ip="192.0.2.1"),
            **values,
        )

    async def quote(
        self, member: str, lines: list[pb.Line], points: int = 0, **fields: Any
    ) -> pb.Checkout:
        request = self.quote_request(member, lines, points, **fields)
        return (await self.stub.QuoteCheckout(request)).checkout

    async def authorize(self, quoted: pb.Checkout, request_id: str = "") -> pb.Checkout:
        request = pb.AuthorizeCheckoutRequest(
            request_id=request_id or new_id(), checkout_id=quoted.checkout_id
        )
        return (await self.stub.AuthorizeCheckout(request)).checkout

    async def complete(self, quoted: pb.Checkout, request_id: str = "") -> pb.Checkout:
        request = pb.CompleteCheckoutRequest(
            request_id=request_id or new_id(), checkout_id=quoted.checkout_id
        )
        return (await self.stub.CompleteCheckout(request)).checkout

    async def cancel(self, quoted: pb.Checkout, request_id: str = "") -> pb.Checkout:
        request = pb.CancelCheckoutRequest(
            request_id=request_id or new_id(), checkout_id=quoted.checkout_id
        )
        return (await self.stub.CancelCheckout(request)).checkout

    async def refund(
        self, paid: pb.Checkout, request_id: str = "", **quantities: int
    ) -> pb.Checkout:
        request = pb.RefundCheckoutRequest(
            request_id=request_id or new_id(),
            checkout_id=paid.checkout_id,
            lines=[pb.RefundLine(line_id=k, quantity=n) for k, n in quantities.items()],
        )
        return (await self.stub.RefundCheckout(request)).checkout

    async def get(self, quoted: pb.Checkout) -> pb.Checkout:
        request = pb.GetCheckoutRequest(checkout_id=quoted.checkout_id)
        return (await self.stub.GetCheckout(request)).checkout

    async def paid(
        self, member: str, lines: list[pb.Line], points: int = 0, **fields: Any
    ) -> pb.Checkout:
        """A completed checkout."""
        quoted = await self.quote(member, lines, points, **fields)
        await self.authorize(quoted)
        return await self.complete(quoted)

    async def time_out(self, quoted: pb.Checkout) -> None:
        """Puts the end of a quote or of an authorisation into the past."""
        await self.house.fetch(
            "UPDATE checkout.checkout SET expire_time = now() - interval '1 second' "
            "WHERE checkout_id = $1",
            quoted.checkout_id,
        )

    async def knows_origin(self, quoted: pb.Checkout) -> bool:
        """Whether a checkout still knows from where it was asked for."""
        [row] = await self.house.fetch(
            "SELECT origin FROM checkout.checkout WHERE checkout_id = $1", quoted.checkout_id
        )
        return bool(row["origin"])

    async def release_reservation(self, authorized: pb.Checkout) -> None:
        """Gives the coupons back behind the checkout's back, as their time-out does."""
        request = benefits_pb.ReleaseReservationRequest(
            request_id=new_id(), reservation_id=authorized.reservation_id
        )
        await self.benefits.ReleaseReservation(request)

    async def listen(self, *kinds: str) -> Callable[[str, int], Awaitable[list[Event]]]:
        """Listens to what checkout tells from now on; returns how to await a member's events."""
        broker = self.house.running["checkout"].broker
        assert broker is not None
        js = await broker.jetstream()
        subjects = [f"laurel.checkout.{kind}" for kind in kinds]
        config = ConsumerConfig(
            durable_name=f"listener-{new_id()}",
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.NEW,
            filter_subjects=subjects,
        )
        info = await js.add_consumer(STREAM, config)
        subscription = await js.pull_subscribe_bind(info.name, STREAM)

        async def heard(member: str, count: int) -> list[Event]:
            await self.house.settle()
            events: list[Event] = []
            while len(events) < count:
                for message in await subscription.fetch(16, timeout=10):
                    batch = EventBatch.FromString(message.data)
                    events += [event for event in batch.events if event.member_id == member]
            with suppress(TimeoutError):
                more = await subscription.fetch(1, timeout=0.2)
                assert not more, "it was told twice"
            return events

        return heard
