"""Decisions and assessments, into the contract."""

from collections.abc import Sequence

from antifraud.values import Assessment, Decided
from kit.clock import to_timestamp
from kit.money import from_minor
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from rules.compiled import ProgramHistory
from rules.fraud import Fired
from rules.fraud_rules import FraudFacts
from rules.values import Action


def render_decisions(decided: Sequence[Decided], detailed: int) -> pb.BatchAssessResponse:
    """The short form, for the hot path: of the first `detailed` each, of the others no more than
    their ids where all of them are allowed.
    """
    response = pb.BatchAssessResponse()
    plain = decided[detailed:]
    if all(one.action is Action.ALLOW and not one.score for one in plain):
        response.allowed_ids.extend([str(one.assessment_id) for one in plain])
        decided = decided[:detailed]
    for one in decided:
        _render_decision(one, response.decisions.add())
    return response


def _render_decision(decided: Decided, decision: pb.Decision) -> None:
    decision.assessment_id = str(decided.assessment_id)
    decision.action = decided.action.value  # type: ignore[assignment]
    decision.score = decided.score
    decision.program_version = decided.program_version
    if decided.challenge_id is not None:
        decision.challenge_id = str(decided.challenge_id)


def render_assessment(assessment: Assessment, history: ProgramHistory) -> pb.Assessment:
    """The long form, for operators."""
    facts = assessment.facts
    shown = pb.Assessment(
        assessment_id=str(assessment.assessment_id),
        request_id=assessment.request_id,
        kind=facts.operation.value,  # type: ignore[arg-type]
        member_id=assessment.member_id,
        action=assessment.action.value,  # type: ignore[arg-type]
        score=assessment.score,
        fired_rules=[_render_fired(one) for one in assessment.fired],
        program_version=assessment.program_version,
        points=facts.points,
        occurred_time=to_timestamp(assessment.occurred_time),
        create_time=to_timestamp(assessment.create_time),
        origin=_render_origin(facts),
        tier_id=facts.tier,
        order_id=facts.order_id,
        type=facts.type,
        counterparty_member_id=facts.counterparty,
    )
    if facts.amount_minor:
        program = history.in_force(assessment.occurred_time)
        shown.amount.CopyFrom(
            from_minor(facts.amount_minor, program.currency, program.minor_digits)
        )
    return shown


def _render_origin(facts: FraudFacts) -> pb.Origin | None:
    origin = pb.Origin(
        channel=facts.channel, store=facts.store, device=facts.device, ip=facts.ip,
        card=facts.card, staff_member_id=facts.staff,
    )  # fmt: skip
    if facts.latitude is not None:
        origin.location.latitude_degrees = facts.latitude
        origin.location.longitude_degrees = facts.longitude or 0.0
    return origin if origin.ListFields() else None


def _render_fired(fired: Fired) -> pb.FiredRule:
    return pb.FiredRule(
        rule=fired.rule,
        action=fired.action.value,  # type: ignore[arg-type]
        score=fired.score,
        facts=fired.facts,
        shadow=fired.shadow,
    )
