"""AF-03: codes reach members by e-mail as other messages do."""

from datetime import UTC, datetime, timedelta

from notification_desk import DELIVERED, FAILED, INBOX, Desk, delivery
from post_office import PostOffice

from house import Ground, House, new_id
from kit.clock import to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1 import challenges_pb2
from laurel.program.v1.program_pb2 import FRAUD_OPERATION_REDEMPTION
from step_ups import StepUps, code_in, program

STEP_UP = "\n  step_up: {redemption_points_above: 1000}\n"


async def challenge(house: House, member: str, at: datetime) -> tuple[StepUps, str]:
    """Challenges a member; what a challenge takes, and its id."""
    step_ups = StepUps(house)
    operation = pb.Operation(
        request_id=new_id(),
        kind=FRAUD_OPERATION_REDEMPTION,
        member_id=member,
        points=2000,
        occurred_time=to_timestamp(at),
    )
    answer = await step_ups.stub.BatchAssess(pb.BatchAssessRequest(operations=[operation]))
    [decision] = answer.decisions
    return step_ups, decision.challenge_id


async def test_af_03_a_code_goes_out_by_e_mail_and_solves_the_challenge(
    mail_desk: Desk, post: PostOffice, member: str
) -> None:
    house = mail_desk.house
    await house.apply(program(" []", STEP_UP))
    await house.start("antifraud")
    await house.settle()
    address = await mail_desk.enrol(member)
    step_ups, challenge_id = await challenge(house, member, datetime.now(UTC))
    [message] = await step_ups.inbox_of(member, 1)
    await mail_desk.email_until(member, DELIVERED)
    [mail] = post.mails[address]
    code = code_in(message)
    assert mail["Subject"] == message.subject
    assert code not in message.subject
    assert mail.get_content().startswith(f"{code} is your code for 2000 points.")
    solved = await step_ups.verify(challenge_id, code)
    assert solved.state == challenges_pb2.CHALLENGE_STATE_SOLVED


async def test_af_03_a_code_that_is_good_for_nothing_any_more_is_not_sent_by_e_mail(
    ground: Ground, post: PostOffice
) -> None:
    now = datetime.now(UTC)
    async with ground.house(smtp_url=post.url, smtp_sender="club@laurel.example") as house:
        house.clock = lambda: now
        await house.apply(program(" []", STEP_UP))
        await house.start("tier", "antifraud", "notification")
        desk = Desk(house)
        address = await desk.enrol("late")
        await post.close()
        step_ups, challenge_id = await challenge(house, "late", now)
        [message] = await step_ups.inbox_of("late", 1)
        assert delivery(message, INBOX).state == DELIVERED
        now += timedelta(minutes=6)
        await desk.email_until("late", FAILED)
        await post.open()
        assert address not in post.mails
        shown = await step_ups.get(challenge_id)
        assert shown.state == challenges_pb2.CHALLENGE_STATE_EXPIRED
