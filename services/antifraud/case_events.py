"""What anti-fraud tells of cases."""

from datetime import datetime
from typing import Any
from uuid import UUID

from antifraud.cases import Case, Outcome
from kit.clock import to_timestamp
from kit.telemetry import trace_parent
from laurel.event.v1.event_pb2 import CaseDecided, Event
from rules.values import Operation


def case_decided(item: Any, case: Case, now: datetime, event_id: UUID) -> Event:
    """The fact that the case of an operation was decided."""
    return Event(
        event_id=str(event_id),
        member_id=item["member_id"],
        occurred_time=to_timestamp(now),
        record_time=to_timestamp(now),
        trace_parent=trace_parent(),
        case_decided=CaseDecided(
            case_id=str(case.case_id),
            request_id=item["request_id"],
            kind=Operation(item["kind"]).name,
            assessment_id=str(item["assessment_id"]),
            legitimate=case.outcome == Outcome.LEGITIMATE,
        ),
    )
