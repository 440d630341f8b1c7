"""Receivers of notifications in tests: a webhook's far end, and a mail server that offers STARTTLS."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Received:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Hook:
    """What came, and what is answered: `answer` gets the request and says the status."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[Received], int] = lambda _: 204
        self.headers: dict[str, str] = {}
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def ids(self) -> list[str]:
        return [one.headers["webhook-id"] for one in self.received]


@contextlib.contextmanager
def hook(context: ssl.SSLContext | None = None) -> Iterator[Hook]:
    """A receiver on a port of its own, with TLS where there is a context."""
    made = Hook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.path, headers, body)
            made.received.append(request)
            self.send_response(made.answer(request))
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Many(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # a sender that breaks off is what some tests are about

    server = Many(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made.port = server.server_address[1]
    with _serving(server):
        yield made


class Mailbox:
    """Messages that a mail server took."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.recipients: list[list[str]] = []
        self.encrypted: list[bool] = []
        self.port = 0


@contextlib.contextmanager
def mail_server(context: ssl.SSLContext) -> Iterator[Mailbox]:
    """As much of RFC 5321 and 3207 as a client needs that sends one message."""
    made = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

        def finish(self) -> None:
            super().finish()
            self.rfile.close()
            self.connection.close()  # the encrypted one, which the server does not know

        def handle(self) -> None:
            self.say("220 test")
            recipients: list[str] = []
            while line := self.rfile.readline(1000).decode().strip():
                verb = line.upper()
                if verb.startswith("EHLO"):
                    secure = isinstance(self.connection, ssl.SSLSocket)
                    self.say("250 8BITMIME" if secure else "250-8BITMIME\r\n250 STARTTLS")
                elif verb == "STARTTLS":
                    self.say("220 go on")
                    self.connection = context.wrap_socket(self.connection, server_side=True)
                    self.rfile = self.connection.makefile("rb")
                    self.wfile = socketserver._SocketWriter(self.connection)  # type: ignore[attr-defined]
                elif verb.startswith("RCPT"):
                    recipients.append(line.partition("<")[2].partition(">")[0])
                    self.say("250 yes")
                elif verb == "DATA":
                    self.say("354 go on")
                    data = b""
                    while (text := self.rfile.readline()) not in (b".\r\n", b""):
                        data += text.removeprefix(b".") if text.startswith(b"..") else text
                    made.messages.append(message_from_bytes(data))
                    made.recipients.append(recipients)
                    made.encrypted.append(isinstance(self.connection, ssl.SSLSocket))
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 yes")

    class Many(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    server = Many(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    with _serving(server):
        yield made


@contextlib.contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, name="receiver")
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(folder: Path, name: str = "localhost") -> tuple[ssl.SSLContext, Path]:
    """A server's context for `name`, and the file of the certificate that a client must trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    at = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - datetime.timedelta(days=1))
        .not_valid_after(at + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, both = folder / f"{name}.pem", folder / f"{name}-both.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    both.write_bytes(
        trusted.read_bytes()
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, trusted
