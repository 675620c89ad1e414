"""Draft rules are tried on what was assessed (AF-05): the same windows, the same decisions."""

import asyncio
import random
from asyncio import gather
from datetime import timedelta
from uuid import uuid4

import grpc
import pytest
from back_test_lab import LAB_PROGRAM, LAB_RULES, Lab, numbers, only, rule
from fraud_desk import (
    ACCRUAL,
    ALLOW,
    DENY,
    EARLY,
    LATE,
    NOON,
    REDEMPTION,
    REVIEW,
    RULES,
    operation,
    program_with,
)
from google.rpc.error_details_pb2 import BadRequest
from grpc import StatusCode

from antifraud import back_test_store, drafts
from antifraud.back_tests import BackTest, Past, Windows
from antifraud.drafts import load_draft
from antifraud.errors import TooManyKeys
from antifraud.values import asked_of
from house import Refused, new_id, refused
from kit.clock import to_timestamp
from kit.errors import status_of
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from rules.compiled import ProgramHistory, compile_program
from rules.document import load
from rules.fraud import Fired
from rules.fraud_rules import FraudFacts
from rules.values import Action, Operation

# The first rule of the lab, made stricter: from the second purchase in an hour on.
STRICTER = only("""
    - name: many_purchases
      operations: [accrual]
      when: velocity.member_1h.count > 1
      action: deny
      score: 300
""")
BAD = only("""
    - name: fine
      operations: [accrual]
      when: request.points > 1
      action: deny
    - name: bad
      operations: [accrual]
      when: request.pionts > 1
      action: deny
""")


def crowd(seed: int, count: int) -> list[pb.Operation]:
    """Operations of a few members on fewer devices, cards and stores, in no order of time."""
    dice = random.Random(seed)
    place = new_id()
    return [
        operation(
            f"{place}-{dice.randrange(40)}",
            kind=dice.choice([ACCRUAL, ACCRUAL, REDEMPTION]),
            points=dice.choice([0, 1, 10, 900]),
            amount=dice.choice([None, "1.00", "99.99", "10000.01"]),
            after=dice.uniform(0, 9000),
            tier=dice.choice(["", "gold", "diamond"]),
            channel=dice.choice(["web", "kiosk"]),
            device=dice.choice(["", f"{place}-d1", f"{place}-d2"]),
            card=dice.choice(["", f"{place}-c"]),
            ip=dice.choice(["", f"{place}-i"]),
            store=f"{place}-s",
        )
        for _ in range(count)
    ]


async def assess_all(lab: Lab, operations: list[pb.Operation], seed: int) -> None:
    """Assesses operations in batches of all sizes, four at a time."""
    dice = random.Random(seed)
    left = list(operations)
    while left:
        batches = []
        for _ in range(4):
            size = dice.choice([1, 7, 60])
            batches.append(left[:size])
            left = left[size:]
        # Some that were assessed before come again: such a batch is undone and runs anew.
        batches.append(dice.sample(operations, 5) if dice.random() < 0.3 else [])
        await gather(*[lab.assess(*batch) for batch in batches if batch])


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_live_rules_decide_the_past_as_they_did(lab: Lab, seed: int) -> None:
    """AF-05: whatever shared whichever key, in whichever batches, busy keys merged and all."""
    await assess_all(lab, crowd(seed, 700), seed)
    result, report = await lab.back_test(LAB_PROGRAM), await lab.report()
    assert list(result.changes) == []
    assert result.assessment_count == report.assessment_count == 700
    assert result.live == result.draft == report.stopped
    assert result.live.hit_count > 100
    for line in report.rules:
        tried = rule(result, line.rule)
        assert tried.measure == line.measure, line.rule
        assert (tried.shadow, tried.draft, tried.recorded) == (line.shadow, False, False)
    busy = ("busy_device", "many_purchases", "draining", "card_at_work", "brittle", "watcher")
    assert all(rule(result, name).measure.hit_count for name in busy)
    assert rule(result, "brittle").unanswered_count > 0


