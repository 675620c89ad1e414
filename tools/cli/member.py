"""`laurel member show`: all that Laurel knows of one member, and why."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import grpc
import orjson
import uvloop
from cyclopts import App, Parameter
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.connect import Client
from cli.console import open_console
from cli.env import client_env
from cli.errors import UserError
from cli.state import DEFAULT_DATA
from kit.clock import from_timestamp
from kit.money import show as show_money
from laurel.benefits.v1 import benefits_service_pb2 as benefits_pb
from laurel.notification.v1 import notification_service_pb2 as notification_pb
from laurel.points.v1 import points_service_pb2 as points_pb
from laurel.tier.v1 import member_service_pb2 as member_pb
from laurel.tier.v1 import tier_service_pb2 as tier_pb

ROWS_SHOWN = 20

member = App(name="member", help="Look at members.")


class MemberView:
    """What the services say of one member; the newest rows of each list."""

    def __init__(self, member_id: str) -> None:
        self.member_id = member_id
        self.enrolled = True
        self.profile = member_pb.Member()
        self.tier = tier_pb.TierStatus()
        self.balance = points_pb.GetBalanceResponse()
        self.transactions: list[points_pb.Transaction] = []
        self.decisions: list[tier_pb.TierDecision] = []
        self.entitlements: list[benefits_pb.Entitlement] = []
        self.messages: list[notification_pb.Message] = []

    async def load(self, client: Client, rows: int = ROWS_SHOWN) -> "MemberView":
        """Asks the services. Raises UserError for a member whom nobody knows; who was not enrolled
        may have an account, by an import or a purchase.
        """
        page = {"member_id": self.member_id, "page_size": rows}
        await self._load_profile(client)
        self.balance = await client.points.GetBalance(
            points_pb.GetBalanceRequest(member_id=self.member_id)
        )
        history = await client.points.ListTransactions(points_pb.ListTransactionsRequest(**page))  # type: ignore[arg-type]
        if not self.enrolled and not history.transactions:
            raise UserError(f"there is no member {self.member_id}")
        decisions = await client.tiers.ListTierHistory(tier_pb.ListTierHistoryRequest(**page))  # type: ignore[arg-type]
        owned = await client.benefits.ListEntitlements(benefits_pb.ListEntitlementsRequest(**page))  # type: ignore[arg-type]
        inbox = await client.notification.ListInbox(notification_pb.ListInboxRequest(**page))  # type: ignore[arg-type]
        self.transactions = list(history.transactions)
        self.decisions = list(decisions.tier_decisions)
        self.entitlements = list(owned.entitlements)
        self.messages = list(inbox.messages)
        return self

    async def _load_profile(self, client: Client) -> None:
        try:
            found = await client.members.GetMember(
                member_pb.GetMemberRequest(member_id=self.member_id)
            )
            status = await client.tiers.GetTierStatus(
                tier_pb.GetTierStatusRequest(member_id=self.member_id)
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            self.enrolled = False
        else:
            self.profile, self.tier = found.member, status.tier_status

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the messages of the contract under their own field names; `member` and
        `tier_status` are null for who was not enrolled.
        """

        def plain(message: Any) -> Any:
            return MessageToDict(
                message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )

        return {
            "member": plain(self.profile) if self.enrolled else None,
            "tier_status": plain(self.tier) if self.enrolled else None,
            **plain(self.balance),
            "transactions": [plain(message) for message in self.transactions],
            "tier_decisions": [plain(message) for message in self.decisions],
            "entitlements": [plain(message) for message in self.entitlements],
            "messages": [plain(message) for message in self.messages],
        }


@member.command
def show(
    member_id: str,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    data: Path = DEFAULT_DATA,
) -> None:
    """Show a member: profile, tier, balance, statement with explanations, benefits, messages.

    Of who has an account and was not enrolled, as after an import, it shows balance and statement.

    Parameters
    ----------
    member_id
        The company's own id of the member.
    as_json
        Print JSON, with the field names of the contract.
    data
        Folder of the house, where LAUREL_*_ADDR are not set.
    """
    view = uvloop.run(_load(client_env(data), member_id))
    if as_json:
        print(orjson.dumps(view.as_dict(), option=orjson.OPT_INDENT_2).decode())
    else:
        show_member(view, open_console())


