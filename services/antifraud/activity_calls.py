"""The call that tells what members did where no points moved."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import grpc

from antifraud.profile import Place, Profile
from antifraud.profile_store import Change, ProfileStore, micros_of
from kit.clock import parse_occurred
from kit.errors import InvalidArgument, Violation
from kit.validate import check
from laurel.antifraud.v1 import antifraud_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class ActivityCalls:
    """Reports."""

    _profiles: ProfileStore

    async def ReportActivities(
        self, request: pb.ReportActivitiesRequest, context: Context
    ) -> pb.ReportActivitiesResponse:
        """See the contract."""
        changes = parse_activities(request.activities, self._profiles.now())
        changed_count = await self._profiles.report(changes)
        return pb.ReportActivitiesResponse(changed_member_count=changed_count)


def parse_activities(activities: Sequence[pb.Activity], now: datetime) -> list[Change]:
    """What the reports change.

    Raises InvalidArgument or a kind of it, which names the report and the field.
    """
    changes: list[Change] = []
    for index, activity in enumerate(activities):
        where = f"activities[{index}]."
        check(activity, where)
        is_tags = activity.kind == pb.ACTIVITY_KIND_TAGS_CHANGE
        if activity.tags and not is_tags:
            raise InvalidArgument(Violation(f"{where}tags", "belong to a TAGS_CHANGE alone"))
        if is_tags and activity.HasField("origin"):
            raise InvalidArgument(Violation(f"{where}origin", "must not be set of a TAGS_CHANGE"))
        at = parse_occurred(activity.occurred_time, now, f"{where}occurred_time")
        changes.append((activity.member_id, _Report(activity, micros_of(at))))
    return changes


class _Report:
    """What one activity changes."""

    def __init__(self, activity: pb.Activity, at_us: int) -> None:
        self._activity = activity
        self._at_us = at_us

    def __call__(self, profile: Profile) -> None:
        activity, at_us = self._activity, self._at_us
        if activity.kind == pb.ACTIVITY_KIND_TAGS_CHANGE:
            profile.set_tags(at_us, sorted(activity.tags))
            return
        if activity.kind == pb.ACTIVITY_KIND_LOGIN:
            profile.log_in(at_us)
        else:
            profile.change(at_us)
        origin = activity.origin
        if origin.device:
            profile.use_device(at_us, origin.device)
        if origin.HasField("location"):
            where = origin.location
            profile.be_at(Place(at_us, where.latitude_degrees, where.longitude_degrees))
