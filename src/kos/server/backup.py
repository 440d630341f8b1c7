"""Backup and restore of a data folder: the database as it is at one moment, keys, artifacts."""

from __future__ import annotations

import sqlite3
import tarfile
import tempfile
from pathlib import Path

from kos.abi.errors import KosError

DATABASE = "server.db"
FOLDERS = ("keys", "blobs")


def backup(data: Path, archive: Path) -> None:
    """Write an archive that only its owner may read. The server may run meanwhile."""
    if not (data / "keys").is_dir():
        raise KosError("no server keeps its data there", where=str(data))
    archive.touch(0o600)
    archive.chmod(0o600)
    with tempfile.TemporaryDirectory() as folder, tarfile.open(archive, "w") as out:
        if (data / DATABASE).exists():
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


def restore(archive: Path, data: Path) -> None:
    """Unpack a backup into a folder that does not exist or is empty."""
    if data.exists() and any(data.iterdir()):
        raise KosError("there is something already", where=str(data), hint="choose an empty folder")
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with tarfile.open(archive) as source:
            for member in source:
                if member.name.split("/")[0] not in (DATABASE, *FOLDERS):
                    raise KosError(f"{member.name[:80]!r} does not belong in a backup", where=str(archive))
                source.extract(member, data, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise KosError(f"not a backup: {error}", where=str(archive)) from error
    for key in (data / "keys").glob("*"):
        key.chmod(0o600)


def _wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.startswith("blobs/drafts/") else member
