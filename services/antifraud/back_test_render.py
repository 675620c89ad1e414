"""Back-tests and reports of rules, into the contract."""

from antifraud.back_test_store import Progress, TimeRange
from antifraud.back_tests import BackTest, Finding, Measure, Sample
from antifraud.rule_report import RuleLine, RuleReport
from kit.clock import to_timestamp
from kit.money import from_minor
from laurel.antifraud.v1 import backtests_pb2 as pb
from rules.compiled import CompiledProgram
from rules.values import FraudRule


def render_progress(progress: Progress) -> pb.BackTestProgress:
    """How far a back-test is."""
    return pb.BackTestProgress(
        read_count=progress.read_count, assessment_count=progress.assessment_count
    )


def render_result(test: BackTest, span: TimeRange) -> pb.BackTestResult:
    """What came of a back-test."""
    fraud_count, program = test.labels[True], test.draft.program
    changes = sorted(test.changes.items(), key=lambda item: -item[1].measure.hit_count)
    return pb.BackTestResult(
        from_time=to_timestamp(span.start),
        to_time=to_timestamp(span.end),
        assessment_count=test.assessment_count,
        warm_up_count=test.warm_up_count,
        fraud_count=fraud_count,
        legitimate_count=test.labels[False],
        incomplete_count=test.incomplete_count,
        rules=[_render_rule(rule, test) for rule in test.draft.rules],
        live=render_measure(test.stopped_live, fraud_count),
        draft=render_measure(test.stopped, fraud_count),
        newly_stopped_count=test.count_changes(live=False, draft=True),
        no_longer_stopped_count=test.count_changes(live=True, draft=False),
        changed_action_count=test.count_changes(live=True, draft=True),
        changes=[
            pb.BackTestChange(
                live_action=live.value,  # type: ignore[arg-type]
                draft_action=draft.value,  # type: ignore[arg-type]
                measure=render_measure(found.measure, fraud_count),
                samples=_render_samples(found, program),
            )
            for (live, draft), found in changes
        ],
    )


def _render_rule(rule: FraudRule, test: BackTest) -> pb.BackTestRule:
    found = test.rules[rule.name]
    return pb.BackTestRule(
        rule=rule.name,
        shadow=rule.shadow,
        draft=rule.name in test.draft.changed,
        recorded=rule.name in test.draft.recorded,
        measure=render_measure(found.measure, test.labels[True]),
        unanswered_count=test.unanswered[rule.name],
        samples=_render_samples(found, test.draft.program),
    )


def render_measure(measure: Measure, fraud_count: int) -> pb.Measure:
    """A measure; its recall is of so much fraud."""
    return pb.Measure(
        hit_count=measure.hit_count,
        points=measure.points,
        fraud_count=measure.fraud_count,
        legitimate_count=measure.legitimate_count,
        unlabelled_count=measure.unlabelled_count,
        precision=measure.precision,
        recall=measure.recall(fraud_count),
    )


def _render_samples(found: Finding, program: CompiledProgram) -> list[pb.BackTestSample]:
    return [_render_sample(sample, program) for sample in found.samples]


def _render_sample(sample: Sample, program: CompiledProgram) -> pb.BackTestSample:
    past = sample.past
    shown = pb.BackTestSample(
        assessment_id=str(past.assessment_id),
        member_id=past.member_id,
        request_id=past.request_id,
        operation=past.facts.operation.value,  # type: ignore[arg-type]
        points=past.facts.points,
        occurred_time=to_timestamp(past.occurred_time),
        live_action=past.action.value,  # type: ignore[arg-type]
        draft_action=sample.action.value,  # type: ignore[arg-type]
        is_fraud=past.is_fraud,
    )
    if past.facts.amount_minor:
        amount = from_minor(past.facts.amount_minor, program.currency, program.minor_digits)
        shown.amount.CopyFrom(amount)
    return shown


def render_report(report: RuleReport, span: TimeRange) -> pb.GetRuleReportResponse:
    """What the live rules did."""
    totals = report.totals
    return pb.GetRuleReportResponse(
        from_time=to_timestamp(span.start),
        to_time=to_timestamp(span.end),
        assessment_count=totals.assessment_count,
        fraud_count=totals.fraud_count,
        legitimate_count=totals.legitimate_count,
        stopped=render_measure(totals.stopped, totals.fraud_count),
        rules=[_render_line(line) for line in report.lines],
    )


def _render_line(line: RuleLine) -> pb.RuleReport:
    return pb.RuleReport(
        rule=line.rule,
        shadow=line.shadow,
        first_version=line.first_version,
        last_version=line.last_version,
        measure=render_measure(line.measure, line.decided.fraud_count),
        recall_of_all=line.recall_of_all,
    )
