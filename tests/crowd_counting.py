"""What a crowd's members were given by caps, challenges and streaks, counted again from what they
did: from the ledger's history and the rules as `points_earning` writes them.
"""

from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from crowd_writes import Crowd
from kit.clock import from_timestamp
from laurel.points.v1 import points_service_pb2 as pb

ZONE = ZoneInfo("America/New_York")
DAY, MONTH = "%Y-%m-%d", "%Y-%m"
CHECK_IN, CHECK_INS_OF_A_DAY = 10, 10
SHARE, SHARES_OF_A_MONTH = 20, 50
REFERRAL = 200
BIG_MONTH = 3000
Histories = dict[str, list[pb.Transaction]]


async def check_what_rules_gave(crowd: Crowd, histories: Histories) -> None:
    """Holds what each of the twenty was given against what they did."""
    for member in crowd.members:
        history = histories[member]
        for rule, period, points, most in (
            ("check_in", DAY, CHECK_IN, CHECK_INS_OF_A_DAY),
            ("share", MONTH, SHARE, SHARES_OF_A_MONTH),
        ):
            times: Tally[str] = Tally()
            given: Tally[str] = Tally()
            for one in activities_of(history, rule):
                times[when(one, period)] += 1
                given[when(one, period)] += one.points
            assert given == {at: min(most, points * n) for at, n in times.items()}, (member, rule)
        await _check_big_month(crowd, member, history)
    by_id = {t.transaction_id: t for history in histories.values() for t in history}
    for ids in crowd.referred.values():
        assert sum(by_id[one].points for one in set(ids)) == REFERRAL
    await _check_together(crowd, histories)


async def _check_big_month(crowd: Crowd, member: str, history: Sequence[pb.Transaction]) -> None:
    """3,000 points of purchases in a month, less what returns took back, are one bonus: no more
    while they stand, and none once they do not.
    """
    month = f"{datetime.now(UTC).astimezone(ZONE):{MONTH}}"
    earned = sum(points for at, points in purchases_less_returns(history) if at == month)
    challenge = (await crowd.earner.challenges(member))["big_month"]
    assert challenge.progress == earned, member
    bonuses = sum(
        1 if one.kind == pb.TRANSACTION_KIND_BONUS else -1
        for one in history
        if "big_month" in lines_of(one)
    )
    assert bonuses == challenge.completed == (earned >= BIG_MONTH), member


async def _check_together(crowd: Crowd, histories: Histories) -> None:
    """What the five of a team spent in the month; each was given their bonus for it once."""
    month = f"{datetime.now(UTC).astimezone(ZONE):{MONTH}}"
    team = crowd.members[:5]
    spent = [entry for one in team for entry in spend_less_returns(histories[one])]
    challenge = (await crowd.earner.challenges(team[0]))["together"]
    assert challenge.progress == sum(cents for at, cents in spent if at == month)
    for member in team:
        given = [one for one in histories[member] if "together" in lines_of(one)]
        assert len(given) == 1, member


def purchases_less_returns(history: Sequence[pb.Transaction]) -> Iterator[tuple[str, int]]:
    """By month of the purchase, points that were earned, and negative ones that returns took."""
    months = {one.transaction_id: when(one, MONTH) for one in history}
    for one in history:
        lines = lines_of(one)
        if one.kind == pb.TRANSACTION_KIND_ACCRUAL and "spend" in lines:
            yield when(one, MONTH), one.points
        elif "reversal" in lines:
            yield months[one.reversed_transaction_id], int(lines["reversal"])


def spend_less_returns(history: Sequence[pb.Transaction]) -> Iterator[tuple[str, int]]:
    """By month of the purchase, cents that were spent, and negative ones that came back."""
    months = {one.transaction_id: when(one, MONTH) for one in history}
    for one in history:
        spend = one.explanation.spend
        cents = spend.units * 100 + spend.nanos // 10**7
        if one.kind == pb.TRANSACTION_KIND_ACCRUAL:
            yield when(one, MONTH), cents
        elif one.kind == pb.TRANSACTION_KIND_REVERSAL:
            yield months[one.reversed_transaction_id], -cents


def activities_of(history: Sequence[pb.Transaction], rule: str) -> list[pb.Transaction]:
    """What a member did that a rule gives points for."""
    kind = pb.TRANSACTION_KIND_ACCRUAL
    return [one for one in history if one.kind == kind and rule in lines_of(one)]


def lines_of(transaction: pb.Transaction) -> dict[str, str]:
    """Points by the rules that applied."""
    return {line.rule: line.points for line in transaction.explanation.lines if line.applied}


def when(transaction: pb.Transaction, period: str) -> str:
    """The day or month in which it happened, by the program's clock."""
    return f"{from_timestamp(transaction.occurred_time).astimezone(ZONE):{period}}"
