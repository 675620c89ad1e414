"""PT-13: what is taken back leaves the leaderboards that it came to, and no others."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from house import Ground, House, new_id
from kit.clock import new_id as new_uuid
from kit.clock import to_timestamp
from laurel.antifraud.v1 import cases_pb2 as cases
from laurel.antifraud.v1.antifraud_service_pb2 import Origin
from laurel.antifraud.v1.antifraud_service_pb2_grpc import AntifraudServiceStub
from laurel.event.v1.event_pb2 import CaseDecided, Event, EventBatch
from laurel.points.v1 import points_service_pb2 as pb
from points_boards import ALL, BOARDS, DAY, MONTH, board, rank
from points_earning import Earner
from points_ledger import calm_program
from points_moving import Counter

BIG_MONTH = """\
  challenges:
    - name: big_month
      measure: points
      target: 3000
      events: [purchase]
      calendar_month: true
      bonus_points: 500
"""
WATCHED = """\
  rules:
    - name: watched
      operations: [accrual]
      when: request.device == "watched"
      action: review
      score: 100
"""
LEGITIMATE, FRAUDULENT = cases.CASE_OUTCOME_LEGITIMATE, cases.CASE_OUTCOME_FRAUDULENT
# Two days of one month, so that a challenge of a calendar month spans both.
EARLIER = datetime.now(UTC).replace(day=1, hour=17) - timedelta(days=20)
LATER = EARLIER + timedelta(days=1)


def program_of(more: str) -> str:
    """Ten concerts of 30 points in a month give 50 more, 3,000 points of purchases 500 more; who
    comes with the watched device is put under review.
    """
    program = calm_program(multiplied=False, deadline_ms=2000)
    program = program.replace("  challenges:\n", BIG_MONTH, 1)
    return program.replace("  rules: []\n", WATCHED) + more


class Club(Earner, Counter):
    """The ledger, and who decides reviews."""

    async def concert(
        self, member: str, region: str, at: datetime = EARLIER, *, watched: bool = False
    ) -> pb.Transaction:
        """Goes to a concert, for 30 points."""
        booked = await self.do(member, "event", at, origin=origin_of(region, watched))
        assert booked.explanation.under_review == watched
        return booked

    async def conclude(self, member: str, outcome: cases.CaseOutcome) -> None:
        """Decides the open case of a member."""
        fraud: AntifraudServiceStub = self.house.stub(AntifraudServiceStub, "antifraud")
        asked = cases.ListCasesRequest(member_id=member, state=cases.CASE_STATE_OPEN)
        (case,) = (await fraud.ListCases(asked)).cases
        await fraud.DecideCase(
            cases.DecideCaseRequest(
                request_id=new_id(), case_id=case.case_id, outcome=outcome, operator="ann",
                reason="looked at it",
            )
        )  # fmt: skip

    async def score(self, member: str, region: str, at: datetime = EARLIER) -> int:
        """The member's points on the leaderboard of a day, once all events have taken effect."""
        await self.house.settle()
        return (await rank(self, member, DAY, region=region, time=to_timestamp(at))).points


def origin_of(region: str, watched: bool) -> Origin:
    """Where an operation comes from."""
    return Origin(region=region, device="watched" if watched else "")


@pytest.fixture(scope="module")
async def house(ground: Ground) -> AsyncIterator[House]:
    """A house whose program keeps all leaderboards."""
    async with ground.house() as house:
        await house.apply(program_of(BOARDS))
        await house.start("antifraud", "points")
        yield house


@pytest.fixture
def club(house: House) -> Club:
    return Club(house)


