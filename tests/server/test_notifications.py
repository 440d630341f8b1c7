"""Notifications: what is queued, how it is sent, what a hostile far end can do, and that none is lost."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from kos.abi.errors import KosError
from kos.server.core.data.alarms import AlarmBook
from kos.server.core.db.database import Database
from kos.server.core.db.models import (
    Alarm,
    AlarmRule,
    Device,
    Notification,
    NotificationChannel,
    Organisation,
    now,
)
from kos.server.core.notify import events, mail, sender, webhook
from kos.server.core.notify.addresses import Denied, check, parse_networks, resolve
from kos.server.core.notify.events import Occurrence, enqueue
from kos.server.core.notify.kinds import KINDS, Office
from kos.server.core.notify.outcome import Outcome
from kos.server.core.notify.sender import Sender
from kos.server.settings import Settings
from tests.server.fixtures import fleet_server
from tests.server.receivers import certificate, hook, mail_server
from tests.server.running import DEADLINE, Server, wait_for

pytestmark = pytest.mark.group("server")

LOOPBACK = "127.0.0.1/32"
RAISED = Occurrence("alarm.raised", "critical", "Too hot: pump 7", 1_700_000_000_000, {"device": "ab" * 16})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, notify_private=LOOPBACK)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    made = Database(settings.database_url)
    made.migrate()
    with made.write() as session:
        session.add(Organisation(id=1, slug="default", name="Default", created_at=now()))
    yield made
    made.close()


def channel(database: Database, office: Office, url: str, severity: str = "info", **more: Any) -> int:
    prepared = KINDS["webhook"].prepare(office, url)
    with database.write() as session:
        row = NotificationChannel(
            organisation_id=1,
            name="hook",
            kind="webhook",
            severity=severity,
            shown=prepared.shown,
            sealed=office.seal.close(prepared.sealed),
            created_by="test",
            created_at=now(),
            **more,
        )
        session.add(row)
        session.flush()
        return row.id


def queue(database: Database, *occurrences: Occurrence) -> int:
    with database.write() as session:
        return enqueue(session, 1, occurrences)


def rows(database: Database) -> list[Notification]:
    with database.read() as session:
        return list(session.scalars(select(Notification).order_by(Notification.id)))


async def once(one: Sender) -> int:
    """Everything that is due now, claimed and carried out; says how many messages that was."""
    found = one.claim(sender.AT_ONCE)
    await asyncio.gather(*(one._carry(delivery) for delivery in found))
    return len(found)


# --- what is sent -------------------------------------------------------------------------------------------
def test_a_webhook_gets_a_signed_message_once(settings: Settings, database: Database) -> None:
    office = Office(settings)
    with hook() as far_end:
        number = channel(database, office, far_end.url)
        with database.read() as session:
            sealed = session.get_one(NotificationChannel, number).sealed
        assert far_end.url not in sealed
        assert queue(database, RAISED, replace(RAISED, title="Too hot: pump 8")) == 2
        one = Sender(database, office)
        assert asyncio.run(once(one)) == 1, "events that wait for one channel go together"
        assert asyncio.run(once(one)) == 0
    (request,) = far_end.received
    document = json.loads(request.body)
    assert [event["title"] for event in document["events"]] == ["Too hot: pump 7", "Too hot: pump 8"]
    assert document["organisation"] == "default" and document["events"][0]["detail"] == RAISED.detail
    key, stamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    assert key == document["events"][0]["id"]
    raw = base64.b64decode(office.seal.open(sealed)["secret"].removeprefix("whsec_"))
    digest = hmac.new(raw, f"{key}.{stamp}.".encode() + request.body, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert [row.state for row in rows(database)] == ["sent", "sent"]


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the Standard Webhooks specification's reference libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    made = webhook.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_mail_goes_encrypted_to_all_recipients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with mail_server(context) as box:
        server = mail.MailServer("localhost", box.port, "", "", "kos@example.org", mail.STARTTLS)
        document = {"organisation": "default", "url": "", "events": [{**RAISED.__dict__, "id": "k"}]}
        to = ["a@example.org", "b@example.org"]
        assert asyncio.run(mail.send(server, to, "k" * 32, document)) == Outcome()
    assert box.recipients == [to] and box.encrypted == [True]
    (message,) = box.messages
    assert message["subject"] == "[default] Too hot: pump 7"
    assert message["message-id"] == f"<{'k' * 32}@example.org>"
    assert "2023-11-14 22:13:20 UTC" in message.get_payload()


def test_mail_does_not_go_in_the_clear_to_a_server_of_another_name(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    with mail_server(context) as box:
        server = mail.MailServer("localhost", box.port, "", "", "kos@example.org", mail.STARTTLS)
        document = {"organisation": "default", "url": "", "events": [{**RAISED.__dict__, "id": "k"}]}
        outcome = asyncio.run(mail.send(server, ["a@example.org"], "k", document))
    assert not outcome.arrived and box.messages == []


def test_a_title_cannot_forge_a_header() -> None:
    server = mail.MailServer("localhost", 25, "", "", "kos@example.org", mail.PLAIN)
    event = {**RAISED.__dict__, "id": "k", "title": "hot\r\nBcc: all@example.org"}
    made = mail.compose(server, ["a@example.org"], "k", {"organisation": "x", "events": [event]})
    assert made["bcc"] is None and made["subject"] == "[x] hot Bcc: all@example.org"
    for wrong in ("a@b\r\nBcc: c@d", "no address", "", ",".join(["a@example.org"] * 11), "a b@c"):
        with pytest.raises(KosError):
            mail.check_addresses(wrong.split(","))


# --- what is not sent ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "2001:db8::1",
    ],
)
def test_no_webhook_reaches_the_servers_surroundings(address: str) -> None:
    with pytest.raises(Denied, match="not a public one"):
        check(ipaddress.ip_address(address), ())


def test_an_operator_allows_networks() -> None:
    allowed = parse_networks("10.1.0.0/16, fd00::/8")
    check(ipaddress.ip_address("10.1.2.3"), allowed)
    check(ipaddress.ip_address("::ffff:10.1.2.3"), allowed)
    check(ipaddress.ip_address("fd00::1"), allowed)
    check(ipaddress.ip_address("1.1.1.1"), ())
    check(ipaddress.ip_address("2606:4700:4700::1111"), ())
    for address in ("10.2.0.1", "127.0.0.1", "fe80::1"):
        with pytest.raises(Denied):
            check(ipaddress.ip_address(address), allowed)
    with pytest.raises(KosError, match="not a network"):
        parse_networks("10.1.2.3/8")
    with pytest.raises(KosError, match="at most 64"):
        parse_networks(",".join(["10.0.0.0/8"] * 65))


def test_a_name_with_one_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(*addresses: str) -> None:
        async def answer(*_: object, **__: object) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 443)) for one in addresses]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer, raising=False)
        await resolve("rebind.example", 443, ())

    asyncio.run(look_up("1.1.1.1"))
    with pytest.raises(Denied):
        asyncio.run(look_up("1.1.1.1", "127.0.0.1"))


def test_the_connection_goes_to_the_address_that_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is asked for a second time could answer with an address inside."""
    asked: list[str] = []

    async def send(port: int) -> Outcome:
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo

        async def answer(host: str, *rest: Any, **more: Any) -> Any:
            asked.append(host)
            return await real("127.0.0.1", *rest, **more)

        monkeypatch.setattr(loop, "getaddrinfo", answer, raising=False)
        allowed = parse_networks(LOOPBACK)
        url = f"http://changes.example:{port}/"
        return await webhook.send(url, webhook.new_secret(), "k", b"{}", allowed)

    with hook() as far_end:
        assert asyncio.run(send(far_end.port)).arrived
    assert asked.count("changes.example") == 1
    assert far_end.received[0].headers["host"] == f"changes.example:{far_end.port}"


