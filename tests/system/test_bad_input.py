"""SC-05, PG-01: a mistake is refused with code, reason, field and value, and changes nothing."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest
from google.type.money_pb2 import Money
from grpc import StatusCode

from house import SAMPLE, Ground, House, Refused, new_id, refused, usd
from kit.auth import Certificates
from kit.errors import info_of
from kit.paging import encode_token
from laurel.antifraud.v1.antifraud_service_pb2 import Origin
from laurel.points.v1 import points_service_pb2 as pb
from laurel.program.v1 import program_service_pb2 as program_pb
from laurel.program.v1.program_service_pb2_grpc import ProgramServiceStub
from laurel.tier.v1 import member_service_pb2 as member_pb
from laurel.tier.v1.member_service_pb2_grpc import MemberServiceStub
from laurel.tier.v1.tier_service_pb2 import RunReviewRequest
from laurel.tier.v1.tier_service_pb2_grpc import TierServiceStub
from points_ledger import Ledger, calm_program

INVALID, FAILED, MISSING = (
    StatusCode.INVALID_ARGUMENT,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.NOT_FOUND,
)
NOWHERE = "018f0000-0000-7000-8000-000000000000"
LONG = "x" * 10_000
FAR = Timestamp(seconds=7_258_118_400)  # the year 2200
BEYOND = Timestamp(seconds=2**62)
TORN = Timestamp(seconds=1_700_000_000, nanos=-1)


@pytest.fixture(scope="module")
async def house(ground: Ground) -> AsyncIterator[House]:
    """A house of its own, whose program lets points be spent at once."""
    async with ground.house() as house:
        await house.apply(calm_program())
        yield await house.start("antifraud", "points", "tier")


@dataclass(frozen=True, slots=True)
class Scene:
    """A member with 900 points, an open hold of 60 of which 20 were captured, and a closed one."""

    member: str
    ledger: Ledger
    accrual: pb.Transaction
    hold: pb.Hold
    closed: pb.Hold

    async def state(self) -> tuple[object, ...]:
        """All that a refused call must leave as it is."""
        house, member = self.ledger.house, self.member
        counts = await house.fetch(
            "SELECT (SELECT count(*) FROM points.transaction) AS transactions, "
            "(SELECT count(*) FROM points.account) AS accounts"
        )
        return await self.ledger.balance(member), [tuple(row) for row in counts]


@pytest.fixture
async def scene(house: House, member: str) -> Scene:
    """See Scene."""
    ledger = Ledger(house)
    accrual = await ledger.accrue(member, "1000.00")
    hold, closed = await ledger.hold(member, 60), await ledger.hold(member, 40)
    await ledger.capture(hold, 20)
    await ledger.capture(closed)
    return Scene(member, ledger, accrual, hold, closed)


@dataclass(frozen=True, slots=True)
class Bad:
    """A request with one mistake, and how it is answered."""

    title: str
    build: Callable[[Scene], Message]
    code: StatusCode
    reason: str
    says: tuple[str, ...]
    """What the message names: the field, the value, what to do."""


def accrual(title: str, reason: str, *says: str, **fields: object) -> Bad:
    def build(scene: Scene) -> Message:
        return scene.ledger.accrual(**{"member": scene.member, "amount": "1.00", **fields})  # type: ignore[arg-type]

    return Bad(f"accrual: {title}", build, INVALID, reason, says)


def bought(title: str, reason: str, *says: str, amount: Money) -> Bad:
    purchase = pb.Purchase(order_id="o", amount=amount)
    return accrual(title, reason, *says, purchase=purchase)


def dollars(units: int, nanos: int = 0, currency: str = "USD") -> Money:
    return Money(currency_code=currency, units=units, nanos=nanos)


def holding(title: str, code: StatusCode, reason: str, *says: str, **fields: object) -> Bad:
    def build(scene: Scene) -> Message:
        return scene.ledger.holding(**{"member": scene.member, "points": 1, **fields})  # type: ignore[arg-type]

    return Bad(f"hold: {title}", build, code, reason, says)


def with_hold(
    kind: type[Message], title: str, code: StatusCode, reason: str, *says: str, **fields: object
) -> Bad:
    """On a hold: the scene's open one, or `hold_id`."""

    def build(scene: Scene) -> Message:
        chosen = {"request_id": new_id(), "hold_id": scene.hold.hold_id, **fields}
        if chosen["hold_id"] == "closed":
            chosen["hold_id"] = scene.closed.hold_id
        return kind(**chosen)

    return Bad(f"{kind.__name__[:7].lower()}: {title}", build, code, reason, says)


