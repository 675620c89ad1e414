"""A real SMTP server that can be told to refuse, and to be away."""

import asyncio
import socket
import ssl
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

# aiosmtpd asks for these names
from aiosmtpd.smtp import SMTP, Envelope, Session


class PostOffice:
    """Takes mail on a port of its own; what it took is in `mails`, by recipient."""

    def __init__(self, **options: Any) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.mails: dict[str, list[EmailMessage]] = {}
        self.answers: dict[str, list[str]] = {}
        """What it says to a recipient, one answer after the other, before it takes the mail."""
        self.connection_count = 0
        self._options = options
        self._server: asyncio.Server | None = None
        self._conversations: list[Any] = []

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Takes mail, if it does not yet."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._conversation, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Is away, as after a power cut."""
        if self._server is not None:
            self._server.close()
            for conversation in self._conversations:
                transport = conversation.transport
                # One that is closed twice cannot be aborted any more in Python 3.11.2.
                if transport is not None and not transport.is_closing():
                    transport.abort()
            async with asyncio.timeout(5):
                while any(one.transport is not None for one in self._conversations):
                    await asyncio.sleep(0.01)
            # The transport under a TLS one closes in the turn of the loop after it.
            await asyncio.sleep(0.05)
            self._conversations.clear()
            self._server = None

    def _conversation(self) -> SMTP:
        self.connection_count += 1
        conversation = SMTP(self, hostname="post.example", **self._options)
        self._conversations.append(conversation)
        return conversation

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.answers.get(address):
            return self.answers[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=default)
        assert isinstance(mail, EmailMessage)
        for address in envelope.rcpt_tos:
            self.mails.setdefault(address, []).append(mail)
        return "250 OK"


def server_tls(certificate: str, key: str) -> ssl.SSLContext:
    """What a server needs for STARTTLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context
