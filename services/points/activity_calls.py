"""The calls of PointsService about activities, challenges and teams."""

from functools import partial
from typing import Any

import grpc

from kit.batch import Batcher
from kit.clock import Clock, parse_time, to_timestamp
from kit.paging import PageTokenInvalid, decode_token, encode_token, page_size
from laurel.points.v1 import activities_pb2 as pb
from laurel.points.v1 import points_service_pb2 as service_pb
from points import parse
from points.activity_desk import ActivityDesk
from points.bulk import work_activities
from points.challenge_reader import ChallengeView
from points.office import Call
from points.plain import PlainAccrual
from points.render import render_transaction
from points.singles import Reading
from points.teams import TeamView
from points.values import Posted
from points.writing import WritePath
from rules.feed import ProgramFeed

Context = grpc.aio.ServicerContext[Any, Any]


class ActivityCalls:
    """What members do, how far they have come, and who counts together."""

    _queue: Batcher[Reading, Posted | PlainAccrual]
    _path: WritePath
    _feed: ProgramFeed
    _clock: Clock
    _activities: ActivityDesk

    async def AccrueActivity(
        self, request: service_pb.AccrueActivityRequest, context: Context
    ) -> service_pb.AccrueActivityResponse:
        """See the contract."""
        posted = await self._queue.submit(partial(parse.parse_activity, request))
        assert isinstance(posted, Posted)
        return service_pb.AccrueActivityResponse(transaction=render_transaction(posted))

    async def BatchAccrueActivities(
        self, request: service_pb.BatchAccrueActivitiesRequest, context: Context
    ) -> service_pb.BatchAccrueActivitiesResponse:
        """See the contract."""
        results = await work_activities(request.requests, self._path, self._feed, self._clock)
        return service_pb.BatchAccrueActivitiesResponse(results=results)

    async def ListChallenges(
        self, request: pb.ListChallengesRequest, context: Context
    ) -> pb.ListChallengesResponse:
        """See the contract."""
        size = page_size(request.page_size)
        at = self._clock()
        if request.HasField("as_of_time"):
            at = parse_time(request.as_of_time, "as_of_time")
        after = _offset(request.page_token)
        found = await self._activities.challenges.progress(request.member_id, at)
        page = found[after : after + size]
        more = len(found) > after + size
        return pb.ListChallengesResponse(
            challenges=[_render_challenge(view) for view in page],
            next_page_token=encode_token(after + size) if more else "",
        )

    async def CreateTeam(
        self, request: pb.CreateTeamRequest, context: Context
    ) -> pb.CreateTeamResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.CreateTeamResponse)
        return await self._activities.teams.create(
            request.team_id, request.name, call,
            lambda view: pb.CreateTeamResponse(team=_render_team(view)),
        )  # fmt: skip

    async def AddTeamMember(
        self, request: pb.AddTeamMemberRequest, context: Context
    ) -> pb.AddTeamMemberResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.AddTeamMemberResponse)
        return await self._activities.teams.add_member(
            request.team_id, request.member_id, call,
            lambda view: pb.AddTeamMemberResponse(team=_render_team(view)),
        )  # fmt: skip

    async def RemoveTeamMember(
        self, request: pb.RemoveTeamMemberRequest, context: Context
    ) -> pb.RemoveTeamMemberResponse:
        """See the contract."""
        call = Call(request.request_id, request, pb.RemoveTeamMemberResponse)
        return await self._activities.teams.remove_member(
            request.team_id, request.member_id, call,
            lambda view: pb.RemoveTeamMemberResponse(team=_render_team(view)),
        )  # fmt: skip

    async def GetTeam(self, request: pb.GetTeamRequest, context: Context) -> pb.GetTeamResponse:
        """See the contract."""
        return pb.GetTeamResponse(
            team=_render_team(await self._activities.teams.get(request.team_id))
        )

    async def RunBonuses(
        self, request: pb.RunBonusesRequest, context: Context
    ) -> pb.RunBonusesResponse:
        """See the contract."""
        done = await self._activities.team_bonuses.run()
        return pb.RunBonusesResponse(bonus_count=done.count, bonus_points=done.points)


def _offset(token: str) -> int:
    key = decode_token(token, int)
    if key is None:
        return 0
    if not isinstance(key[0], int) or key[0] < 0:
        raise PageTokenInvalid
    return key[0]


def _render_team(view: TeamView) -> pb.Team:
    return pb.Team(
        team_id=view.team_id,
        name=view.name,
        member_ids=view.member_ids,
        create_time=to_timestamp(view.create_time),
    )


def _render_challenge(view: ChallengeView) -> pb.Challenge:
    return pb.Challenge(
        name=view.name,
        kind=int(view.kind),  # type: ignore[arg-type]
        measure=view.measure,
        target=view.target,
        progress=view.progress,
        completed=view.completed_count > 0,
        completed_count=view.completed_count,
        bonus_points=view.bonus_points,
        badge=view.badge,
        start_time=to_timestamp(view.start_time) if view.start_time else None,
        end_time=to_timestamp(view.end_time) if view.end_time else None,
        team_id=view.team_id,
        program_version=view.program_version,
    )
