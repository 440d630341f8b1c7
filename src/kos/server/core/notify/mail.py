"""E-mail through the operator's own mail server. Organisations name recipients, never servers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import smtplib
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

from kos.abi.errors import KosError
from kos.server.core.notify.outcome import ERROR_MAX, Outcome
from kos.server.settings import Settings

RECIPIENTS_MAX = 10
TIMEOUT = 15.0  # seconds for one message in all
STARTTLS = "starttls"
TLS = "tls"
PLAIN = "unsafe-plain"
ENCRYPTIONS = (STARTTLS, TLS, PLAIN)
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
ADDRESS_MAX = 254


@dataclass(frozen=True)
class MailServer:
    """The mail server that the operator named."""

    host: str
    port: int
    user: str
    password: str
    sender: str
    tls: str

    @classmethod
    def of(cls, settings: Settings) -> MailServer | None:
        """None where there is none. Raises KosError for settings that cannot work."""
        if not settings.smtp_host:
            return None
        if settings.smtp_tls not in ENCRYPTIONS:
            raise KosError(
                f"SMTP_TLS is {STARTTLS}, {TLS} or {PLAIN}, found {settings.smtp_tls!r}",
                where="KOS_SERVER_SMTP_TLS",
            )
        if settings.smtp_tls == PLAIN and settings.smtp_password:
            raise KosError(
                "a password would go to the mail server in the clear",
                where="KOS_SERVER_SMTP_TLS",
                hint=f"use {STARTTLS} or {TLS}",
            )
        check_addresses([settings.smtp_from])
        return cls(
            settings.smtp_host,
            settings.smtp_port,
            settings.smtp_user,
            settings.smtp_password,
            settings.smtp_from,
            settings.smtp_tls,
        )


def check_addresses(addresses: Sequence[str]) -> None:
    """Raises KosError unless all are plain e-mail addresses."""
    if not 1 <= len(addresses) <= RECIPIENTS_MAX:
        raise KosError(f"expected 1 to {RECIPIENTS_MAX} addresses, found {len(addresses)}")
    for one in addresses:
        if len(one) > ADDRESS_MAX or not ADDRESS.fullmatch(one):
            raise KosError(f"not an e-mail address: {one[:80]!r}", hint="such as you@example.org")


def compose(
    server: MailServer, recipients: Sequence[str], key: str, document: dict[str, Any]
) -> EmailMessage:
    """The message about some events. `key` makes its Message-ID: the same however often it is sent."""
    events = document["events"]
    message = EmailMessage()
    first = " ".join(str(events[0]["title"]).split())
    more = f" (and {len(events) - 1} more)" if len(events) > 1 else ""
    message["Subject"] = f"[{document['organisation']}] {first}{more}"
    message["From"] = server.sender
    message["To"] = ", ".join(recipients)
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = f"<{key}@{server.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    lines = [f"{_utc(one['at'])}  {one['severity']:8}  {one['title']}" for one in events]
    if document.get("url"):
        lines += ["", document["url"]]
    message.set_content("\n".join(lines) + "\n")
    return message


def _utc(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at / 1000))


async def send(server: MailServer, recipients: Sequence[str], key: str, document: dict[str, Any]) -> Outcome:
    """Deliver one message to the mail server; says what came of it."""
    message = compose(server, recipients, key, document)
    open_connections: list[smtplib.SMTP] = []
    try:
        async with asyncio.timeout(TIMEOUT):
            await asyncio.to_thread(_deliver, server, message, open_connections)
        return Outcome()
    except TimeoutError:
        # The thread cannot be ended from here, but what it waits for can.
        for one in open_connections:
            one.close()
        return Outcome(f"the mail server did not take it within {TIMEOUT:g} s")
    except smtplib.SMTPRecipientsRefused:
        return Outcome("the mail server refuses the recipients")
    except smtplib.SMTPResponseException as error:
        return Outcome(f"the mail server answered {error.smtp_code}"[:ERROR_MAX])
    except (smtplib.SMTPException, ssl.SSLError, OSError) as error:
        return Outcome(f"mail server: {getattr(error, 'strerror', None) or type(error).__name__}"[:ERROR_MAX])


def _deliver(server: MailServer, message: EmailMessage, connections: list[smtplib.SMTP]) -> None:
    context = ssl.create_default_context()
    if server.tls == TLS:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=TIMEOUT, context=context
        )
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)
    connections.append(connection)
    try:
        if server.tls == STARTTLS:
            connection.starttls(context=context)
        if server.user:
            connection.login(server.user, server.password)
        connection.send_message(message)
        # Taken: what goes wrong while saying good-bye changes nothing.
        with contextlib.suppress(smtplib.SMTPException, OSError):
            connection.quit()
    finally:
        connection.close()
