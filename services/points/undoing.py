"""What a return undoes of what rules had counted: room under caps, progress, and the bonuses of
challenges that are not reached any more (PT-09).

Days in a row and badges stay. What a team's members were given stays, too: it is theirs, and the
return was somebody else's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from points.book import Book
from points.counting import BookedBonus, Slot
from points.errors import LineNotFound, ReturnExceeded
from points.values import AccrualRecord, LotState
from rules.accrual_returns import TakenBack, settle_kept, settle_whole, taken_back
from rules.accrual_rules import Settled, Share
from rules.accrual_values import Challenge, Counter, Key
from rules.challenges import retreat, stretch_key
from rules.compiled import CompiledProgram, ProgramHistory

NO_ID = UUID(int=0)


class Undone(NamedTuple):
    """Bonuses that a return takes back, with what is left of their lots."""

    points: int
    forgiven: int
    lots: list[LotState]
    lines: list[list[object]]
    bonuses: list[dict[str, Any]]
    """Each bonus, as the explanation of a return keeps it: where it leaves, and with how much."""


NOTHING_UNDONE = Undone(0, 0, [], [], [])


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
            left = by_line[line_id]
            raise ReturnExceeded(asked_minor=part, left_minor=left, what=f"line {line_id}")
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


class Due(NamedTuple):
    """What goes back of lots of an accrual: by this return, and by all of them up to it."""

    lots: list[LotState]
    points: int
    so_far: int


def due_by_lot(
    record: AccrualRecord, kept: Kept, own: Sequence[LotState], due: int, program: CompiledProgram
) -> list[Due]:
    """What goes back of lots that end alike, where an accrual has several; else of all together.
    `record` is as it was before the return, and `due` what goes back by it in all.

    Lots that merges, refunds or freezes have given another end belong to none of them.
    """
    basis = record.explanation.get("basis", {})
    first_lots = basis.get("lots", ())
    if not first_lots:
        return [Due(list(own), due, due + record.reversed_points)]
    spend, tier = record.explanation["spend"], program.tier(record.explanation["tier"])
    whole = settle_whole(basis, spend, tier, program)
    before = _settle(record, kept_before(record), program) if record.returned else whole
    after = _settle(record, kept, program)
    ends = {str(lot.lot_id): lot.expire_time for lot in own}
    together: dict[object, Due] = {}
    for share, first in zip(whole.shares, first_lots, strict=True):
        # One whose points paid a debt, all of them, has no lot, and stands alone.
        end = (ends[first],) if first in ends else share
        alike = [lot for lot in own if (lot.expire_time,) == end]
        left = _of_share(after, share)
        so_far = together.get(end, Due([], 0, 0))
        together[end] = Due(
            alike, so_far.points + _of_share(before, share) - left,
            so_far.so_far + share.points - left,
        )  # fmt: skip
    return list(together.values())


def _of_share(settled: Settled, share: Share) -> int:
    terms = share.pending_days, share.expiry
    alike = (one for one in settled.shares if (one.pending_days, one.expiry) == terms)
    return sum(one.points for one in alike)


def slots_of(record: AccrualRecord) -> list[Slot]:
    """The counters that an accrual had changed."""
    basis = record.explanation.get("basis")
    if basis is None:
        return []
    slots = []
    for team, name, period, *first_day in basis["counted"]:
        key = Key(team, name, period)
        slots += [key, *(stretch_key(key, day) for day in first_day)]
    return [Slot(basis["team"] if key.team else record.booked_member_id, key) for key in slots]


def bonus_points(record: AccrualRecord, book: Book, programs: ProgramHistory) -> int:
    """The most that a return of an accrual takes back beside what it earned."""
    paid = (_paid_by(slot, book, programs) for slot in slots_of(record))
    return sum(challenge.bonus_points for challenge in paid if challenge is not None)


def _paid_by(slot: Slot, book: Book, programs: ProgramHistory) -> Challenge | None:
    """The challenge as it was when its bonus was booked; None where none was.

    Other purchases, by other versions, had their part in it: only this one says what it asked for.
    """
    counting = book.counting
    bonus = counting.bonuses.get(counting.bonus_ids.get(slot, NO_ID))
    if bonus is None:
        return None
    challenges = programs.version(bonus.program_version).accrual.challenges
    return next((one for one in challenges if f"challenge:{one.name}" == slot.key.name), None)


def undo(record: AccrualRecord, kept: Kept, book: Book, programs: ProgramHistory) -> Undone:
    """Takes back what a return takes from counters, after which so much is kept; `record` is as it
    was before the return.
    """
    explanation, program = record.explanation, programs.version(record.program_version)
    basis, spend = explanation.get("basis"), explanation["spend"]
    if basis is None or (not spend and record.returned):
        return NOTHING_UNDONE
    if record.returned:
        before = _settle(record, kept_before(record), program)
    else:
        before = settle_whole(basis, spend, program.tier(explanation["tier"]), program)
    after = _settle(record, kept, program)
    returned = spend - record.returned_minor - kept.minor
    undone = NOTHING_UNDONE
    for back in taken_back(basis, before, after, returned, not kept.minor, program):
        owner = basis["team"] if back.key.team else record.booked_member_id
        if _is_of_other_days(Slot(owner, back.key), back, basis, book):
            continue
        undone = _take(Slot(owner, back.key), back, record, book, programs, undone)
    return undone


def _is_of_other_days(slot: Slot, back: TakenBack, basis: Mapping[str, Any], book: Book) -> bool:
    """Whether what was counted for some days, before the first of them was noted, was counted for
    others than those that are known now.
    """
    challenge = back.challenge
    if challenge is None or not challenge.days or back.first_day:
        return False
    first = book.counting.counter(slot).day
    return not first <= basis.get("day", 0) < first + challenge.days


def _take(
    slot: Slot,
    back: TakenBack,
    record: AccrualRecord,
    book: Book,
    programs: ProgramHistory,
    undone: Undone,
) -> Undone:
    counting = book.counting
    if back.challenge is None:
        counter = counting.counter(slot)
        counting.set(slot, Counter(max(0, counter.amount - back.amount), *counter[1:]))
        return undone
    if back.first_day and counting.counter(slot).day != back.first_day:
        # Other days have begun since.
        slot = Slot(slot.owner, stretch_key(slot.key, back.first_day))
    paid = _paid_by(slot, book, programs)
    left = retreat(paid or back.challenge, counting.counter(slot), back.amount)
    counting.set(slot, left.counter)
    if not left.lost or paid is None:
        return undone
    # What had expired unused is not asked for again, as with any accrual.
    bonus = counting.bonuses[counting.bonus_ids.pop(slot)]
    lots = book.lots_of_accrual(record.member_id, bonus.transaction_id)
    forgiven = sum(lot.expired for lot in lots)
    reason = "not reached any more: its bonus is taken back"
    line: list[object] = [paid.name, True, "", str(-paid.bonus_points), reason]
    bonus.lost_points = paid.bonus_points - forgiven
    return Undone(
        undone.points + paid.bonus_points, undone.forgiven + forgiven, [*undone.lots, *lots],
        [*undone.lines, line], [*undone.bonuses, _lost(bonus)],
    )  # fmt: skip


def _lost(bonus: BookedBonus) -> dict[str, Any]:
    return {
        "id": str(bonus.transaction_id),
        "points": bonus.lost_points,
        "occurred": bonus.occurred_time.isoformat(),
        "version": bonus.program_version,
        "review": bonus.under_review,
        "region": bonus.region,
    }
