"""AF-05: what is put under review is looked at and decided by people; labels."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from fraud_desk import ACCRUAL, ALLOW, DENY, LATE, REDEMPTION, REVIEW, Desk, operation, program_with
from grpc import StatusCode

from antifraud import case_store
from cli.check import run_checks
from house import Ground, House, new_id, refused
from kit.clock import from_timestamp, to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as service_pb
from laurel.antifraud.v1 import cases_pb2 as pb
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from points_ledger import events_of

RULES = """
    - {name: large, operations: [accrual], when: request.amount > 1000, action: review, score: 200}
    - {name: larger, operations: [accrual], when: request.amount > 2000, action: review, score: 300}
    - {name: spent, operations: [redemption], when: request.points > 500, action: review, score: 9}
"""
OPEN, DECIDED = pb.CASE_STATE_OPEN, pb.CASE_STATE_DECIDED
LEGITIMATE, FRAUDULENT = pb.CASE_OUTCOME_LEGITIMATE, pb.CASE_OUTCOME_FRAUDULENT


@pytest.fixture(scope="module")
async def house(ground: Ground) -> AsyncIterator[House]:
    """A house of its own, in whose books nothing may be broken at the end."""
    async with ground.house() as house:
        await house.apply(program_with(RULES), effective_time=to_timestamp(LATE))
        await house.start("antifraud")
        yield house
        await house.settle()
        broken = [o for o in await run_checks(house.settings.database_url) if o.violations]
        assert not broken, broken


class Cases(Desk):
    """Anti-fraud as its operators see it."""

    async def review(self, member: str, amount: str = "1500", **fields: object) -> pb.Case:
        """Puts an accrual under review; the member's open case."""
        asked = operation(member, amount=amount, **fields)  # type: ignore[arg-type]
        assert await self.actions(asked) == [REVIEW]
        (case,) = await self.queue(member_id=member, state=OPEN)
        return case

    async def queue(self, **fields: object) -> list[pb.Case]:
        """One page of cases."""
        request = pb.ListCasesRequest(**fields)  # type: ignore[arg-type]
        return list((await self.stub.ListCases(request)).cases)

    async def get(self, case: pb.Case, **fields: object) -> service_pb.GetCaseResponse:
        """A case with evidence."""
        request = service_pb.GetCaseRequest(case_id=case.case_id, **fields)  # type: ignore[arg-type]
        return await self.stub.GetCase(request)

    async def claim(self, case: pb.Case, operator: str) -> pb.Case:
        """Somebody works on it."""
        request = pb.ClaimCaseRequest(request_id=new_id(), case_id=case.case_id, operator=operator)
        return (await self.stub.ClaimCase(request)).case

    async def unclaim(self, case: pb.Case, operator: str) -> pb.Case:
        """Nobody works on it any more."""
        request = pb.UnclaimCaseRequest(
            request_id=new_id(), case_id=case.case_id, operator=operator
        )
        return (await self.stub.UnclaimCase(request)).case

    async def decide(
        self, case: pb.Case, outcome: int = LEGITIMATE, operator: str = "ann", **fields: object
    ) -> pb.Case:
        """Ends it."""
        return (await self.stub.DecideCase(deciding(case, outcome, operator, **fields))).case


def deciding(
    case: pb.Case, outcome: int = LEGITIMATE, operator: str = "ann", **fields: object
) -> pb.DecideCaseRequest:
    return pb.DecideCaseRequest(
        request_id=new_id(), case_id=case.case_id, outcome=outcome, operator=operator,  # type: ignore[arg-type]
        reason="looked at it", **fields,
    )  # fmt: skip


@pytest.fixture
def desk(house: House) -> Cases:
    return Cases(house)


async def labels(house: House, member: str) -> list[tuple[bool, str]]:
    rows = await house.fetch(
        "SELECT is_fraud, operator FROM antifraud.label WHERE member_id = $1", member
    )
    return [tuple(row) for row in rows]


