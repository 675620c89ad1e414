"""What rules of anti-fraud do beyond the operation (AF-04), and what lists tell them (AF-02)."""

from datetime import UTC, datetime

import pytest

from house import SAMPLE
from rules.compiled import CompiledProgram, compile_program
from rules.diff import differences
from rules.document import ProgramInvalid, load
from rules.facts import POINTS_CAP
from rules.fraud import decide
from rules.fraud_rules import FraudFacts
from rules.values import Action, FraudKey, Operation, Reaction, ReactionKind

START = datetime(1997, 1, 1, tzinfo=UTC)

RULE = """
    - name: farm
      operations: [accrual]
      when: {when}
      action: deny
      score: 10
      reactions: [{reactions}]
"""


def text(reactions: str, when: str = "request.points > 5") -> str:
    rest = SAMPLE.read_text().partition("\nantifraud:")[0]
    head = "\nantifraud:\n  deadline_ms: 500\n  fallback_accrual_points_max: 500\n  rules:"
    return rest + head + RULE.format(when=when, reactions=reactions)


def compiled(reactions: str = "", when: str = "request.points > 5") -> CompiledProgram:
    return compile_program(1, load(text(reactions, when)).program, START)


def test_af_04_reactions_are_compiled_by_the_name_of_their_rule() -> None:
    antifraud = compiled(
        "{kind: freeze_account}, {kind: deny_list, key: ip, duration_days: 9}, "
        "{kind: cap_points, points: 7}, {kind: demote, tier_id: silver}"
    ).antifraud
    assert antifraud.reactions == {
        "farm": (
            Reaction(ReactionKind.FREEZE_ACCOUNT, FraudKey.MEMBER, 0, 0),
            Reaction(ReactionKind.DENY_LIST, FraudKey.IP, 9, 0),
            Reaction(ReactionKind.CAP_POINTS, FraudKey.MEMBER, 0, 7),
            Reaction(ReactionKind.DEMOTE, FraudKey.MEMBER, 0, 0, "silver"),
        )
    }
    assert compiled().antifraud.reactions == {}


@pytest.mark.parametrize(
    ("reactions", "path", "words"),
    [
        ("{kind: freeze_account, key: device}", "key", "is for lists alone"),
        ("{kind: earn_only, points: 5}", "points", "are for cap_points alone"),
        ("{kind: earn_only, tier_id: silver}", "tier_id", "is for demote alone"),
        ("{kind: demote, tier_id: platinum}", "tier_id", "name one of member, silver, gold"),
        ("{kind: demote, tier_id: diamond}", "tier_id", "no tier below the top"),
        ("{kind: demote, key: ip}", "key", "is for lists alone"),
        ("{kind: deny_list, duration_days: 4000}", "duration_days", "3650"),
        ("{kind: melt}", "kind", "melt"),
        ("{key: ip}", "kind", ""),
    ],
)
def test_af_04_a_slip_in_a_reaction_is_one_mistake(reactions: str, path: str, words: str) -> None:
    with pytest.raises(ProgramInvalid) as invalid:
        load(text(reactions))
    [mistake] = invalid.value.mistakes
    assert mistake.path == f"antifraud.rules[0].reactions[0].{path}"
    assert words in mistake.reason
    lines = text(reactions).splitlines()
    assert lines[mistake.line - 1].startswith("      reactions:")


def test_af_04_the_same_reaction_twice_is_a_mistake() -> None:
    with pytest.raises(ProgramInvalid) as invalid:
        load(text("{kind: deny_list}, {kind: deny_list, key: ip}, {kind: deny_list, key: member}"))
    [mistake] = invalid.value.mistakes
    assert mistake.path == "antifraud.rules[0].reactions[2].kind"


def test_pg_02_what_differs_in_a_reaction_is_told_by_what_it_chooses() -> None:
    before, after = (
        load(text(f"{{kind: freeze_account}}, {{kind: deny_list, key: ip, duration_days: {days}}}"))
        for days in (1, 2)
    )
    [difference] = differences(before.program, after.program)
    path = "antifraud.rules[farm].reactions[deny_list ip].duration_days"
    assert (difference.path, difference.before, difference.after) == (path, "1", "2")
    [gone, *_] = differences(before.program, load(text("{kind: freeze_account}")).program)
    assert gone.path.startswith("antifraud.rules[farm].reactions[deny_list ip]")


@pytest.mark.parametrize(
    ("when", "known", "fires"),
    [
        ("lists.denied", {"lists.denied": True}, True),
        ("lists.denied", {}, False),
        ("lists.denied_ip", {"lists.denied": True}, False),
        ("lists.watched || lists.allowed_card", {"lists.allowed_card": True}, True),
        ("request.points > member.points_cap", {POINTS_CAP: 5}, True),
        ("request.points > member.points_cap", {POINTS_CAP: 6}, False),
        ("request.points > member.points_cap", {}, False),
    ],
)
def test_af_02_lists_and_caps_are_facts(when: str, known: dict[str, object], fires: bool) -> None:
    program = compiled(when=when)
    assert program.antifraud.reads_lists
    decision = decide(FraudFacts(Operation.ACCRUAL, 6), program, known)
    assert decision.action is (Action.DENY if fires else Action.ALLOW)


def test_af_02_nothing_is_looked_up_for_rules_that_read_no_list() -> None:
    program = compiled()
    assert not program.antifraud.reads_lists
    assert compiled(when="lists.denied").antifraud.by_operation[Operation.REDEMPTION].lists == set()
