"""Short ways to try draft rules on what the anti-fraud service has assessed."""

from collections.abc import Sequence
from datetime import UTC, datetime

from fraud_desk import RULES, Desk, program_with

from kit.clock import to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1 import backtests_pb2 as tests_pb

WATCHER = """
    - name: watcher
      operations: [accrual]
      when: request.channel == 'kiosk'
      action: deny
      score: 700
      shadow: true
"""
LAB_RULES = RULES + WATCHER
LAB_PROGRAM = program_with(LAB_RULES)


def only(rules: str) -> str:
    """A document with nothing but rules of anti-fraud."""
    return "antifraud:\n  rules:" + rules


class Lab(Desk):
    """The anti-fraud service, and what was assessed since the lab was opened."""

    opened: datetime

    def open(self) -> "Lab":
        """From now on."""
        self.opened = datetime.now(UTC)
        return self

    def request(self, source_yaml: str, **fields: object) -> tests_pb.BackTestRequest:
        """A back-test of all since the lab was opened."""
        fields.setdefault("from_time", to_timestamp(self.opened))
        return tests_pb.BackTestRequest(source_yaml=source_yaml, **fields)  # type: ignore[arg-type]

    async def back_test(self, source_yaml: str, **fields: object) -> tests_pb.BackTestResult:
        """What came of a back-test."""
        *progress, last = await self.messages(source_yaml, **fields)
        assert all(message.HasField("progress") for message in progress)
        return last.result

    async def messages(
        self, source_yaml: str, **fields: object
    ) -> Sequence[tests_pb.BackTestResponse]:
        """All that a back-test said."""
        call = self.stub.BackTest(self.request(source_yaml, **fields))
        return [message async for message in call]

    async def report(self, **fields: object) -> tests_pb.GetRuleReportResponse:
        """What the live rules did since the lab was opened."""
        fields.setdefault("from_time", to_timestamp(self.opened))
        return await self.stub.GetRuleReport(tests_pb.GetRuleReportRequest(**fields))  # type: ignore[arg-type]

    async def label(self, operation: pb.Operation, *, is_fraud: bool) -> None:
        """Notes what an operation turned out to be."""
        await self.house.fetch(
            "INSERT INTO antifraud.label VALUES ($1, $2, $3, 'tester', now())",
            operation.member_id, operation.request_id, is_fraud,
        )  # fmt: skip

    async def fill(self, count: int) -> None:
        """Assessments of one instant, as if they had been made now."""
        await self.house.fetch(
            """
            INSERT INTO antifraud.assessment (
                member_id, request_id, assessment_id, kind, action, score, program_version,
                points, amount_minor, occurred_time, create_time
            )
            SELECT 'filled-' || n % 100, gen_random_uuid()::text, uuidv7(), 1, 1, 0, 1, 10, 1000,
                now(), now()
            FROM generate_series(1, $1::integer) AS n
            """,
            count,
        )


def rule(
    result: tests_pb.BackTestResult | tests_pb.GetRuleReportResponse, name: str
) -> tests_pb.BackTestRule | tests_pb.RuleReport:
    """What is said of one rule."""
    [found] = [one for one in result.rules if one.rule == name]
    return found


def numbers(measure: tests_pb.Measure) -> tuple[int, int, int, int]:
    """Hits, and of them fraud, legitimate, without a label."""
    return (
        measure.hit_count, measure.fraud_count, measure.legitimate_count, measure.unlabelled_count
    )  # fmt: skip