async def test_a_return_after_a_merge_leaves_the_score_of_who_had_bought(
    club: Club, region: str
) -> None:
    """What others had earned stays theirs, also where the purchase was merged away twice."""
    names = [f"{region}-{name}" for name in ("ada", "bea", "cai")]
    bought = [
        await club.accrue(name, amount, origin=Origin(region=region))
        for name, amount in zip(names, ("100", "40", "5"), strict=True)
    ]
    await club.merge(names[1], names[0])
    await club.merge(names[2], names[1])
    returned = pb.Transaction(member_id=names[2], transaction_id=bought[0].transaction_id)
    await club.reverse(returned, "30")
    assert [one[1:] for one in await board(club, ALL, region=region)] == [
        (names[0], 70), (names[1], 40), (names[2], 5),
    ]  # fmt: skip
    await club.reverse(returned)
    assert await board(club, ALL, region=region) == [(1, names[1], 40), (2, names[2], 5)]
    gone = await rank(club, names[0], ALL, region=region)
    assert (gone.rank, gone.points, gone.points_to_next) == (0, 0, 5)


async def test_a_review_settled_after_a_merge_counts_for_who_had_bought(
    club: Club, region: str
) -> None:
    ada, bea = f"{region}-ada", f"{region}-bea"
    bought = await club.accrue(ada, "100", EARLIER, origin=origin_of(region, watched=True))
    await club.accrue(bea, "40", EARLIER, origin=Origin(region=region))
    await club.merge(bea, ada)
    await club.conclude(ada, LEGITIMATE)
    assert (await club.score(ada, region), await club.score(bea, region)) == (100, 40)
    await club.reverse(pb.Transaction(member_id=bea, transaction_id=bought.transaction_id))
    assert (await club.score(ada, region), await club.score(bea, region)) == (0, 40)


async def test_the_distance_of_who_has_less_than_nothing_is_told_from_there(
    club: Club, region: str
) -> None:
    """As where a purchase is returned after the leaderboard of its day was forgotten."""
    at = datetime(2015, 5, 5, 12, tzinfo=UTC)
    ada, bea, cai = (f"{region}-{name}" for name in ("ada", "bea", "cai"))
    old = [await club.accrue(one, "100", at, origin=Origin(region=region)) for one in (ada, bea)]
    await club.house.settle()
    service = club.house.running["points"].service
    [schedule] = [one for one in service.schedules if one.name == "leaderboards"]
    await schedule.run()
    for accrual, amount in zip(old, ("60", "10"), strict=True):
        await club.reverse(accrual, amount)
    await club.accrue(cai, "20", at, origin=Origin(region=region))
    await club.house.settle()
    asked = {"region": region, "time": to_timestamp(at)}
    own = await rank(club, ada, DAY, target_rank=2, **asked)
    assert (own.rank, own.points, own.next_rank) == (0, 0, 1)
    assert (own.points_to_next, own.points_to_target) == (80, 61)
    await club.accrue(ada, "80", at, origin=Origin(region=region))
    await club.house.settle()
    own = await rank(club, ada, DAY, **asked)
    assert (own.rank, own.points, own.points_to_next) == (1, 20, 0)


async def test_a_lost_bonus_leaves_the_day_and_region_that_it_came_to(
    club: Club, member: str
) -> None:
    """Nine concerts on one day, the tenth on the next and elsewhere; then one of the first goes."""
    east, west = f"e-{member}", f"w-{member}"
    first = [await club.concert(member, east) for _ in range(9)]
    await club.concert(member, west, LATER)
    assert (await club.score(member, east), await club.score(member, west, LATER)) == (270, 80)
    await club.reverse(first[0])
    assert (await club.score(member, east), await club.score(member, west, LATER)) == (240, 30)
    for where, points in ((east, 240), (west, 30)):
        month = await rank(club, member, MONTH, region=where, time=to_timestamp(LATER))
        assert month.points == points
    # It can be reached again, and lost again.
    again = await club.concert(member, east, LATER)
    assert await club.score(member, east, LATER) == 80
    await club.reverse(again)
    assert await club.score(member, east, LATER) == 0
    assert (await club.balance(member)).active == 270


