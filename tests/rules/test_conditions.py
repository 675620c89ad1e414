"""Conditions are type-checked when a program is applied (PG-03)."""

from typing import Any

import cel as engine
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.cel import Conditions, compile_condition, try_out
from rules.cel_check import LENGTH_MAX
from rules.cel_plain import compile_any, to_python
from rules.cel_tokens import CelInvalid
from rules.facts import EARN_FACTS, FRAUD_FACTS, Counter, velocity_fact

GOOD = [
    ("order.amount > 100", EARN_FACTS),
    ("order.amount >= 99.5 && order.amount < 1e3", EARN_FACTS),
    ('"music" in order.categories || member.tier == "gold"', EARN_FACTS),
    ('member.tier in ["gold", "diamond"]', EARN_FACTS),
    ('order.categories.exists(c, c.startsWith("cd"))', EARN_FACTS),
    ("order.categories.all(c, order.categories.exists(d, d != c)) // nested", EARN_FACTS),
    ("size(order.categories) == 0 ? order.amount > 1.0 : false", EARN_FACTS),
    ('order.categories.size() > 0 && order.categories[0] == "cd"', EARN_FACTS),
    ("!(order.channel == 'web') && order.store != r'\\a'", EARN_FACTS),
    ("velocity.member_1h.count > 20", FRAUD_FACTS),
    ("velocity.ip_90d.amount / double(velocity.ip_90d.count) > 100.0", FRAUD_FACTS),
    ("velocity.member_device_1h.count > 3 && velocity.staff_order_90d.points > 5", FRAUD_FACTS),
    ("velocity.device_1d.members > 5 || velocity.member_30d.stores > 4", FRAUD_FACTS),
    ('request.type == "check_in" && request.staff == member.id', FRAUD_FACTS),
    ('request.order != "" && request.counterparty.startsWith("m")', FRAUD_FACTS),
    ('["a"].exists(x, request.ip.matches("^10[.]"))', FRAUD_FACTS),
    ("request.points % 100 == 0 && -request.points < -(5 + 2 * 3)", FRAUD_FACTS),
    ('request.ip.matches("^10[.]") || string(request.points).endsWith("00")', FRAUD_FACTS),
    ('["("].exists(matches, matches == "(")', FRAUD_FACTS),
]

NESTED = "[1].exists(x, [2].exists(y, [3].exists(z, x + y + z > 6)))"
BAD = [
    ("request.pionts > 1", "did you mean request.points?"),
    ("order.amount > 1", "order.amount is not a known fact"),
    ("request.points.size() > 1", "cannot be asked of type int"),
    ("request > 1", "not a known fact"),
    ("request.points", "is of type int"),
    ("request.points > 'a'", "cannot compare int > string"),
    ("request.points == 'a'", "cannot compare int == string"),
    ("request.points + 1.5 > 2.0", "write 2.0 or double(x)"),
    ("request.amount % 2.0 > 1.0", "cannot compute"),
    ("request.points && true", "what && joins is of type int"),
    ("!request.points", "! cannot stand before type int"),
    ("-request.ip == 'a'", "- cannot stand before type string"),
    ("request.ip ? true : false", "the part before ?"),
    ("true ? 1 : 'a'", "? gives int or string"),
    ("false && 1 + 'a' > 2", "cannot compute int + string"),
    ("'a' in request.ip", "cannot compare string in string"),
    ("1 in [1, 'a']", "an item of the list"),
    ("[[1]] == [[1]]", "a list cannot hold lists"),
    ("request.ip[0] == 'a'", "has no items"),
    ("[1]['a'] == 1", "an index"),
    ("request.ip.contains(1)", "what contains looks for"),
    ("request.ip.length() > 1", "length cannot be asked"),
    ("lenght(request.ip) > 1", "lenght cannot take string"),
    ("int(true) > 1", "int cannot take bool"),
    ("request.points > 2000000000 && string(true) == 'true'", "string cannot take bool"),
    ("[1].exists(request_points, true)", "cannot be bound"),
    ("[1].exists(x, x)", "the test of exists"),
    ("[1].exists(x, [2].exists(x, true))", "cannot be bound"),
    ("request.ip.matches('(')", "not a valid regex"),
    ("request.points > 2000000000 && request.ip.matches('(')", "not a valid regex"),
    ("request.points / 0 > 1", "division by zero"),
    ("request.points >", "cannot be read: the end at character 17"),
    ("request.points > 1 1", "1 at character 20 is not expected"),
    ("request.points # 1", "'#' at character 16"),
    ("'\\q' == ''", "is not CEL"),
    ("1u > 0u", "is not expected there"),
    ("{'a': 1}.a > 0", "is not expected there"),
    ("null == null", "null is not a known fact"),
    ("velocity.member_1h > 1", "write it like velocity.member_1h.count"),
    ("velocity.member_1h.cuont > 1", "did you mean count?"),
    ("velocity.membr_1h.count > 1", "did you mean member?"),
    ("velocity.member_91d.count > 1", "longer than 90d"),
    ("velocity.member_0m.count > 1", "not <key>_<window>"),
    ("velocity.member_1y.count > 1", "not <key>_<window>"),
    ("(" * 40 + "true" + ")" * 40, "nested deeper"),
    ("!" * 40 + "true", "too many signs"),
    ("velocity.device_member_1h.count > 1", "did you mean velocity.member_device_1h.count?"),
    ("velocity.member_member_1h.count > 1", "names member twice"),
    ("velocity.member_devise_1h.count > 1", "did you mean device?"),
    ("velocity.member_device_ip_1h.count > 1", "not <key>_<window>"),
    ("velocity.member_device_1h.cards > 1", "counted under one key"),
    ("velocity.device_1h.devices > 1", "is always 1"),
    ("velocity.device_1h.membres > 1", "did you mean members?"),
    ("request.staf == ''", "did you mean request.staff?"),
    ("member.idd == ''", "did you mean member.id?"),
    (NESTED, "may cost too much"),
    ("[1].exists(x, [1].exists(y, 'a'.matches('b')))", "may cost too much"),
    ("request.ip.matches(request.device)", "written out"),
    ("request.ip.matches('a' + 'b')", "written out"),
    ("request.ip.matches('" + "a?" * 60 + "')", "more than 100 characters"),
    ("request.ip.matches('((a{1,10}){10}){10}')", "multiply to more than 50"),
    ("request.ip.matches(r'\\w+')", "thousands of characters"),
    ("1 in [" + "1, " * 100 + "1]", "more than 100 items"),
    ("true || " * LENGTH_MAX + "true", "longer than 2000"),
]


