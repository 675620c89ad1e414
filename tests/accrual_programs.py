"""Programs with rules of earning of any kind, and activities to hold against them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

from house import SAMPLE
from rules.accrual import Accrued, evaluate, needed_keys
from rules.accrual_values import Activity, Counter, Key, MemberFacts, OrderLine
from rules.compiled import CompiledProgram, compile_program
from rules.document import load

START = datetime(1997, 1, 1, tzinfo=UTC)
ZONE = ZoneInfo("America/New_York")

CAMPAIGN = """\
  rules:
    - name: spend
      points_per_unit: 1
      tier_multiplier: true
      coefficients:
        - {name: member_day, factor: 2, group: campaign, month_days: [8]}
        - {name: birthday, factor: 2, group: campaign, birthday_month: true}
  groups:
    - {name: campaign, stacking: multiply, factor_max: 3}
"""


def text_of(rules: str, pending_days: int = 14) -> str:
    """The sample program with other rules of earning: all below `earning:` but its rounding."""
    head, _, tail = SAMPLE.read_text().partition("\nearning:\n")
    tail = tail.partition("\n# How points end.")[2]
    rest = f"  pending_days: {pending_days}\n  rounding: half_up\n"
    return f"{head}\nearning:\n{rules}{rest}\n# How points end.{tail}"


@cache
def program_of(rules: str, version: int = 1) -> CompiledProgram:
    """The same, compiled."""
    return compile_program(version, load(text_of(rules)).program, START)


def local(text: str) -> datetime:
    """An instant written as in the program's time zone, such as `2026-11-08 12:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).astimezone(UTC)


def bought(amount_minor: int, at: str = "2026-11-10 12:00", *categories: str) -> Activity:
    """A purchase without lines."""
    return Activity("purchase", local(at), amount_minor, categories)


def cart(at: str, *lines: tuple[str, str, int]) -> Activity:
    """A purchase of lines of one piece each: id, category, price in minor units."""
    order = tuple(
        OrderLine(line_id, category, "", 1, price, price) for line_id, category, price in lines
    )
    return Activity("purchase", local(at), sum(line.amount_minor for line in order), (), order)


def did(event: str, at: str = "2026-11-10 12:00") -> Activity:
    """Anything but a purchase."""
    return Activity(event, local(at))


class Diary:
    """A member's activities, one after the other, with what is counted from one to the next."""

    def __init__(self, rules: str, tier: str = "member", **facts: object) -> None:
        self.program = program_of(rules)
        self.member = MemberFacts(tier=self.program.tier(tier), **facts)  # type: ignore[arg-type]
        self.progress: dict[Key, Counter] = {}

    def enter(self, activity: Activity) -> Accrued:
        """Evaluates, and keeps what was counted; shows only the counters that were asked for."""
        keys = needed_keys(activity, self.member, self.program)
        shown = {key: self.progress[key] for key in keys if key in self.progress}
        accrued = evaluate(activity, self.member, shown, self.program)
        assert accrued.changes.keys() - accrued.ended.keys() <= keys
        self.progress.update(accrued.changes)
        return accrued

    def all(self, activities: Iterable[Activity]) -> list[Accrued]:
        """Enters several."""
        return [self.enter(activity) for activity in activities]
