"""Calls that move points between accounts and decide about them, in a few words."""

from typing import Any

from house import new_id
from laurel.points.v1 import accounts_pb2 as accounts
from laurel.points.v1 import adjustments_pb2 as adjustments
from laurel.points.v1 import merges_pb2 as merges
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

    async def account(self, member: str) -> accounts.AccountStanding:
        """How an account stands."""
        request = accounts.GetAccountRequest(member_id=member)
        return (await self.stub.GetAccount(request)).account


def _signed(fields: dict[str, Any]) -> dict[str, Any]:
    return {"request_id": new_id(), "operator": "olga", "reason": "for a test", **fields}
