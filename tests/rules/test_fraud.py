"""Whether points may move (AF-02)."""

from collections.abc import Callable

import pytest

from rules.compiled import CompiledProgram
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
            ["draining_account"],
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
    )