def reversal(title: str, code: StatusCode, reason: str, *says: str, **fields: object) -> Bad:
    def build(scene: Scene) -> Message:
        own = {"member_id": scene.member, "transaction_id": scene.accrual.transaction_id}
        return pb.ReverseAccrualRequest(**{"request_id": new_id(), **own, **fields})  # type: ignore[arg-type]

    return Bad(f"reversal: {title}", build, code, reason, says)


def nul(title: str, field: str, **fields: object) -> Bad:
    says = (field, "holds a NUL character; leave it out", "\\x00")
    return accrual(f"NUL in {title}", "INVALID_ARGUMENT", *says, **fields)


PURCHASE = pb.Purchase(order_id="o", amount=usd("1.00"))
CAPTURE, REFUND, RELEASE = pb.CapturePointsRequest, pb.RefundPointsRequest, pb.ReleaseHoldRequest
PLAIN = "INVALID_ARGUMENT"
BAD = [
    accrual("empty member id", PLAIN, "member_id", "at least 1 byte", "got ''", member=""),
    accrual("member id of 10 kB", PLAIN, "member_id", "at most 128", "10002", member=LONG),
    accrual("no request id", PLAIN, "request_id", "at least 1", request_id=""),
    accrual("request id of 10 kB", PLAIN, "request_id", "at most 128", request_id=LONG),
    accrual("no purchase", PLAIN, "purchase", "required", purchase=None),
    accrual(
        "no order id", PLAIN, "purchase.order_id", purchase=pb.Purchase(amount=usd("1.00"))
    ),
    accrual("no amount", PLAIN, "purchase.amount", purchase=pb.Purchase(order_id="o")),
    accrual(
        "a long category", PLAIN, "purchase.categories[1]", "at most 128",
        purchase=pb.Purchase(order_id="o", amount=usd("1.00"), categories=["a", LONG]),
    ),
    accrual(
        "101 categories", PLAIN, "purchase.categories", "100",
        purchase=pb.Purchase(order_id="o", amount=usd("1.00"), categories=map(str, range(101))),
    ),
    bought("negative amount", "AMOUNT_INVALID", "-5 units", "give 0 or more", amount=dollars(-5)),
    bought(
        "negative nanos", "AMOUNT_INVALID", "-10000000 nanos", "0 or more",
        amount=dollars(0, -10_000_000),
    ),
    bought(
        "nanos finer than a cent", "AMOUNT_INVALID", "1000000 nanos", "USD", "multiple of 10000000",
        amount=dollars(1, 1_000_000),
    ),
    bought(
        "nanos of a whole unit", "AMOUNT_INVALID", "1000000000 nanos", amount=dollars(1, 10**9)
    ),
    bought("2^63 - 1 dollars", "AMOUNT_INVALID", str(2**63 - 1), amount=dollars(2**63 - 1)),
    bought(
        "other currency", "CURRENCY_MISMATCH", "USD", "EUR", amount=dollars(1, currency="EUR")
    ),
    bought("no currency", "CURRENCY_MISMATCH", "USD", "none", amount=dollars(1, currency="")),
    accrual("the year 2200", "TIME_IN_FUTURE", "2200-01-01", "5 minutes", occurred_time=FAR),
    accrual("2^62 seconds", "TIME_INVALID", str(2**62), "1900-01-01", occurred_time=BEYOND),
    accrual("-1 nanos", "TIME_INVALID", "-1 nanos", "0 to 999,999,999", occurred_time=TORN),
    nul("member id", "member_id", member="a\0b"),
    nul("request id", "request_id", request_id="a\0b"),
    nul("order id", "purchase.order_id", purchase=pb.Purchase(order_id="\0", amount=usd("1.00"))),
    nul(
        "a category", "purchase.categories[0]",
        purchase=pb.Purchase(order_id="o", amount=usd("1.00"), categories=["a\0b"]),
    ),
    *(nul(f"origin's {name}", f"origin.{name}", origin=Origin(**{name: "a\0b"}))
      for name in ("channel", "store", "device", "ip", "card")),
    holding("0 points", INVALID, PLAIN, "points", "got 0", points=0),
    holding("-5 points", INVALID, PLAIN, "points", "got -5", points=-5),
    holding("2^63 - 1 points", INVALID, PLAIN, "points", str(2**63 - 1), points=2**63 - 1),
    holding(
        "more than there is", FAILED, "INSUFFICIENT_POINTS", "901", "900 can be spent", points=901
    ),
    holding(
        "more than half of the order", INVALID, "POINTS_ABOVE_SHARE", "51", "50", points=51,
        order_amount=usd("1.00"),
    ),
    holding("negative order", INVALID, "AMOUNT_INVALID", "-1", order_amount=dollars(-1)),
    holding("empty order id", INVALID, PLAIN, "order_id", order_id=""),
    holding("NUL in order id", INVALID, PLAIN, "order_id", "NUL", order_id="a\0"),
    holding("the year 2200", INVALID, "TIME_IN_FUTURE", "2200", occurred_time=FAR),
    with_hold(CAPTURE, "unknown hold", MISSING, "HOLD_NOT_FOUND", NOWHERE, hold_id=NOWHERE),
    with_hold(CAPTURE, "no id at all", MISSING, "HOLD_NOT_FOUND", "a hold", hold_id="a hold"),
    with_hold(CAPTURE, "empty id", INVALID, PLAIN, "hold_id", hold_id=""),
    with_hold(CAPTURE, "NUL in id", INVALID, PLAIN, "hold_id", "NUL", hold_id="\0"),
    with_hold(CAPTURE, "beyond", FAILED, "HOLD_EXCEEDED", "41", "40 are still held", points=41),
    with_hold(CAPTURE, "-1 points", INVALID, PLAIN, "points", "got -1", points=-1),
    with_hold(CAPTURE, "a second time", FAILED, "HOLD_NOT_OPEN", "40 captured", hold_id="closed"),
    with_hold(RELEASE, "unknown hold", MISSING, "HOLD_NOT_FOUND", NOWHERE, hold_id=NOWHERE),
    with_hold(RELEASE, "no id at all", MISSING, "HOLD_NOT_FOUND", "a hold", hold_id="a hold"),
    with_hold(RELEASE, "a closed one", FAILED, "HOLD_NOT_OPEN", "40 captured", hold_id="closed"),
    with_hold(REFUND, "unknown hold", MISSING, "HOLD_NOT_FOUND", NOWHERE, hold_id=NOWHERE),
    with_hold(REFUND, "beyond", FAILED, "REFUND_EXCEEDED", "21 points", "20 are left", points=21),
    with_hold(REFUND, "-1 points", INVALID, PLAIN, "points", "got -1", points=-1),
    reversal("no uuid", INVALID, PLAIN, "transaction_id", "'7'", transaction_id="7"),
    reversal(
        "unknown", MISSING, "TRANSACTION_NOT_FOUND", NOWHERE, transaction_id=NOWHERE
    ),
    reversal("of another member", MISSING, "TRANSACTION_NOT_FOUND", "else", member_id="else"),
    reversal(
        "beyond", FAILED, "RETURN_EXCEEDED", "100001", "100000", returned_amount=usd("1000.01")
    ),
    reversal(
        "other currency", INVALID, "CURRENCY_MISMATCH", "EUR",
        returned_amount=dollars(1, currency="EUR"),
    ),
]  # fmt: skip