async def test_af_05_reviews_of_a_member_join_one_case_and_nothing_else_does(
    desk: Cases, member: str
) -> None:
    case = await desk.review(member, "1500")
    await desk.assess(operation(member, amount="10"))
    again = await desk.review(member, "2500")
    assert again.case_id == case.case_id
    assert (again.assessment_count, again.score, again.state) == (2, 500, OPEN)
    batch = [operation(member, amount="1001"), operation(member, kind=REDEMPTION, points=501)]
    assert await desk.actions(*batch) == [REVIEW, REVIEW]
    shown = await desk.get(case)
    assert shown.case.assessment_count == 4
    assert len(shown.assessments) == 4
    assert {one.kind for one in shown.assessments} == {ACCRUAL, REDEMPTION}
    assert not shown.case.HasField("decision")


async def test_af_05_a_repeated_review_joins_no_second_time(desk: Cases, member: str) -> None:
    asked = operation(member, amount="1500")
    answers = await asyncio.gather(*[desk.actions(asked) for _ in range(20)])
    assert answers == [[REVIEW]] * 20
    (case,) = await desk.queue(member_id=member)
    assert case.assessment_count == 1


async def test_af_05_reviews_at_once_in_two_processes_open_one_case(
    desk: Cases, house: House, member: str
) -> None:
    others = [f"{member}-{number}" for number in range(8)]
    async with house.twin("antifraud") as channel:
        twin = AntifraudServiceStub(channel)

        async def ask(stub: AntifraudServiceStub, number: int) -> None:
            shift = number % len(others)
            batch = [operation(who, amount="1500") for who in others[shift:] + others[:shift]]
            await stub.BatchAssess(service_pb.BatchAssessRequest(operations=batch))

        await asyncio.gather(*[ask((desk.stub, twin)[n % 2], n) for n in range(24)])
    for who in others:
        (case,) = await desk.queue(member_id=who)
        assert case.assessment_count == 24


async def test_af_05_a_review_that_races_with_the_decision_is_in_exactly_one_case(
    desk: Cases, house: House, member: str
) -> None:
    """Either the decided one, with its outcome, or the next one, which is open."""
    first = await desk.review(member)
    asked = [operation(member, amount="1500", after=n) for n in range(30)]

    async def decide() -> None:
        await asyncio.sleep(0.02)
        await desk.decide(first, FRAUDULENT)

    await asyncio.gather(decide(), *[desk.assess(one) for one in asked])
    cases = {case.case_id: case for case in await desk.queue(member_id=member)}
    assert sum(case.assessment_count for case in cases.values()) == 31
    assert cases.pop(first.case_id).state == DECIDED
    assert [case.state for case in cases.values()] in ([], [OPEN])
    rows = await house.fetch(
        "SELECT request_id, case_id FROM antifraud.case_item WHERE member_id = $1", member
    )
    decided = {row["request_id"] for row in rows if row["case_id"] == UUID(first.case_id)}
    expected = [DENY if one.request_id in decided else REVIEW for one in asked]
    assert await desk.actions(*asked) == expected
    assert len(await labels(house, member)) == len(decided)


@pytest.mark.parametrize(("outcome", "action"), [(LEGITIMATE, ALLOW), (FRAUDULENT, DENY)])
async def test_af_05_the_outcome_answers_a_repeat(
    desk: Cases, member: str, outcome: int, action: int
) -> None:
    accrual = operation(member, amount="1500", points=10)
    redemption = operation(member, kind=REDEMPTION, points=600)
    assert await desk.actions(accrual, redemption) == [REVIEW, REVIEW]
    (case,) = await desk.queue(member_id=member)
    assert await desk.actions(accrual, redemption) == [REVIEW, REVIEW]
    await desk.decide(case, outcome)
    assert await desk.actions(accrual, redemption) == [action, action]
    (stored, _) = (await desk.list(member)).assessments
    assert stored.action == REVIEW


