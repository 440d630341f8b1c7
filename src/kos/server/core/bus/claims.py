"""The two signed documents of a log-in by auth callout: the user's permissions and the answer around them.

Pure. NATS' own JWT form: algorithm "ed25519-nkey", claims version 2.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

import nkeys

from kos.abi.errors import KosError

HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}


@dataclass(frozen=True)
class LoginRequest:
    """What a client showed when it connected."""

    user_nkey: str  # the name that the server gave to this connection
    server_id: str
    connection: int
    kind: str  # "nats", "mqtt", …
    host: str
    nonce: str = ""
    nkey: str = ""
    signature: str = ""
    user: str = ""
    password: str = ""


@dataclass(frozen=True)
class Permissions:
    """What a client may do once it is in."""

    name: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    account: str = "KOS"
    subscriptions: int = 32
    expires: int = 0  # seconds since 1970, when the connection ends; 0: never
    extra: dict[str, Any] = field(default_factory=dict)


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def parse_request(raw: bytes) -> LoginRequest:
    """Read the request that the bus sends. The bus made it: no one else may publish on its subject."""
    try:
        body = raw.split(b".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))["nats"]
        info, options = claims["client_info"], claims["connect_opts"]
        return LoginRequest(
            user_nkey=claims["user_nkey"],
            server_id=claims["server_id"]["id"],
            connection=info.get("id", 0),
            kind=info.get("type", "nats").lower(),
            host=info.get("host", ""),
            nonce=info.get("nonce", ""),
            nkey=options.get("nkey", ""),
            signature=options.get("sig", ""),
            user=options.get("user", ""),
            password=options.get("pass", ""),
        )
    except (IndexError, KeyError, ValueError, TypeError) as error:
        raise KosError("not a log-in request of the bus") from error


class Signer:
    """Signs claims with the account's key."""

    def __init__(self, account_seed: str) -> None:
        self._pair = nkeys.from_seed(bytearray(account_seed, "ascii"))
        self.issuer = self._pair.public_key.decode()

    def sign(self, claims: dict[str, Any]) -> str:
        claims = {"iat": int(time.time()), "iss": self.issuer, **claims}
        claims["jti"] = hashlib.sha256(json.dumps(claims, sort_keys=True).encode()).hexdigest()[:32]
        body = f"{_part(json.dumps(HEADER).encode())}.{_part(json.dumps(claims).encode())}"
        return f"{body}.{_part(self._pair.sign(body.encode()))}"

    def allow(self, request: LoginRequest, permissions: Permissions) -> bytes:
        """The answer that lets the client in, confined to `permissions`."""
        nats = {
            "pub": {"allow": list(permissions.publish)} if permissions.publish else {"deny": [">"]},
            "sub": {"allow": list(permissions.subscribe)} if permissions.subscribe else {"deny": [">"]},
            "subs": permissions.subscriptions,
            "data": -1,
            "payload": -1,
            "type": "user",
            "version": 2,
            **permissions.extra,
        }
        user = self.sign(
            {
                "sub": request.user_nkey,
                "aud": permissions.account,
                "name": permissions.name,
                "nats": nats,
                **({"exp": permissions.expires} if permissions.expires else {}),
            }
        )
        return self._answer(request, {"jwt": user})

    def refuse(self, request: LoginRequest, reason: str) -> bytes:
        """The answer that turns the client away. The reason goes to the bus' log, not to the client."""
        return self._answer(request, {"error": reason})

    def _answer(self, request: LoginRequest, nats: dict[str, Any]) -> bytes:
        return self.sign(
            {
                "sub": request.user_nkey,
                "aud": request.server_id,
                "nats": {**nats, "type": "authorization_response", "version": 2},
            }
        ).encode()