async def test_a_stricter_draft_hits_what_it_should_and_nothing_else(lab: Lab) -> None:
    """AF-05: newly stopped, changed action, and examples of both."""
    one, two = new_id(), new_id()
    of_one = [operation(one, after=i) for i in range(5)]
    of_two = [operation(two, after=i) for i in range(2)]
    assert await lab.actions(*of_one, *of_two) == [ALLOW] * 3 + [REVIEW] * 2 + [ALLOW] * 2
    result = await lab.back_test(STRICTER)
    stricter = rule(result, "many_purchases")
    assert stricter.draft
    assert [sample.request_id for sample in stricter.samples] == [
        asked.request_id for asked in (*of_one[1:], of_two[1])
    ]
    assert (result.newly_stopped_count, result.no_longer_stopped_count) == (3, 0)
    assert result.changed_action_count == 2
    found = {(c.live_action, c.draft_action): c.measure.hit_count for c in result.changes}
    assert found == {(ALLOW, DENY): 3, (REVIEW, DENY): 2}
    sample = result.changes[0].samples[0]
    assert (sample.member_id, sample.live_action, sample.draft_action) == (one, ALLOW, DENY)
    assert (sample.points, sample.amount.units, sample.operation) == (10, 10, ACCRUAL)
    assert stricter.measure.points == 50
    assert not rule(result, "busy_device").draft


async def test_a_whole_program_replaces_all_rules(lab: Lab, member: str) -> None:
    """AF-05: what was stopped by a rule that the draft lacks is no longer stopped."""
    await lab.assess(operation(member, amount="20000"))
    start, end = LAB_RULES.index("    - name: absurd"), LAB_RULES.index("    - name: brittle")
    milder = LAB_PROGRAM.replace(LAB_RULES[start:end], "")
    result = await lab.back_test(milder)
    assert (result.no_longer_stopped_count, result.newly_stopped_count) == (1, 0)
    assert "absurd_purchase" not in [one.rule for one in result.rules]
    assert (result.live.hit_count, result.draft.hit_count) == (1, 0)


async def test_af_05_a_draft_may_challenge_above_a_limit(lab: Lab, member: str) -> None:
    """A limit is no rule: what it would stop is among the changes."""
    for points in (100, 101, 300):
        await lab.assess(operation(member, kind=REDEMPTION, points=points))
    draft = LAB_PROGRAM.replace(
        "antifraud:\n", "antifraud:\n  step_up: {redemption_points_above: 100}\n"
    )
    result = await lab.back_test(draft)
    assert result.newly_stopped_count == result.draft.hit_count == 2
    (change,) = result.changes
    assert sorted(one.points for one in change.samples) == [101, 300]


async def test_a_shadow_draft_changes_no_decision(lab: Lab, member: str) -> None:
    await lab.assess(*[operation(member) for _ in range(3)])
    quiet = STRICTER.replace("many_purchases", "quiet") + "      shadow: true\n"
    result = await lab.back_test(quiet)
    assert list(result.changes) == []
    assert numbers(rule(result, "quiet").measure)[0] == 2


async def test_precision_and_recall_are_those_of_the_labels(lab: Lab) -> None:
    """AF-05: 4 hits, of which 2 fraud, 1 legitimate; 3 fraud in all: 2/3 and 2/3."""
    asked = [operation(new_id(), amount="10001") for _ in range(4)]
    missed, honest = operation(new_id()), operation(new_id())
    await lab.assess(*asked, missed, honest)
    for index, is_fraud in enumerate([True, True, False]):
        await lab.label(asked[index], is_fraud=is_fraud)
    await lab.label(missed, is_fraud=True)
    await lab.label(honest, is_fraud=False)
    result, report = await lab.back_test(LAB_PROGRAM), await lab.report()
    assert (result.fraud_count, result.legitimate_count) == (3, 2)
    assert (report.fraud_count, report.legitimate_count) == (3, 2)
    for answer in (result, report):
        absurd = rule(answer, "absurd_purchase").measure
        assert numbers(absurd) == (4, 2, 1, 1)
        assert absurd.precision == pytest.approx(2 / 3)
        assert absurd.recall == pytest.approx(2 / 3)
        idle = rule(answer, "busy_device").measure
        assert (numbers(idle), idle.HasField("precision"), idle.recall) == ((0, 0, 0, 0), False, 0)
    line = rule(report, "absurd_purchase")
    assert line.recall_of_all == pytest.approx(2 / 3)
    assert (line.first_version, line.last_version) == (1, 1)
    assert [s.is_fraud for s in rule(result, "absurd_purchase").samples[:3]] == [True, True, False]
    assert not rule(result, "absurd_purchase").samples[3].HasField("is_fraud")


async def test_without_labels_there_is_neither_precision_nor_recall(lab: Lab, member: str) -> None:
    await lab.assess(operation(member, amount="10001"))
    measure = rule(await lab.back_test(LAB_PROGRAM), "absurd_purchase").measure
    assert (measure.HasField("precision"), measure.HasField("recall")) == (False, False)


