"""Log-in by OpenID Connect: authorization code flow with PKCE, against one provider that the operator names.

Small on purpose: discovery, one redirect, one exchange, one signature. No session of the provider is kept.
What it says is believed once its token is signed by its own keys, is for us, is fresh, and carries our nonce.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from kos.abi.errors import KosError
from kos.server.core.problems import Unauthorized, Unavailable
from kos.server.settings import Settings

TIMEOUT = 10.0  # seconds for each request to the provider
ANSWER_MAX = 256 << 10  # bytes
TOKEN_MAX = 32 << 10  # bytes of an ID token
KNOWN_FOR = 3600.0  # seconds that discovery and keys are kept
KEYS_AGAIN = 30.0  # seconds before the keys are fetched again for a token whose key we do not know
SKEW = 60.0  # seconds that the provider's clock may be off
FLOW_LIFE = 600.0  # seconds from the redirect to the provider until it sends the browser back
SCOPE = "openid email profile"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Claims:
    """Who has logged in, as the provider says."""

    subject: str  # unique: issuer and its name for the person
    email: str
    email_verified: bool
    name: str


@dataclass(frozen=True)
class Flow:
    """One log-in under way; kept by the browser in a sealed cookie."""

    state: str
    nonce: str
    verifier: str
    expires: float

    @classmethod
    def begin(cls) -> Flow:
        first, second, third = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(first, second, third, time.time() + FLOW_LIFE)

    def sealed(self, secret: bytes) -> str:
        body = base64.urlsafe_b64encode(json.dumps(self.__dict__).encode()).decode()
        return f"{body}.{_seal(secret, body)}"

    @classmethod
    def opened(cls, cookie: str, secret: bytes) -> Flow:
        """Raises Unauthorized for a cookie that we did not make, or too long ago."""
        body, _, seal = cookie.rpartition(".")
        if not body or not hmac.compare_digest(seal.encode(), _seal(secret, body).encode()):
            raise Unauthorized("this log-in did not begin here", hint="begin again")
        flow = cls(**json.loads(base64.urlsafe_b64decode(body)))
        if flow.expires < time.time():
            raise Unauthorized("the log-in took too long", hint="begin again")
        return flow


class Provider:
    """The operator's identity provider. Blocking: call it from a thread."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._known: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, list[dict[str, Any]]] | None = None

    def redirect(self, flow: Flow, back: str) -> str:
        """Where the browser goes first."""
        challenge = hashlib.sha256(flow.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self.settings.oidc_client_id,
            "redirect_uri": back,
            "scope": SCOPE,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        return f"{self._endpoint('authorization_endpoint')}?{urlencode(query)}"

    def finish(self, flow: Flow, code: str, back: str) -> Claims:
        """Exchange the code and check what comes. Raises Unauthorized."""
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "client_id": self.settings.oidc_client_id,
            "client_secret": self.settings.oidc_client_secret,
            "code_verifier": flow.verifier,
        }
        answer = _fetch(self._endpoint("token_endpoint"), urlencode(body).encode())
        token = answer.get("id_token")
        if not isinstance(token, str) or len(token) > TOKEN_MAX:
            raise Unauthorized("the provider sent no ID token")
        return self._claims(self._verified(token), flow.nonce)

    def _endpoint(self, name: str) -> str:
        if self._known is None or self._known[0] < time.monotonic():
            issuer = self.settings.oidc_issuer
            found = _fetch(_checked(issuer.rstrip("/") + "/.well-known/openid-configuration"))
            if found.get("issuer") != issuer:
                raise Unavailable(
                    f"the provider calls itself {str(found.get('issuer'))[:100]!r}, not {issuer!r}"
                )
            self._known = (time.monotonic() + KNOWN_FOR, found)
        return _checked(str(self._known[1].get(name, "")))

    def _verified(self, token: str) -> dict[str, Any]:
        try:
            head, body, signature = token.split(".")
            header, claims = json.loads(_decode(head)), json.loads(_decode(body))
            raw = _decode(signature)
        except (ValueError, RecursionError) as error:
            raise Unauthorized("the provider's token is none") from error
        if not isinstance(header, dict) or not isinstance(claims, dict):
            raise Unauthorized("the provider's token is none")
        for key in self._candidates(header.get("kid")):
            try:
                check_signature(str(header.get("alg")), key, f"{head}.{body}".encode(), raw)
                return claims
            except (InvalidSignature, KosError, ValueError, KeyError):
                continue
        raise Unauthorized("the provider's token is not signed by one of its keys")

    def _candidates(self, name: object) -> list[dict[str, Any]]:
        for _ in range(2):
            fetched, keys = self._keys or (0.0, [])
            found = [key for key in keys if name is None or key.get("kid") == name]
            if found or time.monotonic() - fetched < (KEYS_AGAIN if keys else 0.0):
                return found
            listed = _fetch(self._endpoint("jwks_uri")).get("keys")
            self._keys = (time.monotonic(), [key for key in listed or [] if isinstance(key, dict)][:64])
        return []

    def _claims(self, claims: dict[str, Any], nonce: str) -> Claims:
        now = time.time()
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        ours = self.settings.oidc_client_id
        if claims.get("iss") != self.settings.oidc_issuer:
            raise Unauthorized("the token is another provider's")
        if ours not in audiences or (len(audiences) > 1 and claims.get("azp") != ours):
            raise Unauthorized("the token is for somebody else")
        expires, made = claims.get("exp"), claims.get("iat", now)
        if not isinstance(expires, int | float) or expires < now - SKEW:
            raise Unauthorized("the token has expired")
        if not isinstance(made, int | float) or made > now + SKEW:
            raise Unauthorized("the token is from the future")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise Unauthorized("the token belongs to another log-in")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise Unauthorized("the token names nobody")
        email = str(claims.get("email", "")).strip().lower()[:254]
        verified = claims.get("email_verified") is True
        name = str(claims.get("name") or email)[:128]
        return Claims(f"{self.settings.oidc_issuer} {subject}"[:512], email, verified, name)


