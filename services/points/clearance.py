"""Anti-fraud's leave to spend, for operations outside of the queue of the write path."""

from kit.db import Database, packed_texts
from points import errors, metrics
from points.leave import check_may_spend
from points.questions import Asked
from points.remote import AntifraudClient
from points.values import Hold
from rules.values import FallbackPolicy, Operation


class Clearance:
    """Asks anti-fraud about one spending, as of a hold."""

    def __init__(self, database: Database, fraud: AntifraudClient) -> None:
        self._database = database
        self._fraud = fraud

    async def clear(self, asked: Hold) -> str:
        """The id of the assessment that lets it pass.

        Raises Denied, UnderReview, ChallengeRequired, ChallengesSpent or AntifraudUnavailable.
        """
        async with self._database.statements() as tx:
            rows = await tx.fetch("find_accounts", packed_texts([asked.member_id]))
        tier_id = asked.program.counted_tier_id(rows[0]["tier_id"] if rows else None)
        question = [Asked(asked, asked.points, tier_id)]
        decisions = await self._fraud.assess(question, asked.program.antifraud.deadline_ms)
        if decisions is None:
            metrics.count_fallback(Operation.REDEMPTION, FallbackPolicy.REFUSE)
            retry_after_ms = errors.AntifraudUnavailable.RETRY_AFTER_MS
            raise errors.AntifraudUnavailable(retry_after_ms=retry_after_ms)
        decided = decisions[0]
        check_may_spend(decided)
        return decided.assessment_id
