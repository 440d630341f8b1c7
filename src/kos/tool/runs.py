"""Run directories: one for each system that runs on this machine, where commands of another terminal find it.

`$XDG_RUNTIME_DIR/kos/NAME`, else `/tmp/kos-UID/NAME`, readable by their owner only. A run holds a lock on its
directory; what a run that died left behind is cleared away by the next one.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from kos.abi.errors import KosError
from kos.device.control.client import ControlClient

_LOCK_SECONDS = 0.2  # for which a held lock is tried again
_STAGING = ".staging-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def base() -> Path:
    """The directory that holds run directories; made when it is missing.

    Raises:
        KosError: somebody else made it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    place = Path(runtime) / "kos" if runtime and Path(runtime).is_dir() else Path(f"/tmp/kos-{os.getuid()}")
    place.mkdir(mode=0o700, exist_ok=True)
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise KosError(
            "this directory must be yours and closed to others",
            where=str(place),
            hint=f"remove it, or: chmod 700 {place}",
        )
    return place


def _held(lock_path: Path) -> bool:
    try:
        with lock_path.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def names() -> list[str]:
    """The systems that run now."""
    return sorted(path.name.removesuffix(".lock") for path in base().glob("*.lock") if _held(path))


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock file, which goes away at the end.

    Raises:
        BlockingIOError: somebody holds it.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # A `status` that looks whether the run is alive holds the lock for a moment too.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
                continue
            # Whoever held it before may have removed it between our opening and locking it.
            if not _same_file(lock.fileno(), path):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def check_name(name: str) -> str:
    """The name, where a run can have it.

    Raises:
        KosError: none can.
    """
    if not _NAME.fullmatch(name):
        raise KosError(f"{name!r} cannot be a run's name", hint="letters, digits, _ and -, at most 64")
    return name


@contextmanager
def new(name: str) -> Iterator[Path]:
    """An empty run directory for a system, removed at the end.

    Raises:
        KosError: a system of that name runs already, or none can have it.
    """
    check_name(name)
    directory = base() / name
    with ExitStack() as held:
        try:
            held.enter_context(_lock(base() / f"{name}.lock"))
        except BlockingIOError:
            raise KosError(
                f"a system named {name!r} runs already",
                hint=f"stop it with kos-tool stop {name}, or give this one another --name",
            ) from None
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700)
        held.callback(shutil.rmtree, directory, ignore_errors=True)
        yield directory


@contextmanager
def staging() -> Iterator[Path]:
    """A directory beside the runs in which a system is put together; it may be renamed to where it goes."""
    for old in base().glob(f"{_STAGING}*"):
        with suppress(OSError), _held_directory(old):
            shutil.rmtree(old, ignore_errors=True)  # of a command that was killed
    with tempfile.TemporaryDirectory(dir=base(), prefix=_STAGING) as name, _held_directory(Path(name)):
        yield Path(name)


@contextmanager
def _held_directory(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def connect(name: str | None) -> ControlClient:
    """The supervisor of a running system; without a name, of the only one."""
    return ControlClient(find(name))


def find(name: str | None) -> Path:
    """The directory of a running system; without a name, of the only one.

    Raises:
        KosError: there is none, or not only one.
    """
    running = names()
    if name is None:
        if not running:
            raise KosError("no system is running", hint="start one with kos-tool run")
        if len(running) > 1:
            raise KosError("several systems are running", hint=f"name one: {', '.join(running)}")
        name = running[0]
    if name not in running:
        known = f"running: {', '.join(running)}" if running else "none runs; start one with kos-tool run"
        raise KosError(f"no system named {name!r} is running", hint=known)
    return base() / name