def test_by_default_nothing_of_this_machine_is_reached(tmp_path: Path) -> None:
    with hook() as far_end:
        for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "127.1", "0x7f.1"):
            url = f"https://{host}:{far_end.port}/"
            outcome = asyncio.run(webhook.send(url, webhook.new_secret(), "k", b"{}", ()))
            assert not outcome.arrived
    assert far_end.received == []
    with pytest.raises(KosError, match="https"):
        KINDS["webhook"].prepare(Office(Settings(data=tmp_path)), "http://example.org/")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://user:password@example.org/",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org/\r\nHost: inside",
        "https://exa mple.org/",
        "https://[::1/",
        "https://example.org/" + "x" * webhook.URL_MAX,
        "//example.org/",
        "",
    ],
)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(KosError):
        webhook.check_url(url)


def test_what_people_see_of_an_address_is_no_secret() -> None:
    assert webhook.shown("https://hooks.example/services/T0/SECRET?key=x") == "https://hooks.example/…"
    assert webhook.shown("https://hooks.example/") == "https://hooks.example"


def test_a_plain_connection_needs_the_operators_word() -> None:
    async def send(allowed: str) -> Outcome:
        url = f"http://127.0.0.1:{far_end.port}/"
        return await webhook.send(url, webhook.new_secret(), "k", b"{}", parse_networks(allowed))

    with hook() as far_end:
        assert not asyncio.run(send("10.0.0.0/8")).arrived
        assert asyncio.run(send(LOOPBACK)).arrived


