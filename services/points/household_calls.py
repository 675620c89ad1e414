"""The calls of PointsService about households."""

from typing import Any

import grpc

from kit.auth import identity_of
from kit.clock import to_timestamp
from laurel.points.v1 import households_pb2 as pb
from laurel.points.v1 import points_service_pb2 as service
from points.counter import Counter
from points.household_store import Left, PoolHold, Wish
from points.households import Household, Role
from points.merging import Moved
from points.office import Call
from points.parse import parse_pool_hold
from points.render import render_hold, render_transaction

Context = grpc.aio.ServicerContext[Any, Any]


class HouseholdCalls:
    """Made, joined, left; points in and out of the pool."""

    _counter: Counter

    async def CreateHousehold(
        self, request: pb.CreateHouseholdRequest, context: Context
    ) -> pb.CreateHouseholdResponse:
        """See the contract."""
        return await self._counter.households.create(
            request.owner_member_id,
            request.name,
            identity_of(context) or "",
            Call(request.request_id, request, pb.CreateHouseholdResponse),
            lambda made: pb.CreateHouseholdResponse(household=render_household(made)),
        )

    async def AddHouseholdMember(
        self, request: pb.AddHouseholdMemberRequest, context: Context
    ) -> pb.AddHouseholdMemberResponse:
        """See the contract."""
        return await self._counter.households.add(
            _wish(request, context),
            Call(request.request_id, request, pb.AddHouseholdMemberResponse),
            lambda made: pb.AddHouseholdMemberResponse(household=render_household(made)),
        )

    async def UpdateHouseholdMember(
        self, request: pb.UpdateHouseholdMemberRequest, context: Context
    ) -> pb.UpdateHouseholdMemberResponse:
        """See the contract."""
        return await self._counter.households.update(
            _wish(request, context),
            Call(request.request_id, request, pb.UpdateHouseholdMemberResponse),
            lambda made: pb.UpdateHouseholdMemberResponse(household=render_household(made)),
        )

    async def RemoveHouseholdMember(
        self, request: pb.RemoveHouseholdMemberRequest, context: Context
    ) -> pb.RemoveHouseholdMemberResponse:
        """See the contract."""
        wish = Wish(
            request.household_id,
            request.member_id,
            request.acting_member_id,
            identity_of(context) or "",
        )
        call = Call(request.request_id, request, pb.RemoveHouseholdMemberResponse)
        return await self._counter.households.remove(wish, call, _render_left)

    async def GetHousehold(
        self, request: pb.GetHouseholdRequest, context: Context
    ) -> pb.GetHouseholdResponse:
        """See the contract."""
        if request.HasField("household_id"):
            found = await self._counter.households.get(request.household_id)
        else:
            found = await self._counter.households.get_of(request.member_id)
        return pb.GetHouseholdResponse(household=render_household(found))

    async def ContributeToPool(
        self, request: pb.ContributeToPoolRequest, context: Context
    ) -> pb.ContributeToPoolResponse:
        """See the contract."""
        return await self._counter.households.contribute(
            request.household_id,
            request.member_id,
            request.points,
            Call(request.request_id, request, pb.ContributeToPoolResponse),
            _render_contributed,
        )

    async def HoldPoolPoints(
        self, request: pb.HoldPoolPointsRequest, context: Context
    ) -> service.HoldPoolPointsResponse:
        """See the contract."""
        call = Call(request.request_id, request, service.HoldPoolPointsResponse)
        desk = await self._counter.office.desk()
        asked = parse_pool_hold(request, desk.now, desk.programs)
        return await self._counter.households.hold(
            asked, request.household_id, call, _render_pool_hold
        )


def _wish(
    request: pb.AddHouseholdMemberRequest | pb.UpdateHouseholdMemberRequest, context: Context
) -> Wish:
    return Wish(
        request.household_id,
        request.member_id,
        request.acting_member_id,
        identity_of(context) or "",
        Role(request.role),
        request.month_points_max,
    )


def render_household(household: Household) -> pb.Household:
    """A household with its members and the points of its pool."""
    return pb.Household(
        household_id=household.household_id,
        name=household.name,
        state=int(household.state),  # type: ignore[arg-type]
        active_points=household.active,
        held_points=household.held,
        create_time=to_timestamp(household.create_time),
        members=[
            pb.HouseholdMember(
                member_id=one.member_id,
                role=int(one.role),  # type: ignore[arg-type]
                month_points_max=one.month_points_max,
                month_used_points=one.month_used,
                contributed_points=one.contributed,
                join_time=to_timestamp(one.join_time),
            )
            for one in household.members
        ],
    )


def _render_left(left: Left) -> pb.RemoveHouseholdMemberResponse:
    moved = left.moved
    return pb.RemoveHouseholdMemberResponse(
        household=render_household(left.household),
        returned_points=moved.amounts.active if moved else 0,
        transaction_id=str(moved.arrived.transaction_id) if moved else "",
    )


def _render_contributed(done: tuple[Household, Moved]) -> pb.ContributeToPoolResponse:
    household, moved = done
    return pb.ContributeToPoolResponse(
        household=render_household(household), transaction_id=str(moved.left.transaction_id)
    )


def _render_pool_hold(made: PoolHold) -> service.HoldPoolPointsResponse:
    response = service.HoldPoolPointsResponse(
        hold=render_hold(made.posted), transaction=render_transaction(made.posted)
    )
    if made.month_left is not None:
        response.month_left_points = made.month_left
    return response
