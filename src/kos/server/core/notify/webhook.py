"""A signed POST to an address of the organisation's choice, as standardwebhooks.com describes it.

The receiver's answer is hostile input: only its status counts, no redirect is followed, all of it together
has one deadline, and nothing of it is shown to anybody.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import ssl
import time
from collections.abc import Sequence
from functools import cache
from urllib.parse import SplitResult, urlsplit

import h11

from kos.abi.errors import KosError
from kos.abi.version import VERSION
from kos.server.core.notify.addresses import Network, named, resolve
from kos.server.core.notify.outcome import ERROR_MAX, Outcome

URL_MAX = 1024  # characters
SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"
TIMEOUT = 10.0  # seconds for everything: look-up, connection, answer
ANSWER_MAX = 64 << 10  # bytes read before the status line and headers must be whole
GONE = 410


def new_secret() -> str:
    """What a channel's messages are signed with."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def check_url(url: str) -> SplitResult:
    """The parts of a webhook's address. Raises KosError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise KosError(f"not an address: {error}") from error
    plain = url.isascii() and url.isprintable() and " " not in url
    if len(url) > URL_MAX or not plain or parts.scheme not in ("https", "http") or not parts.hostname:
        raise KosError("not a webhook's address", hint=f"https://HOST/PATH, at most {URL_MAX} characters")
    if parts.username is not None or parts.password is not None or port == 0:
        raise KosError("a webhook's address has no user, no password and a port of its own")
    return parts


def shown(url: str) -> str:
    """What people may see of it: the rest is often a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" + ("/…" if parts.path.strip("/") or parts.query else "")


def sign(secret: str, key: str, stamp: int, body: bytes) -> str:
    """The signature over id, time and body."""
    raw = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.new(raw, f"{key}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


async def send(url: str, secret: str, key: str, body: bytes, allowed: Sequence[Network]) -> Outcome:
    """Deliver one message; says what came of it and raises nothing that the far end could cause."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await _post(check_url(url), secret, key, body, allowed)
    except TimeoutError:
        return Outcome(f"no answer within {TIMEOUT:g} s")
    except KosError as error:
        return Outcome(error.message[:ERROR_MAX])
    except ssl.SSLError as error:
        return Outcome(f"TLS: {error.reason or 'failed'}"[:ERROR_MAX])
    except h11.RemoteProtocolError:
        return Outcome("the answer is not HTTP")
    except (OSError, UnicodeError) as error:
        return Outcome(
            f"no connection: {getattr(error, 'strerror', None) or type(error).__name__}"[:ERROR_MAX]
        )


async def _post(
    parts: SplitResult, secret: str, key: str, body: bytes, allowed: Sequence[Network]
) -> Outcome:
    assert parts.hostname is not None
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    address = await resolve(parts.hostname, port, allowed)
    if not tls and not named(address, allowed):
        raise KosError("without TLS a webhook goes only where the server's operator allows it")
    reader, writer = await asyncio.open_connection(
        str(address),
        port,
        limit=ANSWER_MAX,
        ssl=_context() if tls else None,
        server_hostname=parts.hostname if tls else None,
    )
    try:
        return await _exchange(reader, writer, _request(parts, secret, key, body), body)
    finally:
        writer.transport.abort()  # not `close`: TLS would wait for the far end's farewell


def _request(parts: SplitResult, secret: str, key: str, body: bytes) -> h11.Request:
    stamp = int(time.time())
    headers = {
        "host": parts.netloc,
        "user-agent": f"KOS/{VERSION}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "webhook-id": key,
        "webhook-timestamp": str(stamp),
        "webhook-signature": sign(secret, key, stamp, body),
        "connection": "close",
    }
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return h11.Request(method="POST", target=target, headers=list(headers.items()))


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: h11.Request, body: bytes
) -> Outcome:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=ANSWER_MAX)
    for event in (request, h11.Data(body), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    await writer.drain()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(ANSWER_MAX))
        elif isinstance(event, h11.Response):
            return _judge(event)
        elif not isinstance(event, h11.InformationalResponse):
            return Outcome("the connection ended before the answer")


def _judge(answer: h11.Response) -> Outcome:
    if 200 <= answer.status_code < 300:
        return Outcome()
    headers = dict(answer.headers)
    wait = headers.get(b"retry-after", b"")
    return Outcome(
        f"the receiver answered {answer.status_code}",
        wait=float(wait) if wait.isdigit() and len(wait) < 8 else None,
        gone=answer.status_code == GONE,
    )


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()
