"""A program that challenges, and the anti-fraud service with all that a challenge takes."""

from fraud_desk import Desk

from step_ups import StepUps

RULES = """
    - {name: odd, operations: [accrual, redemption], when: request.channel == 'odd', action: challenge, score: 100}
    - {name: watched, operations: [redemption], when: request.channel == 'watched', action: review, score: 50}
    - {name: closed, operations: [redemption], when: request.channel == 'closed', action: deny, score: 900}
    - {name: busy, operations: [redemption], when: velocity.member_1h.count > 500, action: deny, score: 900}
"""  # noqa: E501
STEP_UP = """
  step_up:
    redemption_points_above: 1000
    sends_max: 2
    day_sends_max: 6
    challenges_max: 3
    channels: [inbox]
    subject: A code for ${points} points
    body: "${member_id}: ${code}, ${minutes} minutes"
"""


class ChallengeDesk(StepUps, Desk):
    """The anti-fraud service and the inboxes of those whom it challenges."""
