"""E-mail: who gets it, and what happens when it cannot be delivered (NT-01, NT-04, NT-05)."""

import asyncio
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from email.utils import parsedate_to_datetime

import pytest
from notification_desk import (
    DELIVERED,
    EMAIL,
    FAILED,
    INBOX,
    PENDING,
    SKIPPED,
    Desk,
    expiring,
    tier_up,
    until,
)
from post_office import PostOffice, server_tls

from house import SAMPLE, Ground, new_id
from kit.clock import from_timestamp, to_timestamp
from kit.clock import new_id as uuid7
from kit.settings import SettingsInvalid
from notification.attempts import (
    ATTEMPTS_MAX,
    Attempt,
    Delayed,
    Delivered,
    Refused,
    backoff,
    judge,
)
from notification.mail import MailServer, write
from notification.messages import State
from notification.store import DeliveryStore


async def test_nt_01_a_member_who_agreed_gets_the_message_by_e_mail(
    mail_desk: Desk, post: PostOffice, member: str
) -> None:
    address = await mail_desk.enrol(member)
    await mail_desk.tell(tier_up(member))
    email = await mail_desk.email_until(member, DELIVERED)
    assert (email.attempt_count, email.reason) == (1, "")
    assert email.HasField("deliver_time")
    (mail,) = post.mails[address]
    message = await mail_desk.only(member)
    assert (mail["From"], mail["To"]) == ("club@laurel.example", address)
    assert mail["Subject"] == message.subject
    assert mail.get_content().splitlines() == message.body.splitlines()
    assert mail["Message-ID"] == f"<{message.message_id}@laurel.example>"
    sent = parsedate_to_datetime(mail["Date"])
    assert abs(sent - from_timestamp(message.create_time)) <= timedelta(seconds=1)


@pytest.mark.parametrize(
    ("email", "consent", "reason"),
    [
        ("", False, "the member has not agreed to e-mail"),
        ("none", True, "the member has no e-mail address"),
    ],
)
async def test_nt_04_without_consent_or_address_nothing_is_sent(
    mail_desk: Desk, post: PostOffice, member: str, email: str, consent: bool, reason: str
) -> None:
    address = await mail_desk.enrol(member, email, consent=consent)
    await mail_desk.tell(tier_up(member))
    skipped = await mail_desk.email_until(member, SKIPPED)
    assert skipped.reason == reason
    assert address not in post.mails


async def test_a_member_whom_tier_does_not_know_is_skipped(mail_desk: Desk, member: str) -> None:
    await mail_desk.stub.SendMessage(mail_desk.send_request(member, INBOX, EMAIL))
    skipped = await mail_desk.email_until(member, SKIPPED)
    assert skipped.reason == "the member is not known"


async def test_text_beyond_ascii_arrives_as_it_was_written(
    mail_desk: Desk, post: PostOffice, member: str
) -> None:
    address = await mail_desk.enrol(member)
    subject, body = "Grüße, 您好 \u2028 🎉", "Zwölf €\n.\n..dots\n" + "lang " * 300
    request = mail_desk.send_request(member, INBOX, EMAIL, subject=subject, body=body)
    await mail_desk.stub.SendMessage(request)
    await mail_desk.email_until(member, DELIVERED)
    (mail,) = post.mails[address]
    assert mail["Subject"] == "Grüße, 您好 🎉"
    assert mail.get_content().splitlines() == body.splitlines()


async def test_nt_05_a_temporary_refusal_is_tried_again(
    mail_desk: Desk, post: PostOffice, member: str
) -> None:
    address = await mail_desk.enrol(member)
    post.answers[address] = ["451 come back later"]
    await mail_desk.tell(tier_up(member))
    email = await mail_desk.email_until(member, DELIVERED)
    assert email.attempt_count == 2
    assert len(post.mails[address]) == 1


async def test_nt_05_a_refusal_for_good_is_not_tried_again(
    mail_desk: Desk, post: PostOffice, member: str
) -> None:
    """SC-03: what the server answered names the address, and is not kept."""
    address = await mail_desk.enrol(member)
    post.answers[address] = [f"550 <{address}> unknown here"]
    await mail_desk.tell(tier_up(member))
    email = await mail_desk.email_until(member, FAILED)
    assert (email.attempt_count, email.reason) == (
        1,
        "the mail server refused it with code 550",
    )
    rows = await mail_desk.house.fetch(
        "SELECT reason FROM notification.delivery WHERE member_id = $1 AND reason LIKE '%@%'",
        member,
    )
    assert not rows, "an address is personal data and lives in tier only"


async def test_nt_05_mail_waits_while_the_server_is_away(
    mail_desk: Desk, post: PostOffice, member: str
) -> None:
    address = await mail_desk.enrol(member)
    await post.close()
    await mail_desk.tell(tier_up(member))

    async def was_tried() -> bool:
        return (await mail_desk.email(member)).attempt_count > 0

    await until(was_tried)
    assert (await mail_desk.email(member)).state == PENDING
    await post.open()
    email = await mail_desk.email_until(member, DELIVERED)
    assert email.attempt_count > 1
    assert len(post.mails[address]) == 1


