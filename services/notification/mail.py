"""E-mail by SMTP, over connections that are kept while there is work."""

import ssl
from datetime import datetime
from email.errors import MessageError
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from urllib.parse import unquote, urlsplit

import aiosmtplib

from kit.settings import SettingsInvalid
from notification.attempts import Attempt, Delayed, Delivered, Outcome, Refused

COMMAND_SECONDS_MAX = 15.0
# 7-bit text passes every server as it is.
_POLICY = SMTP_POLICY.clone(cte_type="7bit")


class MailServer:
    """A mail server, and connections to it that wait for the next message."""

    def __init__(self, url: str, sender: str) -> None:
        self._sender = sender
        self._domain = sender.rpartition("@")[2]
        self._idle: list[aiosmtplib.SMTP] = []
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme != "smtp" or not parts.hostname or not port:
            raise SettingsInvalid("LAUREL_SMTP_URL: expected smtp://[user:password@]host:port")
        if not _is_address(sender):
            # Found out when it is used, it would look like a fault of each member's address.
            raise SettingsInvalid(
                "LAUREL_SMTP_SENDER: expected an address alone, such as club@example.com"
            )
        self._host, self._port = parts.hostname, port
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None

    async def send(self, attempt: Attempt, address: str) -> Outcome:
        """Hands a message over. What it says of a failure never holds the address."""
        try:
            mail = write(attempt, self._sender, self._domain, address)
        except (MessageError, ValueError, IndexError):
            return Refused("the e-mail address cannot be used")
        try:
            connection = await self._connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            return Delayed(f"the mail server cannot be used: {_words(error)}")
        try:
            await connection.send_message(mail, sender=self._sender, recipients=[address])
        except (aiosmtplib.SMTPException, OSError) as error:
            connection.close()
            return _judge(error)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return Delivered()

    async def _connect(self) -> aiosmtplib.SMTP:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_connected:
                return connection
        connection = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            username=self._username,
            password=self._password,
            # A password travels under TLS only. Without one TLS is taken when offered: an attacker
            # could as well not offer it, so that checking the certificate would protect nobody.
            start_tls=True if self._username else None,
            tls_context=None if self._username else _unverified(),
            local_hostname=self._domain,
            timeout=COMMAND_SECONDS_MAX,
        )
        try:
            await connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    async def rest(self) -> None:
        """Ends the connections that nobody uses now."""
        while self._idle:
            connection = self._idle.pop()
            try:
                await connection.quit(timeout=1)
            except (aiosmtplib.SMTPException, OSError):
                connection.close()


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def write(attempt: Attempt, sender: str, domain: str, address: str) -> EmailMessage:
    """The e-mail of a message, the same at every attempt. Raises for an address that is none."""
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = Address(addr_spec=sender)
    mail["To"] = Address(addr_spec=address)
    mail.set_raw("Subject", _subject(attempt.subject))
    mail["Date"] = _date(attempt.create_time)
    # The same id for every attempt: a server that got the message twice can tell.
    mail["Message-ID"] = f"<{attempt.message_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(attempt.body, charset="utf-8")
    return mail


def _subject(text: str) -> str:
    """The header of a subject, folded.

    What is not plain ASCII is encoded as a whole: where EmailMessage encodes words, spaces between
    them get lost or doubled.
    """
    # Every kind of line break ends up as a space: no text can begin a header of its own.
    line = " ".join(text.split())
    charset = None if line.isascii() and line.isprintable() and "=?" not in line else "utf-8"
    return Header(line, charset, header_name="Subject").encode(linesep="\r\n")


def _is_address(text: str) -> bool:
    try:
        address = Address(addr_spec=text)
    except (MessageError, ValueError, IndexError):
        return False
    return bool(address.username and address.domain) and text.isascii()


def _date(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)


def _judge(error: Exception) -> Outcome:
    """Whether it is worth another try: a refusal of this very message (5xx) is not, all else is."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused) and error.recipients:
        return _judge(error.recipients[0])
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return Refused("the mail server does not take such an address")
    refusal = aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError
    if isinstance(error, refusal) and error.code >= 500:
        return Refused(f"the mail server refused it with code {error.code}")
    return Delayed(f"the mail server did not take it: {_words(error)}")


def _words(error: Exception) -> str:
    # Never the server's own words: they often repeat the address.
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"code {error.code}"
    return type(error).__name__
