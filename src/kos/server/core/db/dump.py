"""A PostgreSQL database as files: every table at one moment, by COPY, and back into an empty database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, column, func, inspect, select, table, text

from kos.abi.errors import KosError
from kos.server.core.db.database import Database, check_version
from kos.server.core.db.models import Base

INDEX = "tables.json"


def dump(url: str, folder: Path) -> None:
    """Write every table into `folder`, all as they are at one moment."""
    database = Database(url)
    try:
        options = {"isolation_level": "REPEATABLE READ"}
        with database.engine.connect().execution_options(**options) as connection, connection.begin():
            version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
            tables = {}
            for name in _ordered(connection):
                tables[name] = [column["name"] for column in inspect(connection).get_columns(name)]
                with (
                    (folder / name).open("wb") as file,
                    _cursor(connection).copy(
                        f"COPY {_quoted(name)} ({_columns(tables[name])}) TO STDOUT"
                    ) as copy,
                ):
                    for piece in copy:
                        file.write(piece)
            (folder / INDEX).write_text(json.dumps({"version": version, "tables": tables}))
    finally:
        database.close()


def load(url: str, folder: Path) -> None:
    """Fill an empty database.

    Raises:
        KosError: it is not empty, or the files are not those of `dump`.
    """
    database = Database(url)
    try:
        if database.version() is not None:
            raise KosError("there is something already", where=_plain(url), hint="choose an empty database")
        index = json.loads((folder / INDEX).read_text())
        check_version(index["version"], INDEX)
        database.migrate(index["version"])
        with database.engine.begin() as connection:
            known = set(_ordered(connection))
            for name in sorted(index["tables"], key=_ordered(connection).index):
                if name not in known:
                    raise KosError(f"{name[:60]!r} is no table of a server")
                columns = _columns(index["tables"][name])
                with (
                    (folder / name).open("rb") as file,
                    _cursor(connection).copy(f"COPY {_quoted(name)} ({columns}) FROM STDIN") as copy,
                ):
                    while piece := file.read(1 << 20):
                        copy.write(piece)
                _go_on_counting(connection, name, index["tables"][name])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KosError(f"not a backup of a database: {error}") from error
    finally:
        database.close()


def _go_on_counting(connection: Connection, name: str, columns: list[str]) -> None:
    sequence = None
    if "id" in columns:
        sequence = connection.execute(
            text("SELECT pg_get_serial_sequence(:name, 'id')"), {"name": _quoted(name)}
        ).scalar()
    if sequence:
        next_one = select(func.coalesce(func.max(column("id")), 0) + 1).select_from(table(name))
        connection.execute(select(func.setval(sequence, next_one.scalar_subquery(), False)))


def _ordered(connection: Connection) -> list[str]:
    """Tables in an order in which each refers only to ones before it."""
    there = set(inspect(connection).get_table_names()) - {"alembic_version"}
    return [one.name for one in Base.metadata.sorted_tables if one.name in there]


def _cursor(connection: Connection) -> Any:
    return connection.connection.cursor()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _columns(names: list[str]) -> str:
    return ", ".join(_quoted(name) for name in names)


def _plain(url: str) -> str:
    """An address without its password."""
    return url.partition("://")[0] + "://…" + url.rpartition("@")[2]