METHODS: dict[type[Message], str] = {
    pb.AccruePointsRequest: "AccruePoints",
    pb.HoldPointsRequest: "HoldPoints",
    pb.CapturePointsRequest: "CapturePoints",
    pb.ReleaseHoldRequest: "ReleaseHold",
    pb.RefundPointsRequest: "RefundPoints",
    pb.ReverseAccrualRequest: "ReverseAccrual",
}


def assert_said(told: Refused, code: StatusCode, reason: str, *says: str) -> None:
    """The refusal has its code and reason, and its message names all of these."""
    assert (told.code, told.reason) == (code, reason), told
    assert [part for part in says if part not in (told.message or "")] == [], told.message
    assert "Traceback" not in (told.message or "")


def fields_of(told: Refused) -> list[str]:
    """The fields that the refusal's BadRequest names."""
    bad = BadRequest()
    for detail in told.status.details if told.status else ():
        if detail.Unpack(bad):
            return [violation.field for violation in bad.field_violations]
    return []


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.title)
async def test_a_mistake_is_named_and_changes_nothing(scene: Scene, bad: Bad) -> None:
    before = await scene.state()
    request = bad.build(scene)
    told = await refused(getattr(scene.ledger.stub, METHODS[type(request)])(request))
    assert_said(told, bad.code, bad.reason, *bad.says)
    if bad.code is INVALID:
        assert len(fields_of(told)) == 1, "the field at fault is named for machines, too"
    assert await scene.state() == before


