"""Whether points may move (AF-02)."""

from collections.abc import Callable

import pytest

from rules.compiled import CompiledProgram
from rules.diff import Difference, differences
from rules.document import ProgramInvalid, load
from rules.facts import Counter
from rules.fraud import Fired, decide, velocity_counters
from rules.fraud_rules import Counts, FraudFacts
from rules.values import Action, Operation

Compile = Callable[..., CompiledProgram]
ACCRUAL, REDEMPTION = Operation.ACCRUAL, Operation.REDEMPTION


def busy(count: int, points: int = 0, window: str = "member_1h") -> dict[str, Counts]:
    return {window: Counts(count, 0, points)}


@pytest.mark.parametrize(
    ("facts", "velocity", "action", "rules"),
    [
        (FraudFacts(ACCRUAL, 36, 3_577), {}, Action.ALLOW, []),
        (FraudFacts(ACCRUAL, 1_000, 100_000), {}, Action.ALLOW, []),
        (FraudFacts(ACCRUAL, 1_001, 100_001), {}, Action.REVIEW, ["large_purchase"]),
        (FraudFacts(ACCRUAL, 1, 1_000_001), {}, Action.DENY, ["large_purchase", "absurd_purchase"]),
        (FraudFacts(ACCRUAL, 1), busy(20), Action.ALLOW, []),
        (FraudFacts(ACCRUAL, 1), busy(21), Action.REVIEW, ["many_purchases"]),
        (FraudFacts(ACCRUAL, 60_000), {}, Action.ALLOW, []),
        (FraudFacts(REDEMPTION, 60_000), {}, Action.DENY, ["large_redemption"]),
        (FraudFacts(REDEMPTION, 1, 10**9), {}, Action.ALLOW, []),
        (FraudFacts(REDEMPTION, 1), busy(11), Action.DENY, ["draining_account"]),
        (
            FraudFacts(REDEMPTION, 1),
            busy(2, 100_001, "member_1d"),
            Action.DENY,
            ["draining_account", "large_spending"],
        ),
    ],
)
def test_af_02_the_sample_program_decides(
    program: CompiledProgram,
    facts: FraudFacts,
    velocity: dict[str, Counts],
    action: Action,
    rules: list[str],
) -> None:
    decision = decide(facts, program, velocity)
    assert decision.action is action
    assert [fired.rule for fired in decision.fired] == rules
    assert decision.broken == ()


def test_af_02_the_strictest_action_decides_and_scores_add_up_to_at_most_1000(
    program: CompiledProgram,
) -> None:
    decision = decide(FraudFacts(ACCRUAL, 1, 1_000_001), program)
    assert (decision.action, decision.score) == (Action.DENY, 1000)


def test_af_02_a_rule_that_fired_shows_the_facts_it_read(program: CompiledProgram) -> None:
    decision = decide(FraudFacts(REDEMPTION, 5), program, busy(21))
    facts = {"velocity.member_1h.count": "21", "velocity.member_1d.points": "0"}
    assert decision.fired == (Fired("draining_account", Action.DENY, 500, facts),)


def test_af_02_a_broken_rule_is_named_and_the_others_still_decide(compiled: Compile) -> None:
    program = compiled(
        ("when: request.amount > 10000", "when: 100 / request.points > 1000"),
    )
    decision = decide(FraudFacts(ACCRUAL, 0, 200_000), program)
    assert decision.broken == ("absurd_purchase",)
    assert decision.action is Action.REVIEW