@pytest.mark.parametrize(("source", "schema"), GOOD)
def test_pg_03_a_sound_condition_is_accepted_and_the_engine_agrees(
    source: str, schema: Any
) -> None:
    condition = compile_condition(source, schema)
    try_out(condition, schema)


@pytest.mark.parametrize(("source", "words"), BAD)
def test_pg_03_an_unsound_condition_is_refused_with_the_reason(source: str, words: str) -> None:
    with pytest.raises(CelInvalid) as caught:
        try_out(compile_condition(source, FRAUD_FACTS), FRAUD_FACTS)
    assert words in str(caught.value)


def test_a_condition_knows_the_facts_it_reads() -> None:
    source = "request.points > 1 && velocity.ip_5m.count > 2 || request.points > 9"
    condition = compile_condition(source, FRAUD_FACTS)
    assert condition.facts == ("request.points", "velocity.ip_5m.count")


def test_a_velocity_fact_names_its_counter() -> None:
    assert velocity_fact("velocity.card_30m.points")[0] == Counter("card_30m", "card", 1800)


def test_pairs_and_counts_of_different_values_name_their_counters() -> None:
    pair, _ = velocity_fact("velocity.member_staff_1d.count")
    assert pair == Counter("member_staff_1d", "member", 86400, second="staff")
    distinct, _ = velocity_fact("velocity.device_1d.members")
    assert distinct == Counter("device_1d.members", "device", 86400, distinct="member")


def test_a_condition_that_costs_too_much_was_applied_before_and_still_decides() -> None:
    assert compile_condition(NESTED, FRAUD_FACTS).program.execute({}) is False


def test_a_broken_condition_does_not_silence_the_others() -> None:
    sources = ["request.points > 5", "100 / request.points > 1", "request.points < 5"]
    conditions = Conditions([compile_condition(source, FRAUD_FACTS) for source in sources])
    assert conditions.evaluate({"request_points": 10}) == [True, True, False]
    assert conditions.evaluate({"request_points": 0}) == [False, None, True]


PLAIN = [
    "request.amount > 1000",
    "!(request.points < 5) && request.ip != '10.0.0.1' || request.points in [1, -2, 3]",
    "(request.points > 5) == (request.amount <= 2.5)",
    'member.tier in ["gold", "diamond"] && velocity.member_1h.count >= 3',
]
NOT_PLAIN = [
    "request.points < 5 == true",
    "true == !(request.points < 5)",
    "request.ip == 'a\0'",
    "!(request.points < 5) == false",
    "request.points + 1 > 5",
    "request.points - 1 > 5",
    "size(request.ip) > 3",
    "request.ip.contains('a')",
    "request.ip == '\\x41'",
    "request.points > 1 ? true : false",
    "[request.points] == [1]",
    "[true][0]",
    "request.points > 0x10",
]