async def test_all_mistakes_of_a_request_are_named_at_once(scene: Scene) -> None:
    request = pb.HoldPointsRequest(member_id=LONG, points=-1, order_id="a\0b")
    told = await refused(scene.ledger.stub.HoldPoints(request))
    assert fields_of(told) == ["request_id", "member_id", "points", "order_id"]
    assert len(told.message or "") < 2000, "a message does not repeat 10 kB"


async def test_a_request_id_with_other_content_is_refused_by_every_method(scene: Scene) -> None:
    first = scene.ledger.accrual(scene.member, "1.00")
    await scene.ledger.stub.AccruePoints(first)
    before = await scene.state()
    used = first.request_id
    for call in (
        scene.ledger.accrue(scene.member, "2.00", request_id=used),
        scene.ledger.hold(scene.member, 1, request_id=used),
        scene.ledger.capture(scene.hold, 1, request_id=used),
        scene.ledger.release(scene.hold, request_id=used),
        scene.ledger.refund(scene.hold, 1, request_id=used),
        scene.ledger.reverse(scene.accrual, request_id=used),
    ):
        told = await refused(call)
        assert_said(told, StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED", used, "use a new id")
    assert await scene.state() == before


async def test_an_amount_of_zero_is_booked_without_points(scene: Scene) -> None:
    before = await scene.ledger.balance(scene.member)
    booked = await scene.ledger.accrue(scene.member, "0")
    assert (booked.points, await scene.ledger.balance(scene.member)) == (0, before)


# What no client of ours could send


async def test_2_to_the_63_points_are_refused(scene: Scene) -> None:
    """The wire has room for a number that the field has not: it arrives as a negative one."""
    before = await scene.state()
    good = scene.ledger.holding(scene.member, 1)
    good.ClearField("points")
    raw = good.SerializeToString() + b"\x18" + b"\x80" * 9 + b"\x01"
    method = "/laurel.points.v1.PointsService/HoldPoints"
    told = await refused(scene.ledger.house.channel("points").unary_unary(method)(raw))
    assert_said(told, INVALID, PLAIN, "points", str(-(2**63)))
    assert await scene.state() == before


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\x7f", b"\x12\x02\xc3\x28"])
async def test_bytes_that_are_no_message_are_refused_and_do_no_harm(
    scene: Scene, raw: bytes
) -> None:
    before = await scene.state()
    channel = scene.ledger.house.channel("points")
    told = await refused(channel.unary_unary("/laurel.points.v1.PointsService/HoldPoints")(raw))
    assert_said(told, INVALID, "MALFORMED", "HoldPointsRequest", "protos/")
    assert await scene.state() == before


async def test_who_may_not_call_is_told_so_and_not_what_is_wrong(scene: Scene) -> None:
    channel = scene.ledger.house.channel("points", "dashboard")
    told = await refused(channel.unary_unary("/laurel.points.v1.PointsService/HoldPoints")(b"\xff"))
    assert told.code is StatusCode.PERMISSION_DENIED


async def test_a_message_of_10_mb_is_refused(scene: Scene) -> None:
    settings = scene.ledger.house.settings
    credentials = Certificates.load(settings.cert_dir, "admin").for_client()
    options = [("grpc.max_send_message_length", -1)]
    before = await scene.state()
    async with grpc.aio.secure_channel(settings.points_addr, credentials, options) as channel:
        method = channel.unary_unary("/laurel.points.v1.PointsService/AccruePoints")
        request = scene.ledger.accrual("x" * 10_000_000, "1.00")
        told = await refused(method(request.SerializeToString()))
    assert told.code is StatusCode.RESOURCE_EXHAUSTED
    assert "8388608" in (told.message or ""), "the bound is named"
    assert await scene.state() == before


# Batches


async def test_a_batch_of_none_and_of_1001_is_refused_as_a_whole(scene: Scene) -> None:
    before = await scene.state()
    for count, says in ((0, "at least 1"), (1001, "1000")):
        rows = [scene.ledger.accrual(scene.member, "1.00") for _ in range(count)]
        request = pb.BatchAccruePointsRequest(requests=rows)
        told = await refused(scene.ledger.stub.BatchAccruePoints(request))
        assert_said(told, INVALID, PLAIN, "requests", says)
        members = [member_pb.EnrolMemberRequest(request_id=new_id(), member_id="m")] * count
        enrolment = member_pb.BatchEnrolMembersRequest(requests=members)
        tier = scene.ledger.house.stub(MemberServiceStub, "tier")
        assert_said(await refused(tier.BatchEnrolMembers(enrolment)), INVALID, PLAIN, "requests")
    assert await scene.state() == before


async def test_a_bad_row_of_a_batch_is_answered_alone(scene: Scene) -> None:
    bad = [case for case in BAD if case.title.startswith("accrual: ")]
    rows = [case.build(scene) for case in bad]
    good = [scene.ledger.accrual(scene.member, "1.00") for _ in rows]
    mixed = [row for pair in zip(rows, good, strict=True) for row in pair]
    before = await scene.ledger.balance(scene.member)
    response = await scene.ledger.stub.BatchAccruePoints(
        pb.BatchAccruePointsRequest(requests=mixed)  # type: ignore[arg-type]
    )
    outcomes = list(response.results)
    assert [info_of(row.error).reason for row in outcomes[::2]] == [case.reason for case in bad]
    assert all(row.HasField("accrued") for row in outcomes[1::2])
    after = await scene.ledger.balance(scene.member)
    # By what they earned: the member's tier may come in between.
    booked = [row.accrued.points for row in outcomes[1::2]]
    assert min(booked) > 0
    assert after.active == before.active + sum(booked)


async def test_a_bad_row_of_a_batch_of_members_is_answered_alone(house: House) -> None:
    tier = house.stub(MemberServiceStub, "tier")
    good = member_pb.EnrolMemberRequest(request_id=new_id(), member_id=f"m-{new_id()}")
    bad = [
        member_pb.EnrolMemberRequest(request_id=new_id(), member_id="a\0b"),
        member_pb.EnrolMemberRequest(request_id=new_id(), member_id=LONG),
        member_pb.EnrolMemberRequest(request_id=new_id(), member_id="m", email="no address"),
        member_pb.EnrolMemberRequest(request_id=new_id(), member_id="m", enrol_time=BEYOND),
    ]
    request = member_pb.BatchEnrolMembersRequest(requests=[*bad, good])
    results = list((await tier.BatchEnrolMembers(request)).results)
    assert [row.WhichOneof("outcome") for row in results] == ["error"] * 4 + ["member"]


# Reading and scheduled work


async def test_a_page_that_cannot_be_is_refused(scene: Scene) -> None:
    for fields, reason in (
        ({"page_size": 1001}, PLAIN),
        ({"page_size": -1}, PLAIN),
        ({"page_token": LONG}, PLAIN),
        ({"page_token": "a\0"}, PLAIN),
        ({"page_token": "no token"}, "PAGE_TOKEN_INVALID"),
        ({"page_token": encode_token("a\0b")}, "PAGE_TOKEN_INVALID"),
        ({"page_token": encode_token(7)}, "PAGE_TOKEN_INVALID"),
    ):
        request = pb.ListTransactionsRequest(member_id=scene.member, **fields)  # type: ignore[arg-type]
        told = await refused(scene.ledger.stub.ListTransactions(request))
        assert_said(told, INVALID, reason)


@pytest.mark.parametrize("stamp", [BEYOND, TORN, Timestamp(seconds=-(2**62))], ids=str)
async def test_a_time_out_of_range_is_refused_by_scheduled_work(
    scene: Scene, stamp: Timestamp
) -> None:
    before = await scene.state()
    house = scene.ledger.house
    draft = program_pb.ApplyProgramRequest(
        request_id=new_id(), source_yaml=SAMPLE.read_text(), effective_time=stamp
    )
    enrolment = member_pb.EnrolMemberRequest(
        request_id=new_id(), member_id=scene.member, enrol_time=stamp
    )
    for call in (
        scene.ledger.stub.RunExpiry(pb.RunExpiryRequest(as_of_time=stamp)),
        scene.ledger.stub.RunMaturation(pb.RunMaturationRequest(as_of_time=stamp)),
        house.stub(TierServiceStub, "tier").RunReview(RunReviewRequest(as_of_time=stamp)),
        house.stub(MemberServiceStub, "tier").EnrolMember(enrolment),
        house.stub(ProgramServiceStub, "program").ApplyProgram(draft),
    ):
        assert_said(await refused(call), INVALID, "TIME_INVALID", str(stamp.seconds))
    assert await scene.state() == before


# Programs

MISTAKES = {
    "time_zone: America/New_York": "time_zone: Mars/Olympus",
    "pending_days: 14": "pending_days: -3",
    "rounding: half_up": "rounding: sideways",
    "points_share_max: 0.5": "points_share_max: 1.5",
    "window_months: 12": "window_month: 12",
}


def faulty_program() -> tuple[str, list[int]]:
    """The sample with five mistakes, and their lines."""
    text = SAMPLE.read_text()
    for good, bad in MISTAKES.items():
        assert text.count(good) == 1
        text = text.replace(good, bad)
    numbered = list(enumerate(text.splitlines(), start=1))
    return text, [number for number, line in numbered for bad in MISTAKES.values() if bad in line]


async def test_five_mistakes_of_a_program_are_told_at_once_and_it_is_not_applied(
    house: House,
) -> None:
    """PG-01"""
    text, lines = faulty_program()
    stub = house.stub(ProgramServiceStub, "program")
    before = (await stub.GetProgram(program_pb.GetProgramRequest())).program_version
    validation = program_pb.ValidateProgramRequest(source_yaml=text, file="faulty.yaml")
    mistakes = list((await stub.ValidateProgram(validation)).mistakes)
    assert sorted({mistake.line for mistake in mistakes} & set(lines)) == sorted(lines)
    assert all(mistake.path and mistake.reason and mistake.column for mistake in mistakes)

    request = program_pb.ApplyProgramRequest(
        request_id=new_id(), source_yaml=text, file="faulty.yaml", reason="for a test"
    )
    told = await refused(stub.ApplyProgram(request))
    assert (told.code, told.reason) == (INVALID, "PROGRAM_INVALID")
    assert len(fields_of(told)) == len(mistakes)
    after = (await stub.GetProgram(program_pb.GetProgramRequest())).program_version
    assert after.version == before.version


def test_the_command_line_tells_all_five_with_file_line_and_column(tmp_path: Path) -> None:
    """PG-01"""
    text, lines = faulty_program()
    file = tmp_path / "faulty.yaml"
    file.write_text(text)
    command = [sys.executable, "-m", "cli.main", "program", "validate", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    for line in lines:
        assert f"{file}:{line}:" in said
    assert "Traceback" not in said
