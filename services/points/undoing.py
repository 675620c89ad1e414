"""What a return undoes of what rules had counted: room under caps, progress, and the bonuses of
challenges that are not reached any more (PT-09).

Days in a row and badges stay. What a team's members were given stays, too: it is theirs, and the
return was somebody else's.
"""

from typing import NamedTuple
from uuid import UUID

from points.book import Book
from points.counting import Slot
from points.values import AccrualRecord, LotState
from rules.accrual_returns import TakenBack, settle_kept, settle_whole, taken_back
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


def kept_points(record: AccrualRecord, kept_minor: int, program: CompiledProgram) -> int:
    """What an accrual by all the rules earns for the part that is kept."""
    explanation = record.explanation
    tier = program.tier(explanation["tier"])
    return settle_kept(explanation["basis"], explanation["spend"], kept_minor, tier, program).points


def slots_of(record: AccrualRecord) -> list[Slot]:
    """The counters that an accrual had changed."""
    basis = record.explanation.get("basis")
    if basis is None:
        return []
    return [
        Slot(basis["team"] if team else record.member_id, Key(team, name, period))
        for team, name, period in basis["counted"]
    ]


def bonus_points(record: AccrualRecord, book: Book) -> int:
    """The most that a return of an accrual takes back beside what it earned."""
    ids = (book.counting.bonus_ids.get(slot) for slot in slots_of(record))
    return sum(
        lot.points
        for bonus_id in ids
        if bonus_id is not None
        for lot in book.lots_of_accrual(record.member_id, bonus_id)
    )


def undo(record: AccrualRecord, returned: int, book: Book, program: CompiledProgram) -> Undone:
    """Takes back what a return takes from counters; `record` is as it was before the return."""
    explanation = record.explanation
    basis, spend = explanation.get("basis"), explanation["spend"]
    done_before = not spend and record.reversed_points >= explanation["points"]
    if basis is None or done_before:
        return NOTHING_UNDONE
    tier = program.tier(explanation["tier"])
    before_minor = spend - record.returned_minor
    after_minor = before_minor - returned
    before = settle_whole(basis, spend, tier, program)
    if record.returned_minor:
        before = settle_kept(basis, spend, before_minor, tier, program)
    after = settle_kept(basis, spend, after_minor, tier, program)
    gone = taken_back(basis, before, after, returned, not after_minor, program)
    undone = NOTHING_UNDONE
    for back in gone:
        owner = basis["team"] if back.key.team else record.member_id
        undone = _take(Slot(owner, back.key), back, basis["day"], book, undone)
    return undone


def _take(slot: Slot, back: TakenBack, day: int, book: Book, undone: Undone) -> Undone:
    counting = book.counting
    counter = counting.counter(slot)
    if back.challenge is None:
        counting.set(slot, Counter(max(0, counter.amount - back.amount), *counter[1:]))
        return undone
    left = retreat(back.challenge, counter, back.amount, day)
    counting.set(slot, left.counter)
    bonus_id = counting.bonus_ids.get(slot)
    if not left.reached or bonus_id is None:
        return undone
    del counting.bonus_ids[slot]
    return _lose(slot.owner, back.challenge.name, bonus_id, book, undone)


def _lose(member_id: str, name: str, bonus_id: UUID, book: Book, undone: Undone) -> Undone:
    """What had expired unused is not asked for again, as with any accrual."""
    lots = book.lots_of_accrual(member_id, bonus_id)
    points = sum(lot.points for lot in lots)
    forgiven = sum(lot.expired for lot in lots)
    line = [name, True, "", str(-points), "not reached any more: its bonus is taken back"]
    return Undone(
        undone.points + points, undone.forgiven + forgiven, [*undone.lots, *lots],
        [*undone.lines, line],
    )  # fmt: skip
