"""One database: connections, transactions, and the schema brought to the newest version.

Transactions that write say so (`write()`): on SQLite they take the write lock at once, so that two never
deadlock by upgrading from a read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import NullPool

from kos.abi.errors import KosError

HEAD = "0008"  # the newest migration; a test compares it with the folder
MIGRATIONS = Path(__file__).parent / "migrations"
START_LOCK = 7531  # the number of our lock in PostgreSQL
BUSY_TIMEOUT = 15.0  # seconds that a SQLite writer waits for another
POOL_TIMEOUT = 10.0  # seconds that a transaction waits for a connection
# A machine that is gone says nothing: libpq's bounds (seconds, milliseconds), unless the address has its own.
POSTGRESQL_WAITS = {
    "connect_timeout": 5,
    "tcp_user_timeout": 15_000,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


def check_version(version: object, where: str) -> None:
    """That this server knows a schema.

    Raises:
        KosError: it is of a newer server, or of none.
    """
    if not (isinstance(version, str) and re.fullmatch(r"\d{4}", version) and "0001" <= version <= HEAD):
        raise KosError(
            f"the database is of version {version!r}, this server knows up to {HEAD}",
            where=where,
            hint="start the KOS that wrote it, or a newer one",
        )


class Database:
    """An engine and its sessions. Blocking: call it from a thread, not from the event loop."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")
        options: dict[str, Any] = {"pool_pre_ping": not self.sqlite}
        if self.sqlite:
            options["connect_args"] = {"timeout": BUSY_TIMEOUT, "check_same_thread": False}
        else:
            options["connect_args"] = {name: n for name, n in POSTGRESQL_WAITS.items() if name not in url}
            options["pool_timeout"] = POOL_TIMEOUT
        try:
            self.engine: Engine = create_engine(url, **options)
        except ArgumentError:
            # Not repeated: a password may be in it.
            raise KosError("not a database's address", hint="postgresql://USER@HOST/NAME") from None
        if self.sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self.sessions = sessionmaker(self.engine, expire_on_commit=False)
        self.writing_sessions = sessionmaker(
            self.engine.execution_options(kos_write=True), expire_on_commit=False
        )

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads."""
        with self.sessions() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction, committed at the end unless an error leaves it."""
        with self.writing_sessions.begin() as session:
            yield session

    def only_one(self, session: Session) -> None:
        """Until the transaction ends no other process gets past this: for what servers do when they start."""
        if not self.sqlite:  # a SQLite writer is alone anyway
            session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": START_LOCK})

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to `revision`. Costs one query when it is there already."""
        if revision == "head" and self.version() == HEAD:
            return
        # Alembic takes half a second to import; a server that is up to date starts without it.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        # One server migrates while others that start at the same moment wait for the lock.
        with self._migrating() as connection:
            config.attributes["connection"] = connection
            newest = self._version(connection)
            if newest is not None:
                check_version(newest, self.engine.url.render_as_string(hide_password=True))
            back = revision == "base" or (revision != "head" and newest is not None and revision < newest)
            if back:
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)

    @contextmanager
    def _migrating(self) -> Iterator[Connection]:
        """A transaction in which the schema may change."""
        if not self.sqlite:
            with self.engine.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": START_LOCK})
                yield connection
            return
        # SQLite changes a table by making it anew, which the rows that refer to it would forbid; whether they
        # still refer to something is checked at the end instead.
        engine = create_engine(self.url, connect_args={"timeout": BUSY_TIMEOUT}, poolclass=NullPool)
        event.listen(engine, "connect", _prepare_sqlite_plain)
        event.listen(engine, "begin", _begin_sqlite)
        with engine.execution_options(kos_write=True).begin() as connection:
            yield connection
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            if broken is not None:
                raise KosError(f"the migration would leave a row of {broken[0]} that refers to nothing")

    def version(self) -> str | None:
        """The migration that the schema is at; None for an empty database."""
        with self.engine.connect() as connection:
            return self._version(connection)

    def _version(self, connection: Connection) -> str | None:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()

    def close(self) -> None:
        """Close all connections; one that a thread still works with when it gives it back."""
        event.listen(self.engine, "checkin", lambda _connection, record: record.close())
        self.engine.dispose()


def _prepare_sqlite_plain(connection: Any, _record: object) -> None:
    # We begin transactions ourselves: the driver's own way would delay the write lock.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")


def _prepare_sqlite(connection: Any, record: object) -> None:
    _prepare_sqlite_plain(connection, record)
    for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "cache_size = -32000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("kos_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
