"""`laurel fraud`: try draft rules on what was assessed, and see what the live ones did."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import grpc
import orjson
import uvloop
from cyclopts import App, Parameter
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest
from rich.console import Console
from rich.table import Table

from cli.connect import Client
from cli.console import open_console
from cli.env import client_env
from cli.errors import UserError
from cli.program import parse_instant
from cli.replay import make_progress
from cli.state import DEFAULT_DATA
from kit.clock import from_timestamp, to_timestamp
from kit.errors import info_of, status_of
from kit.money import show as show_money
from laurel.antifraud.v1 import backtests_pb2 as pb
from laurel.program.v1.program_pb2 import FraudAction

REPORT_SECONDS = 60
WHOLE_DOCUMENT = "source_yaml"
PLACE = re.compile(r"^.*?:\d+:\d+: ", re.DOTALL)
NUMBERS = ("hits", "points", "fraud", "legitimate", "no label", "precision", "recall")

fraud = App(name="fraud", help="Try draft rules of anti-fraud on the past, and measure live ones.")

From = Annotated[str | None, Parameter(name="--from")]
Until = Annotated[str | None, Parameter(name="--to")]
AsJson = Annotated[bool, Parameter(name="--json", negative=())]


@fraud.command
def backtest(
    file: Path,
    *,
    start: From = None,
    end: Until = None,
    as_json: AsJson = False,
    data: Path = DEFAULT_DATA,
) -> None:
    """Try draft rules on what was assessed: what they would have picked out and decided otherwise.

    Parameters
    ----------
    file
        The YAML document: a whole program, whose rules replace the live ones; or nothing but
        `antifraud:` with `rules:` in it, which replace the live rules of their names or join them.
    start
        Assessments made from then on, such as 1998-07-01T00:00:00Z; 30 days before the end when
        left out.
    end
        Assessments made before then; now when left out.
    as_json
        Print JSON, with the field names of the contract.
    data
        Folder of the house, where LAUREL_*_ADDR are not set.

    Exits 1 when the document has mistakes, and prints each of them.
    """
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    request = pb.BackTestRequest(
        source_yaml=source, file=str(file), from_time=_stamp(start), to_time=_stamp(end)
    )
    result = uvloop.run(_back_test(client_env(data), request, open_console(stderr=True)))
    if as_json:
        _print_json(result)
    else:
        show_result(result, open_console())


@fraud.command
def rules(
    *,
    start: From = None,
    end: Until = None,
    as_json: AsJson = False,
    data: Path = DEFAULT_DATA,
) -> None:
    """Show what each live rule has picked out, and how right it was by the labels.

    Parameters
    ----------
    start
        Assessments made from then on, such as 1998-07-01T00:00:00Z; 30 days before the end when
        left out.
    end
        Assessments made before then; now when left out.
    as_json
        Print JSON, with the field names of the contract.
    data
        Folder of the house, where LAUREL_*_ADDR are not set.
    """
    request = pb.GetRuleReportRequest(from_time=_stamp(start), to_time=_stamp(end))
    report = uvloop.run(_report(client_env(data), request))
    if as_json:
        _print_json(report)
    else:
        show_report(report, open_console())


async def _back_test(
    environ: Mapping[str, str], request: pb.BackTestRequest, console: Console
) -> pb.BackTestResult:
    result = pb.BackTestResult()
    async with Client(environ) as client:
        with make_progress(console) as progress:
            bar = progress.add_task("read", total=None)
            try:
                async for message in client.antifraud.BackTest(request):
                    if message.HasField("result"):
                        result = message.result
                    elif total := message.progress.assessment_count:
                        read = message.progress.read_count
                        progress.update(bar, total=total, completed=read)
            except grpc.aio.AioRpcError as error:
                mistakes = _mistakes(error)
                if not mistakes:
                    raise
                progress.stop()
                print("\n".join(mistakes))
                sys.exit(1)
    return result


async def _report(
    environ: Mapping[str, str], request: pb.GetRuleReportRequest
) -> pb.GetRuleReportResponse:
    async with Client(environ) as client:
        return await client.antifraud.GetRuleReport(request, timeout=REPORT_SECONDS)


def _mistakes(error: grpc.aio.AioRpcError) -> list[str]:
    """The mistakes of a draft as `laurel program validate` writes them; none where that was not the
    failure.
    """
    status = status_of(error)
    if status is None or info_of(status).reason != "RULES_INVALID":
        return []
    bad = BadRequest()
    for detail in status.details:
        detail.Unpack(bad)
    return [_with_path(one) for one in bad.field_violations]


def _with_path(violation: BadRequest.FieldViolation) -> str:
    """`file:line:column: path: reason`; without a path where the whole document is at fault."""
    told = str(violation.description)
    place = PLACE.match(told)
    if place is None or violation.field == WHOLE_DOCUMENT:
        return told
    return f"{place[0]}{violation.field}: {told[place.end() :]}"


def _stamp(text: str | None) -> Timestamp | None:
    return None if text is None else to_timestamp(parse_instant(text))


def _print_json(message: Message) -> None:
    plain: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    print(orjson.dumps(plain, option=orjson.OPT_INDENT_2).decode())


def show_result(result: pb.BackTestResult, console: Console) -> None:
    """A back-test, for people."""
    _show_head(result, console)
    if result.incomplete_count:
        console.print(
            f"  {result.incomplete_count:,} of them were stored before amounts and origins were: "
            "rules saw none",
            highlight=False,
        )
    table = _table("Rules of the draft", "rule", "", *NUMBERS, "no answer")
    for one in result.rules:
        notes = [name for name in ("draft", "shadow", "recorded") if getattr(one, name)]
        unanswered = f"{one.unanswered_count:,}"
        table.add_row(one.rule, " ".join(notes), *_numbers(one.measure), unanswered)
    table.add_section()
    table.add_row("stopped live", "", *_numbers(result.live), "")
    table.add_row("stopped by the draft", "", *_numbers(result.draft), "")
    console.print(table)
    console.print(
        f"  {result.newly_stopped_count:,} newly stopped, "
        f"{result.no_longer_stopped_count:,} no longer stopped, "
        f"{result.changed_action_count:,} stopped by another action",
        highlight=False,
    )
    for change in result.changes:
        _show_change(change, console)


def _show_change(change: pb.BackTestChange, console: Console) -> None:
    measure = change.measure
    console.print(
        f"  {_action(change.live_action)} -> {_action(change.draft_action)}: "
        f"{measure.hit_count:,} ({measure.fraud_count:,} fraud, "
        f"{measure.legitimate_count:,} legitimate), such as",
        highlight=False,
    )
    for sample in change.samples:
        amount = f", {show_money(sample.amount)}" if sample.HasField("amount") else ""
        console.print(
            f"    {_instant(sample.occurred_time)} {sample.member_id}: {sample.points:,} points"
            f"{amount}, request {sample.request_id}",
            highlight=False,
        )


def show_report(report: pb.GetRuleReportResponse, console: Console) -> None:
    """What the live rules did, for people."""
    _show_head(report, console)
    table = _table("Rules", "rule", "", "versions", *NUMBERS, "recall of all")
    for one in report.rules:
        versions = f"{one.first_version} to {one.last_version}"
        if one.first_version == one.last_version:
            versions = str(one.first_version)
        of_all = _share(one, "recall_of_all")
        note = "shadow" if one.shadow else ""
        table.add_row(one.rule, note, versions, *_numbers(one.measure), of_all)
    table.add_section()
    table.add_row("stopped by any", "", "", *_numbers(report.stopped), "")
    console.print(table)


def _show_head(shown: pb.BackTestResult | pb.GetRuleReportResponse, console: Console) -> None:
    unlabelled = shown.assessment_count - shown.fraud_count - shown.legitimate_count
    console.print(
        f"{shown.assessment_count:,} assessments from {_instant(shown.from_time)} to "
        f"{_instant(shown.to_time)}: {shown.fraud_count:,} labelled as fraud, "
        f"{shown.legitimate_count:,} as legitimate, {unlabelled:,} without a label",
        highlight=False,
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in columns:
        is_text = name in ("rule", "", "versions")
        table.add_column(name, justify="left" if is_text else "right", overflow="fold")
    return table


def _numbers(measure: pb.Measure) -> tuple[str, ...]:
    return (
        f"{measure.hit_count:,}", f"{measure.points:,}", f"{measure.fraud_count:,}",
        f"{measure.legitimate_count:,}", f"{measure.unlabelled_count:,}",
        _share(measure, "precision"), _share(measure, "recall"),
    )  # fmt: skip


def _share(message: Message, field: str) -> str:
    return f"{getattr(message, field):.1%}" if message.HasField(field) else "-"


def _action(action: int) -> str:
    return FraudAction.Name(action).removeprefix("FRAUD_ACTION_").lower()  # type: ignore[arg-type]


def _instant(stamp: Timestamp) -> str:
    return f"{from_timestamp(stamp):%Y-%m-%d %H:%M:%S}Z"