def test_tls_is_checked_against_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certificate(tmp_path, "localhost")
    webhook._context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    try:
        with hook(context) as far_end:
            allowed = parse_networks(LOOPBACK + ",::1/128")
            send = webhook.send
            url, secret = "https://localhost:{}/", webhook.new_secret()
            assert asyncio.run(send(url.format(far_end.port), secret, "k", b"{}", allowed)).arrived
            wrong = asyncio.run(send(f"https://127.0.0.1:{far_end.port}/", secret, "k", b"{}", allowed))
            assert wrong.error.startswith("TLS: ")
    finally:
        webhook._context.cache_clear()


# --- hostile far ends ---------------------------------------------------------------------------------------
def test_a_redirect_is_not_followed(settings: Settings) -> None:
    with hook() as inside, hook() as far_end:
        far_end.answer = lambda _: 307
        far_end.headers = {"location": inside.url}
        outcome = asyncio.run(
            webhook.send(far_end.url, webhook.new_secret(), "k", b"{}", parse_networks(LOOPBACK))
        )
    assert outcome.error == "the receiver answered 307" and inside.received == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * (webhook.ANSWER_MAX + 1),
        b"HTTP/1.1 99999 no\r\n\r\n",
        b"HTTP/1.1 200\x00\r\n\r\n",
        b"\x16\x03\x01" * 100,
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    ],
    ids=["nothing", "another-protocol", "endless-header", "no-status", "nul", "tls", "upgrade"],
)
def test_whatever_it_answers_is_an_outcome(answer: bytes) -> None:
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=lambda: _quiet(serve, listener))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        outcome = asyncio.run(webhook.send(url, webhook.new_secret(), "k", b"{}", parse_networks(LOOPBACK)))
        thread.join(DEADLINE)
    assert not outcome.arrived and len(outcome.error) <= 256


def _quiet(work: Any, *arguments: Any) -> None:
    try:
        work(*arguments)
    except OSError:
        return


def test_one_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        outcome = asyncio.run(webhook.send(url, webhook.new_secret(), "k", b"{}", parse_networks(LOOPBACK)))
    assert outcome.error == "no answer within 0.2 s"


# --- the queue ----------------------------------------------------------------------------------------------
def due_now(database: Database) -> None:
    with database.write() as session:
        session.execute(update(Notification).values(next_at=0))