@pytest.mark.parametrize("decided", [False, True])
async def test_a_bonus_goes_with_an_event_under_review_that_it_needed(
    club: Club, member: str, region: str, decided: bool
) -> None:
    """Returned, or found to be fraud: the event had never counted, the bonus had."""
    first = await club.concert(member, region, watched=True)
    for _ in range(9):
        await club.concert(member, region)
    assert await club.score(member, region) == 320
    if decided:
        await club.conclude(member, FRAUDULENT)
        await club.house.settle()
    else:
        await club.reverse(first)
    assert await club.score(member, region) == 270
    assert (await club.balance(member)).active == 270


@pytest.mark.parametrize("decided", [False, True])
async def test_a_bonus_under_review_that_is_lost_never_counts(
    club: Club, member: str, region: str, decided: bool
) -> None:
    """The tenth concert is under review, and its bonus; the first is returned before a verdict, or
    after it.
    """
    first = [await club.concert(member, region) for _ in range(9)]
    await club.concert(member, region, watched=True)
    assert await club.score(member, region) == 270
    if decided:
        await club.conclude(member, LEGITIMATE)
        assert await club.score(member, region) == 350
        await club.reverse(first[0])
    else:
        await club.reverse(first[0])
        assert await club.score(member, region) == 240
        await club.conclude(member, LEGITIMATE)
    assert await club.score(member, region) == 270
    assert (await club.balance(member)).active == 270


async def test_a_bonus_that_was_lost_is_not_taken_back_by_the_verdict_again(
    club: Club, member: str, region: str
) -> None:
    """PT-09: it goes out of its own lot, and not of what another purchase had earned."""
    clean = await club.accrue(member, "2000", EARLIER, origin=origin_of(region, watched=False))
    await club.accrue(member, "1000", EARLIER, origin=origin_of(region, watched=True))
    assert await club.balance(member) == pb.Balance(active=2000, pending=1500)
    await club.reverse(clean, "100")
    assert await club.balance(member) == pb.Balance(active=1900, pending=1000)
    await club.conclude(member, FRAUDULENT)
    assert await club.score(member, region) == 1900
    assert await club.balance(member) == pb.Balance(active=1900)


async def test_a_bonus_that_a_verdict_took_is_not_lost_by_a_later_return(
    club: Club, member: str, region: str
) -> None:
    """PT-09: the tenth concert completed it, and was no real one; the others did so after it."""
    first = [await club.concert(member, region) for _ in range(9)]
    await club.concert(member, region, watched=True)
    await club.concert(member, region)
    await club.conclude(member, FRAUDULENT)
    await club.house.settle()
    assert await club.balance(member) == pb.Balance(active=300)
    await club.reverse(first[0])
    assert await club.balance(member) == pb.Balance(active=270)


async def test_a_bonus_goes_out_of_its_own_lot_where_the_purchase_had_expired(
    ground: Ground, member: str, region: str
) -> None:
    """PT-09: what a refund had brought back of the purchase is not taken in place of the bonus."""
    async with ground.house() as house:
        await house.apply(program_of(""))
        await house.start("antifraud", "points")
        club = Club(house)
        clean = await club.accrue(member, "2900", EARLIER, origin=origin_of(region, watched=False))
        spent = await club.hold(member, 1450)
        await club.capture(spent)
        await club.run_expiry(datetime.now(UTC) + timedelta(days=400))
        await club.refund(spent, 1450)
        await club.accrue(member, "100", EARLIER, origin=origin_of(region, watched=True))
        assert await club.balance(member) == pb.Balance(active=1450, pending=600)
        back = await club.reverse(clean, "1450")
        assert (back.forgiven_points, back.debt_points) == (1450, 0)
        assert await club.balance(member) == pb.Balance(active=1450, pending=100)
        await club.house.settle()
        await club.conclude(member, FRAUDULENT)
        await club.house.settle()
        assert await club.balance(member) == pb.Balance(active=1450)


