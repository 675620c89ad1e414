"""Checks of redemption that the schema cannot say: steps, promotion windows."""

from datetime import datetime
from decimal import Decimal

from laurel.program.v1.program_pb2 import Program
from rules.check_earning import check_window
from rules.mistakes import Report

_FACTOR_MAX = 100


def check_redemption(program: Program, report: Report) -> None:
    """Reports what is wrong with steps and promotion windows."""
    _check_step(program, report)
    _check_factors(program, report)
    _check_times(program, report)


def _check_step(program: Program, report: Report) -> None:
    redemption = program.redemption
    if redemption.points_step > 1 and redemption.points_min % redemption.points_step:
        step = redemption.points_step
        nearest = -(-redemption.points_min // step) * step
        reason = f"is {redemption.points_min}, no multiple of points_step {step}; write {nearest}"
        if report.faultless("redemption.points_min"):
            report.add("redemption.points_min", reason)


def _check_factors(program: Program, report: Report) -> None:
    for index, window in enumerate(program.redemption.windows):
        place = f"redemption.windows[{index}].factor"
        if report.faultless(place) and not 1 < Decimal(window.factor) <= _FACTOR_MAX:
            reason = f"is {window.factor}; it must be above 1 and at most {_FACTOR_MAX}"
            report.add(place, reason)


def _check_times(program: Program, report: Report) -> None:
    """No two windows at one time: which of them a point counted for would be anybody's guess."""
    before: list[tuple[datetime, datetime, str]] = []
    for index, window in enumerate(program.redemption.windows):
        place = f"redemption.windows[{index}].window"
        if not report.faultless(place):
            continue
        found = check_window(window.window, place, program, report)
        if found is None:
            continue
        start, end = found
        for other_start, other_end, other in before:
            if start < other_end and other_start < end:
                line = report.place(other)[0]
                reason = f"overlaps with that in line {line}; let one end before the other begins"
                report.add(place, reason)
                break
        before.append((start, end, place))
