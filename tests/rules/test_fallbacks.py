"""AF-06: what a program says about operations that no decision can be had about."""

from datetime import UTC, datetime

import pytest

from house import REPOSITORY, SAMPLE
from rules.compiled import CompiledProgram, compile_program
from rules.diff import differences
from rules.document import ProgramInvalid, load
from rules.fraud_fallbacks import Fallback
from rules.values import FallbackPolicy, Operation

PEND, REFUSE = FallbackPolicy.PEND, FallbackPolicy.REFUSE
ACCRUAL, REDEMPTION = Operation.ACCRUAL, Operation.REDEMPTION
HEAD, _, TAIL = SAMPLE.read_text().partition("  fallback_accrual_points_max: 500\n")
STATED = """\
  fallbacks:
    - {name: small, operation: accrual, types: [check_in, review], policy: pend, points_max: 50}
    - {name: referrals, operation: accrual, types: [referral], policy: refuse}
    - {name: spending, operation: redemption, policy: refuse}
"""


def with_lines(lines: str) -> str:
    """The sample program with more lines about anti-fraud."""
    return f"{HEAD}  fallback_accrual_points_max: 500\n{lines}{TAIL}"


def compiled(text: str) -> CompiledProgram:
    return compile_program(1, load(text).program, datetime(2020, 1, 1, tzinfo=UTC))


def test_one_that_names_the_type_decides_before_one_for_all() -> None:
    antifraud = compiled(with_lines(STATED)).antifraud
    assert antifraud.fallback(ACCRUAL, "review") == Fallback(PEND, 50)
    assert antifraud.fallback(ACCRUAL, "referral") == Fallback(REFUSE)
    assert antifraud.fallback(REDEMPTION, "gift") == Fallback(REFUSE)
    every = with_lines("  fallbacks: [{name: a, operation: accrual, policy: refuse}]\n")
    assert compiled(every).antifraud.fallback(ACCRUAL, "purchase") == Fallback(REFUSE)


def test_without_one_small_accruals_pend_and_redemptions_are_refused() -> None:
    for lines in ("", STATED):
        antifraud = compiled(with_lines(lines)).antifraud
        assert antifraud.fallback(ACCRUAL, "purchase") == Fallback(PEND, 500)
        assert antifraud.fallback(REDEMPTION, "order") == Fallback(REFUSE)


@pytest.mark.parametrize(("points", "policy"), [(0, PEND), (50, PEND), (51, REFUSE)])
def test_above_the_limit_it_is_refused(points: int, policy: FallbackPolicy) -> None:
    assert Fallback(PEND, 50).applied_to(points) is policy
    assert Fallback(REFUSE).applied_to(points) is REFUSE


@pytest.mark.parametrize(("written", "deadline_ms"), [("deadline_ms: 0", 50), ("", 50)])
def test_the_deadline_is_50_ms_unless_stated(written: str, deadline_ms: int) -> None:
    assert compiled(SAMPLE.read_text()).antifraud.deadline_ms == 500
    text = SAMPLE.read_text().replace("  deadline_ms: 500\n", f"  {written}\n" if written else "")
    assert compiled(text).antifraud.deadline_ms == deadline_ms


SMALL = "name: a, operation: accrual"


@pytest.mark.parametrize(
    ("lines", "line", "path", "words"),
    [
        (
            "- {name: a, operation: redemption, policy: pend, points_max: 5}",
            0, "[0].policy", "write refuse",
        ),
        (f"- {{{SMALL}, policy: pend}}", 0, "[0].points_max", "must be 1 or more"),
        (f"- {{{SMALL}, policy: refuse, points_max: 5}}", 0, "[0].points_max", "no effect"),
        (f"- {{{SMALL}, policy: allow}}", 0, "[0].policy", "refuse, pend"),
        (f"- {{{SMALL}}}", 0, "[0].policy", "refuse, pend"),
        ("- {operation: accrual, policy: refuse}", 0, "[0].name", "missing"),
        (f"- {{{SMALL}, policy: refuse, types: [a, a]}}", 0, "[0].types", "unique"),
        (
            "- {name: a, operation: redemption, types: [gfit], policy: refuse}",
            0, "[0].types[0]", "did you mean gift?",
        ),
        (
            f"- {{{SMALL}, policy: refuse}}\n    - {{name: b, operation: accrual, policy: refuse}}",
            1, "[1]", "all types of the operation, as in line",
        ),
        (
            f"- {{{SMALL}, policy: refuse, types: [x]}}\n"
            "    - {name: b, operation: accrual, policy: refuse, types: [y, x]}",
            1, "[1].types[1]", "is for x, as in line",
        ),
        (
            f"- {{{SMALL}, policy: refuse}}\n"
            "    - {name: a, operation: redemption, policy: refuse}",
            1, "[1].name", "as in line",
        ),
    ],
)  # fmt: skip
def test_a_slip_is_told_with_its_line(lines: str, line: int, path: str, words: str) -> None:
    text = with_lines(f"  fallbacks:\n    {lines}\n")
    with pytest.raises(ProgramInvalid) as caught:
        load(text, "test.yaml")
    (mistake,) = caught.value.mistakes
    first = text[: text.index("  fallbacks:\n")].count("\n") + 2
    assert (mistake.line, mistake.path) == (first + line, f"antifraud.fallbacks{path}")
    assert words in mistake.reason


@pytest.mark.parametrize(
    ("deadline_ms", "external_ms", "reason"),
    [
        ("500", "500", "is 500; it must be below the 500 ms"),
        ("10", "0", "is 20; it must be below the 10 ms"),
        ("0", "50", "is 50; it must be below the 50 ms"),
    ],
)
def test_af_07_the_engine_is_waited_for_less_than_the_whole_decision(
    deadline_ms: str, external_ms: str, reason: str
) -> None:
    text = with_lines(f"  external: {{deadline_ms: {external_ms}}}\n")
    with pytest.raises(ProgramInvalid) as caught:
        load(text.replace("  deadline_ms: 500", f"  deadline_ms: {deadline_ms}"), "test.yaml")
    (mistake,) = caught.value.mistakes
    assert mistake.path == "antifraud.external.deadline_ms"
    assert reason in mistake.reason


def test_a_difference_is_told_by_the_name_of_the_fallback() -> None:
    before, after = load(with_lines("")).program, load(with_lines(STATED)).program
    paths = [one.path for one in differences(before, after)]
    assert "antifraud.fallbacks[referrals].policy" in paths
    changed = load(with_lines(STATED.replace("50}", "60}"))).program
    (only,) = differences(after, changed)
    assert (only.path, only.before, only.after) == (
        "antifraud.fallbacks[small].points_max", "50", "60",
    )  # fmt: skip


def test_the_full_program_states_them() -> None:
    full = load((REPOSITORY / "deploy" / "programs" / "full.yaml").read_text()).program
    assert [one.name for one in full.antifraud.fallbacks] == [
        "small_things", "referrals", "spending",
    ]  # fmt: skip
    assert full.antifraud.external.deadline_ms == 100
