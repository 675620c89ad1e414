"""What anti-fraud's decision means for an operation (AF-01)."""

from typing import assert_never

from points import errors
from points.remote import Decided
from rules.values import Action


def must_wait(decided: Decided) -> bool:
    """Whether somebody has to look first; False lets it pass.

    Raises Denied, ChallengeRequired or ChallengesSpent.
    """
    match decided.action:
        case Action.ALLOW:
            return False
        case Action.REVIEW:
            return True
        case Action.CHALLENGE:
            if not decided.challenge_id:
                raise errors.ChallengesSpent(assessment_id=decided.assessment_id)
            raise errors.ChallengeRequired(challenge_id=decided.challenge_id)
        case Action.DENY:
            raise errors.Denied(assessment_id=decided.assessment_id)
        case _ as never:
            assert_never(never)


def check_may_spend(decided: Decided) -> None:
    """Raises as `must_wait` does, or UnderReview: who spends does not wait."""
    if must_wait(decided):
        raise errors.UnderReview(assessment_id=decided.assessment_id)