def test_it_is_tried_again_under_the_same_id_until_it_arrives(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Sender(database, Office(settings))
    at = now() + 60_000  # by the sender's clock, which stands still: the machine may be busy
    monkeypatch.setattr(sender, "now", lambda: at)
    with hook() as far_end:
        channel(database, one.office, far_end.url)
        queue(database, RAISED)
        far_end.answer = lambda _: 503
        for attempt in range(3):
            assert asyncio.run(once(one)) == 1
            assert asyncio.run(once(one)) == 0, "not before its time"
            (row,) = rows(database)
            wait = row.next_at - at
            assert row.attempts == attempt + 1 and 0 < wait <= 5000 * 2**attempt
            due_now(database)
        queue(database, replace(RAISED, title="later"))
        far_end.answer = lambda _: 200
        assert asyncio.run(once(one)) == 1
        assert asyncio.run(once(one)) == 1, "what came later has a message of its own"
    keys = far_end.ids()
    assert len(set(keys[:4])) == 1 and keys[4] != keys[0]
    assert len({one.body for one in far_end.received[:4]}) == 1, "a repetition says the same"


def test_after_a_day_it_is_given_up(settings: Settings, database: Database) -> None:
    one = Sender(database, Office(settings))
    with hook() as far_end:
        far_end.answer = lambda _: 500
        channel(database, one.office, far_end.url)
        queue(database, RAISED)
        with database.write() as session:
            session.execute(update(Notification).values(attempts=sender.ATTEMPTS_MAX - 1))
        asyncio.run(once(one))
    (row,) = rows(database)
    assert row.state == "failed" and row.error == "the receiver answered 500"
    total = sum(min(5 * 2 ** min(n, 20), 3600) for n in range(sender.ATTEMPTS_MAX - 1))
    assert 20 * 3600 < total < 28 * 3600


def test_a_receiver_that_is_gone_is_left_alone(settings: Settings, database: Database) -> None:
    one = Sender(database, Office(settings))
    with hook() as far_end:
        far_end.answer = lambda _: 410
        channel(database, one.office, far_end.url)
        queue(database, RAISED)
        asyncio.run(once(one))
    assert queue(database, RAISED) == 0
    assert [row.state for row in rows(database)] == ["failed"]


def test_a_receiver_says_how_long_to_wait() -> None:
    assert 4 <= sender.wait_after(1) <= 5
    assert sender.wait_after(1, 120) == 120
    assert sender.wait_after(1, 1e9) == sender.MOST_WAIT
    assert sender.wait_after(1000) <= sender.MOST_WAIT


def test_two_processes_send_it_once(settings: Settings, database: Database) -> None:
    """Whoever claims first has it, also while both believe that they hold the lease."""
    both = [Sender(database, Office(settings)) for _ in range(2)]

    async def race() -> None:
        await asyncio.gather(*(once(one) for _ in range(5) for one in both))

    with hook() as far_end:
        for _ in range(3):
            channel(database, both[0].office, far_end.url)
        queue(database, RAISED)
        asyncio.run(race())
        assert len(far_end.ids()) == len(set(far_end.ids())) == 3


def test_what_a_dead_process_had_claimed_is_sent_by_another(settings: Settings, database: Database) -> None:
    dead, alive = (Sender(database, Office(settings)) for _ in range(2))
    with hook() as far_end:
        number = channel(database, alive.office, far_end.url)
        queue(database, RAISED)
        (claimed,) = dead.claim(8)
        assert asyncio.run(once(alive)) == 0
        with database.write() as session:
            row = session.get_one(NotificationChannel, number)
            assert row.claimed_until <= now() + sender.CLAIM
            row.claimed_until = now() - 1
        assert asyncio.run(once(alive)) == 1
        assert far_end.ids() == [claimed.key], "the id by which the receiver would tell a repetition"
        dead.record(claimed, Outcome("too late"))
    assert [one.state for one in rows(database)] == ["sent"], "and a late outcome takes nothing back"


def test_clocks_that_are_put_back_stop_nothing(settings: Settings, database: Database) -> None:
    one = Sender(database, Office(settings))
    with hook() as far_end:
        channel(database, one.office, far_end.url, claimed_until=now() + 86_400_000)
        queue(database, RAISED)
        with database.write() as session:
            session.execute(update(Notification).values(next_at=now() + 86_400_000))
        assert asyncio.run(once(one)) == 1


def test_a_database_that_is_away_does_not_make_it_send_twice(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Sender(database, Office(settings))
    monkeypatch.setattr(sender, "RECORD_AGAIN", 0.01)
    real, failures = one.record, []

    def away(*arguments: Any) -> None:
        if len(failures) < 5:
            failures.append(1)
            raise OSError("the database is away")
        real(*arguments)

    monkeypatch.setattr(one, "record", away)

    async def run() -> None:
        job = asyncio.create_task(one.run())
        while not failures:
            await asyncio.sleep(0.01)
        job.cancel()  # the lease is lost in the same moment
        await asyncio.gather(job, return_exceptions=True)
        await asyncio.gather(*one._records)

    with hook() as far_end:
        channel(database, one.office, far_end.url)
        queue(database, RAISED)
        asyncio.run(asyncio.wait_for(run(), DEADLINE))
        assert len(far_end.received) == 1
    assert [row.state for row in rows(database)] == ["sent"]


def test_a_full_queue_drops_and_counts(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "QUEUE_MAX", 3)
    number = channel(database, Office(settings), "https://example.org/")
    assert queue(database, RAISED, RAISED) == 2
    assert queue(database, RAISED, RAISED) == 1
    assert queue(database, RAISED) == 0
    with database.read() as session:
        assert session.get_one(NotificationChannel, number).dropped == 2


def test_a_channel_of_another_key_harms_no_other(settings: Settings, database: Database) -> None:
    one = Sender(database, Office(settings))
    with hook() as far_end:
        channel(database, one.office, far_end.url)
        with database.write() as session:
            session.execute(update(NotificationChannel).values(sealed="x"))
        channel(database, one.office, far_end.url)
        queue(database, RAISED)
        assert asyncio.run(once(one)) == 2
        assert len(far_end.received) == 1
    assert sorted(row.state for row in rows(database)) == ["sent", "waiting"]


# --- where they come from -----------------------------------------------------------------------------------
def test_an_alarm_is_told_when_it_is_raised_and_when_it_is_over(
    settings: Settings, database: Database
) -> None:
    number = channel(database, Office(settings), "https://example.org/", "warning")
    with database.write() as session:
        session.add(
            Device(
                id="ab" * 16,
                organisation_id=1,
                public_key="U",
                status="accepted",
                name="pump 7",
                tags=[],
                created_at=now(),
            )
        )
        for name, severity in (("Too hot", "critical"), ("Warm", "info")):
            session.add(
                AlarmRule(
                    organisation_id=1,
                    name=name,
                    series="t",
                    above=True,
                    raise_at=80,
                    clear_at=70,
                    severity=severity,
                )
            )
    book = AlarmBook()
    with database.write() as session:
        book.load(session)
    for at, value in ((1, 90.0), (2, 95.0), (3, 60.0)):
        with database.write() as session:
            book.take(session, [("ab" * 16, "t", at, value)])
    told = [(row.channel_id, row.event["kind"], row.event["title"]) for row in rows(database)]
    assert told == [
        (number, "alarm.raised", "Too hot: pump 7, t is 90"),
        (number, "alarm.cleared", "Too hot: pump 7 is fine again"),
    ], "the mild one is filtered"
    with database.read() as session:
        assert [one.cleared_at for one in session.scalars(select(Alarm))] == [3, 3]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with fleet_server(tmp_path_factory.mktemp("fleet"), notify_private=LOOPBACK) as made:
        yield made


def test_from_the_test_button_to_the_receiver(server: Server) -> None:
    client = server.login()
    with hook() as far_end:
        body = {"name": "ops", "kind": "webhook", "target": far_end.url + "?key=swordfish"}
        answer = client.post("/api/v1/notifications/channels", json=body)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert made["secret"].startswith("whsec_") and "swordfish" not in answer.text
        number = made["id"]
        shown = client.get("/api/v1/notifications/channels").text
        assert made["secret"] not in shown and "swordfish" not in shown
        started = client.post(f"/api/v1/notifications/channels/{number}/test")
        assert started.status_code == 202

        def arrived() -> bool:
            found = client.get("/api/v1/notifications/deliveries").json()
            return any(one["id"] == started.json()["id"] and one["state"] == "sent" for one in found)

        wait_for(arrived, "the test is delivered")
        (request,) = far_end.received
        assert request.path == "/hook?key=swordfish"
        assert (
            webhook.sign(
                made["secret"],
                request.headers["webhook-id"],
                int(request.headers["webhook-timestamp"]),
                request.body,
            )
            == request.headers["webhook-signature"]
        )
    page = client.get("/notifications").text
    assert "ops" in page and made["secret"] not in page and "swordfish" not in page
    entries = client.get("/api/v1/audit").json()
    actions = {one["action"] for one in entries}
    assert {"notification.create", "notification.test"} <= actions
    assert "swordfish" not in json.dumps(entries)
    off = client.patch(f"/api/v1/notifications/channels/{number}", json={"enabled": False})
    assert off.json()["enabled"] is False
    assert client.post(f"/api/v1/notifications/channels/{number}/test").status_code == 409
    assert client.delete(f"/api/v1/notifications/channels/{number}").status_code == 204


def test_channels_are_bounded_and_checked(server: Server) -> None:
    client = server.login()
    body = {"name": "x", "kind": "webhook", "target": "https://example.org/"}
    mail_too = client.post("/api/v1/notifications/channels", json={**body, "kind": "email"})
    assert mail_too.status_code == 400 and "no mail server" in mail_too.json()["detail"]
    bad = client.post("/api/v1/notifications/channels", json={**body, "target": "gopher://x/"})
    assert bad.status_code == 400
    answers = [client.post("/api/v1/notifications/channels", json=body).status_code for _ in range(21)]
    assert answers == [201] * 20 + [409]
    for one in client.get("/api/v1/notifications/channels").json():
        client.delete(f"/api/v1/notifications/channels/{one['id']}").raise_for_status()


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    for wrong in (
        {"smtp_host": "mail", "smtp_tls": "maybe"},
        {"smtp_host": "mail", "smtp_tls": mail.PLAIN, "smtp_password": "x"},
        {"smtp_host": "mail", "smtp_from": "nobody"},
        {"notify_private": "everything"},
    ):
        with pytest.raises(KosError):
            Office(Settings(data=tmp_path, **wrong))  # type: ignore[arg-type]
