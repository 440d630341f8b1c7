"""Operating a server: migrations, backup and restore, the command line, what defends the log-in."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, update

from kos.abi.errors import KosError
from kos.server.backup import backup, restore
from kos.server.core.auth import audit
from kos.server.core.auth.limits import RateLimit
from kos.server.core.auth.passwords import new_totp_secret, totp_code, totp_step
from kos.server.core.data.alarms import Watch
from kos.server.core.db.database import HEAD, MIGRATIONS, Database
from kos.server.core.db.models import AlarmRule, AuditEntry, Base, Device
from kos.server.core.devices.identity import step
from kos.server.core.devices.query import QUERY_MAX, TERMS_MAX, Term, parse
from kos.server.core.lease import acquire, release
from kos.server.settings import from_environment
from tests.server import postgres
from tests.server.archives import archive
from tests.server.running import PASSWORD, Server, running

pytestmark = pytest.mark.group("server")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_migrations_go_forward_and_back(kind: str, tmp_path: Path) -> None:
    def check(url: str) -> None:
        database = Database(url)
        database.migrate()
        database.migrate()
        assert database.version() == HEAD
        assert set(Base.metadata.tables) <= set(inspect(database.engine).get_table_names())
        database.migrate("base")
        assert inspect(database.engine).get_table_names() == ["alembic_version"]
        database.migrate()
        database.close()

    if kind == "sqlite":
        check(f"sqlite:///{tmp_path / 'x.db'}")
        return
    if postgres.find("initdb") is None:
        pytest.skip("needs postgresql: apt-get install postgresql")
    with postgres.cluster() as url:
        check(url.replace("postgresql://", "postgresql+psycopg://"))


def test_the_newest_migration_is_the_one_we_say() -> None:
    assert sorted(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("0*.py"))[-1] == HEAD


def test_models_and_migrations_agree(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    database.migrate()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    database.close()


def test_a_backup_of_a_running_server_is_the_server(tmp_path: Path) -> None:
    saved, again = tmp_path / "saved.tar", tmp_path / "again"
    with running(tmp_path / "data", auto_accept=True) as server, server.client() as client:
        body = archive(tmp_path, "1.0").read_bytes()
        made = client.post("/api/v1/releases", content=body).json()
        backup(server.settings.data, saved)
    assert saved.stat().st_mode & 0o077 == 0
    restore(saved, again)
    with running(again, auto_accept=True) as server, server.client() as client:
        assert client.get("/api/v1/releases").json()[0]["manifest"] == made["manifest"]
        assert client.get(f"/artifacts/sha256/{made['manifest']}").is_success
    with pytest.raises(KosError, match="something already"):
        restore(saved, again)


@pytest.mark.parametrize("name", ["elsewhere/x", "/keys/x", "keys/../../x", "../x"])
def test_a_backup_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    saved = tmp_path / "saved.tar"
    with tarfile.open(saved, "w") as file:
        member = tarfile.TarInfo(name)
        file.addfile(member)
    with pytest.raises(KosError, match="does not belong"):
        restore(saved, tmp_path / "data" / "of it")
    assert not (tmp_path / "x").exists() and not (tmp_path / "data/x").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_backup_brings_files_and_folders_only(tmp_path: Path, kind: bytes) -> None:
    saved = tmp_path / "saved.tar"
    with tarfile.open(saved, "w") as file:
        member = tarfile.TarInfo("keys/x")
        member.type, member.linkname = kind, "/etc/passwd"
        file.addfile(member)
    with pytest.raises(KosError, match="not a backup"):
        restore(saved, tmp_path / "data")
    assert not os.path.lexists(tmp_path / "data/keys/x")


def test_a_backup_of_postgresql_is_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if postgres.find("initdb") is None:
        pytest.skip("needs postgresql: apt-get install postgresql")
    monkeypatch.setenv("KOS_SERVER_ADMIN_PASSWORD", PASSWORD)
    saved, again = tmp_path / "saved.tar", tmp_path / "again"
    with postgres.cluster() as first, postgres.cluster() as second:
        with running(tmp_path / "data", product="fleet", database=first) as server:
            client = server.login()
            made = client.post("/api/v1/releases", content=archive(tmp_path, "1.0").read_bytes()).json()
            group = {"name": "it's \t a\\group", "query": "tag:x"}
            assert client.post("/api/v1/groups", json=group).status_code == 201
            sqlalchemy_url = server.settings.database_url
            backup(server.settings.data, saved, sqlalchemy_url)
        assert saved.stat().st_mode & 0o077 == 0
        with pytest.raises(KosError, match="of PostgreSQL"):
            restore(saved, tmp_path / "wrong")
        target = second.replace("postgresql://", "postgresql+psycopg://", 1)
        restore(saved, again, target)
        with running(again, product="fleet", database=second) as server:
            client = server.login()
            assert client.get("/api/v1/releases").json()[0]["manifest"] == made["manifest"]
            assert [one["name"] for one in client.get("/api/v1/groups").json()] == [group["name"]]
            assert client.get(f"/artifacts/sha256/{made['manifest']}").is_success
            # Numbers go on where they were.
            assert client.post("/api/v1/groups", json={"name": "next", "query": "*"}).status_code == 201
            assert client.get("/api/v1/audit/export").is_success, "the seals are whole"
        with pytest.raises(KosError, match="something already"):
            restore(saved, tmp_path / "third", target)


VERSIONS = sorted((Path(__file__).parents[1] / "golden/databases").glob("*.sql"))


@pytest.mark.parametrize("path", VERSIONS, ids=[path.stem for path in VERSIONS])
def test_a_database_of_each_version_becomes_the_newest(path: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "server.db")) as old:
        old.executescript(path.read_text())
    with running(tmp_path, auto_accept=True) as server, server.client() as client:
        assert server.services.database.version() == HEAD
        (device,) = client.get("/api/v1/devices").json()["devices"]
        assert device["name"] == "old pump" and device["tags"] == ["kept"]
        (overlay,) = client.get("/api/v1/overlays").json()
        digest = hashlib.sha256(server.services.blobs.read(overlay["sha256"])).hexdigest()
        assert overlay["document"]["settings"] == {"heartbeat": 5} and digest == overlay["sha256"]
        assert client.get("/api/v1/audit/export").is_success
    database = Database(f"sqlite:///{tmp_path / 'server.db'}")
    database.migrate(path.stem)
    database.migrate()
    with database.read() as session:
        assert session.scalar(select(Device.name)) == "old pump"
    database.close()


def test_there_is_a_database_of_each_version_that_was_released() -> None:
    assert [path.stem for path in VERSIONS] == ["0001"], "add one with each release that changed the schema"


def test_the_command_line_drives_a_server(studio: Server, tmp_path: Path) -> None:
    def tool(*arguments: str) -> object:
        command = [sys.executable, "-m", "kos.tool", *arguments, "--server", studio.url, "--json"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)

    uploaded = tool("server.upload_release", str(archive(tmp_path, "8.0")))
    assert uploaded["version"] == "8.0"  # type: ignore[index]
    assert tool("server.devices.list", "name:nobody") == []
    overlay = tmp_path / "lab.json"
    overlay.write_text('{"settings": {"heartbeat": 5}}')
    assert tool("server.upload_overlay", str(overlay))["name"] == "lab"  # type: ignore[index]
    overlay.write_text('{"kernel": "mine"}')
    command = [
        sys.executable,
        "-m",
        "kos.tool",
        "server.upload_overlay",
        str(overlay),
        "--server",
        studio.url,
    ]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert refused.returncode == 1 and "an overlay says" in refused.stderr


def test_wrong_passwords_lock_and_tire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOS_SERVER_ADMIN_PASSWORD", PASSWORD)
    with running(tmp_path, product="fleet") as server, server.client() as client:
        answers = [
            client.post("/api/v1/login", json={"email": "admin@localhost", "password": "wrong"}).status_code
            for _ in range(12)
        ]
        assert set(answers) <= {401, 429}
        right = client.post("/api/v1/login", json={"email": "admin@localhost", "password": PASSWORD})
        assert right.status_code in (401, 429), "locked, though the password is right"


def test_tries_are_counted_for_each_key() -> None:
    limit = RateLimit(burst=3, per_minute=0.001)
    for _ in range(3):
        limit.spend("a")
    with pytest.raises(KosError, match="too many"):
        limit.spend("a")
    limit.spend("b")


def test_a_one_time_code_works_once() -> None:
    # RFC 6238, appendix B: the time 59 s is step 1; of its eight digits the last six.
    assert totp_code("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 1) == "287082"
    secret = new_totp_secret()
    code = totp_code(secret, 100)
    assert totp_step(secret, code, 0, at=3000.0) == 100
    with pytest.raises(KosError, match="wrong code"):
        totp_step(secret, code, 100, at=3000.0)


def test_the_audit_log_shows_that_it_was_changed(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    database.migrate()
    with database.write() as session:
        for number in range(3):
            audit.record(session, None, "thing", str(number))
    with database.read() as session:
        assert audit.verify(session, None) == 3
    with database.write() as session:
        session.execute(update(AuditEntry).where(AuditEntry.target == "1").values(actor="somebody else"))
    with database.read() as session, pytest.raises(KosError, match="changed at entry 2"):
        audit.verify(session, None)
    database.close()


def test_audit_entries_of_many_writers_make_one_chain() -> None:
    if postgres.find("initdb") is None:
        pytest.skip("needs postgresql: apt-get install postgresql")
    with postgres.cluster() as url:
        database = Database(url.replace("postgresql://", "postgresql+psycopg://"))
        database.migrate()

        def write(name: str) -> None:
            for number in range(10):
                with database.write() as session:
                    audit.record(session, None, name, str(number))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, "abcd"))
        with database.read() as session:
            assert audit.verify(session, None) == 40
        database.close()


def test_one_process_holds_the_lease(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    database.migrate()
    assert acquire(database, "worker", "a") and acquire(database, "worker", "a")
    assert not acquire(database, "worker", "b")
    release(database, "worker", "a")
    assert acquire(database, "worker", "b")
    database.close()


def test_an_alarm_does_not_flap() -> None:
    rule = AlarmRule(above=True, raise_at=80.0, clear_at=70.0, hold=10.0)
    watch = Watch()
    seen = [watch.step(rule, value, at * 1000) for at, value in enumerate([75, 81, 79, 82, 85])]
    assert seen == [None] * 5, "not past the threshold for long enough"
    assert watch.step(rule, 83, 13_000) is True
    assert watch.step(rule, 75, 14_000) is None, "between the thresholds nothing changes"
    assert watch.step(rule, 70, 15_000) is False


@pytest.mark.parametrize(
    "text",
    [
        'name:"pump 7',
        '"pump',
        'name:"a"b',
        "colour:red",
        "online:maybe",
        "status:odd",
        "tag:a/b",
        "x" * (QUERY_MAX + 1),
        "a " * (TERMS_MAX + 1),
    ],
)
def test_a_wrong_query_is_refused(text: str) -> None:
    with pytest.raises(KosError):
        parse(text)


def test_values_with_spaces_stand_in_quotation_marks() -> None:
    assert parse('name:"pump 7" -tag:lab') == (Term("name", "pump 7"), Term("tag", "lab", True))
    assert parse('-name:"p*" "hall 2"') == (Term("name", "p*", True), Term("name", "*hall 2*"))
    assert parse(r'name:"a\"b\\"') == (Term("name", 'a"b\\'),)
    assert parse("* pump 12:30 -x") == tuple(Term("name", f"*{word}*") for word in ("pump", "12:30", "-x"))


def test_settings_come_from_the_environment() -> None:
    settings = from_environment({"KOS_SERVER_PORT": "5", "KOS_SERVER_BUS_SYNC": "true"}, product="fleet")
    assert settings.port == 5 and settings.bus_sync and not settings.auto_accept
    assert from_environment({}).auto_accept, "Studio accepts devices of this machine"
    assert not from_environment({"KOS_SERVER_AUTO_ACCEPT": "0"}).auto_accept
    with pytest.raises(KosError, match="expected a int"):
        from_environment({"KOS_SERVER_PORT": "many"})
    with pytest.raises(KosError, match="product"):
        from_environment({"KOS_SERVER_PRODUCT": "other"})


def test_a_revoked_key_never_comes_back() -> None:
    assert step("pending", "accept") == "accepted" == step("accepted", "accept")
    for status, action in (("revoked", "accept"), ("accepted", "reject"), ("pending", "explode")):
        with pytest.raises(KosError):
            step(status, action)
