"""What the ledger counts for dashboards."""

from collections.abc import Iterable

from prometheus_client import Counter, Histogram

from kit.errors import LaurelError
from points.plain import PlainAccrual
from points.values import Account, Posted
from rules.values import FallbackPolicy, Operation

MOVED = Counter(
    "laurel_points_moved_total", "Points moved, by kind and account", ("kind", "account")
)
REFUSED = Counter("laurel_points_refused_total", "Commands refused, by reason", ("reason",))
FALLBACKS = Counter(
    "laurel_points_antifraud_fallback_total",
    "Operations decided without anti-fraud's answer, by what was done with them",
    ("operation", "policy"),
)
ASSESSED_LATE = Counter(
    "laurel_points_assessed_late_total",
    "Accruals booked pending without anti-fraud's answer and assessed afterwards",
    ("action",),
)
ANTIFRAUD_SECONDS = Histogram(
    "laurel_points_antifraud_seconds",
    "Time that a batch waited for anti-fraud, by whether it was answered",
    ("answered",),
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


def count_fallback(operation: Operation, policy: FallbackPolicy) -> None:
    """Counts an operation that anti-fraud gave no answer to."""
    FALLBACKS.labels(operation.name.lower(), policy.name.lower()).inc()


def count(answers: Iterable[Posted | PlainAccrual | Exception]) -> None:
    """Counts what became of a batch: issued points are `account="issued"`, redeemed ones
    `"redeemed"`.
    """
    moved: dict[tuple[str, str], int] = {}
    plain = 0
    for answer in answers:
        if isinstance(answer, PlainAccrual):
            plain += answer.allowed.offer.points
        elif isinstance(answer, Posted):
            for posting in answer.postings:
                for account in (posting.source, posting.target):
                    if account >= Account.ISSUED:
                        key = (answer.kind.name.lower(), account.name.lower())
                        moved[key] = moved.get(key, 0) + posting.points
        elif isinstance(answer, LaurelError):
            REFUSED.labels(answer.reason).inc()
    if plain:
        MOVED.labels("accrual", "issued").inc(plain)
    for key, points in moved.items():
        MOVED.labels(*key).inc(points)
