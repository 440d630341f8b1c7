"""Backup and restore of a server: the database as it is at one moment, keys, artifacts."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path, PurePosixPath

from kos.abi.errors import KosError
from kos.build import files
from kos.server.core.db.database import check_version
from kos.server.settings import with_driver

DATABASE = "server.db"
TABLES = "database"  # PostgreSQL's tables, one file each
FOLDERS = ("keys", "blobs")
TAR_END = bytes(2 * tarfile.BLOCKSIZE)
MAKE_ONE = "kos-tool server.backup makes one"


def backup(data: Path, archive: Path, database: str = "") -> None:
    """Write an archive that only its owner may read. The server may run meanwhile.

    `database` is PostgreSQL's address, where the server has one.
    """
    database = with_driver(database)
    if not (data / "keys").is_dir():
        raise KosError("no server keeps its data there", where=str(data))
    with (
        files.atomic_file(archive, mode=0o600) as whole,
        tempfile.TemporaryDirectory(dir=archive.parent) as folder,
        tarfile.open(fileobj=whole, mode="w") as out,
    ):
        if database:
            from kos.server.core.db.dump import dump

            dump(database, Path(folder))
            out.add(folder, TABLES, filter=_private)
        elif (data / DATABASE).exists():
            copy = Path(folder, DATABASE)
            _copy(data / DATABASE, copy)
            out.add(copy, DATABASE)
        for name in FOLDERS:
            if (data / name).is_dir():
                out.add(data / name, name, filter=_wanted)


def _copy(database: Path, to: Path) -> None:
    try:
        # A plain copy of the file could miss what is still in the write-ahead log.
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(to)) as target:
            source.backup(target)
    except sqlite3.Error as error:
        raise KosError(f"the database cannot be read: {error}", where=str(database)) from error


def restore(archive: Path, data: Path, database: str = "") -> None:
    """Unpack a backup into a folder that does not exist or is empty, and into an empty database.

    Raises:
        KosError: there is something already, or the archive is no whole backup; then nothing stays of it.
    """
    if data.exists() and any(data.iterdir()):
        raise KosError("there is something already", where=str(data), hint="choose an empty folder")
    new = not data.exists()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        _unpack(archive, data)
        _check(data, archive)
        _fill(data, database, archive)
    except BaseException:
        for path in data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if new:
            data.rmdir()
        raise


def _unpack(archive: Path, data: Path) -> None:
    if not archive.is_file():
        raise KosError("expected a file", where=str(archive), hint=MAKE_ONE)
    with archive.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(TAR_END)))
        if size % tarfile.BLOCKSIZE or file.read() != TAR_END:
            raise KosError("not a backup, or not a whole one", where=str(archive), hint=MAKE_ONE)
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as source:
                for member in source:
                    parts = PurePosixPath(member.name).parts
                    if not parts or parts[0] not in (DATABASE, TABLES, *FOLDERS) or ".." in parts:
                        strange = repr(member.name[:80])
                        raise KosError(f"{strange} does not belong in a backup", where=str(archive))
                    _write(source, member, data.joinpath(*parts))
        except (tarfile.TarError, KeyError, OSError) as error:
            raise KosError(f"not a backup: {error}", where=str(archive), hint=MAKE_ONE) from error


def _check(data: Path, archive: Path) -> None:
    """That keys and one database are there, and that this server can read them."""
    keys = sorted((data / "keys").glob("*"))
    if not keys or (data / DATABASE).is_file() == (data / TABLES).is_dir():
        raise KosError("a backup has keys and one database", where=str(archive), hint=MAKE_ONE)
    for key in keys:
        key.chmod(0o600)
    if (data / DATABASE).is_file():
        try:
            with closing(sqlite3.connect(data / DATABASE)) as database:
                (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
                (version,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        except (sqlite3.Error, TypeError) as error:
            raise KosError(f"its database is damaged: {error}", where=str(archive), hint=MAKE_ONE) from error
        if found != "ok":
            raise KosError(f"its database is damaged: {found}", where=str(archive), hint=MAKE_ONE)
        check_version(version, str(archive))


def _write(source: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """Write one member: a folder or a new file. Python 3.11.2 has no filter to leave this to."""
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    content = source.extractfile(member)  # of a hard link: the bytes of its target, which is in the archive
    if content is None or member.issym() or member.issparse():
        raise tarfile.ExtractError(f"{member.name[:80]!r} is neither a file nor a folder")
    place.parent.mkdir(parents=True, exist_ok=True)
    with content, place.open("xb") as out:
        shutil.copyfileobj(content, out)


def _fill(data: Path, database: str, archive: Path) -> None:
    database = with_driver(database)
    tables = data / TABLES
    if tables.is_dir() != bool(database):
        raise KosError(
            "the backup is of PostgreSQL" if tables.is_dir() else "the backup is of SQLite",
            where=str(archive),
            hint="--database postgresql://… of an empty one" if tables.is_dir() else "leave --database out",
        )
    if database:
        from kos.server.core.db.dump import load

        load(database, tables)
        for file in tables.iterdir():
            file.unlink()
        tables.rmdir()


def _private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode = 0o700 if member.isdir() else 0o600
    return member


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    # Drafts are half, and differences are made anew.
    return None if member.name.startswith(("blobs/drafts/", "blobs/deltas/")) else member
