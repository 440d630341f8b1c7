"""Backup and restore of a server: the database as it is at one moment, keys, artifacts."""

from __future__ import annotations

import shutil
import sqlite3
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from kos.abi.errors import KosError
from kos.server.settings import with_driver

DATABASE = "server.db"
TABLES = "database"  # PostgreSQL's tables, one file each
FOLDERS = ("keys", "blobs")


def backup(data: Path, archive: Path, database: str = "") -> None:
    """Write an archive that only its owner may read. The server may run meanwhile.

    `database` is PostgreSQL's address, where the server has one.
    """
    database = with_driver(database)
    if not (data / "keys").is_dir():
        raise KosError("no server keeps its data there", where=str(data))
    archive.touch(0o600)
    archive.chmod(0o600)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder, tarfile.open(archive, "w") as out:
        if database:
            from kos.server.core.db.dump import dump

            dump(database, Path(folder))
            out.add(folder, TABLES, filter=_private)
        elif (data / DATABASE).exists():
            copy = Path(folder, DATABASE)
            # A plain copy of the file could miss what is still in the write-ahead log.
            with sqlite3.connect(data / DATABASE) as source, sqlite3.connect(copy) as target:
                source.backup(target)
            source.close()
            target.close()
            out.add(copy, DATABASE)
        for name in FOLDERS:
            if (data / name).is_dir():
                out.add(data / name, name, filter=_wanted)


def restore(archive: Path, data: Path, database: str = "") -> None:
    """Unpack a backup into a folder that does not exist or is empty, and into an empty database."""
    if data.exists() and any(data.iterdir()):
        raise KosError("there is something already", where=str(data), hint="choose an empty folder")
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with tarfile.open(archive) as source:
            for member in source:
                parts = PurePosixPath(member.name).parts
                if not parts or parts[0] not in (DATABASE, TABLES, *FOLDERS) or ".." in parts:
                    raise KosError(f"{member.name[:80]!r} does not belong in a backup", where=str(archive))
                _unpack(source, member, data.joinpath(*parts))
    except (tarfile.TarError, KeyError, OSError) as error:
        raise KosError(f"not a backup: {error}", where=str(archive)) from error
    for key in (data / "keys").glob("*"):
        key.chmod(0o600)
    _fill(data, database, archive)


def _unpack(source: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """Write one member: a folder or a new file. Python 3.11.2 has no filter to leave this to."""
    if member.isdir():
        place.mkdir(parents=True, exist_ok=True)
        return
    content = source.extractfile(member)  # of a hard link: the bytes of its target, which is in the archive
    if content is None or member.issym():
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
