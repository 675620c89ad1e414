"""Teams: members who count together for team challenges."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kit.db import Transaction
from points.errors import InAnotherTeam, NotInTeam, TeamExists, TeamFull, TeamNotFound
from points.office import Call, Office, R, Render, Session

MEMBERS_MAX = 50


@dataclass(frozen=True, slots=True)
class TeamView:
    """A team with its members."""

    team_id: str
    name: str
    create_time: datetime
    member_ids: tuple[str, ...] = ()


class TeamStore:
    """Makes teams, and lets members come and go."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def create(
        self, team_id: str, name: str, call: Call[R], render: Render[TeamView, R]
    ) -> R:
        """A team without members. Raises TeamExists."""

        async def act(session: Session) -> R:
            now = session.desk.now
            if not await session.tx.fetchval("add_team", team_id, name, now):
                raise TeamExists(team_id=team_id)
            return render(TeamView(team_id, name, now))

        return await self._office.carry_out(call, [], act)

    async def add_member(
        self, team_id: str, member_id: str, call: Call[R], render: Render[TeamView, R]
    ) -> R:
        """Raises TeamNotFound, TeamFull or InAnotherTeam; one who is in it already stays."""

        async def act(tx: Transaction, team: Any, now: datetime) -> None:
            of_member = await tx.fetchval("get_team_of", member_id)
            if of_member == team_id:
                return
            if of_member is None and team["member_count"] >= MEMBERS_MAX:
                raise TeamFull(team_id=team_id, members_max=MEMBERS_MAX)
            if of_member or not await tx.fetchval("add_team_member", member_id, team_id, now):
                raise InAnotherTeam(member_id=member_id, team_id=of_member or "")
            await tx.execute("count_team", team_id, 1)

        return await self._change(team_id, call, render, act)

    async def remove_member(
        self, team_id: str, member_id: str, call: Call[R], render: Render[TeamView, R]
    ) -> R:
        """Raises TeamNotFound or NotInTeam."""

        async def act(tx: Transaction, team: Any, now: datetime) -> None:
            if not await tx.fetchval("remove_team_member", member_id, team_id):
                raise NotInTeam(member_id=member_id, team_id=team_id)
            await tx.execute("count_team", team_id, -1)

        return await self._change(team_id, call, render, act)

    async def get(self, team_id: str) -> TeamView:
        """Raises TeamNotFound."""
        async with self._office.database.transaction(readonly=True) as tx:
            row = await tx.fetchrow("get_team", team_id)
            if row is None:
                raise TeamNotFound(team_id=team_id)
            return await _view(tx, row)

    async def _change(
        self,
        team_id: str,
        call: Call[R],
        render: Render[TeamView, R],
        act: Callable[[Transaction, Any, datetime], Awaitable[None]],
    ) -> R:
        """Works under the lock of the team, and answers with the team as it then stands."""

        async def change(session: Session) -> R:
            row = await session.tx.fetchrow("lock_team", team_id)
            if row is None:
                raise TeamNotFound(team_id=team_id)
            await act(session.tx, row, session.desk.now)
            return render(await _view(session.tx, row))

        return await self._office.carry_out(call, [], change)


async def _view(tx: Transaction, row: Any) -> TeamView:
    members = await tx.fetch("list_team_members", row["team_id"])
    ids = tuple(member["member_id"] for member in members)
    return TeamView(row["team_id"], row["name"], row["create_time"], ids)
