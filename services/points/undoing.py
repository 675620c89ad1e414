"""What a return undoes of what rules had counted: room under caps, progress, and the bonuses of
challenges that are not reached any more (PT-09).

Days in a row and badges stay. What a team's members were given stays, too: it is theirs, and the
return was somebody else's.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from points.book import Book
from points.counting import Slot
from points.errors import LineNotFound, ReturnExceeded
from points.values import AccrualRecord, LotState
from rules.accrual_returns import TakenBack, settle_kept, settle_whole, taken_back
from rules.accrual_rules import Settled
from rules.accrual_values import Counter, Key
from rules.challenges import retreat
from rules.compiled import CompiledProgram


class Undone(NamedTuple):
    """Bonuses that a return takes back, with what is left of their lots."""

    points: int
    forgiven: int
    lots: list[LotState]
    lines: list[list[object]]


NOTHING_UNDONE = Undone(0, 0, [], [])


class Kept(NamedTuple):
    """What is kept of a purchase, in minor units; by line where it had lines."""

    minor: int
    by_line: dict[str, int] | None


def kept_before(record: AccrualRecord) -> Kept:
    """What was kept until now."""
    minor = record.explanation["spend"] - record.returned_minor
    lines = record.explanation.get("basis", {}).get("lines")
    if not lines:
        return Kept(minor, None)
    whole = {line_id: amount for line_id, *_, amount in lines}
    return Kept(minor, record.kept_lines or whole)


def kept_after(record: AccrualRecord, returned: int, lines: Sequence[tuple[str, int]]) -> Kept:
    """What is kept after a return: of its lines where it names them, else of all in proportion.

    Raises LineNotFound or ReturnExceeded.
    """
    before = kept_before(record)
    minor = before.minor - returned
    if before.by_line is None and not lines:
        return Kept(minor, None)
    by_line = dict(before.by_line or {})
    for line_id, part in lines:
        if line_id not in by_line:
            raise LineNotFound(
                transaction_id=record.transaction_id, line_id=line_id,
                lines=", ".join(by_line) or "none",
            )  # fmt: skip
        if part > by_line[line_id]:
            raise ReturnExceeded(asked_minor=part, left_minor=by_line[line_id])
        by_line[line_id] -= part
    if not lines:
        by_line = _in_proportion(by_line, minor, before.minor)
    return Kept(minor, by_line)


def _in_proportion(by_line: dict[str, int], minor: int, of: int) -> dict[str, int]:
    # Of sums, not of each: the parts then add up.
    kept, amount, before = {}, 0, 0
    for line_id, part in by_line.items():
        amount += part
        upto = amount * minor // of if of else 0
        kept[line_id], before = upto - before, upto
    return kept


def kept_points(record: AccrualRecord, kept: Kept, program: CompiledProgram) -> int:
    """What an accrual by all the rules earns for the part that is kept."""
    return _settle(record, kept, program).points


def _settle(record: AccrualRecord, kept: Kept, program: CompiledProgram) -> Settled:
    explanation = record.explanation
    tier = program.tier(explanation["tier"])
    return settle_kept(
        explanation["basis"], explanation["spend"], kept.minor, tier, program, kept.by_line
    )


def slots_of(record: AccrualRecord) -> list[Slot]:
    """The counters that an accrual had changed."""
    basis = record.explanation.get("basis")
    if basis is None:
        return []
    return [
        Slot(basis["team"] if team else record.booked_member_id, Key(team, name, period))
        for team, name, period in basis["counted"]
    ]


def bonus_points(record: AccrualRecord, book: Book, program: CompiledProgram) -> int:
    """The most that a return of an accrual takes back beside what it earned."""
    points = {f"challenge:{one.name}": one.bonus_points for one in program.accrual.challenges}
    slots = (slot for slot in slots_of(record) if slot in book.counting.bonus_ids)
    return sum(points.get(slot.key.name, 0) for slot in slots)


def undo(record: AccrualRecord, kept: Kept, book: Book, program: CompiledProgram) -> Undone:
    """Takes back what a return takes from counters, after which so much is kept; `record` is as it
    was before the return.
    """
    explanation = record.explanation
    basis, spend = explanation.get("basis"), explanation["spend"]
    done_before = not spend and record.reversed_points >= explanation["points"]
    if basis is None or done_before:
        return NOTHING_UNDONE
    if record.returned_minor:
        before = _settle(record, kept_before(record), program)
    else:
        before = settle_whole(basis, spend, program.tier(explanation["tier"]), program)
    after = _settle(record, kept, program)
    returned = spend - record.returned_minor - kept.minor
    undone = NOTHING_UNDONE
    for back in taken_back(basis, before, after, returned, not kept.minor, program):
        owner = basis["team"] if back.key.team else record.booked_member_id
        undone = _take(Slot(owner, back.key), back, record, book, undone)
    return undone


def _take(slot: Slot, back: TakenBack, record: AccrualRecord, book: Book, undone: Undone) -> Undone:
    counting = book.counting
    counter = counting.counter(slot)
    if back.challenge is None:
        counting.set(slot, Counter(max(0, counter.amount - back.amount), *counter[1:]))
        return undone
    left = retreat(back.challenge, counter, back.amount, record.explanation["basis"]["day"])
    counting.set(slot, left.counter)
    bonus_id = counting.bonus_ids.get(slot)
    if not left.reached or bonus_id is None:
        return undone
    del counting.bonus_ids[slot]
    # What had expired unused is not asked for again, as with any accrual.
    lots = _lots_of_bonus(record, bonus_id, book)
    forgiven = sum(lot.expired for lot in lots)
    points = back.challenge.bonus_points
    reason = "not reached any more: its bonus is taken back"
    line: list[object] = [back.challenge.name, True, "", str(-points), reason]
    return Undone(
        undone.points + points, undone.forgiven + forgiven, [*undone.lots, *lots],
        [*undone.lines, line],
    )  # fmt: skip


def _lots_of_bonus(record: AccrualRecord, bonus_id: UUID, book: Book) -> list[LotState]:
    owners = {record.member_id, record.booked_member_id}
    return [lot for owner in owners for lot in book.lots_of_accrual(owner, bonus_id)]
