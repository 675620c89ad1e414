"""`laurel demo`: a year and a half of real orders on one terminal."""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import uvloop
from google.type.money_pb2 import Money
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.check import report
from cli.connect import Client, explain
from cli.console import open_console
from cli.errors import InUse, UserError
from cli.files import resource
from cli.member import MemberView, explain_decision, statement
from cli.orders import Columns, read_orders
from cli.quiet import Settler
from cli.replay import Replay, Totals, make_progress
from cli.state import supervisor_of
from cli.supervisor import Supervisor
from kit.money import show as show_money
from laurel.antifraud.v1 import antifraud_service_pb2 as antifraud_pb
from laurel.checkout.v1 import checkout_service_pb2 as checkout_pb
from laurel.points.v1 import points_service_pb2 as points_pb
from laurel.program.v1 import program_pb2, program_service_pb2
from laurel.tier.v1.tier_service_pb2 import CountTiersRequest

DATA = Path(".laurel/demo")
ORDERS = "data/cdnow_orders.csv"
PROGRAM = "programs/sample.yaml"
COLUMNS = Columns("customer_id", "order_date", "amount_usd")
# Clocks start the day after the last order, so that nothing of 1997 is old news to the services.
CLOCK_START = "1998-07-01T12:00:00Z"
BAR_WIDTH = 46
# Among so many customers there is surely one whose story has everything.
CUSTOMERS_MIN = 1000
CODE_TRIES = 300


