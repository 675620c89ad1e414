"""What the ledger counts for dashboards."""

from collections.abc import Iterable

from prometheus_client import Counter

from kit.errors import LaurelError
from points.plain import PlainAccrual
from points.values import Account, Posted

MOVED = Counter(
    "laurel_points_moved_total", "Points moved, by kind and account", ("kind", "account")
)
REFUSED = Counter("laurel_points_refused_total", "Commands refused, by reason", ("reason",))
FALLBACKS = Counter(
    "laurel_points_antifraud_fallback_total", "Operations decided without anti-fraud's answer"
)


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