async def test_nt_05_mail_that_would_come_too_late_is_given_up(
    ground: Ground, post: PostOffice
) -> None:
    """NT-03: nobody is warned of points that are gone already."""
    now = datetime.now(UTC)
    ends = now + timedelta(minutes=5)
    async with ground.house(smtp_url=post.url, smtp_sender="club@laurel.example") as house:
        house.clock = lambda: now
        await house.apply(SAMPLE.read_text())
        await house.start("tier", "notification")
        desk = Desk(house)
        given, warned = await desk.enrol("given"), await desk.enrol("warned")
        await post.close()
        await desk.stub.SendMessage(
            desk.send_request("given", INBOX, EMAIL, expire_time=to_timestamp(ends))
        )
        await desk.tell(expiring("warned", 250, ends, now))

        async def were_tried() -> bool:
            both = [await desk.email(member) for member in ("given", "warned")]
            return all(one.attempt_count for one in both)

        await until(were_tried)
        now = ends
        for member in ("given", "warned"):
            email = await desk.email_until(member, FAILED)
            assert email.reason == "given up: it would come too late"
        await post.open()
        assert not {given, warned} & post.mails.keys()


async def test_nt_05_mail_waits_while_tier_is_away(
    mail_desk: Desk, post: PostOffice, member: str
) -> None:
    address = await mail_desk.enrol(member)
    await mail_desk.house.settle()
    await mail_desk.house.stop("tier")
    await mail_desk.tell(tier_up(member))

    async def was_tried() -> bool:
        rows = await mail_desk.house.fetch(
            "SELECT reason FROM notification.delivery WHERE member_id = $1 AND channel = 'EMAIL'",
            member,
        )
        reason: str = rows[0]["reason"]
        return reason == "the member's address could not be asked for"

    await until(was_tried, 40)
    assert (await mail_desk.email(member)).state == PENDING
    await mail_desk.house.start("tier")
    await mail_desk.email_until(member, DELIVERED, 40)
    assert len(post.mails[address]) == 1


async def test_nt_05_mail_outlives_the_process(
    mail_desk: Desk, post: PostOffice, member: str
) -> None:
    address = await mail_desk.enrol(member)
    await post.close()
    await mail_desk.stub.SendMessage(mail_desk.send_request(member, INBOX, EMAIL))
    await mail_desk.house.stop("notification")
    await post.open()
    await mail_desk.house.start("notification")
    await mail_desk.email_until(member, DELIVERED)
    assert len(post.mails[address]) == 1


async def test_two_hundred_mails_arrive_once_each_over_few_connections(
    mail_desk: Desk, post: PostOffice
) -> None:
    prefix = new_id()
    members = [f"{prefix}-{number}" for number in range(200)]
    await asyncio.gather(*(mail_desk.enrol(member) for member in members))
    before = post.connection_count
    await mail_desk.tell(*(tier_up(member) for member in members))

    async def all_are_there() -> bool:
        return all(f"{member}@example.com" in post.mails for member in members)

    await until(all_are_there, 40)
    assert {len(post.mails[f"{member}@example.com"]) for member in members} == {1}
    assert post.connection_count - before <= 16


async def make_due(desk: Desk, member: str, attempt_count: int) -> DeliveryStore:
    """Sends an e-mail that nobody but the test delivers, as there is no mail server."""
    running = desk.house.running["notification"]
    await desk.stub.SendMessage(desk.send_request(member, INBOX, EMAIL))
    await desk.house.fetch(
        "UPDATE notification.delivery SET state = 'PENDING', reason = '', attempt_count = $2, "
        "next_attempt_time = now() WHERE member_id = $1 AND channel = 'EMAIL'",
        member,
        attempt_count,
    )
    return DeliveryStore(running.service.database, running.runtime.clock)


async def test_of_twenty_who_want_to_deliver_a_message_one_does(desk: Desk, member: str) -> None:
    store = await make_due(desk, member, 3)
    claims = await asyncio.gather(*(store.claim(8) for _ in range(20)))
    (attempt,) = [attempt for claim in claims for attempt in claim]
    assert (attempt.member_id, attempt.number) == (member, 4)
    # The lease ran out: the next attempt may settle, the one before may not any more.
    await desk.house.fetch(
        "UPDATE notification.delivery SET next_attempt_time = now() WHERE member_id = $1 "
        "AND channel = 'EMAIL'",
        member,
    )
    (second,) = await store.claim(8)
    await store.settle(attempt, judge(Refused("late"), 4, 0.5))
    assert (await desk.email(member)).state == PENDING
    await store.settle(second, judge(Delivered(), 5, 0.5))
    email = await desk.email(member)
    assert (email.state, email.attempt_count) == (DELIVERED, 5)


