"""A program's leaderboards, and calls about them in a few words."""

from laurel.points.v1 import leaderboards_pb2 as pb
from points_ledger import Ledger

DAY, WEEK, MONTH, YEAR, ALL = range(1, 6)
BOARDS = """
leaderboards:
  periods: [day, week, month, year, all]
  by_region: true
"""


async def board(ledger: Ledger, period: int, **fields: object) -> list[tuple[int, str, int]]:
    """The first thousand of a leaderboard, once all events have taken effect."""
    await ledger.house.settle()
    request = pb.ListLeaderboardRequest(period=period, page_size=1000, **fields)  # type: ignore[arg-type]
    response = await ledger.stub.ListLeaderboard(request)
    return [(one.rank, one.member_id, one.points) for one in response.entries]


async def rank(ledger: Ledger, member: str, period: int, **fields: object) -> pb.GetRankResponse:
    """Where a member stands."""
    request = pb.GetRankRequest(member_id=member, period=period, **fields)  # type: ignore[arg-type]
    return await ledger.stub.GetRank(request)
