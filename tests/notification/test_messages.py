"""What members are told, once for each cause (NT-01, NT-03, NT-04)."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from grpc import StatusCode
from notification_desk import (
    DELIVERED,
    EMAIL,
    INBOX,
    NOON,
    SKIPPED,
    Desk,
    delivery,
    expiring,
    tier_up,
    until,
)

from house import SAMPLE, Ground, new_id, refused
from kit.clock import to_timestamp
from kit.events import STREAM


async def test_nt_03_a_member_who_rises_is_told_so(desk: Desk, member: str) -> None:
    """NT-01: at once in the inbox."""
    event = tier_up(member)
    await desk.tell(event)
    message = await desk.only(member)
    assert message.subject == "Welcome to Gold"
    assert "until 2027-03-01." in message.body
    assert (message.rule, message.cause_event_id) == ("tier_up", event.event_id)
    assert message.program_version == 1
    inbox = delivery(message, INBOX)
    assert (inbox.state, inbox.deliver_time) == (DELIVERED, message.create_time)


async def test_nt_03_a_member_whose_points_expire_is_warned(desk: Desk, member: str) -> None:
    await desk.tell(expiring(member, 250, datetime(2026, 3, 9, 3, 30, tzinfo=UTC)))
    message = await desk.only(member)
    # The day in New York, on the other side of the change to summer time.
    assert message.subject == "250 points expire on 2026-03-08"
    assert message.rule == "points_expiring"


async def test_nt_03_points_that_end_with_the_year_expire_on_its_last_day(
    desk: Desk, member: str
) -> None:
    """PT-06: midnight in New York."""
    await desk.tell(expiring(member, 250, datetime(2027, 1, 1, 5, tzinfo=UTC)))
    assert (await desk.only(member)).subject == "250 points expire on 2026-12-31"


async def test_nt_03_a_member_who_falls_is_told_nothing(desk: Desk, member: str) -> None:
    await desk.tell(tier_up(member, "gold", "silver"))
    assert not (await desk.inbox(member)).messages


async def test_e_mail_is_skipped_at_once_without_a_mail_server(desk: Desk, member: str) -> None:
    await desk.tell(tier_up(member))
    email = await desk.email(member)
    assert (email.state, email.attempt_count) == (SKIPPED, 0)
    assert email.reason == "no mail server is configured"


async def test_nt_04_one_cause_makes_one_message(desk: Desk, member: str) -> None:
    event = tier_up(member)
    await desk.tell(event, event)
    await asyncio.gather(*(desk.send(event) for _ in range(20)))
    await desk.house.settle()
    assert len((await desk.inbox(member)).messages) == 1
    rows = await desk.house.fetch(
        "SELECT count(*) FROM notification.delivery WHERE member_id = $1", member
    )
    assert rows[0]["count"] == 2


async def test_the_inbox_shows_the_newest_first_page_by_page(desk: Desk, member: str) -> None:
    times = [NOON + timedelta(days=day) for day in (3, 1, 4, 0, 2)]
    await desk.tell(*(expiring(member, at.day, NOON + timedelta(days=30), at) for at in times))
    await desk.tell(expiring(member, 99, NOON + timedelta(days=30), NOON + timedelta(days=9)))
    seen: list[str] = []
    token = ""
    while True:
        page = await desk.inbox(member, page_size=4, page_token=token)
        seen += [message.subject.partition(" ")[0] for message in page.messages]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["99", "5", "4", "3", "2", "1"]


async def test_nt_01_a_page_of_long_messages_fits_into_an_answer(desk: Desk, member: str) -> None:
    async def send() -> None:
        await desk.stub.SendMessage(desk.send_request(member, INBOX, body="您" * 5000))

    for _ in range(12):
        await asyncio.gather(*(send() for _ in range(50)))
    seen: list[str] = []
    token = ""
    while token or not seen:
        page = await desk.inbox(member, page_size=1000, page_token=token)
        assert page.messages
        seen += [message.message_id for message in page.messages]
        token = page.next_page_token
    assert len(seen) == 600
    assert seen == sorted(set(seen), reverse=True)


async def test_a_page_token_of_ones_own_is_refused(desk: Desk, member: str) -> None:
    refusal = await refused(desk.inbox(member, page_token="bm9uc2Vuc2U="))
    assert refusal.reason == "PAGE_TOKEN_INVALID"


async def test_the_rules_in_force_when_it_happened_speak(ground: Ground) -> None:
    source = SAMPLE.read_text()
    newer = source.replace("Welcome to ${tier}", "$$1 off for ${member_id}, now ${tier}")
    async with ground.house() as house:
        await house.apply(source)
        await house.apply(newer, effective_time=to_timestamp(NOON + timedelta(days=10)))
        await house.start("notification")
        desk = Desk(house)
        await desk.tell(
            tier_up("before", at=NOON),
            tier_up("after", at=NOON + timedelta(days=11), program_version=2),
        )
        assert (await desk.only("before")).subject == "Welcome to Gold"
        assert (await desk.only("after")).subject == "$1 off for after, now Gold"
        assert (await desk.only("after")).program_version == 2


async def test_nt_03_an_event_of_a_version_not_known_here_waits_until_it_is(ground: Ground) -> None:
    source = SAMPLE.read_text()
    async with ground.house() as house:
        await house.apply(source)
        await house.start("notification")
        desk = Desk(house)
        await desk.tell(tier_up("known"))
        await house.stop("program")
        await desk.send(tier_up("waits", program_version=2))
        broker = house.running["notification"].broker
        assert broker is not None
        js = await broker.jetstream()

        async def was_looked_at() -> bool:
            info = await js.consumer_info(STREAM, "notification")
            return bool(info.num_redelivered or not info.num_pending + info.num_ack_pending)

        await until(was_looked_at)
        newer = source.replace("Welcome to ${tier}", "Now you are ${tier}")
        await house.apply(newer, effective_time=to_timestamp(NOON - timedelta(days=1)))
        await house.settle()
        message = await desk.only("waits")
        assert (message.subject, message.program_version) == ("Now you are Gold", 2)


async def test_ten_thousand_events_take_effect_in_seconds(desk: Desk) -> None:
    prefix = new_id()
    batches = [[tier_up(f"{prefix}-{b}-{i}") for i in range(256)] for b in range(40)]
    began = time.monotonic()
    await asyncio.gather(*(desk.send(*batch) for batch in batches))
    await desk.house.settle()
    assert time.monotonic() - began < 10
    rows = await desk.house.fetch(
        """
        SELECT channel, state, count(*) FROM notification.delivery
        WHERE member_id LIKE $1 || '%' GROUP BY channel, state
        """,
        prefix,
    )
    found = {(row["channel"], row["state"]): row["count"] for row in rows}
    assert found == {("INBOX", "DELIVERED"): 10_240, ("EMAIL", "SKIPPED"): 10_240}


async def test_a_message_of_ones_own_is_accepted_and_shown(desk: Desk, member: str) -> None:
    answer = await desk.stub.SendMessage(desk.send_request(member, INBOX, EMAIL, body="Zwölf €"))
    sent = answer.message
    assert (sent.rule, sent.cause_event_id, sent.program_version) == ("", "", 0)
    assert await desk.only(member) == sent
    assert [one.state for one in sent.deliveries] == [DELIVERED, SKIPPED]


async def test_a_message_without_the_inbox_is_not_in_it(desk: Desk, member: str) -> None:
    await desk.stub.SendMessage(desk.send_request(member, EMAIL))
    assert not (await desk.inbox(member)).messages


async def test_a_repeated_message_is_sent_once(desk: Desk, member: str) -> None:
    request = desk.send_request(member)
    answers = await asyncio.gather(*(desk.stub.SendMessage(request) for _ in range(20)))
    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert len((await desk.inbox(member)).messages) == 1


async def test_equal_messages_of_other_requests_are_all_sent(desk: Desk, member: str) -> None:
    for _ in range(2):
        await desk.stub.SendMessage(desk.send_request(member))
    assert len((await desk.inbox(member)).messages) == 2


async def test_a_request_id_with_other_content_is_refused(desk: Desk, member: str) -> None:
    request = desk.send_request(member)
    await desk.stub.SendMessage(request)
    request.body = "Bad news."
    refusal = await refused(desk.stub.SendMessage(request))
    assert (refusal.code, refusal.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_request_with_a_thousand_faults_is_refused_with_its_first_ones(
    desk: Desk, member: str
) -> None:
    request = desk.send_request(member, *[99] * 1000, subject="\r" + "😀" * 300)  # type: ignore[list-item]
    refusal = await refused(desk.stub.SendMessage(request))
    assert (refusal.code, refusal.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert "channels: must contain no more than 4 item(s)" in str(refusal.message)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", ""),
        ("subject", "Hello\r\nBcc: everybody@example.com"),
        ("subject", "x" * 201),
        ("body", ""),
        ("body", "x" * 5001),
        ("body", "a\0b"),
        ("member_id", "m\0"),
    ],
)
async def test_a_field_at_fault_is_named(desk: Desk, member: str, field: str, value: str) -> None:
    request = desk.send_request(member)
    setattr(request, field, value)
    refusal = await refused(desk.stub.SendMessage(request))
    assert refusal.code == StatusCode.INVALID_ARGUMENT
    assert field in refusal.metadata["fields"]
