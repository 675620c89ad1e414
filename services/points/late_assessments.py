"""Accruals that were booked pending while anti-fraud was silent are assessed afterwards (AF-06).

What it would have let pass then matures, or waits for returns like any other; what it wants
reviewed waits on, for its case; anything else is taken back. Can stop anywhere, run again, and run
twice at once: anti-fraud gives the same answer to the same request id, and whoever takes the row
settles.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from kit.clock import Clock, NewId
from kit.db import Database
from kit.telemetry import log
from points import metrics
from points.posting import Desk
from points.remote import AntifraudClient, Decided, QuestionRefused
from points.review_settling import settle_reviews
from points.values import Verdict
from rules.feed import ProgramFeed
from rules.values import Action

STEP_ROWS_MAX = 200
# Nobody waits for it; still it must not hang.
DEADLINE_SECONDS = 5.0
POSTPONED = timedelta(hours=1)


class LateAssessments:
    """Asks about what is kept, as soon as anti-fraud answers again."""

    def __init__(
        self,
        database: Database,
        feed: ProgramFeed,
        fraud: AntifraudClient,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._database = database
        self._feed = feed
        self._fraud = fraud
        self._clock = clock
        self._new_id = new_id
        self._log = log("points")

    async def run(self) -> int:
        """Settles all that is due, or as far as anti-fraud answers; how many."""
        count = 0
        while True:
            async with self._database.statements() as tx:
                rows = await tx.fetch("find_unassessed", self._clock(), STEP_ROWS_MAX)
            settled = await self._settle(rows) if rows else None
            if settled is None:
                return count
            count += settled

    async def _settle(self, rows: Sequence[Any]) -> int | None:
        """How many were settled or postponed; None without an answer."""
        try:
            decided = await self._fraud.assess_again(
                [row["operation"] for row in rows], DEADLINE_SECONDS
            )
        except QuestionRefused as refusal:
            if len(rows) == 1:
                await self._postpone(rows[0], refusal)
                return 0
            # One of them is at fault, and must not keep the others waiting.
            middle = len(rows) // 2
            halves = [await self._settle(rows[:middle]), await self._settle(rows[middle:])]
            return None if None in halves else sum(half or 0 for half in halves)
        if decided is None:
            return None
        desk = Desk(self._clock(), self._new_id, await self._feed.ensure())
        answers = {
            (row["member_id"], row["request_id"]): answer
            for row, answer in zip(rows, decided, strict=True)
        }
        async with self._database.transaction() as tx:
            columns = [list(column) for column in zip(*answers, strict=True)]
            taken = [tuple(row) for row in await tx.fetch("take_unassessed", *columns)]
            verdicts = [verdict for key in taken if (verdict := _verdict(key, answers[key]))]
            await settle_reviews(tx, verdicts, desk, self._new_id)
        for key in taken:
            metrics.ASSESSED_LATE.labels(answers[key].action.name.lower()).inc()
        return len(taken)

    async def _postpone(self, row: Any, refusal: QuestionRefused) -> None:
        member_id, request_id = row["member_id"], row["request_id"]
        self._log.error("unassessed.refused", request_id=request_id, detail=str(refusal))
        async with self._database.transaction() as tx:
            due = self._clock() + POSTPONED
            await tx.execute("postpone_unassessed", member_id, request_id, due)


def _verdict(key: tuple[str, str], answer: Decided) -> Verdict | None:
    """What an answer says about points that wait; None where they wait on for a case."""
    if answer.action is Action.REVIEW:
        return None
    allowed = answer.action is Action.ALLOW
    outcome = "let it pass" if allowed else "refused it"
    return Verdict(*key, allowed, f"assessment {answer.assessment_id} {outcome} afterwards")
