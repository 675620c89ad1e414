"""Calls that move points between accounts and decide about them, in a few words."""

from typing import Any

from house import new_id
from laurel.points.v1 import accounts_pb2 as accounts
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

    async def account(self, member: str) -> accounts.AccountStanding:
        """How an account stands."""
        request = accounts.GetAccountRequest(member_id=member)
        return (await self.stub.GetAccount(request)).account


def _signed(fields: dict[str, Any]) -> dict[str, Any]:
    return {"request_id": new_id(), "operator": "olga", "reason": "for a test", **fields}