@pytest.mark.parametrize("source", PLAIN)
def test_comparisons_are_plain(source: str) -> None:
    assert to_python(compile_condition(source, FRAUD_FACTS).flat) is not None


@pytest.mark.parametrize("source", NOT_PLAIN)
def test_what_python_may_read_otherwise_is_left_to_the_engine(source: str) -> None:
    assert to_python(compile_condition(source, FRAUD_FACTS).flat) is None


def test_plain_conditions_and_others_answer_in_their_order() -> None:
    sources = [
        "request.points > 5", "request.points + 1 > 5", "request.points < 5",
        "100 / request.points > 1", "request.points == 10",
    ]  # fmt: skip
    conditions = Conditions([compile_condition(source, FRAUD_FACTS) for source in sources])
    assert conditions.evaluate({"request_points": 10}) == [True, True, False, True, True]
    assert conditions.evaluate({"request_points": 0}) == [False, False, True, None, False]


_COMPARED = st.one_of(
    st.tuples(
        st.sampled_from(["request.points", "request.amount", "-3", "2.5", "7"]),
        st.sampled_from(["<", "<=", "==", "!=", ">", ">="]),
        st.sampled_from(["request.points", "request.amount", "3", "-1.5"]),
    ).map(" ".join),
    st.sampled_from(
        ["request.ip in ['a', 'b']", "request.ip < 'b'", "request.points in [3, 4]", "true"]
    ),
)


def _join(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(" ".join),
        inner.map(lambda e: f"({e})"),
        inner.map(lambda e: f"!({e})"),
        st.tuples(inner, inner).map(lambda t: f"({t[0]}) == ({t[1]})"),
        inner.map(lambda e: f"{e} == true"),
        inner.map(lambda e: f"true == !({e})"),
    )


@given(
    st.recursive(_COMPARED, _join, max_leaves=8), st.integers(-3, 8),
    st.sampled_from([-1.5, 0.0, 2.5, 3.0]), st.sampled_from(["", "a", "b", "c"]),
)  # fmt: skip
def test_a_plain_condition_answers_as_the_engine_does(
    source: str, points: int, amount: float, ip: str
) -> None:
    condition = compile_condition(source, FRAUD_FACTS)
    values = {"request_points": points, "request_amount": amount, "request_ip": ip}
    answer = condition.program.execute(values)
    getters = {name: lambda facts, _, name=name: facts[name] for name in values}
    any_holds = compile_any(["false", condition.flat], getters)
    if to_python(condition.flat) is None:
        assert any_holds is None
    else:
        assert Conditions([condition]).evaluate(values) == (answer,)
        assert any_holds is not None
        assert any_holds(values, {}) is answer


def test_a_hundred_of_the_longest_conditions_are_evaluated_together() -> None:
    source = " && ".join(f"velocity.member_{n}m.count > {n}" for n in range(1, 55))
    condition = compile_condition(source, FRAUD_FACTS)
    values = {f"velocity_member_{n}m_count": 100 for n in range(1, 55)}
    assert list(Conditions([condition] * 100).evaluate(values)) == [True] * 100


# Expressions put together at random: what the checker accepts must never end in a wrong type.
_ATOMS = st.sampled_from(
    ["1", "2.5", "'a'", "true", "[1, 2]", "['a']", "request.points", "request.amount", "request.ip"]
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["+", "-", "*", "<", "==", "!=", "in", "&&", "||", ">="])
    return st.one_of(
        st.tuples(inner, signs, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda e: f"!{e}"),
        inner.map(lambda e: f"-{e}"),
        inner.map(lambda e: f"size({e})"),
        inner.map(lambda e: f"{e}.exists(x, x == {e})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} ? {t[1]} : {t[2]})"),
    )


@given(st.recursive(_ATOMS, _grow, max_leaves=12))
def test_pg_03_what_is_accepted_never_ends_in_a_wrong_type(source: str) -> None:
    try:
        condition = compile_condition(source, FRAUD_FACTS)
    except CelInvalid:
        return
    values = {"request_points": 3, "request_amount": 1.5, "request_ip": "a"}
    try:
        answer = condition.program.execute(values)
    except ArithmeticError:
        return
    assert isinstance(answer, bool)


@given(st.text(max_size=60))
def test_any_text_is_accepted_or_refused_but_never_fails(source: str) -> None:
    try:
        compile_condition(source, FRAUD_FACTS)
    except CelInvalid:
        return


def test_the_engine_finds_a_wrong_type_only_when_it_runs_into_it() -> None:
    # Why the check is ours: the day that the engine checks types, this test says so.
    assert engine.compile("false && 1 + 'a' > 2").execute({}) is False
