"""The kinds of channels. A further kind is a class of this shape and a line in `KINDS`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from kos.abi.errors import KosError
from kos.server.core.notify import mail, webhook
from kos.server.core.notify.addresses import Network, parse_networks
from kos.server.core.notify.outcome import Outcome
from kos.server.core.notify.seal import Seal
from kos.server.settings import Settings


class Office:
    """What every kind needs: the operator's settings, and the key to the channels' secrets."""

    def __init__(self, settings: Settings) -> None:
        self.allowed: tuple[Network, ...] = parse_networks(settings.notify_private)
        self.mail = mail.MailServer.of(settings)
        self.seal = Seal(settings.keys)
        self.public_url = settings.public_url.rstrip("/")


@dataclass(frozen=True)
class Prepared:
    """A channel's address: what people may see, what is sealed, what its maker is told once."""

    shown: str
    sealed: dict[str, str]
    secret: str | None = field(default=None, repr=False)


class Kind(Protocol):
    """One way to notify."""

    def prepare(self, office: Office, target: str) -> Prepared:
        """Check an address. Raises KosError."""

    async def deliver(
        self, office: Office, opened: dict[str, str], key: str, document: dict[str, Any]
    ) -> Outcome:
        """Send one document; raises nothing that the far end could cause."""


class Webhook:
    """A program is told."""

    def prepare(self, office: Office, target: str) -> Prepared:
        parts = webhook.check_url(target)
        if parts.scheme != "https" and not office.allowed:
            raise KosError("a webhook's address begins with https://")
        secret = webhook.new_secret()
        return Prepared(webhook.shown(target), {"url": target, "secret": secret}, secret)

    async def deliver(
        self, office: Office, opened: dict[str, str], key: str, document: dict[str, Any]
    ) -> Outcome:
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return await webhook.send(opened["url"], opened["secret"], key, body, office.allowed)


class Email:
    """People are told."""

    def prepare(self, office: Office, target: str) -> Prepared:
        if office.mail is None:
            raise KosError(
                "this server has no mail server", hint="its operator names one with KOS_SERVER_SMTP_HOST"
            )
        addresses = [one.strip() for one in target.split(",") if one.strip()]
        mail.check_addresses(addresses)
        return Prepared(", ".join(addresses), {"to": ",".join(addresses)})

    async def deliver(
        self, office: Office, opened: dict[str, str], key: str, document: dict[str, Any]
    ) -> Outcome:
        if office.mail is None:
            return Outcome("this server has no mail server any more")
        return await mail.send(office.mail, opened["to"].split(","), key, document)


KINDS: dict[str, Kind] = {"webhook": Webhook(), "email": Email()}
