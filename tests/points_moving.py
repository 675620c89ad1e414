"""Calls that move points between accounts and decide about them, in a few words."""

from typing import Any

from house import new_id
from laurel.points.v1 import accounts_pb2 as accounts
from laurel.points.v1 import adjustments_pb2 as adjustments
from laurel.points.v1 import households_pb2 as households
from laurel.points.v1 import merges_pb2 as merges
from laurel.points.v1 import points_service_pb2 as pb
from laurel.points.v1 import transfers_pb2 as transfers
from points_ledger import Ledger


class Counter(Ledger):
    """The ledger's calls with those of the service counter."""

    async def freeze(self, member: str, **fields: Any) -> accounts.AccountStanding:
        """Freezes an account."""
        request = accounts.FreezeAccountRequest(member_id=member, **_signed(fields))
        return (await self.stub.FreezeAccount(request)).account

    async def unfreeze(self, member: str, **fields: Any) -> accounts.AccountStanding:
        """Unfreezes an account."""
        request = accounts.UnfreezeAccountRequest(member_id=member, **_signed(fields))
        return (await self.stub.UnfreezeAccount(request)).account

    async def close(self, member: str, **fields: Any) -> accounts.AccountStanding:
        """Closes an account."""
        request = accounts.CloseAccountRequest(member_id=member, **_signed(fields))
        return (await self.stub.CloseAccount(request)).account

    def giving(
        self, member: str, receiver: str, points: int, **fields: Any
    ) -> transfers.TransferPointsRequest:
        """A request to give points to another member."""
        fields = {"request_id": new_id(), **fields}
        return transfers.TransferPointsRequest(
            member_id=member, receiver_member_id=receiver, points=points, **fields
        )

    async def give(self, member: str, receiver: str, points: int, **fields: Any) -> transfers.Gift:
        """Gives points to another member."""
        request = self.giving(member, receiver, points, **fields)
        return (await self.stub.TransferPoints(request)).gift

    async def donate(
        self, member: str, points: int, cause: str = "red_cross", **fields: Any
    ) -> transfers.DonationCertificate:
        """Donates points."""
        fields = {"request_id": new_id(), **fields}
        request = transfers.DonatePointsRequest(
            member_id=member, points=points, cause=cause, **fields
        )
        return (await self.stub.DonatePoints(request)).certificate

    async def verify(self, certificate: str, member: str = "") -> transfers.VerifyDonationResponse:
        """Asks whether a certificate is true."""
        request = transfers.VerifyDonationRequest(certificate_id=certificate, member_id=member)
        return await self.stub.VerifyDonation(request)

    async def adjust(self, member: str, points: int, **fields: Any) -> adjustments.Adjustment:
        """Gives or takes points by hand."""
        request = adjustments.AdjustPointsRequest(
            member_id=member, points=points, **_signed(fields)
        )
        return (await self.stub.AdjustPoints(request)).adjustment

    async def approve(
        self, adjustment: adjustments.Adjustment, **fields: Any
    ) -> adjustments.Adjustment:
        """Approves an adjustment, as another operator."""
        fields = _signed({"operator": "piet", **fields})
        request = adjustments.ApproveAdjustmentRequest(
            adjustment_id=adjustment.adjustment_id, **fields
        )
        return (await self.stub.ApproveAdjustment(request)).adjustment

    async def reject(
        self, adjustment: adjustments.Adjustment, **fields: Any
    ) -> adjustments.Adjustment:
        """Rejects an adjustment, as another operator."""
        fields = _signed({"operator": "piet", **fields})
        request = adjustments.RejectAdjustmentRequest(
            adjustment_id=adjustment.adjustment_id, **fields
        )
        return (await self.stub.RejectAdjustment(request)).adjustment

    async def merge(self, survivor: str, merged: str, **fields: Any) -> merges.Merge:
        """Merges one member into another."""
        request = merges.MergeMembersRequest(
            survivor_member_id=survivor, merged_member_id=merged, **_signed(fields)
        )
        return (await self.stub.MergeMembers(request)).merge

    async def undo(self, merge: merges.Merge, **fields: Any) -> merges.Merge:
        """Takes a merge apart again."""
        request = merges.UndoMergeRequest(merge_id=merge.merge_id, **_signed(fields))
        return (await self.stub.UndoMerge(request)).merge

    async def found(self, owner: str, **fields: Any) -> households.Household:
        """Makes a household."""
        fields = {"request_id": new_id(), "name": "The Does", **fields}
        request = households.CreateHouseholdRequest(owner_member_id=owner, **fields)
        return (await self.stub.CreateHousehold(request)).household

    async def join(
        self, home: households.Household, member: str, limit: int | None = None, **fields: Any
    ) -> households.Household:
        """Adds an adult, or a child with a limit, in the name of the owner."""
        request = households.AddHouseholdMemberRequest(**_companion(home, member, limit, fields))
        return (await self.stub.AddHouseholdMember(request)).household

    async def change(
        self, home: households.Household, member: str, limit: int | None = None, **fields: Any
    ) -> households.Household:
        """Makes a member an adult, or a child with a limit, in the name of the owner."""
        request = households.UpdateHouseholdMemberRequest(**_companion(home, member, limit, fields))
        return (await self.stub.UpdateHouseholdMember(request)).household

    async def leave(
        self, home: households.Household, member: str, **fields: Any
    ) -> households.RemoveHouseholdMemberResponse:
        """Lets a member go, as they wish."""
        fields = {"request_id": new_id(), "acting_member_id": member, **fields}
        return await self.stub.RemoveHouseholdMember(
            households.RemoveHouseholdMemberRequest(
                household_id=home.household_id, member_id=member, **fields
            )
        )

    async def contribute(
        self, home: households.Household, member: str, points: int, **fields: Any
    ) -> households.Household:
        """Moves points of a member to the pool."""
        fields = {"request_id": new_id(), **fields}
        request = households.ContributeToPoolRequest(
            household_id=home.household_id, member_id=member, points=points, **fields
        )
        return (await self.stub.ContributeToPool(request)).household

    async def hold_pool(
        self, home: households.Household, member: str, points: int, **fields: Any
    ) -> pb.HoldPoolPointsResponse:
        """Holds points of the pool for an order of a member."""
        fields = {"request_id": new_id(), "order_id": new_id(), **fields}
        request = households.HoldPoolPointsRequest(
            household_id=home.household_id, member_id=member, points=points, **fields
        )
        return await self.stub.HoldPoolPoints(request)

    async def household(self, home: households.Household) -> households.Household:
        """A household as it is now."""
        request = households.GetHouseholdRequest(household_id=home.household_id)
        return (await self.stub.GetHousehold(request)).household

    async def account(self, member: str) -> accounts.AccountStanding:
        """How an account stands."""
        request = accounts.GetAccountRequest(member_id=member)
        return (await self.stub.GetAccount(request)).account


def _companion(
    home: households.Household, member: str, limit: int | None, fields: dict[str, Any]
) -> dict[str, Any]:
    child = limit is not None
    role = households.HOUSEHOLD_ROLE_CHILD if child else households.HOUSEHOLD_ROLE_ADULT
    return {
        "request_id": new_id(),
        "household_id": home.household_id,
        "member_id": member,
        "role": role,
        "month_points_max": limit or 0,
        "acting_member_id": home.members[0].member_id,
        **fields,
    }


def _signed(fields: dict[str, Any]) -> dict[str, Any]:
    return {"request_id": new_id(), "operator": "olga", "reason": "for a test", **fields}