async def test_windows_are_full_where_the_range_begins(lab: Lab, member: str) -> None:
    """AF-05: what was assessed before the range is read for its windows, and not reported."""
    before = [operation(member, at=lab.opened, after=i) for i in range(3)]
    await lab.assess(*before)
    within = lab.open()
    assert await within.actions(operation(member, at=lab.opened)) == [REVIEW]
    result = await within.back_test(LAB_PROGRAM)
    assert (result.assessment_count, list(result.changes)) == (1, [])
    assert result.warm_up_count >= 3


async def test_the_range_ends_before_its_end(lab: Lab, member: str) -> None:
    await lab.assess(operation(member))
    [row] = await lab.house.fetch(
        "SELECT create_time FROM antifraud.assessment WHERE member_id = $1", member
    )
    made = row["create_time"]
    span = {"from_time": to_timestamp(made), "to_time": to_timestamp(made)}
    refusal = await refused(lab.messages(LAB_PROGRAM, **span))
    assert refusal.reason == "TIME_RANGE_INVALID"
    assert (await refused(lab.report(**span))).reason == "TIME_RANGE_INVALID"
    span["to_time"] = to_timestamp(made + timedelta(microseconds=1))
    assert (await lab.back_test(LAB_PROGRAM, **span)).assessment_count == 1
    span = {"from_time": to_timestamp(made - timedelta(1)), "to_time": to_timestamp(made)}
    result = await lab.back_test(LAB_PROGRAM, **span)
    assert member not in [s.member_id for one in result.rules for s in one.samples]


async def test_what_was_stored_before_amounts_were_kept_is_told(lab: Lab, member: str) -> None:
    await lab.assess(operation(member), operation(member))
    await lab.house.fetch(
        "UPDATE antifraud.assessment SET amount_minor = NULL, context = NULL "
        "WHERE ctid = (SELECT max(ctid) FROM antifraud.assessment WHERE member_id = $1)",
        member,
    )
    assert (await lab.back_test(LAB_PROGRAM)).incomplete_count == 1


async def test_progress_is_told_and_every_assessment_of_one_instant_is_read(lab: Lab) -> None:
    await lab.fill(3_500)
    *progress, last = await lab.messages(LAB_PROGRAM)
    assert last.result.assessment_count == 3_500
    assert progress[-1].progress.read_count == progress[-1].progress.assessment_count >= 3_500
    reads = [message.progress.read_count for message in progress]
    assert reads == sorted(reads)


