"""Notification: tells members what happened, in their inbox at once and by e-mail behind it.

It hears of tiers and expiring points by event. Addresses and consent live in tier, which is asked
at each attempt; without a mail server e-mail is skipped at once, and no attempt is ever made.
"""

import random

import grpc

from kit.events import Consumer
from kit.server import Runtime, Service
from laurel.notification.v1.notification_service_pb2_grpc import (
    add_NotificationServiceServicer_to_server,
)
from laurel.tier.v1.member_service_pb2 import GetMemberRequest
from laurel.tier.v1.member_service_pb2_grpc import MemberServiceStub
from notification.attempts import Contact
from notification.delivery import ContactUnknown, Courier, FindContact
from notification.events import Announcer
from notification.mail import MailServer
from notification.service import NotificationService
from notification.store import DeliveryStore, MessageStore
from rules.feed import ProgramFeed


async def wire(runtime: Runtime) -> Service:
    """Wires the service."""
    settings = runtime.settings
    database = await runtime.database()
    feed = ProgramFeed(await runtime.channel("program"))
    store = MessageStore(database)
    loops = [feed.loop]
    if settings.smtp_url is not None:
        members = MemberServiceStub(await runtime.channel("tier"))
        loops.append(
            Courier(
                DeliveryStore(database, runtime.clock),
                MailServer(settings.smtp_url, settings.smtp_sender),
                ask_tier(members),
                random.random,
            ).run
        )
    clock, new_id, has_mail = runtime.clock, runtime.new_id, settings.smtp_url is not None
    announcer = Announcer(store, feed, clock=clock, new_id=new_id, has_mail=has_mail)
    return Service(
        database=database,
        servicers=[
            (
                add_NotificationServiceServicer_to_server,
                NotificationService(store, clock=clock, new_id=new_id, has_mail=has_mail),
                "laurel.notification.v1.NotificationService",
            )
        ],
        consumer=Consumer(
            ("tier_changed", "points_expiring", "program_applied"), announcer.take_events
        ),
        loops=loops,
    )


def ask_tier(members: MemberServiceStub) -> FindContact:
    """Asks tier, the only place of personal data, for the address of a member and their consent."""

    async def find(member_id: str) -> Contact | None:
        try:
            answer = await members.GetMember(GetMemberRequest(member_id=member_id))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise ContactUnknown(error.code().name) from error
        return Contact(answer.member.email, answer.member.email_consent)

    return find
