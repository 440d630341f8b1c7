"""What is looked at before a server starts, and what is taken back when it does not.

A start that fails leaves the data folder as it was: of a first one, nothing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from kos.abi.errors import KosError
from kos.server.core.db.database import check_version
from kos.server.settings import Settings

PLACE = "--data names a folder that this user may write to"
BACK = "server.restore brings a backup back into an empty folder"


def check_database(settings: Settings) -> None:
    """That the database in the data folder, where there is one, can be read and is one that we know.

    Raises:
        KosError: it is damaged, of something else, or of a newer server.
    """
    path = settings.data / "server.db"
    if settings.database or not path.exists() or (path.is_file() and path.stat().st_size == 0):
        return
    try:
        # Read only, so that even its journal is not touched.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            tables = {
                name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            versions = (
                database.execute("SELECT version_num FROM alembic_version").fetchall()
                if "alembic_version" in tables
                else []
            )
    except sqlite3.Error as error:
        raise KosError(f"the database cannot be used: {error}", where=str(path), hint=BACK) from error
    if tables and not versions:
        raise KosError("the database is not a server's", where=str(path), hint="--data names another folder")
    for (version,) in versions:
        check_version(version, str(path))


@contextmanager
def data_folder(path: Path, started: Callable[[], bool]) -> Iterator[None]:
    """Have the data folder for as long as a server runs; what was made in it is gone when that did not start.

    Raises:
        KosError: it cannot be made, or this user may not write to it.
    """
    made = [one for one in (path, *path.parents) if not one.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = set(os.listdir(path))
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            raise PermissionError(None, "not to be written by this user")
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        _remove(made)
        raise KosError(f"no place for data: {error.strerror}", where=str(path), hint=PLACE) from error
    try:
        with suppress(OSError):  # a file system without locks: then nothing is taken back
            fcntl.flock(folder, fcntl.LOCK_SH)  # other servers may share it
        try:
            yield
        finally:
            if not started() and _alone(folder):
                for name in set(os.listdir(path)) - before:
                    found = path / name
                    shutil.rmtree(found) if found.is_dir() else found.unlink()
                _remove(made)
    finally:
        os.close(folder)


def _remove(folders: list[Path]) -> None:
    """Remove empty folders, the innermost first."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _alone(folder: int) -> bool:
    """Whether no other server has the folder: what is new in it may be another's."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
