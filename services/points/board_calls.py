"""The calls of PointsService on leaderboards, and the events that feed them."""

from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from google.type.date_pb2 import Date

from kit.clock import from_timestamp, parse_time
from kit.paging import PageTokenInvalid, decode_token, encode_token, page_size
from laurel.event.v1.event_pb2 import AccrualReversed, Event, ReviewSettled
from laurel.points.v1 import leaderboards_pb2 as pb
from points.board_store import POINTS_MAX, Earned
from points.boards import BEGINNING, BoardKey
from points.reads import Reads
from rules.values import Period

Context = grpc.aio.ServicerContext[Any, Any]

BOARD_EVENTS = ("points_accrued", "bonus_accrued", "accrual_reversed", "review_settled")


class BoardCalls:
    """Ranks by what was earned."""

    _reads: Reads

    async def ListLeaderboard(
        self, request: pb.ListLeaderboardRequest, context: Context
    ) -> pb.ListLeaderboardResponse:
        """See the contract."""
        at = parse_time(request.time, "time") if request.HasField("time") else None
        page = await self._reads.boards.list_entries(
            Period(request.period), at, request.region,
            _after(request.page_token), page_size(request.page_size),
        )  # fmt: skip
        token = ""
        if page.more:
            last = page.entries[-1]
            token = encode_token(last.points, last.member_id)
        return pb.ListLeaderboardResponse(
            leaderboard=_board(page.key),
            entries=[
                pb.LeaderboardEntry(rank=one.rank, member_id=one.member_id, points=one.points)
                for one in page.entries
            ],
            next_page_token=token,
        )

    async def GetRank(self, request: pb.GetRankRequest, context: Context) -> pb.GetRankResponse:
        """See the contract."""
        at = parse_time(request.time, "time") if request.HasField("time") else None
        key, found = await self._reads.boards.get_standing(
            request.member_id, Period(request.period), at, request.region, request.target_rank
        )
        return pb.GetRankResponse(
            leaderboard=_board(key),
            rank=found.rank,
            points=found.points,
            next_rank=found.next_rank,
            points_to_next=found.points_to_next,
            points_to_target=found.points_to_target,
        )


def versions_of(events: Sequence[Event]) -> set[int]:
    """The versions of the program that decided what events tell; all are of one kind."""
    versions = {event.program_version for event in events}
    if events[0].HasField("accrual_reversed"):
        versions.update(
            lost.program_version for event in events for lost in event.accrual_reversed.lost_bonuses
        )
    return versions


def earned_of(events: Sequence[Event]) -> list[Earned]:
    """What events say that members earned and what was taken back; nothing under review."""
    found: list[Earned] = []
    for event in events:
        kind = event.WhichOneof("payload")
        if kind not in BOARD_EVENTS:
            continue
        payload: Any = getattr(event, kind)
        if kind == "accrual_reversed":
            found += _taken_back(event, payload)
        elif kind == "review_settled":
            found.append(_of_accrual(event, payload, payload.points))
        elif not payload.under_review:
            stamp = from_timestamp(event.occurred_time)
            version = event.program_version
            earned = Earned(event.member_id, stamp, payload.region, payload.points, version)
            found.append(earned)
    return [one for one in found if one.points]


def _taken_back(event: Event, payload: AccrualReversed) -> Iterator[Earned]:
    bonus_points = sum(lost.points for lost in payload.lost_bonuses)
    if not payload.under_review:
        own_points = payload.points + payload.cash_points - bonus_points
        yield _of_accrual(event, payload, -own_points)
    for lost in payload.lost_bonuses:
        if not lost.under_review:
            yield Earned(
                _earner(event, payload), from_timestamp(lost.occurred_time), lost.region,
                -lost.points, lost.program_version,
            )  # fmt: skip


def _of_accrual(event: Event, payload: AccrualReversed | ReviewSettled, points: int) -> Earned:
    stamp = from_timestamp(payload.accrual_occurred_time)
    member_id = _earner(event, payload)
    return Earned(member_id, stamp, payload.region, points, event.program_version)


def _earner(event: Event, payload: AccrualReversed | ReviewSettled) -> str:
    # Not who has the account now that theirs was merged into.
    return payload.booked_member_id or event.member_id


def _after(token: str) -> tuple[int, str] | None:
    key = decode_token(token, int, str)
    if key is None:
        return None
    points, member_id = int(str(key[0])), str(key[1])
    if not 0 < points <= POINTS_MAX or "\0" in member_id:
        raise PageTokenInvalid
    return points, member_id


def _board(key: BoardKey) -> pb.Leaderboard:
    board = pb.Leaderboard(period=int(key.period), region=key.region)  # type: ignore[arg-type]
    if key.start != BEGINNING:
        start = key.start
        board.start_date.CopyFrom(Date(year=start.year, month=start.month, day=start.day))
    return board