def check_signature(algorithm: str, key: dict[str, Any], data: bytes, signature: bytes) -> None:
    """Raises InvalidSignature, and KosError for an algorithm that does not belong to the key."""
    match algorithm, key.get("kty"):
        case "RS256", "RSA":
            numbers = rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"]))
            numbers.public_key().verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        case "ES256", "EC" if key.get("crv") == "P-256" and len(signature) == 64:
            point = ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), ec.SECP256R1())
            halves = (int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
            der = utils.encode_dss_signature(*halves)
            point.public_key().verify(der, data, ec.ECDSA(hashes.SHA256()))
        case "EdDSA", "OKP" if key.get("crv") == "Ed25519":
            ed25519.Ed25519PublicKey.from_public_bytes(_decode(key["x"])).verify(signature, data)
        case _:
            raise KosError(f"algorithm {algorithm[:20]!r} is not taken", hint="RS256, ES256 or EdDSA")


def _checked(url: str) -> str:
    """Over TLS, or on this machine. Raises Unavailable."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return url
    raise Unavailable(f"the identity provider has no address over TLS: {url[:100]!r}")


def _fetch(url: str, body: bytes | None = None) -> dict[str, Any]:
    request = urllib.request.Request(url, body, {"Accept": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            found = json.loads(answer.read(ANSWER_MAX))
    except urllib.error.HTTPError as error:
        error.close()
        if body is not None and error.code in (400, 401):
            raise Unauthorized("the identity provider did not accept the log-in") from error
        raise Unavailable(f"the identity provider answers {error.code}") from error
    except (OSError, ValueError) as error:
        raise Unavailable("the identity provider does not answer") from error
    if not isinstance(found, dict):
        raise Unavailable("the identity provider answers something else")
    return found


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(text: str) -> int:
    return int.from_bytes(_decode(text), "big")


def _seal(secret: bytes, body: str) -> str:
    return hmac.new(secret, f"kos oidc {body}".encode(), hashlib.sha256).hexdigest()