async def test_nt_05_an_attempt_that_a_crash_swallowed_counts(desk: Desk, member: str) -> None:
    """Nobody knows how it ended: there is no ninth."""
    store = await make_due(desk, member, ATTEMPTS_MAX)
    assert await store.claim(8) == []
    email = await desk.email(member)
    assert (email.state, email.reason) == (FAILED, "the last attempt ended without an outcome")


async def test_a_password_travels_under_tls_only(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ground.certificates
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.crt"))
    tls = server_tls(str(folder / "notification.crt"), str(folder / "notification.key"))
    given: list[tuple[bytes, bytes]] = []

    def check(mechanism: str, login: bytes, password: bytes) -> bool:
        given.append((login, password))
        return True

    safe = PostOffice(tls_context=tls, auth_required=True, auth_callback=check)
    plain = PostOffice()
    try:
        for office, kind in ((safe, Delivered), (plain, Delayed)):
            await office.open()
            url = office.url.replace("smtp://", "smtp://club:p%40ss@")
            server = MailServer(url, "club@laurel.example")
            outcome = await server.send(an_attempt(), "member@example.com")
            assert isinstance(outcome, kind), outcome
            await server.rest()
    finally:
        await safe.close()
        await plain.close()
    assert given == [(b"club", b"p@ss")]


async def test_tls_is_used_when_offered_even_without_a_password(ground: Ground) -> None:
    folder = ground.certificates
    tls = server_tls(str(folder / "notification.crt"), str(folder / "notification.key"))
    office = PostOffice(tls_context=tls, require_starttls=True)
    await office.open()
    try:
        server = MailServer(office.url, "club@laurel.example")
        assert await server.send(an_attempt(), "member@example.com") == Delivered()
        await server.rest()
    finally:
        await office.close()


def an_attempt(subject: str = "Hello") -> Attempt:
    return Attempt("m", uuid7(), 1, subject, "Good news.", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "line_break", ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"]
)
def test_no_subject_can_begin_a_header(line_break: str) -> None:
    subject = f"Hello{line_break}Bcc: everybody@example.com"
    mail = write(an_attempt(subject), "club@laurel.example", "laurel.example", "m@example.com")
    assert mail["Bcc"] is None
    assert mail["Subject"] == "Hello Bcc: everybody@example.com"


@pytest.mark.parametrize(
    "subject",
    [
        "Grüße Zoë; verfallen bientôt sparen München Willkommen, the d'été Zoë; München",
        "the 2027) a.b: sparen Willkommen, sparen a.b: Willkommen, „Gold“ 2027) Zoë; am aus",
        "积分 " * 60,
        "a word " * 28,
        "x" * 200,
        "=?utf-8?q?no?= code",
        'a, b: <c@example.com> "d" (e) 50% \\ 🎉',
        "\a\b and \x7f",
    ],
)
def test_a_subject_arrives_with_every_space_where_it_was(subject: str) -> None:
    mail = write(an_attempt(subject), "club@laurel.example", "laurel.example", "m@example.com")
    sent = mail.as_bytes()
    assert message_from_bytes(sent, policy=default)["Subject"] == subject.strip()
    assert max(map(len, sent.partition(b"\r\nDate:")[0].split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    "address", ["", "a b@example.com", "a@example.com\r\nBcc: b@example.com", "a@b@c", "@"]
)
async def test_an_address_that_is_none_is_refused_for_good(address: str) -> None:
    server = MailServer("smtp://127.0.0.1:9", "club@laurel.example")
    assert await server.send(an_attempt(), address) == Refused("the e-mail address cannot be used")


@pytest.mark.parametrize(
    "url", ["", "smtp://", "smtp://host", "http://host:25", "smtp://host:0", "smtp://host:x"]
)
def test_a_mail_server_that_cannot_be_is_reported_at_start(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="LAUREL_SMTP_URL: expected smtp://"):
        MailServer(url, "club@laurel.example")


@pytest.mark.parametrize("sender", ["", "club", "club@", "Club <club@laurel.example>", "ü@x.de"])
def test_nt_05_a_sender_that_is_no_address_is_reported_at_start(sender: str) -> None:
    """Else every message would fail for good, as if the member's address were at fault."""
    with pytest.raises(SettingsInvalid, match="LAUREL_SMTP_SENDER: expected an address alone"):
        MailServer("smtp://127.0.0.1:25", sender)


def test_nt_05_waits_grow_and_the_eighth_attempt_is_the_last() -> None:
    waits = [backoff(number, 0.5).total_seconds() for number in range(1, ATTEMPTS_MAX)]
    assert waits == [1, 4, 16, 64, 256, 1024, 3600]
    assert backoff(2, 0).total_seconds() == 2
    assert backoff(2, 1).total_seconds() == 6
    assert judge(Delayed("x"), ATTEMPTS_MAX - 1, 0).state is State.PENDING
    assert judge(Delayed("x"), ATTEMPTS_MAX, 0).state is State.FAILED