class Demo:
    """The stages of the demo, each timed."""

    def __init__(self, console: Console, customers_max: int | None = None) -> None:
        self.console = console
        self.customers_max = customers_max
        self.stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Prints the name, runs the block, notes the time."""
        self.console.rule(Text(name, "bold"), align="left")
        began = time.perf_counter()
        yield
        self.stages[name] = time.perf_counter() - began

    async def run(self) -> bool:
        """Runs everything; whether all invariants hold at the end."""
        if holder := supervisor_of(DATA):
            raise InUse(f"the data folder {DATA} is already in use by process {holder}")
        shutil.rmtree(DATA, ignore_errors=True)
        extra = {"LAUREL_CLOCK_START": CLOCK_START, "LAUREL_SCHEDULER": "false"}
        # Nothing of ours from outside: these orders are for no database but the demo's own.
        environ = {key: value for key, value in os.environ.items() if key[:7] != "LAUREL_"}
        with self.stage("Start Postgres, the broker and seven services"):
            house = await Supervisor(DATA, environ=environ, extra_env=extra).__aenter__()
        try:
            async with Client(house.env) as client:
                return await self._tell(client, house.env)
        finally:
            began = time.perf_counter()
            await house.__aexit__(None, None, None)
            self.stages["Stop"] = time.perf_counter() - began
            self._summary()

    async def _tell(self, client: Client, environ: dict[str, str]) -> bool:
        settler = await Settler.open(environ)
        try:
            with self.stage("Apply the program"):
                await self._apply(client)
            with self.stage("Replay real orders"):
                totals = await self._replay(client, settler)
            with self.stage("What became of them"):
                await self._tiers(client)
                await self._points(client, totals)
            with self.stage("One member"):
                member_id = await self._member(client)
            with self.stage("Paying with points plus cash"):
                await self._checkouts(client, member_id)
                await settler.settle()
            with self.stage("What the member was told"):
                await self._messages(client, member_id)
            with self.stage("laurel check"):
                return await report(environ["LAUREL_DATABASE_URL"], self.console)
        finally:
            await settler.close()

    async def _apply(self, client: Client) -> None:
        source = resource(PROGRAM).read_text()
        request = program_service_pb2.ApplyProgramRequest(
            request_id="demo", source_yaml=source, file=PROGRAM, reason="the demo"
        )
        applied = (await client.program.ApplyProgram(request)).program_version
        self.console.print(
            f"{applied.program.name}: version {applied.version}, by {applied.author}"
        )

    async def _replay(self, client: Client, settler: Settler) -> Totals:
        response = await client.program.GetProgram(program_service_pb2.GetProgramRequest())
        program = response.program_version.program
        zone = ZoneInfo(program.time_zone)
        orders, bad = read_orders(resource(ORDERS), COLUMNS, zone)
        if bad:
            raise UserError(f"{ORDERS}: {bad[0]}")
        if self.customers_max is not None:
            chosen = set(sorted({order.member_id for order in orders})[: self.customers_max])
            orders = [order for order in orders if order.member_id in chosen]
        members = len({order.member_id for order in orders})
        self.console.print(f"{len(orders):,} orders of {members:,} customers", highlight=False)
        with make_progress(self.console) as progress:
            replay = Replay(client, settler, progress)
            totals = await replay.run(orders, zone, program.currency)
        shown = totals.as_dict()
        self.console.print(
            f"{shown['orders']:,} orders, {shown['orders_per_second']:,.0f} a second while "
            f"booking; {shown['under_review']:,} wait for a review, "
            f"{shown['refused']:,} were refused",
            highlight=False,
        )
        for name, seconds in totals.seconds.items():
            self.stages[f"  of which {name}"] = seconds
        return totals

    async def _tiers(self, client: Client) -> None:
        counts = (await client.tiers.CountTiers(CountTiersRequest())).tier_counts
        everybody = sum(count.member_count for count in counts) or 1
        most = max(count.member_count for count in counts)
        for count in reversed(counts):
            bar = "█" * max(1, round(BAR_WIDTH * count.member_count / most))
            share = count.member_count / everybody
            self.console.print(
                f"  {count.tier_name:<10} {bar:<{BAR_WIDTH}} {count.member_count:>6,} {share:6.1%}",
                highlight=False,
            )

    async def _points(self, client: Client, totals: Totals) -> None:
        ledger = await client.points.GetLedgerTotals(points_pb.GetLedgerTotalsRequest())
        sums = {entry.account: entry.points for entry in ledger.totals}
        accounts = points_pb.Account
        outstanding = sum(
            sums.get(a, 0)
            for a in (accounts.ACCOUNT_ACTIVE, accounts.ACCOUNT_PENDING, accounts.ACCOUNT_HELD)
        )
        self.console.print(
            f"  issued {-sums.get(accounts.ACCOUNT_ISSUED, 0):,} points, expired "
            f"{sums.get(accounts.ACCOUNT_EXPIRED, 0):,}, outstanding {outstanding:,}, in "
            f"{ledger.transaction_count:,} transactions; {totals.demoted:,} demotions",
            highlight=False,
        )

    async def _member(self, client: Client) -> str:
        """The story of one member who rose, has points to spend and saw some expire."""
        member_id = await find_protagonist(client)
        view = await MemberView(member_id).load(client)
        self.console.print(statement(view.transactions))
        for decision in reversed(view.decisions):
            self.console.print(f"  {explain_decision(decision)}", highlight=False)
        return member_id

    async def _checkouts(self, client: Client, member_id: str) -> None:
        paid = await self._pay(client, member_id, "demo-order-1")
        await self._refund(client, paid)
        await self._refused(client, member_id)

    async def _pay(self, client: Client, member_id: str, order_id: str) -> checkout_pb.Checkout:
        quote = await _quote(client, member_id, order_id, points=400)
        authorize = checkout_pb.AuthorizeCheckoutRequest(
            request_id=f"{order_id}-authorize", checkout_id=quote.checkout_id
        )
        await client.checkout.AuthorizeCheckout(authorize)
        complete = checkout_pb.CompleteCheckoutRequest(
            request_id=f"{order_id}-complete", checkout_id=quote.checkout_id
        )
        done = (await client.checkout.CompleteCheckout(complete)).checkout
        price = done.price
        self.console.print(
            f"  completed: a cart of {show_money(price.lines_amount)}", highlight=False
        )
        for discount in price.discounts:
            mark = f"-{show_money(discount.amount)}" if discount.applies else "not used"
            self.console.print(f"    {discount.name}: {mark}, {discount.reason}", highlight=False)
        self.console.print(
            f"    {price.points:,} points pay {show_money(price.points_amount)}, cash pays "
            f"{show_money(price.cash_amount)} and earns {price.points_to_earn:,} points",
            highlight=False,
        )
        return done

    async def _refund(self, client: Client, paid: checkout_pb.Checkout) -> None:
        request = checkout_pb.RefundCheckoutRequest(
            request_id=f"{paid.order_id}-refund",
            checkout_id=paid.checkout_id,
            lines=[checkout_pb.RefundLine(line_id="cd", quantity=1)],
        )
        refund = (await client.checkout.RefundCheckout(request)).checkout.refunds[-1]
        self.console.print(
            f"  refunded in part: 1 of 2 CDs gives back {show_money(refund.cash_amount)} and "
            f"{refund.points:,} points, and takes back {refund.reversed_points:,} earned points",
            highlight=False,
        )

    async def _refused(self, client: Client, member_id: str) -> None:
        """Too many redemptions in a row: anti-fraud steps in."""
        for number in range(2, 40):
            order_id = f"demo-order-{number}"
            quote = await _quote(client, member_id, order_id, points=100)
            request = checkout_pb.AuthorizeCheckoutRequest(
                request_id=f"{order_id}-authorize", checkout_id=quote.checkout_id
            )
            try:
                await client.checkout.AuthorizeCheckout(request)
            except grpc.aio.AioRpcError as error:
                self.console.print(
                    f"  refused: redemption {number} of the hour: {explain(error)}", highlight=False
                )
                await self._why(client, member_id)
                await _wait_for_code(client, member_id)
                return
            cancel = checkout_pb.CancelCheckoutRequest(
                request_id=f"{order_id}-cancel", checkout_id=quote.checkout_id
            )
            await client.checkout.CancelCheckout(cancel)
        raise UserError("anti-fraud refused none of 38 redemptions in a row")

    async def _why(self, client: Client, member_id: str) -> None:
        page = await client.antifraud.ListAssessments(
            antifraud_pb.ListAssessmentsRequest(member_id=member_id, page_size=1)
        )
        for fired in page.assessments[0].fired_rules:
            action = program_pb2.FraudAction.Name(fired.action).rpartition("_")[2]
            facts = ", ".join(f"{name} = {value}" for name, value in fired.facts.items())
            self.console.print(
                f"    operators see: {fired.rule} {action}: {facts}", highlight=False
            )

    async def _messages(self, client: Client, member_id: str) -> None:
        view = await MemberView(member_id).load(client)
        for message in reversed(view.messages):
            self.console.print(Text(f"  {message.subject}", "bold"))
            self.console.print(f"    {message.body.strip()}", highlight=False)

    def _summary(self) -> None:
        table = Table(title="Time", title_justify="left")
        table.add_column("stage")
        table.add_column("seconds", justify="right")
        for name, seconds in self.stages.items():
            table.add_row(name, f"{seconds:.1f}")
        whole = sum(seconds for name, seconds in self.stages.items() if not name.startswith(" "))
        table.add_row("all", f"{whole:.1f}")
        self.console.print(table)


async def _wait_for_code(client: Client, member_id: str) -> None:
    """Until the code that a challenge sends is in the inbox, a moment after the refusal."""
    for _ in range(CODE_TRIES):
        view = await MemberView(member_id).load(client)
        if any(not message.rule for message in view.messages):
            return
        await asyncio.sleep(0.1)
    raise UserError(f"the code for {member_id} did not come within {CODE_TRIES // 10} s")


async def find_protagonist(client: Client) -> str:
    """A member with a tier above the first, some expired points and enough to spend."""
    for number in range(1, 2000):
        member_id = f"{number:05d}"
        balance = await client.points.GetBalance(points_pb.GetBalanceRequest(member_id=member_id))
        if balance.balance.active < 500:
            continue
        view = await MemberView(member_id).load(client, rows=100)
        kinds = {entry.kind for entry in view.transactions}
        expired = points_pb.TransactionKind.TRANSACTION_KIND_EXPIRY in kinds
        if expired and view.tier.rank > 0 and len(view.transactions) <= 15 and view.messages:
            return member_id
    raise UserError("no member of the first 2,000 rose, kept points and saw some expire")


async def _quote(
    client: Client, member_id: str, order_id: str, points: int
) -> checkout_pb.Checkout:
    lines: list[tuple[str, int, int]] = [("cd", 2, 15), ("box", 1, 40)]
    request = checkout_pb.QuoteCheckoutRequest(
        request_id=f"{order_id}-quote",
        member_id=member_id,
        order_id=order_id,
        lines=[_line(*line) for line in lines],
        points_wanted=points,
    )
    return (await client.checkout.QuoteCheckout(request)).checkout


def _line(line_id: str, quantity: int, units: int) -> checkout_pb.Line:
    price: Any = Money(currency_code="USD", units=units)
    return checkout_pb.Line(line_id=line_id, category="music", quantity=quantity, unit_price=price)


def demo(*, customers: int | None = None) -> None:
    """Tell the story of 69,659 real orders: everything started, replayed, shown and ended again.

    Parameters
    ----------
    customers
        Replay the orders of the first so many customers only: 2,000 take half a minute.
    """
    if customers is not None and customers < CUSTOMERS_MIN:
        raise UserError(f"--customers {customers}: give {CUSTOMERS_MIN:,} or more")
    if not uvloop.run(Demo(open_console(), customers).run()):
        raise UserError("an invariant is broken, see above")