async def test_af_05_leave_for_one_operation_is_none_for_another(desk: Cases, member: str) -> None:
    """The same request id with more points, another amount or kind is refused for good."""
    asked = operation(member, kind=REDEMPTION, points=600)
    await desk.assess(asked)
    (case,) = await desk.queue(member_id=member)
    await desk.decide(case)
    for fields in ({"points": 601}, {"amount": "10.01"}, {"kind": ACCRUAL}):
        other = operation(
            member,
            **{"kind": REDEMPTION, "points": 600, "request_id": asked.request_id, **fields},  # type: ignore[arg-type]
        )
        assert await desk.actions(other) == [DENY], fields
    assert await desk.actions(asked) == [ALLOW]


async def test_af_05_after_a_decision_the_next_review_opens_another_case(
    desk: Cases, house: House, member: str
) -> None:
    case = await desk.review(member)
    decided = await desk.decide(case, FRAUDULENT)
    assert (decided.state, decided.claimant) == (DECIDED, "")
    assert (decided.decision.outcome, decided.decision.operator) == (FRAUDULENT, "ann")
    assert (decided.decision.identity, decided.decision.reason) == ("admin", "looked at it")
    assert await labels(house, member) == [(True, "ann")]
    second = await desk.review(member)
    assert second.case_id != case.case_id
    assert [one.case_id for one in await desk.queue(member_id=member)] == [
        case.case_id,
        second.case_id,
    ]


async def test_af_05_a_case_is_decided_once(desk: Cases, house: House, member: str) -> None:
    """The same request gets its answer again; any other is refused."""
    case = await desk.review(member)
    request = deciding(case, FRAUDULENT)
    answers = await asyncio.gather(*[desk.stub.DecideCase(request) for _ in range(10)])
    assert all(answer == answers[0] for answer in answers)
    refusal = await refused(desk.decide(case, LEGITIMATE, "bob"))
    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "CASE_DECIDED")
    assert refusal.metadata["outcome"] == "FRAUDULENT"
    reused = pb.DecideCaseRequest()
    reused.CopyFrom(request)
    reused.reason = "changed my mind"
    assert (await refused(desk.stub.DecideCase(reused))).reason == "REQUEST_ID_REUSED"
    assert await labels(house, member) == [(True, "ann")]
    for call in (desk.claim(case, "ann"), desk.unclaim(case, "ann")):
        assert (await refused(call)).reason == "CASE_DECIDED"


