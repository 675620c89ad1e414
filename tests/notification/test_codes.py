"""AF-03: codes reach members by e-mail as other messages do."""

from datetime import UTC, datetime

from notification_desk import DELIVERED, Desk
from post_office import PostOffice

from house import new_id
from kit.clock import to_timestamp
from laurel.antifraud.v1 import antifraud_service_pb2 as pb
from laurel.antifraud.v1 import challenges_pb2
from laurel.program.v1.program_pb2 import FRAUD_OPERATION_REDEMPTION
from step_ups import StepUps, code_in, program


async def test_af_03_a_code_goes_out_by_e_mail_and_solves_the_challenge(
    mail_desk: Desk, post: PostOffice, member: str
) -> None:
    house = mail_desk.house
    await house.apply(program(" []", "\n  step_up: {redemption_points_above: 1000}\n"))
    await house.start("antifraud")
    await house.settle()
    step_ups = StepUps(house)
    address = await mail_desk.enrol(member)
    operation = pb.Operation(
        request_id=new_id(),
        kind=FRAUD_OPERATION_REDEMPTION,
        member_id=member,
        points=2000,
        occurred_time=to_timestamp(datetime.now(UTC)),
    )
    answer = await step_ups.stub.BatchAssess(pb.BatchAssessRequest(operations=[operation]))
    [decision] = answer.decisions
    [message] = await step_ups.inbox_of(member, 1)
    await mail_desk.email_until(member, DELIVERED)
    [mail] = post.mails[address]
    code = code_in(message)
    assert mail["Subject"] == message.subject
    assert code not in message.subject
    assert mail.get_content().startswith(f"{code} is your code for 2000 points.")
    solved = await step_ups.verify(decision.challenge_id, code)
    assert solved.state == challenges_pb2.CHALLENGE_STATE_SOLVED
