"""laurel.notification.v1.NotificationService: proto <-> domain, nothing else."""

# the contract names the methods

from kit.clock import Clock, NewId, parse_time, to_timestamp
from kit.errors import InvalidArgument, Violation
from kit.interceptor import Context
from kit.paging import decode_id, encode_token, page_size
from laurel.notification.v1 import notification_service_pb2 as pb
from laurel.notification.v1.notification_service_pb2_grpc import NotificationServiceServicer
from laurel.program.v1.program_pb2 import Channel as ProtoChannel
from notification.messages import Delivery, Message, State, first_delivery
from notification.store import MessageStore
from rules.values import Channel


class NotificationService(NotificationServiceServicer):
    """What members are told, and whether it reached them."""

    def __init__(self, store: MessageStore, *, clock: Clock, new_id: NewId, has_mail: bool) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._has_mail = has_mail

    async def ListInbox(
        self, request: pb.ListInboxRequest, context: Context
    ) -> pb.ListInboxResponse:
        """Lists the messages in a member's inbox, newest first."""
        before = decode_id(request.page_token)
        messages, more = await self._store.list_inbox(
            request.member_id, before, page_size(request.page_size)
        )
        return pb.ListInboxResponse(
            messages=[_render(message) for message in messages],
            next_page_token=encode_token(str(messages[-1].message_id)) if more else "",
        )

    async def SendMessage(
        self, request: pb.SendMessageRequest, context: Context
    ) -> pb.SendMessageResponse:
        """Sends a message to one member; the delivery goes on behind the answer."""

        def render(message: Message) -> pb.SendMessageResponse:
            return pb.SendMessageResponse(message=_render(message))

        message = self._parse(request)
        return await self._store.send(
            message, request.request_id, request, pb.SendMessageResponse, render
        )

    def _parse(self, request: pb.SendMessageRequest) -> Message:
        texts = {"member_id": request.member_id, "subject": request.subject, "body": request.body}
        violations = [
            Violation(field, "must not hold the character U+0000; remove it")
            for field, text in texts.items()
            if "\0" in text
        ]
        if violations:
            raise InvalidArgument(*violations)
        now = self._clock()
        has_end = request.HasField("expire_time")
        return Message(
            member_id=request.member_id,
            message_id=self._new_id(),
            rule="",
            subject=request.subject,
            body=request.body,
            create_time=now,
            cause_event_id=None,
            program_version=0,
            deliveries=tuple(
                first_delivery(Channel(channel), now, has_mail=self._has_mail)
                for channel in request.channels
            ),
            expire_time=parse_time(request.expire_time, "expire_time") if has_end else None,
        )


def _render(message: Message) -> pb.Message:
    return pb.Message(
        message_id=str(message.message_id),
        member_id=message.member_id,
        rule=message.rule,
        subject=message.subject,
        body=message.body,
        create_time=to_timestamp(message.create_time),
        deliveries=[_render_delivery(delivery) for delivery in message.deliveries],
        cause_event_id=str(message.cause_event_id) if message.cause_event_id else "",
        program_version=message.program_version,
    )


def _render_delivery(delivery: Delivery) -> pb.Delivery:
    over = delivery.state in {State.SKIPPED, State.FAILED}
    rendered = pb.Delivery(
        channel=ProtoChannel.Value(f"CHANNEL_{delivery.channel.name}"),
        state=pb.DeliveryState.Value(f"DELIVERY_STATE_{delivery.state.value}"),
        attempt_count=delivery.attempt_count,
        reason=delivery.reason if over else "",
    )
    if delivery.deliver_time is not None:
        rendered.deliver_time.CopyFrom(to_timestamp(delivery.deliver_time))
    return rendered
