"""Log-in through an identity provider of the tests, which speaks the protocol and can lie in every way."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from kos.server.core.auth.oidc import Flow, Provider
from tests.server.running import PASSWORD, Server, running

pytestmark = pytest.mark.group("server")


PERSON = {"sub": "42", "email": "ada@example.org", "email_verified": True, "name": "Ada"}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Idp:
    """The provider; `lie` changes claims, `header` the token's head, `resign` the signature."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.algorithm = "RS256"
        self.person: dict[str, Any] = dict(PERSON)
        self.lie: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        idp = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None: ...

            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                documents = {"/.well-known/openid-configuration": idp.discovery(), "/keys": idp.keys()}
                self._send(200 if path in documents else 404, documents.get(path, {}))

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                self._send(*idp.token({key: value[0] for key, value in form.items()}))

            def _send(self, status: int, document: dict[str, Any]) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def keys(self) -> dict[str, Any]:
        public, point = self.rsa.public_key().public_numbers(), self.ec.public_key().public_numbers()
        x, y = (b64(value.to_bytes(32, "big")) for value in (point.x, point.y))
        return {
            "keys": [
                {"kty": "RSA", "kid": "r", "n": number(public.n), "e": number(public.e)},
                {"kty": "EC", "kid": "e", "crv": "P-256", "x": x, "y": y},
            ]
        }

    def authorize(self, url: str) -> dict[str, str]:
        """What the provider's page does once the person has logged in there: the way back."""
        asked = {key: value[0] for key, value in parse_qs(urlsplit(url).query).items()}
        assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"]
        self.codes["c0de"] = asked
        return {"code": "c0de", "state": asked["state"]}

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form["code"], None)
        if asked is None or form["client_secret"] != "hush" or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        if b64(hashlib.sha256(form["code_verifier"].encode()).digest()) != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "kos", "exp": now + 60, "iat": now, "nonce": asked["nonce"]}
        return 200, {"id_token": self.signed({**claims, **self.person, **self.lie})}

    def signed(self, claims: dict[str, Any]) -> str:
        kid = "r" if self.algorithm == "RS256" else "e"
        head = {"alg": self.algorithm, "kid": kid, **self.header}
        data = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
        if kid == "r":
            signature = self.rsa.sign(data.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            r, s = utils.decode_dss_signature(self.ec.sign(data.encode(), ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{data}.{b64(signature)}"


@pytest.fixture(scope="module")
def provider() -> Iterator[Idp]:
    made = Idp()
    yield made
    made.close()


@pytest.fixture
def idp(provider: Idp) -> Idp:
    provider.lie, provider.header, provider.algorithm = {}, {}, "RS256"
    provider.person = dict(PERSON)
    return provider


@pytest.fixture(scope="module")
def server(provider: Idp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    idp, tmp_path = provider, tmp_path_factory.mktemp("oidc")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("KOS_SERVER_ADMIN_PASSWORD", PASSWORD)
    options = {"oidc_issuer": idp.issuer, "oidc_client_id": "kos", "oidc_client_secret": "hush"}
    with running(tmp_path, product="fleet", **options) as made:
        for name in ("ada", "bob"):
            person = {"email": f"{name}@example.org", "name": name, "role": "viewer"}
            assert made.login().post("/api/v1/members", json=person).status_code == 201
        yield made
    monkeypatch.undo()


def log_in(server: Server, idp: Idp, client: httpx.Client) -> httpx.Response:
    away = client.get("/oidc/login")
    assert away.status_code == 303, away.text
    return client.get("/oidc/callback", params=idp.authorize(away.headers["location"]))


def test_a_person_comes_through_the_provider(server: Server, idp: Idp) -> None:
    with server.client() as client:
        assert "Log in with single sign-on" in client.get("/login").text
    for algorithm in ("RS256", "ES256"):
        idp.algorithm = algorithm
        with server.client() as client:
            back = log_in(server, idp, client)
            assert back.status_code == 200, back.text
            assert "samesite=strict" in back.headers["set-cookie"].lower()
            who = client.get("/api/v1/whoami").json()
            assert who["name"] == "ada@example.org" and who["role"] == "viewer"
    # The subject is what counts from now on: an address can be given to somebody else.
    idp.person |= {"sub": "43"}
    with server.client() as client:
        assert log_in(server, idp, client).status_code == 403
    idp.person |= {"sub": "42", "email": "other@example.org"}
    with server.client() as client:
        log_in(server, idp, client)
        assert client.get("/api/v1/whoami").json()["name"] == "ada@example.org"


@pytest.mark.parametrize(
    ("lie", "header"),
    [
        ({"iss": "https://elsewhere.example"}, {}),
        ({"aud": "another"}, {}),
        ({"aud": ["kos", "another"]}, {}),
        ({"exp": 1}, {}),
        ({"exp": None}, {}),
        ({"iat": 1 << 40}, {}),
        ({"nonce": "old"}, {}),
        ({"sub": ""}, {}),
        ({"email_verified": False}, {}),
        ({"email_verified": "true"}, {}),
        ({"email": "stranger@example.org"}, {}),
        ({}, {"alg": "none"}),
        ({}, {"alg": "HS256"}),
        ({}, {"kid": "e"}),
        ({}, {"kid": "unknown"}),
    ],
)
def test_a_lie_opens_nothing(server: Server, idp: Idp, lie: dict[str, Any], header: dict[str, Any]) -> None:
    idp.person = {"sub": "60", "email": "bob@example.org", "email_verified": True, "name": "Bob"}
    idp.lie, idp.header = lie, header
    with server.client() as client:
        answer = log_in(server, idp, client)
        assert answer.status_code in (401, 403), answer.text
        assert "kos_session" not in client.cookies
        assert client.get("/api/v1/whoami").status_code == 401


def test_a_log_in_that_did_not_begin_here_ends(server: Server, idp: Idp) -> None:
    with server.client() as client, server.client() as victim:
        params = idp.authorize(client.get("/oidc/login").headers["location"])
        assert victim.get("/oidc/callback", params=params).status_code == 401, "without the cookie"
        assert client.get("/oidc/callback", params={**params, "state": "x"}).status_code == 401
        assert client.get("/oidc/callback", params={**params, "code": "guess"}).status_code == 401
        assert client.get("/oidc/callback", params={"error": "denied"}).status_code == 401
        old = Flow("a", "b", "c", time.time() - 1).sealed(server.services.tokens.secret)
        client.cookies.set("kos_oidc", old, path="/oidc")
        assert client.get("/oidc/callback", params={**params, "state": "a"}).status_code == 401


def test_without_a_provider_there_is_no_such_page(fleet: Server) -> None:
    with fleet.client() as client:
        assert client.get("/oidc/login").status_code == 404
        assert client.get("/oidc/callback").status_code == 404
        assert "single sign-on" not in client.get("/login").text


def test_a_provider_that_is_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    away = replace(server.settings, oidc_issuer="http://127.0.0.1:9")
    monkeypatch.setattr(server.services, "oidc", Provider(away))
    with server.client() as client:
        assert client.get("/oidc/login").status_code == 503
    plain = replace(server.settings, oidc_issuer="http://idp.example.org")
    monkeypatch.setattr(server.services, "oidc", Provider(plain))
    with server.client() as client:
        answer = client.get("/oidc/login")
        assert answer.status_code == 503 and "TLS" in answer.json()["detail"]