async def test_af_05_a_large_case_is_told_of_in_steps(
    desk: Cases, house: House, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in a transaction of its own; repeats, and two processes at once, tell nothing twice."""
    monkeypatch.setattr(case_store, "TOLD_MAX", 10)
    asked = [operation(member, amount="1500") for _ in range(35)]
    assert await desk.actions(*asked) == [REVIEW] * 35
    (case,) = await desk.queue(member_id=member)
    await desk.decide(case, FRAUDULENT)
    # Whoever repeats gets the outcome at once, told of or not.
    assert await desk.actions(*asked) == [DENY] * 35
    assert len(await events_of(house, "case_decided", member, "antifraud")) == 10
    later = [
        pb.AssessmentLabel(member_id=member, request_id=asked[number].request_id, fraud=False)
        for number in (0, 30)
    ]
    await desk.stub.LabelAssessments(
        pb.LabelAssessmentsRequest(request_id=new_id(), labels=later, operator="bob")
    )
    await asyncio.gather(*(desk.run("tell_cases") for _ in range(3)))
    events = await events_of(house, "case_decided", member, "antifraud")
    told = sorted(event.case_decided.request_id for event in events)
    assert told == sorted(one.request_id for one in asked)
    # What somebody said after the decision stands.
    found = await labels(house, member)
    assert sorted(found) == [(False, "bob")] * 2 + [(True, "ann")] * 33


async def test_af_05_of_two_who_decide_at_once_one_is_refused(desk: Cases, member: str) -> None:
    case = await desk.review(member)
    calls = [desk.decide(case, 1 + n % 2, f"op-{n}") for n in range(10)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(one, pb.Case) for one in outcomes) == 1
    (stored,) = await desk.queue(member_id=member)
    assert stored in outcomes


async def test_af_05_of_many_who_claim_at_once_one_works_on_it(desk: Cases, member: str) -> None:
    case = await desk.review(member)
    calls = [desk.claim(case, f"op-{n}") for n in range(10)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    (winner,) = [one for one in outcomes if isinstance(one, pb.Case)]
    refusal = await refused(desk.claim(case, "somebody"))
    assert (refusal.code, refusal.reason) == (StatusCode.FAILED_PRECONDITION, "CASE_CLAIMED")
    assert refusal.metadata["claimant"] == winner.claimant
    assert await desk.queue(claimant=winner.claimant, member_id=member) == [winner]
    assert await desk.queue(claimant="somebody", member_id=member) == []
    assert (await refused(desk.unclaim(case, "somebody"))).reason == "CASE_CLAIMED"
    assert (await refused(desk.decide(case, LEGITIMATE, "somebody"))).reason == "CASE_CLAIMED"
    free = await desk.unclaim(case, winner.claimant)
    assert (free.claimant, free.HasField("claim_expire_time")) == ("", False)
    await desk.claim(case, "somebody")
    decided = await desk.decide(case, LEGITIMATE, "somebody", claimant_only=True)
    assert decided.state == DECIDED


async def test_af_05_a_claim_ends_by_itself(desk: Cases, house: House, member: str) -> None:
    """After 30 minutes; claimed again by the same person it lasts longer."""
    case = await desk.review(member)
    claimed = await desk.claim(case, "ann")
    again = await desk.claim(case, "ann")
    first, second = map(from_timestamp, (claimed.claim_expire_time, again.claim_expire_time))
    assert first < second < first + timedelta(minutes=1)
    await house.fetch(
        "UPDATE antifraud.fraud_case SET claim_expire_time = now() - interval '1 second' "
        "WHERE case_id = $1",
        UUID(case.case_id),
    )
    assert await desk.queue(claimant="ann", member_id=member) == []
    late = await refused(desk.decide(case, LEGITIMATE, "ann", claimant_only=True))
    assert late.reason == "CASE_NOT_CLAIMED"
    assert (await desk.claim(case, "bob")).claimant == "bob"


async def test_af_05_the_queue_is_paged_oldest_or_highest_first(ground: Ground) -> None:
    amounts = ["1500", "2500", "1600", "2600", "1700"]
    async with ground.house() as house:
        await house.apply(program_with(RULES), effective_time=to_timestamp(LATE))
        await house.start("antifraud")
        desk = Cases(house)
        opened = [await desk.review(f"m{n}", amount) for n, amount in enumerate(amounts)]
        await desk.decide(opened[0])
        oldest = [one.member_id for one in await _pages(desk, state=OPEN)]
        assert oldest == ["m1", "m2", "m3", "m4"]
        by_score = await _pages(desk, state=OPEN, order=pb.CASE_ORDER_HIGHEST_SCORE)
        assert [one.member_id for one in by_score] == ["m1", "m3", "m2", "m4"]
        both = [one.member_id for one in await _pages(desk)]
        assert both == ["m0", "m1", "m2", "m3", "m4"]
        page = await desk.stub.ListCases(pb.ListCasesRequest(page_size=1))
        other = pb.ListCasesRequest(
            order=pb.CASE_ORDER_HIGHEST_SCORE, page_token=page.next_page_token
        )
        assert (await refused(desk.stub.ListCases(other))).reason == "PAGE_TOKEN_INVALID"


async def _pages(desk: Cases, **fields: object) -> list[pb.Case]:
    found: list[pb.Case] = []
    token = ""
    while True:
        request = pb.ListCasesRequest(page_size=2, page_token=token, **fields)  # type: ignore[arg-type]
        page = await desk.stub.ListCases(request)
        found += page.cases
        token = page.next_page_token
        if not token:
            return found


async def test_af_05_a_case_shows_its_assessments_in_pages(desk: Cases, member: str) -> None:
    for _ in range(5):
        case = await desk.review(member)
    first = await desk.get(case, page_size=3)
    rest = await desk.get(case, page_size=3, page_token=first.next_page_token)
    ids = [one.assessment_id for one in (*first.assessments, *rest.assessments)]
    assert (len(ids), ids) == (5, sorted(ids, reverse=True))
    assert rest.next_page_token == ""
    assert first.assessments[0].fired_rules[0].rule == "large"


async def test_af_05_evidence_leads_to_whoever_shares_a_device_a_card_or_a_gift(
    desk: Cases, member: str
) -> None:
    device, card = new_id(), new_id()
    friend, thief, giver, receiver = (f"{member}-{name}" for name in "ftgr")
    for _ in range(3):
        await desk.assess(operation(friend, device=device))
    stolen = operation(thief, card=card)
    await desk.assess(stolen, operation(thief, device=new_id()), operation(f"{member}-x"))
    for source, target in ((giver, member), (member, receiver), (giver, receiver)):
        gift = operation(source, kind=REDEMPTION, points=1)
        gift.type, gift.counterparty_member_id = "gift", target
        await desk.assess(gift)
    found = pb.AssessmentLabel(member_id=thief, request_id=stolen.request_id, fraud=True)
    await desk.stub.LabelAssessments(
        pb.LabelAssessmentsRequest(request_id=new_id(), labels=[found], operator="ann")
    )
    case = await desk.review(member, device=device, card=card)
    links = {
        (one.kind, one.member_id, one.value, one.fraud_count)
        for one in (await desk.get(case)).links
    }
    assert links == {
        (pb.CASE_LINK_KIND_DEVICE, friend, device, 0),
        (pb.CASE_LINK_KIND_CARD, thief, card, 1),
        (pb.CASE_LINK_KIND_GIFT_FROM, giver, "", 0),
        (pb.CASE_LINK_KIND_GIFT_TO, receiver, "", 0),
    }


async def test_af_05_evidence_is_bounded(desk: Cases, member: str) -> None:
    device = new_id()
    await desk.assess(*[operation(f"{member}-{n:03}", device=device) for n in range(80)])
    case = await desk.review(member, device=device)
    assert len((await desk.get(case)).links) == 50


async def test_af_05_any_operation_can_be_labelled(desk: Cases, house: House, member: str) -> None:
    one, two = operation(member), operation(member)
    await desk.assess(one, two)

    def request(fraud: bool, *operations: service_pb.Operation) -> pb.LabelAssessmentsRequest:
        found = [
            pb.AssessmentLabel(member_id=o.member_id, request_id=o.request_id, fraud=fraud)
            for o in operations
        ]
        return pb.LabelAssessmentsRequest(request_id=new_id(), labels=found, operator="ann")

    first = request(True, one, two)
    answers = await asyncio.gather(*[desk.stub.LabelAssessments(first) for _ in range(5)])
    assert {answer.labelled_count for answer in answers} == {2}
    await asyncio.gather(
        *[desk.stub.LabelAssessments(request(False, *pair)) for pair in ((one, two), (two, one))]
    )
    assert await labels(house, member) == [(False, "ann")] * 2
    unknown = await refused(desk.stub.LabelAssessments(request(True, one, operation(member))))
    assert (unknown.code, unknown.reason) == (StatusCode.NOT_FOUND, "ASSESSMENT_NOT_FOUND")
    twice = await refused(desk.stub.LabelAssessments(request(True, one, one)))
    assert twice.code == StatusCode.INVALID_ARGUMENT
    assert await labels(house, member) == [(False, "ann")] * 2


async def test_af_05_bad_requests_on_cases_are_told_what_is_wrong(desk: Cases) -> None:
    case = pb.Case(case_id=str(UUID(int=7)))
    for call in (
        desk.get(case), desk.claim(case, "ann"), desk.unclaim(case, "ann"), desk.decide(case),
    ):  # fmt: skip
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (StatusCode.NOT_FOUND, "CASE_NOT_FOUND")
    for call in (
        desk.get(pb.Case(case_id="7")),
        desk.claim(case, ""),
        desk.decide(case, 0),
        desk.queue(page_size=1001),
        desk.queue(page_token="x"),
    ):
        assert (await refused(call)).code == StatusCode.INVALID_ARGUMENT
