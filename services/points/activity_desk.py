"""What the calls about activities work with."""

from dataclasses import dataclass

from kit.clock import Clock, NewId
from kit.db import Database
from points.challenge_reader import ChallengeReader
from points.office import Office
from points.team_bonuses import TeamBonusWork
from points.teams import TeamStore
from rules.feed import ProgramFeed


@dataclass(frozen=True, slots=True)
class ActivityDesk:
    """Progress, teams, and the bonuses of teams."""

    challenges: ChallengeReader
    teams: TeamStore
    team_bonuses: TeamBonusWork


def open_activity_desk(
    database: Database, feed: ProgramFeed, clock: Clock, new_id: NewId
) -> ActivityDesk:
    """The desk of a process."""
    return ActivityDesk(
        challenges=ChallengeReader(database, feed),
        teams=TeamStore(Office(database, feed, clock, new_id)),
        team_bonuses=TeamBonusWork(database, feed, clock, new_id),
    )
