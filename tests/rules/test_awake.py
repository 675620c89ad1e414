"""Rules sleep where they cannot fire, and nobody can tell (AF-02)."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from rules.awake import NAMED, awake, guarded, may_reach, parts_of, shape_of
from rules.cel import Condition, Conditions, compile_condition
from rules.compiled import CompiledProgram
from rules.facts import FRAUD_FACTS, PROFILE_FACTS
from rules.fraud import decide
from rules.fraud_rules import Counts, FraudFacts, OperationRules
from rules.values import Operation

Compile = Callable[..., CompiledProgram]
PLAIN = FraudFacts(Operation.ACCRUAL, 30, 3011, order_id="o", type="purchase", member="m")


def names(rules: OperationRules) -> list[str]:
    return [rule.name for rule in rules.rules]


def alone(rules: OperationRules, name: str) -> OperationRules:
    """As if the program had no other rule."""
    chosen = tuple(rule for rule in rules.rules if rule.name == name)
    return replace(rules, rules=chosen, conditions=Conditions([r.condition for r in chosen]))


def condition(source: str) -> Condition:
    return compile_condition(source, FRAUD_FACTS)


def test_af_02_a_plain_purchase_wakes_what_looks_at_amounts_and_the_member(
    program: CompiledProgram,
) -> None:
    rules = awake(program.antifraud.by_operation[Operation.ACCRUAL], shape_of(PLAIN))
    assert names(rules)[:3] == ["large_purchase", "absurd_purchase", "many_purchases"]
    assert not {"shared_device", "busy_address", "check_in_burst", "self_service"} & {*names(rules)}


def test_af_02_a_purchase_that_names_all_wakes_all_but_those_on_other_types(
    program: CompiledProgram,
) -> None:
    named: dict[str, Any] = dict.fromkeys(("store", "device", "ip", "card", "staff"), "x")
    full = PLAIN._replace(channel="web", latitude=1.0, longitude=1.0, **named)
    rules = program.antifraud.by_operation[Operation.ACCRUAL]
    asleep = {*names(rules)} - {*names(awake(rules, shape_of(full)))}
    assert asleep == {"check_in_burst", "busy_address"}


@pytest.mark.parametrize(
    ("rule", "dollars", "reads"),
    [
        ("member.refund_count > 2", 10, True),
        ("request.amount >= 50 && member.refund_count > 2", 10, False),
        ("request.amount >= 50 && member.refund_count > 2", 60, True),
        ("request.amount >= 50 || member.refund_count > 2", 10, True),
        ("member.refund_count > 2 && travel.km > 1", 60, False),
        ("request.amount >= 50", 60, False),
        ("100 / request.points > 5 && member.refund_count > 2", 60, True),
    ],
)
def test_af_02_members_are_looked_up_where_the_request_leaves_a_rule_open(
    compiled: Compile, rule: str, dollars: int, reads: bool
) -> None:
    """The last one breaks at 0 points, and is asked for all the same."""
    program = compiled(("when: request.amount > 1000\n", f"when: {rule}\n"))
    only = program.antifraud.by_operation[Operation.ACCRUAL]
    facts = PLAIN._replace(points=0, amount_minor=dollars * 100)
    chosen = awake(alone(only, "large_purchase"), shape_of(facts))
    assert may_reach(guarded(chosen, frozenset(PROFILE_FACTS)), facts) is reads


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("request.points > 5", ["request.points > 5"]),
        (
            "request.points > 5 && request.store != ''",
            ["request.points > 5", "request.store != ''"],
        ),
        ("request.points > 5 || request.points < 2 && request.store != ''", None),
        ("(request.points > 5 || request.points < 2) && request.store == '&&'", 2),
        ("request.points > 5 ? true : request.points < 2 && request.store != ''", None),
        ("!(request.points > 5 && request.points < 9)", None),
        ("request.points > 5 // a && b\n&& request.store == 's'", 2),
    ],
)
def test_af_02_a_condition_is_cut_where_and_joins_the_whole(source: str, parts: Any) -> None:
    found = parts_of(condition(source))
    if isinstance(parts, list):
        assert [part.source.strip() for part in found] == parts
    else:
        assert len(found) == (parts or 1)


def test_af_02_asleep_or_not_the_decision_is_the_same(program: CompiledProgram) -> None:
    """Against all conditions evaluated one by one, over facts as they can be."""
    chance = Random(4)
    woken = 0
    for _ in range(3000):
        facts = _facts(chance)
        velocity = _velocity(chance, program, facts)
        rules = program.antifraud.by_operation[facts.operation]
        values = {name: get(facts, velocity) for name, get in rules.getters}
        answers = rules.conditions.evaluate(values)
        fired = [rule.name for rule, a in zip(rules.rules, answers, strict=True) if a]
        assert [one.rule for one in decide(facts, program, velocity).fired] == fired
        woken += len(fired) > 0
    assert woken > 300


def _facts(chance: Random) -> FraudFacts:
    named: dict[str, Any] = {
        "order_id" if name == "order" else name: chance.choice(("", "x", "m"))
        for name in NAMED
        if name != "latitude"
    }
    return FraudFacts(
        chance.choice(list(Operation)), chance.choice((5, 5000)), chance.choice((0, 5000, 123_456)),
        channel=chance.choice(("", "web", "kiosk")), member="m",
        type=chance.choice(("purchase", "check_in", "gift")), **named,
    )  # fmt: skip


def _velocity(chance: Random, program: CompiledProgram, facts: FraudFacts) -> dict[str, Counts]:
    found = {}
    for counter in program.antifraud.counters:
        keys = filter(None, (counter.key, counter.second, counter.distinct))
        texts = ["order_id" if key == "order" else key for key in keys]
        if all(getattr(facts, name) for name in texts):
            count = chance.choice((1, 2, 5, 90))
            found[counter.name] = Counts(count, count * 100, count * 10)
    return found