async def _load(environ: Mapping[str, str], member_id: str) -> MemberView:
    async with Client(environ) as client:
        return await MemberView(member_id).load(client)


def show_member(view: MemberView, console: Console) -> None:
    """A member, for people."""
    tier, balance = view.tier, view.balance.balance
    told = tier_line(tier) if view.enrolled else "not enrolled, but with an account"
    console.print(Text.assemble((f"Member {view.member_id}", "bold"), f": {told}"))
    console.print(
        f"  {balance.active:,} points active, {balance.pending:,} pending, "
        f"{balance.held:,} held, {balance.debt:,} owed" + _expiring(view),
        highlight=False,
    )
    if tier.next_tier_id:
        console.print(
            f"  spent {show_money(tier.window_spend)} in the window; "
            f"{show_money(tier.spend_to_next)} more for {tier.next_tier_id}",
            highlight=False,
        )
    console.print(statement(view.transactions))
    for decision in view.decisions:
        console.print(f"  {explain_decision(decision)}", highlight=False)
    for owned in view.entitlements:
        state = benefits_pb.EntitlementState.Name(owned.state).rpartition("_")[2].lower()
        console.print(f"  benefit: {owned.name} ({state})", highlight=False)
    for message in view.messages:
        console.print(
            f"  message of {_day(message.create_time)}: {message.subject}", highlight=False
        )


def tier_line(tier: tier_pb.TierStatus) -> str:
    """What a member counts as, and what was earned where anti-fraud holds them down."""
    until = f", until {_day(tier.valid_until_time)}" if tier.HasField("valid_until_time") else ""
    if not tier.held_down_by:
        return f"{tier.tier_name}{until}"
    return (
        f"{tier.tier_name}, held down by action {tier.held_down_by} of anti-fraud; "
        f"earned {tier.earned_tier_id}{until}"
    )


def _expiring(view: MemberView) -> str:
    if not view.balance.HasField("next_expire_time"):
        return ""
    return f"; {view.balance.next_expire_points:,} expire on {_day(view.balance.next_expire_time)}"


def statement(transactions: list[points_pb.Transaction]) -> Table:
    """The statement, newest first, with every line explained."""
    table = Table(title="Statement", title_justify="left")
    for name in ("day", "what", "points", "active after", "why"):
        table.add_column(name, justify="right" if name in ("points", "active after") else "left")
    for entry in transactions:
        table.add_row(
            _day(entry.occurred_time),
            points_pb.TransactionKind.Name(entry.kind).removeprefix("TRANSACTION_KIND_").lower(),
            f"{entry.points:+,}",
            f"{entry.balance_after.active:,}",
            explain_transaction(entry),
        )
    return table


def explain_transaction(entry: points_pb.Transaction) -> str:
    """How the points of a transaction came about, in words."""
    parts = []
    if entry.explanation.HasField("spend"):
        parts.append(f"{show_money(entry.explanation.spend)}, order {entry.order_id}")
    elif entry.order_id:
        parts.append(f"order {entry.order_id}")
    for line in entry.explanation.lines:
        sign = "" if line.points.startswith("-") else "+"
        applied = f"{sign}{line.points}" if line.applied else "not applied"
        parts.append(f"{line.rule} {applied} ({line.reason})")
    parts += [
        f"{-movement.points:,} from the lot of {movement.accrual_transaction_id[:13]}"
        for movement in entry.lot_movements
        if movement.points < 0
    ]
    if entry.explanation.under_review:
        parts.append("waits for a review")
    if entry.program_version:
        parts.append(f"program version {entry.program_version}")
    return "; ".join(parts)


def explain_decision(decision: tier_pb.TierDecision) -> str:
    """A decision about a tier, in words."""
    kind = tier_pb.TierDecisionKind.Name(decision.kind).removeprefix("TIER_DECISION_KIND_").lower()
    return (
        f"{_day(decision.occurred_time)} {kind} {decision.from_tier_id} -> "
        f"{decision.to_tier_id}: spent {show_money(decision.window_spend)} since "
        f"{_day(decision.window_start_time)}, asked for "
        f"{show_money(decision.threshold_spend)} (program version {decision.program_version})"
    )


def _day(stamp: Any) -> str:
    instant: datetime = from_timestamp(stamp)
    return f"{instant:%Y-%m-%d}"