def test_af_02_every_fact_of_the_contract_can_be_read(compiled: Compile) -> None:
    condition = (
        "request.points == 7 && request.amount == 1.25 && request.channel == 'web' && "
        "request.store == 's' && request.device == 'd' && request.ip == 'i' && "
        "request.card == 'c' && member.tier == 'gold' && velocity.card_2d.amount == 3.5 && "
        "velocity.ip_10m.count == 0 && velocity.card_2d.count == 4 && velocity.card_2d.points == 5"
        " && request.type == 'gift' && request.order == 'o' && request.staff == 'e' && "
        "request.counterparty == 'r' && member.id == 'm' && velocity.staff_1d.members == 3 && "
        "velocity.member_order_1d.count == 2"
    )
    program = compiled(("when: request.amount > 10000", f'when: "{condition}"'))
    counts = {
        "card_2d": Counts(4, 350, 5),
        "staff_1d.members": Counts(3, 0, 0),
        "member_order_1d": Counts(2, 0, 0),
    }
    facts = FraudFacts(
        ACCRUAL, 7, 125, "web", "s", "d", "i", "c", "gold", "o", "gift", "e", "r", member="m"
    )
    assert [fired.rule for fired in decide(facts, program, counts).fired] == ["absurd_purchase"]
    assert Counter("card_2d", "card", 172_800) in velocity_counters(program)
    assert not decide(facts._replace(tier="silver"), program, counts).fired


def test_af_02_each_counter_of_the_program_is_named_once(program: CompiledProgram) -> None:
    assert velocity_counters(program) == (
        Counter("member_1h", "member", 3_600),
        Counter("member_1d", "member", 86_400),
        Counter("device_1h", "device", 3_600),
        Counter("ip_1d.members", "ip", 86_400, distinct="member"),
        Counter("ip_7d.members", "ip", 604_800, distinct="member"),
        Counter("device_1d.members", "device", 86_400, distinct="member"),
        Counter("device_30d.members", "device", 2_592_000, distinct="member"),
        Counter("store_order_30d", "store", 2_592_000, "order"),
        Counter("member_store_7d", "member", 604_800, "store"),
        Counter("device_7d.cards", "device", 604_800, distinct="card"),
        Counter("card_7d.members", "card", 604_800, distinct="member"),
        Counter("member_staff_1d", "member", 86_400, "staff"),
        Counter("member_staff_30d", "member", 2_592_000, "staff"),
        Counter("member_7d", "member", 604_800),
    )


def test_af_05_a_shadow_rule_is_told_and_neither_its_action_nor_its_score_counts(
    compiled: Compile,
) -> None:
    program = compiled(("score: 1000", "score: 1000\n      shadow: true"))
    assert [rule.name for rule in program.antifraud.rules if rule.shadow] == ["absurd_purchase"]
    decision = decide(FraudFacts(ACCRUAL, 1, 1_000_001), program)
    assert (decision.action, decision.score) == (Action.REVIEW, 300)
    assert [(f.rule, f.action, f.score, f.shadow) for f in decision.fired] == [
        ("large_purchase", Action.REVIEW, 300, False),
        ("absurd_purchase", Action.DENY, 1000, True),
    ]


def test_af_05_where_only_a_shadow_rule_fires_all_is_allowed(compiled: Compile) -> None:
    program = compiled(("score: 600", "score: 600\n      shadow: true"))
    decision = decide(FraudFacts(REDEMPTION, 60_000), program)
    assert (decision.action, decision.score, len(decision.fired)) == (Action.ALLOW, 0, 1)


def test_af_05_the_counters_of_a_shadow_rule_are_counters_of_the_program(
    compiled: Compile,
) -> None:
    shadow = "request.points > 50000"
    program = compiled((shadow, "velocity.card_2d.count > 1\n      shadow: true"))
    assert Counter("card_2d", "card", 172_800) in velocity_counters(program)


def test_af_05_a_diff_shows_that_a_rule_only_watches(sample_text: str) -> None:
    text = sample_text.replace("score: 600", "score: 600\n      shadow: true")
    found = differences(load(sample_text).program, load(text).program)
    assert found == (Difference("antifraud.rules[large_redemption].shadow", "false", "true"),)


def test_af_05_shadow_is_true_or_false_and_a_mistake_has_its_line(sample_text: str) -> None:
    text = sample_text.replace("score: 600", "score: 600\n      shadow: perhaps")
    with pytest.raises(ProgramInvalid) as caught:
        load(text)
    [mistake] = caught.value.mistakes
    assert mistake.path == "antifraud.rules[3].shadow"
    assert mistake.line == text[: text.index("shadow: perhaps")].count("\n") + 1
