"""A document becomes a program, or every mistake of it is told (PG-01)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from house import SAMPLE
from laurel.program.v1.program_pb2 import Channel, FraudAction, FraudOperation, Rounding
from rules.compiled import compile_program
from rules.document import Mistake, ProgramInvalid, load, top_fields
from rules.mistakes import MISTAKES_MAX

FULL = SAMPLE.with_name("full.yaml")
MINIMAL = """\
name: Test
time_zone: UTC
currency: USD
earning:
  rules:
    - {name: spend, points_per_unit: 1.20, tier_multiplier: true}
  rounding: half_up
expiry: {}
redemption: {points_per_unit: 100, points_share_max: 1, hold_minutes: 30, quote_minutes: 15}
tiers:
  window_months: 12
  validity_months: 12
  ladder:
    - {id: member, name: Member, qualify_spend: 0, retain_spend: 0, points_multiplier: 1}
    - {id: gold, name: Gold, qualify_spend: 100, retain_spend: 50, points_multiplier: 2}
benefits:
  - id: off
    name: Off
    upgrade_coupon: {tier_id: gold, amount_off: 5, order_amount_min: 5, valid_days: 9}
  - {id: five, name: Five, tier_discount: {tier_id: gold, percent_off: 5}}
messages:
  - {name: up, on: tier_up, channels: [inbox], subject: "${tier}", body: Hello}
antifraud:
  deadline_ms: 500
  rules:
    - {name: big, operations: [accrual], when: request.amount > 5, action: deny}
