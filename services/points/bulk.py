"""Rows that come many at a time: each is parsed, booked and answered for itself."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from kit.clock import Clock
from kit.errors import LaurelError, to_status
from kit.interceptor import refusal_of
from kit.validate import check
from laurel.points.v1 import points_service_pb2 as pb
from points import parse
from points.apart import Work
from points.plain import PlainAccrual
from points.plain_render import render_plain
from points.render import render_accrued
from points.store import Answer
from points.values import Accrue, Command, Posted
from points.writing import WritePath
from rules.compiled import ProgramHistory
from rules.feed import ProgramFeed

Refusal = TypeVar("Refusal", bound=Exception)


async def work_rows(
    rows: Iterable[pb.AccruePointsRequest], path: WritePath, feed: ProgramFeed, clock: Clock
) -> list[pb.AccrueResult]:
    """Books rows in one batch; one result for each, in order."""
    programs = await feed.ensure()
    now = clock()
    return await _work([_parse_row(row, now, programs) for row in rows], path)


async def work_activities(
    rows: Iterable[pb.AccrueActivityRequest], path: WritePath, feed: ProgramFeed, clock: Clock
) -> list[pb.AccrueResult]:
    """Books activities in one batch; one result for each, in order."""
    programs = await feed.ensure()
    now = clock()
    return await _work([_parse_activity(row, now, programs) for row in rows], path)


async def _work(parsed: Sequence[Accrue | LaurelError], path: WritePath) -> list[pb.AccrueResult]:
    return _render_results(await answer_rows(parsed, path.work))


async def answer_rows(parsed: Sequence[Command | Refusal], work: Work) -> list[Answer | Refusal]:
    """What becomes of rows, in order: those that could not be read stay as they are."""
    commands = [row for row in parsed if not isinstance(row, Exception)]
    answers = iter(await work(commands) if commands else ())
    return [row if isinstance(row, Exception) else next(answers) for row in parsed]


def _parse_row(
    row: pb.AccruePointsRequest, now: datetime, programs: ProgramHistory
) -> Accrue | LaurelError:
    try:
        return parse.parse_row(row, now, programs)
    except LaurelError as error:
        return error


def _parse_activity(
    row: pb.AccrueActivityRequest, now: datetime, programs: ProgramHistory
) -> Accrue | LaurelError:
    try:
        check(row)
        return parse.parse_activity(row, now, programs)
    except LaurelError as error:
        return error


def _render_results(results: Sequence[Answer]) -> list[pb.AccrueResult]:
    rendered = []
    for result in results:
        row = pb.AccrueResult()
        if isinstance(result, PlainAccrual):
            render_plain(result, row.accrued)
        elif isinstance(result, Posted):
            row.accrued.CopyFrom(render_accrued(result))
        else:
            row.error.CopyFrom(to_status(refusal_of(result)))
        rendered.append(row)
    return rendered