async def test_a_bonus_that_was_lost_while_accounts_were_one_counts_no_more(
    club: Club, member: str, region: str
) -> None:
    """The return is asked of the survivor; the verdict comes when there are two accounts again."""
    survivor = f"{member}-survivor"
    first = [await club.concert(member, region) for _ in range(9)]
    await club.concert(member, region, watched=True)
    await club.accrue(survivor, "1", EARLIER, origin=Origin(region=region))
    merge = await club.merge(survivor, member)
    returned = pb.Transaction(member_id=survivor, transaction_id=first[0].transaction_id)
    await club.reverse(returned)
    assert (await club.score(member, region), await club.score(survivor, region)) == (240, 1)
    await club.undo(merge)
    await club.conclude(member, LEGITIMATE)
    assert (await club.score(member, region), await club.score(survivor, region)) == (270, 1)


async def test_a_return_under_review_takes_a_bonus_of_others_off_once(
    club: Club, member: str, region: str
) -> None:
    """2,000 under review and 1,000 give 500 more; of the first 100 go back, then it is settled."""
    bought = await club.accrue(member, "2000", EARLIER, origin=origin_of(region, watched=True))
    await club.accrue(member, "1000", EARLIER, origin=Origin(region=region))
    assert await club.score(member, region) == 1500
    await club.reverse(bought, "100")
    assert await club.score(member, region) == 1000
    await club.conclude(member, LEGITIMATE)
    assert await club.score(member, region) == 2900
    assert (await club.balance(member)).active == 2900


@pytest.mark.parametrize("fraud_first", [False, True])
async def test_verdicts_that_come_together_count_as_one_after_the_other(
    club: Club, member: str, region: str, fraud_first: bool
) -> None:
    """The first of ten concerts was fraud; the tenth was none, and loses its bonus all the same."""
    ids = [new_id(), new_id()]
    for request_id in (ids[0], *(None for _ in range(8)), ids[1]):
        fields = {"request_id": request_id} if request_id else {}
        origin = origin_of(region, watched=request_id is not None)
        await club.do(member, "event", EARLIER, origin=origin, **fields)
    told = list(zip(ids, (False, True), strict=True))
    events = [
        Event(
            event_id=str(new_uuid()), member_id=member,
            case_decided=CaseDecided(
                case_id=new_id(), request_id=request_id, kind="ACCRUAL", legitimate=legitimate
            ),
        )
        for request_id, legitimate in (told if fraud_first else reversed(told))
    ]  # fmt: skip
    broker = club.house.running["points"].broker
    assert broker is not None
    batch = EventBatch(batch_id=str(new_uuid()), events=events)
    js = await broker.jetstream()
    await js.publish("laurel.antifraud.case_decided", batch.SerializeToString())
    assert await club.score(member, region) == 270
    assert (await club.balance(member)).active == 270


async def test_a_bonus_leaves_the_leaderboards_of_the_version_that_gave_it(ground: Ground) -> None:
    """The first nine were decided by a version that keeps none."""
    async with ground.house() as house:
        await house.apply(program_of(""))
        await house.start("antifraud", "points")
        club = Club(house)
        now = datetime.now(UTC)
        first = [await club.concert("ada", "", now) for _ in range(9)]
        await house.apply(program_of("\nleaderboards: {periods: [all]}\n"))
        await house.settle()
        await club.concert("ada", "", datetime.now(UTC))
        assert await board(club, ALL) == [(1, "ada", 80)]
        await club.reverse(first[0])
        assert await board(club, ALL) == [(1, "ada", 30)]


async def test_points_that_are_made_up_for_in_cash_leave_as_a_debt_does(ground: Ground) -> None:
    """Of 300 points 250 are spent: 50 are taken, the rest is withheld or owed."""
    async with ground.house() as house:
        await house.apply(program_of(BOARDS + "\nreturns: {shortfall: cash}\n"))
        await house.start("antifraud", "points")
        club = Club(house)
        bought = await club.accrue("ada", "300")
        await club.capture(await club.hold("ada", 250))
        assert await board(club, ALL) == [(1, "ada", 300)]
        back = await club.reverse(bought, "100")
        assert (back.taken_points, back.cash_points) == (50, 50)
        assert await board(club, ALL) == [(1, "ada", 200)]
        assert (await club.reverse(bought)).cash_points == 200
        assert await board(club, ALL) == []