"""

ENDLESS = "[1].all(x, [2].all(y, [3].all(z, [4].all(w, x + y + z + w > 0))))"


def mistakes(text: str) -> tuple[Mistake, ...]:
    with pytest.raises(ProgramInvalid) as caught:
        load(text, "test.yaml")
    return caught.value.mistakes


def only_mistake(text: str) -> Mistake:
    found = mistakes(text)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]


def changed(before: str, after: str) -> str:
    assert before in MINIMAL
    return MINIMAL.replace(before, after, 1)


def test_the_sample_program_is_valid(sample_text: str) -> None:
    program = load(sample_text).program
    assert [tier.id for tier in program.tiers.ladder] == ["member", "silver", "gold", "diamond"]
    assert program.antifraud.rules[0].action == FraudAction.FRAUD_ACTION_REVIEW


def test_the_reference_of_all_rules_is_valid_and_uses_every_field_of_earning_and_windows() -> None:
    earning = load(FULL.read_text()).program.earning
    for items in (earning.rules, earning.groups, earning.streaks, earning.challenges):
        unused = {field.name for field in items[0].DESCRIPTOR.fields}
        for item in items:
            unused -= {field.name for field, _ in item.ListFields()}
        assert not unused
    coefficients = [c for rule in earning.rules for c in rule.coefficients]
    used = {field.name for c in coefficients for field, _ in c.ListFields()}
    assert used == {field.name for field in coefficients[0].DESCRIPTOR.fields}
    [window] = load(FULL.read_text()).program.redemption.windows
    assert len(window.ListFields()) == len(window.DESCRIPTOR.fields)


def test_decimals_keep_the_text_they_were_written_in() -> None:
    assert load(MINIMAL).program.earning.rules[0].points_per_unit == "1.20"


def test_enum_values_are_short_lower_case_names_in_any_case() -> None:
    program = load(changed("half_up", "Half_Up")).program
    assert program.earning.rounding == Rounding.ROUNDING_HALF_UP
    assert list(program.antifraud.rules[0].operations) == [FraudOperation.FRAUD_OPERATION_ACCRUAL]
    assert list(program.messages[0].channels) == [Channel.CHANNEL_INBOX]


def test_words_that_yaml_1_1_takes_for_booleans_stay_words() -> None:
    assert load(changed("name: Test", "name: on")).program.name == "on"


def test_every_written_path_has_its_place(sample_text: str) -> None:
    places = load(sample_text).places
    line = sample_text.splitlines().index("    - id: gold") + 1
    assert places["tiers.ladder[2].id"] == (line, 7)
    assert places["currency"][1] == 1


def test_pg_01_mistakes_of_every_kind_are_told_together_with_their_lines() -> None:
    text = (
        MINIMAL.replace("currency: USD", "currency: USX")  # meaning
        .replace("half_up", "halfup")  # enum
        .replace("hold_minutes: 30", "hold_minutes: 0")  # schema
        .replace("window_months: 12", "windowmonths: 12")  # unknown field
        .replace("qualify_spend: 100", "qualify_spend: 0")  # order of the ladder
        .replace("valid_days: 9", 'valid_days: "9"')  # type
        .replace("request.amount > 5", "request.amuont > 5")  # condition
    )
    found = [(m.line, m.path) for m in mistakes(text)]
    assert found == [
        (3, "currency"),
        (7, "earning.rounding"),
        (9, "redemption.hold_minutes"),
        (11, "tiers.windowmonths"),
        (15, "tiers.ladder[1].qualify_spend"),
        (15, "tiers.ladder[1].retain_spend"),
        (19, "benefits[0].upgrade_coupon.valid_days"),
        (26, "antifraud.rules[0].when"),
    ]
    assert all(m.file == "test.yaml" and m.column > 0 and m.reason for m in mistakes(text))


@pytest.mark.parametrize(
    ("before", "after", "path", "words"),
    [
        # What cannot be read.
        ("name: Test", "nmae: Test", "nmae", "did you mean name?"),
        ("name: Test", "name: Test\nname: Best", "name", "twice, first in line 1"),
        ("name: Test", "name:", "name", "has no value"),
        ("name: Test", "name: [a]", "name", "a single value"),
        ("window_months: 12", "window_months: 1.5", "tiers.window_months", "a whole number"),
        ("window_months: 12", "window_months: 99999999999", "tiers.window_months", "below"),
        ("tier_multiplier: true", "tier_multiplier: yes", ".tier_multiplier", "true or false"),
        ("channels: [inbox]", "channels: inbox", ".channels", "must be a list"),
        ("channels: [inbox]", "channels: [pigeon]", ".channels[0]", "not known"),
        ("expiry: {}", "expiry: 5", "expiry", "a group of fields"),
        ("expiry: {}", "expiry: !!map {}", "expiry", "has a tag"),
        ("name: Gold", 'name: "Go\\0ld"', "tiers.ladder[1].name", "holds a NUL character"),
        ("body: Hello", 'body: "Hel\\0lo"', "messages[0].body", "holds a NUL character"),
        # What the schema refuses.
        ("name: Test", f"name: {'x' * 101}", "name", "at most 100 characters"),
        ("points_per_unit: 1.20", "points_per_unit: -1", ".points_per_unit", "a decimal"),
        ("name: spend", "name: Spend", ".name", "lower-case letters"),
        ("expiry: {}", "expiry: {rolling_months: 121}", "expiry.rolling_months", "is 121;"),
        ("expiry: {}", "expiry: {warning_days: [1, 1]}", "expiry.warning_days", "unique"),
        ("expiry: {}", "expiry: {policy: {}}", "expiry.policy.kind", "needs one of"),
        ("expiry: {}", "expiry: {policy: {year_end: x}}", "policy.year_end", "same_year"),
        ("expiry: {}", "expiry: {policy: {never: false}}", "policy.never", "must equal true"),
        ("expiry: {}", "expiry: {policy: {rolling_months: 0}}", "policy.rolling_months", "is 0;"),
        ("points_share_max: 1", "points_share_max: 1.1", ".points_share_max", "from 0 to 1"),
        (
            "expiry: {}",
            "expiry: {}\ngifts: {share_max: 1, month_points_max: 9, fee_share: 1}",
            "gifts.fee_share",
            "is 1; it must be a decimal of 0 and below 1",
        ),
        ("rounding: half_up\n", "pending_days: 1\n", "earning.rounding", "half_up, down"),
        # What the schema cannot say.
        ("time_zone: UTC", "time_zone: Mars", "time_zone", "no time zone"),
        ("time_zone: UTC", "time_zone: localtime", "time_zone", "no time zone"),
        ("currency: USD", "currency: ABC", "currency", "ISO 4217"),
        (
            "expiry: {}",
            "expiry: {rolling_months: 12, policy: {never: true}}",
            "expiry.policy",
            "keep only one of the two",
        ),
        (
            "expiry: {}",
            "expiry: {restored: fresh, restored_days_min: 30}",
            "expiry.restored_days_min",
            "remove one of the two",
        ),
        ("expiry: {}", "expiry: {restored: none}", "expiry.restored", "original_or_floor"),
        (
            "expiry: {}",
            "expiry: {}\nreturns: {shortfall: cash, debt_days: 9}",
            "returns.debt_days",
            "no effect with shortfall: cash",
        ),
        (
            "hold_minutes: 30",
            "hold_minutes: 30, points_min: 120, points_step: 50",
            "redemption.points_min",
            "write 150",
        ),
        ("name: spend", "name: rounding", ".name", "name of a step"),
        ("points_per_unit: 1.20", "points_per_unit: 1000.1", ".points_per_unit", "at most 1000"),
        ("qualify_spend: 0", "qualify_spend: 1", "[0].qualify_spend", "write 0"),
        ("points_multiplier: 2", "points_multiplier: 0.5", ".points_multiplier", "from 1 to 100"),
        ("percent_off: 5", "percent_off: 90.01", ".percent_off", "at most 90"),
        ("percent_off: 5", "percent_off: 0", ".percent_off", "above 0"),
        ("amount_off: 5", "amount_off: 0", ".amount_off", "take something off"),
        ("order_amount_min: 5", "order_amount_min: 4.99", ".order_amount_min", "below amount_off"),
        ("tier_discount: {tier_id: gold", "tier_discount: {tier_id: glod", ".tier_id", "gold?"),
        ("coupon: {tier_id: gold", "coupon: {tier_id: member", ".tier_id", "nobody rises to"),
        ("id: five", "id: off", "benefits[1].id", "as in line 17"),
        ("when: request.amount > 5", "when: request.amount", ".when", "of type double"),
        ("when: request.amount > 5", "when: velocity.member_1y.count > 5", ".when", "member_1y"),
        ("when: request.amount > 5", "when: velocity.ip_1h.ips > 5", ".when", "always 1"),
        ("when: request.amount > 5", f"when: '{ENDLESS}'", ".when", "may cost too much"),
        ("when: request.amount > 5", "when: request.ip.matches(request.ip)", ".when", "written"),
    ],
)
def test_pg_01_one_slip_is_one_mistake(before: str, after: str, path: str, words: str) -> None:
    mistake = only_mistake(changed(before, after))
    assert mistake.path.endswith(path)
    assert words in mistake.reason


@pytest.mark.parametrize(
    ("before", "after", "path", "words"),
    [
        ("100, retain_spend: 50", "0, retain_spend: 0", "[1].qualify_spend", "not above"),
        ("retain_spend: 50", "retain_spend: 100.01", ".retain_spend", "above qualify_spend"),
    ],
)
def test_pg_04_a_ladder_that_does_not_rise_or_asks_more_to_keep_than_to_reach_is_a_mistake(
    before: str, after: str, path: str, words: str
) -> None:
    mistake = only_mistake(changed(before, after))
    assert mistake.path.endswith(path)
    assert words in mistake.reason


@pytest.mark.parametrize(
    ("before", "after", "path", "words"),
    [
        ('"${tier}"', '"${teir}"', ".subject", "did you mean tier?"),
        ('"${tier}"', '"${points}"', ".subject", "does not have"),
        ("body: Hello", "body: 5 $", ".body", "$$"),
    ],
)
def test_nt_02_a_variable_that_its_event_does_not_have_is_a_mistake(
    before: str, after: str, path: str, words: str
) -> None:
    mistake = only_mistake(changed(before, after))
    assert mistake.path.endswith(path)
    assert words in mistake.reason


SPEND = "- {name: spend, points_per_unit: 1.20, tier_multiplier: true}"
GROUPS = "  groups: [{name: g, stacking: multiply}]\n  rounding: half_up"


@pytest.mark.parametrize(
    ("rule", "path", "words"),
    [
        ("name: x", ".points_per_unit", "fixed_points, or a ladder"),
        ("name: x, event: review, points_per_unit: 1", ".points_per_unit", "has none of"),
        ("name: x, event: Review, fixed_points: 1", ".event", "lower-case"),
        ("name: x, ladder: {per_amount: 0, points: 1}", ".per_amount", "above 0"),
        ("name: x, ladder: {per_amount: 0.001, points: 1}", ".per_amount", "a decimal"),
        ("name: x, fixed_points: 1, group: h", ".group", "is no group; known are g"),
        ("name: x, fixed_points: 1, group: g", ".group", "which multiplies"),
        ("name: x, fixed_points: 1, when: clock.dya > 1", ".when", "did you mean clock.day?"),
        ("name: x, fixed_points: 1, when: purchases.baby", ".when", "of type int"),
        ("name: x, fixed_points: 1, caps: {day: -1}", ".caps.day", "greater than or equal to 0"),
        (
            "name: x, fixed_points: 1, window: {start: 2026-02-30, end: 2026-03-01}",
            ".window.start", "no day of the calendar",
        ),
        (
            "name: x, fixed_points: 1, window: {start: 2026-03-01, end: 2026-03-01}",
            ".window.end", "not after",
        ),
        (
            "name: x, fixed_points: 1, coefficients: [{name: c, factor: 2, categories: [a]}]",
            ".categories", "state a rate",
        ),
        (
            "name: x, fixed_points: 1, coefficients: [{name: c, factor: 2, tiers: [glod]}]",
            ".tiers[0]", "gold?",
        ),
        (
            "name: x, points_per_unit: 1, "
            "coefficients: [{name: c, factor: 2, price_min: 2, price_below: 2}]",
            ".price_below", "not above",
        ),
        (
            "name: x, fixed_points: 1, coefficients: [{name: c, factor: 2}, {name: c, factor: 3}]",
            "coefficients[1].name", "as in line",
        ),
    ],
)  # fmt: skip
def test_pg_01_a_slip_in_a_rule_of_earning_is_one_mistake(rule: str, path: str, words: str) -> None:
    text = changed(SPEND, f"{SPEND}\n    - {{{rule}}}").replace("  rounding: half_up", GROUPS)
    mistake = only_mistake(text)
    assert mistake.path.endswith(path)
    assert words in mistake.reason


@pytest.mark.parametrize(
    ("part", "path", "words"),
    [
        ("streaks: [{name: s, event: e, days: 3}]", "streaks[0].bonus_points", "or a badge"),
        ("streaks: [{name: s, event: e, days: 1, badge: b}]", ".days", "greater than or equal"),
        ("streaks: [{name: spend, days: 3, badge: b}]", "streaks[0].name", "as in line 6"),
        (
            "challenges: [{name: c, measure: spend, target: 5, bonus_points: 1}]",
            ".period", "one of calendar_month, days, window",
        ),
        (
            "challenges: [{name: c, measure: points, target: 0.5, days: 3, bonus_points: 1}]",
            ".target", "whole number",
        ),
        (
            "challenges: [{name: c, measure: spend, target: 5, days: 3, badge: b, events: [x]}]",
            ".events", "has no spend",
        ),
        ("groups: [{name: g, stacking: best, factor_max: 0.5}]", ".factor_max", "from 1 to"),
    ],
)  # fmt: skip
def test_pg_01_a_slip_in_streaks_challenges_or_groups_is_one_mistake(
    part: str, path: str, words: str
) -> None:
    mistake = only_mistake(changed("  rounding: half_up", f"  {part}\n  rounding: half_up"))
    assert mistake.path.endswith(path)
    assert words in mistake.reason


PROMOTION = (
    "{name: w, window: {start: 2026-11-01, end: 2026-12-01}, factor: 2, member_day_points_max: 9}"
)


@pytest.mark.parametrize(
    ("before", "after", "path", "words"),
    [
        ("name: w", "name: W", ".name", "lower-case"),
        ("start: 2026-11-01", "start: 2026-11-31", ".window.start", "no day of the calendar"),
        ("start: 2026-11-01", "start: November", ".window.start", "2026-11-01T20:00"),
        ("end: 2026-12-01", "end: 2026-10-01", ".window.end", "not after 2026-11-01"),
        ("window: {start: 2026-11-01, end: 2026-12-01}, ", "", ".window", "is missing"),
        ("factor: 2", "factor: 1", ".factor", "above 1 and at most 100"),
        ("factor: 2", "factor: 0.5", ".factor", "above 1 and at most 100"),
        ("factor: 2", "factor: 100.5", ".factor", "above 1 and at most 100"),
        ("factor: 2", "factor: two", ".factor", "a decimal"),
        ("points_max: 9", "points_max: 0", ".member_day_points_max", "greater than or equal to 1"),
        (", member_day_points_max: 9", "", ".member_day_points_max", "greater than or equal to 1"),
        ("points_max: 9", "points_max: 9, tier: gold", ".tier", "known are name, window"),
    ],
)
def test_pt_10_a_slip_in_a_promotion_window_is_one_mistake(
    before: str, after: str, path: str, words: str
) -> None:
    assert before in PROMOTION
    window = PROMOTION.replace(before, after, 1)
    mistake = only_mistake(changed("quote_minutes: 15", f"quote_minutes: 15, windows: [{window}]"))
    assert (mistake.line, mistake.path) == (9, f"redemption.windows[0]{path}")
    assert words in mistake.reason


@pytest.mark.parametrize(
    ("other", "path", "words"),
    [
        ("name: w", "[1].name", "is w, as in line 9; give each its own name"),
        ("start: 2026-11-30T23:59, end: 2026-12-02", "[1].window", "that in line 9; let one end"),
        ("start: 2026-10-01, end: 2027-01-01", "[1].window", "overlaps"),
    ],
)
def test_pt_10_promotion_windows_stand_neither_at_one_time_nor_under_one_name(
    other: str, path: str, words: str
) -> None:
    second = PROMOTION.replace("name: w", "name: v").replace("2026-", "2028-")
    if other.startswith("name"):
        second = second.replace("name: v", other)
    else:
        second = second.replace("start: 2028-11-01, end: 2028-12-01", other)
    windows = f"quote_minutes: 15, windows: [{PROMOTION},\n  {second}]"
    mistake = only_mistake(changed("quote_minutes: 15", windows))
    assert (mistake.line, mistake.path) == (10, f"redemption.windows{path}")
    assert words in mistake.reason


def test_pg_01_windows_are_looked_at_even_where_the_time_zone_is_at_fault() -> None:
    second = PROMOTION.replace("name: w", "name: v").replace("start: 2026-11", "start: 2026-13")
    windows = f"quote_minutes: 15, windows: [{PROMOTION},\n  {second}]"
    text = changed("quote_minutes: 15", windows).replace("time_zone: UTC", "time_zone: Mars")
    assert [(m.line, m.path) for m in mistakes(text)] == [
        (2, "time_zone"),
        (10, "redemption.windows[1].window.start"),
    ]


def test_pt_10_a_promotion_window_may_begin_where_another_ends() -> None:
    second = PROMOTION.replace("name: w", "name: v").replace("2026-12", "2027-01")
    second = second.replace("2026-11", "2026-12")
    windows = f"quote_minutes: 15, windows: [{second}, {PROMOTION}]"
    assert len(load(changed("quote_minutes: 15", windows)).program.redemption.windows) == 2


def test_amounts_have_no_more_decimals_than_the_currency() -> None:
    text = changed("currency: USD", "currency: JPY").replace("amount_off: 5", "amount_off: 4.5")
    assert "JPY has 0 decimals" in only_mistake(text).reason


def test_a_benefit_is_of_one_kind_only() -> None:
    text = changed("percent_off: 5}", "percent_off: 5}, upgrade_coupon: {tier_id: gold}")
    assert "cannot stand beside tier_discount" in only_mistake(text).reason
    text = changed(", tier_discount: {tier_id: gold, percent_off: 5}", "")
    assert only_mistake(text).reason == "needs one of tier_discount, upgrade_coupon"


def test_two_tiers_cannot_share_an_id() -> None:
    mistake = only_mistake(changed("id: gold", "id: member"))
    assert mistake.path == "tiers.ladder[1].id"
    assert mistake.reason == "is member, as in line 14; give each its own id"


def test_a_tier_has_one_discount() -> None:
    more = "  - {id: six, name: Six, tier_discount: {tier_id: gold, percent_off: 6}}\nmessages:"
    assert "only one can apply" in only_mistake(changed("messages:", more)).reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("name: [", "is not YAML"),
        ("a: 1\n---\nb: 2\n", "a second document"),
        ("x: " + "[" * 50, "nested deeper than 20"),
        ("name: \x01", "a character that YAML does not allow"),
        ("#" * ((1 << 20) + 1), "larger than"),
        ("[" + "1," * 60_000 + "]", "more than 50000 values"),
        ("- a", "a group of fields"),
    ],
)
def test_a_text_that_is_no_document_is_refused_at_once(text: str, words: str) -> None:
    assert any(words in m.reason for m in mistakes(text))


def test_pg_01_the_place_of_a_character_that_yaml_does_not_allow_is_told() -> None:
    mistake = only_mistake("# Grüße, 您好\n" * 3 + "é: 1\nname: é\x01x\n# é\n")
    assert (mistake.line, mistake.column) == (5, 8)


def test_an_alias_cannot_blow_up_the_document() -> None:
    laughs = "a: &a [x]\nb: &b [*a, *a]\nname: *b\n"
    assert "is an alias; write the value out" in [m.reason for m in mistakes(laughs)]


def test_no_more_than_a_thousand_mistakes_are_told() -> None:
    text = MINIMAL + "".join(f"wrong_{n}: 1\n" for n in range(2 * MISTAKES_MAX))
    assert len(mistakes(text)) == MISTAKES_MAX


def test_a_mistake_reads_as_compilers_write_it() -> None:
    mistake = only_mistake(changed("currency: USD", "currency: usd"))
    assert str(mistake) == (
        "test.yaml:3:1: currency: is usd; it must be a code of ISO 4217 in capitals, such as USD"
    )


LINES = MINIMAL.splitlines()
FRAGMENTS = ["", " ", "-", ": ", "0", "9" * 30, "gold", "{}", "[]", '"', "#", "${x}", "a && b", "~"]


@settings(deadline=None)
@given(st.data())
def test_a_damaged_document_is_refused_or_can_be_compiled(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.integers(0, len(lines) - 1))
        line, fragment = lines[index], data.draw(st.sampled_from(FRAGMENTS))
        cut = data.draw(st.integers(0, len(line)))
        rest = data.draw(st.integers(cut, min(cut + 12, len(line))))
        lines[index] = line[:cut] + fragment + line[rest:]
    try:
        program = load("\n".join(lines)).program
    except ProgramInvalid:
        return
    compile_program(1, program, datetime(1997, 1, 1, tzinfo=UTC))


def test_what_a_document_does_not_say_is_as_in_its_base() -> None:
    base = load(MINIMAL).program
    del base.antifraud.rules[:]
    part = MINIMAL[MINIMAL.index("antifraud:") :].replace("  deadline_ms: 500\n", "")
    assert load(part, base=base).program == load(MINIMAL).program
    with pytest.raises(ProgramInvalid) as caught:
        load(part.replace("amount", "amuont"), "part.yaml", base)
    assert [(m.line, m.path) for m in caught.value.mistakes] == [(3, "antifraud.rules[0].when")]


@pytest.mark.parametrize(
    ("source", "names"),
    [("a: 1\nb: {c: 2}", {"a", "b"}), ("- a", set()), ("{", set()), ("", set()), ("[1]: 2", set())],
)
def test_the_names_at_the_top_of_a_document(source: str, names: set[str]) -> None:
    assert top_fields(source) == names