async def test_a_mistake_is_told_with_its_line(lab: Lab) -> None:
    """AF-05: as for a program that is applied."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lab.back_test(BAD, file="draft.yaml")
    refusal = await refused(lab.messages(BAD, file="draft.yaml"))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "RULES_INVALID")
    bad = BadRequest()
    assert any(one.Unpack(bad) for one in status_of(caught.value).details)
    [violation] = bad.field_violations
    assert violation.field == "antifraud.rules[1].when"
    line = BAD[: BAD.index("when: request.pionts")].count("\n") + 1
    assert violation.description.startswith(f"draft.yaml:{line}:7: request.pionts is not a known")


@pytest.mark.parametrize("source", ["antifraud: 7", "antifraud: {rules: 8}", "- a", "\t", "{"])
async def test_what_is_no_draft_is_refused(lab: Lab, source: str) -> None:
    assert (await refused(lab.messages(source))).reason == "RULES_INVALID"


async def test_more_rules_than_a_program_may_have_are_refused(lab: Lab) -> None:
    """Each draft for itself has room for its rules, but not beside those that are live."""
    rules = "".join(
        f"\n    - {{name: r{n}, operations: [accrual], when: request.points > {n}, action: deny}}"
        for n in range(99)
    )
    assert (await refused(lab.messages(only(rules)))).reason == "RULES_INVALID"


async def test_a_second_back_test_waits_for_the_first_and_one_that_is_left_ends(lab: Lab) -> None:
    """AF-05: one at a time; a caller who leaves frees it."""
    await lab.fill(20_000)
    first = lab.stub.BackTest(lab.request(LAB_PROGRAM))
    await first.read()
    refusal = await refused(lab.messages(LAB_PROGRAM))
    assert (refusal.code, refusal.reason) == (
        StatusCode.RESOURCE_EXHAUSTED,
        "BACK_TEST_RUNNING",
    )
    first.cancel()
    deadline = asyncio.get_running_loop().time() + 5
    while (again := await refused_or_done(lab, STRICTER)) is not None:
        assert again.reason == "BACK_TEST_RUNNING"
        assert asyncio.get_running_loop().time() < deadline
    assert (await lab.back_test(STRICTER)).assessment_count == 20_000


async def refused_or_done(lab: Lab, source_yaml: str) -> Refused | None:
    """How a back-test was refused; None when it was not."""
    try:
        await lab.back_test(source_yaml)
    except grpc.aio.AioRpcError as error:
        return Refused(error)
    return None


async def test_decisions_are_made_while_a_back_test_runs(lab: Lab, member: str) -> None:
    await lab.fill(20_000)
    running = lab.stub.BackTest(lab.request(LAB_PROGRAM))
    await running.read()
    assert await lab.actions(*[operation(member) for _ in range(4)]) == [ALLOW] * 3 + [REVIEW]
    assert not running.done()
    while (message := await running.read()).HasField("progress"):
        assert message.progress.read_count <= message.progress.assessment_count
    assert message.result.assessment_count >= 20_000


async def test_a_range_with_too_many_assessments_is_refused(
    lab: Lab, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(back_test_store, "ASSESSMENTS_MAX", 2)
    await lab.assess(*[operation(member) for _ in range(3)])
    for call in (lab.messages(LAB_PROGRAM), lab.report()):
        refusal = await refused(call)
        assert refusal.code is StatusCode.FAILED_PRECONDITION
        assert (refusal.reason, refusal.metadata["most"]) == ("TOO_MANY_ASSESSMENTS", "2")


async def test_an_answer_that_cannot_be_rebuilt_is_taken_from_what_was_recorded(
    lab: Lab, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AF-05: under the condition that was live; under another one the rule is refused, and the
    fact is named.
    """
    monkeypatch.setattr(drafts, "STORED_FACTS", drafts.STORED_FACTS - {"request.channel"})
    await lab.assess(operation(member, channel="kiosk"), operation(member, channel="web"))
    result = await lab.back_test(LAB_PROGRAM.replace("shadow: true", "shadow: false"))
    watcher = rule(result, "watcher")
    assert (watcher.recorded, watcher.draft, watcher.unanswered_count) == (True, True, 0)
    assert numbers(watcher.measure)[0] == 1
    assert (result.newly_stopped_count, rule(result, "many_purchases").recorded) == (1, False)
    refusal = await refused(lab.messages(LAB_PROGRAM.replace("'kiosk'", "'web'")))
    assert refusal.reason == "RULES_INVALID"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lab.back_test(LAB_PROGRAM.replace("'kiosk'", "'web'"))
    bad = BadRequest()
    assert any(one.Unpack(bad) for one in status_of(caught.value).details)
    assert "reads request.channel, which no stored" in bad.field_violations[0].description


def test_what_a_version_did_not_ask_is_told_as_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    """AF-05: recorded answers are there from the version on that asked."""
    monkeypatch.setattr(drafts, "STORED_FACTS", drafts.STORED_FACTS - {"request.channel"})
    without = compile_program(1, load(program_with(RULES)).program, EARLY)
    asking = compile_program(2, load(LAB_PROGRAM).program, LATE)
    draft = load_draft(LAB_PROGRAM, "draft.yaml", ProgramHistory([without, asking]))
    test = BackTest(draft, NOON)
    watched = (Fired("watcher", Action.DENY, 700, {}, shadow=True),)
    test.take([past(1, ()), past(2, watched), past(2, ()), past(3, ())])
    assert test.unanswered["watcher"] == 2
    assert test.rules["watcher"].measure.hit_count == 1
    assert test.changes == {}


def past(version: int, fired: tuple[Fired, ...]) -> Past:
    """An accrual that was allowed by a version of the program."""
    return Past(
        uuid4(), new_id(), new_id(), FraudFacts(Operation.ACCRUAL, 10), Action.ALLOW, fired,
        version, NOON, NOON, is_complete=True, is_fraud=None,
    )  # fmt: skip


def test_windows_that_need_too_much_memory_are_refused() -> None:
    """Keys that nobody used for as long as the service remembers one make room."""
    live = compile_program(1, load(LAB_PROGRAM).program, NOON)
    draft = load_draft(STRICTER, "draft.yaml", ProgramHistory([live]))
    windows = Windows(keys_max=2)

    def score(member: str, days: int) -> int:
        at = NOON + timedelta(days=days)
        asked = asked_of(
            (member, new_id()), at, int(at.timestamp()) * 1_000_000, draft.program,
            FraudFacts(Operation.ACCRUAL, 10, member=member),
        )  # fmt: skip
        return windows.decide([asked], at)[0].score

    assert [score("a", 0), score("a", 0), score("b", 1)] == [0, 300, 0]
    assert score("c", 92) == 0
    with pytest.raises(TooManyKeys):
        score("d", 92)
