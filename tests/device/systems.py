"""Small real systems for tests: apps written by the test, run by the real supervisor in real sandboxes."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kos.device.control import ControlClient
from kos.device.launcher import cache_folder, host_launcher

DEADLINE = 90.0  # seconds that a test waits for an event before it gives up
AFTER_FAILURE = 5.0  # seconds once a wait has failed: tests that share a system do not each wait for so long
ROOT = Path(__file__).resolve().parents[2]
UNPRIVILEGED = 65534  # the uid that a test run by root uses as its ordinary user


def needs_bubblewrap() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("needs bubblewrap: apt-get install bubblewrap")


def app(source: str | None = None, *, image: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """An app's JSON; `source` is the Python module `main` of its image, with a function `main`."""
    return {
        "source": textwrap.dedent(source) if source is not None else None,
        "image": image,
        "arguments": [],
        "environ": {},
        "config": {},
        "priority": 100,
        "max_priority": 100,
        "memory": 64 << 20,
        "processes": 16,
        "descriptors": 256,
        "restart": {
            "policy": "never",
            "backoff_initial": 0.01,
            "backoff_max": 0.1,
            "limit": 10,
            "window": 60.0,
        },
        "critical": False,
        "resources": [],
        "access": {},
        **members,
    }


def c_app(source: str, **members: Any) -> dict[str, Any]:
    """An app in C, compiled by the machine's compiler; `flags` are further arguments of it."""
    return app(None, c_source=textwrap.dedent(source), **members)


def install(
    directory: Path,
    apps: dict[str, dict[str, Any]],
    ports: dict[str, list[str]] | None = None,
    options: dict[str, Any] | None = None,
) -> Path:
    """Write manifest.json and the store of a system into `directory`."""
    images = directory / "store" / "images"
    images.mkdir(parents=True, exist_ok=True)
    for name, each in apps.items():
        python, c, flags = each.pop("source", None), each.pop("c_source", None), each.pop("flags", [])
        if python is not None:
            sha256 = hashlib.sha256(python.encode()).hexdigest()
            (images / sha256 / "site").mkdir(parents=True, exist_ok=True)
            (images / sha256 / "site" / f"{name}_app.py").write_text(python)
            each["image"] = {"kind": "python", "sha256": sha256, "size": 1, "entry": f"{name}_app:main"}
        elif c is not None:
            sha256 = hashlib.sha256(c.encode()).hexdigest()
            program = images / sha256 / "bin" / "program"
            if not program.exists():  # apps may share an image
                program.parent.mkdir(parents=True)
                command = [*compiler(), "-O1", "-g", "-w", "-x", "c", "-", "-x", "none", *flags]
                command += ["-o", str(program), "-lpthread"]
                subprocess.run(command, input=c, text=True, check=True)
            each["image"] = {"kind": "c", "sha256": sha256, "size": 1, "entry": "bin/program"}
    manifest = {
        "format": "kos.manifest",
        "version": 1,
        "name": "test_system",
        "release": "0.1.0",
        "platform": "host",
        "options": options or {},
        "msg_servers": {name: {"ports": names} for name, names in (ports or {}).items()},
        "apps": apps,
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def compiler() -> list[str]:
    """The machine's C compiler, or the one that the SDK brings."""
    found = shutil.which("cc")
    return [found] if found else [sys.executable, "-m", "ziglang", "cc"]


def lend_launcher(cache: Path) -> None:
    """Put our kos-launch into another XDG_CACHE_HOME: our compiler takes most of a minute for it."""
    ours = host_launcher(cache_folder())
    theirs = cache / "kos/launch" / ours.parent.name / ours.name
    theirs.parent.mkdir(parents=True)
    shutil.copy(ours, theirs)


class RunningSystem:
    """A supervisor at work; its console lines arrive in a queue."""

    def __init__(self, directory: Path, *, ordinary_user: bool = False) -> None:
        needs_bubblewrap()
        self.directory = directory
        become, python, changed = [], sys.executable, dict(os.environ)
        if ordinary_user and os.geteuid() == 0:
            directory = self._move_to_ordinary_user()
            become, python, changed = self._as_ordinary_user(directory)
        command = [*become, python, "-m", "kos.device.supervisor", "--dir", str(directory)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=changed,
        )
        self.lines: list[str] = []
        self.patience = float("inf")  # seconds at most for a wait; few once one has failed
        self._arrived: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _move_to_ordinary_user(self) -> Path:
        """Give the user a copy of the system: pytest's own folders are for root alone."""
        home = Path(tempfile.mkdtemp(prefix="kos-test-"))
        weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
        self.directory = shutil.copytree(self.directory, home / "system")
        for path in [home, *home.rglob("*")]:
            os.chown(path, UNPRIVILEGED, UNPRIVILEGED, follow_symlinks=False)
        return self.directory

    def _as_ordinary_user(self, directory: Path) -> tuple[list[str], str, dict[str, str]]:
        """The prefix of a command, an interpreter and an environment for it."""
        lend_launcher(directory / "cache")
        for path in [directory / "cache", *(directory / "cache").rglob("*")]:
            os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
        changed = dict(os.environ)
        changed["XDG_CACHE_HOME"] = str(directory / "cache")
        changed["HOME"] = str(directory)
        # For an interpreter that is not of our environment.
        changed["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        if is_reachable(ROOT):
            return as_ordinary_user(), reachable_python(), changed
        # Our tree lies in the home folder of root, as on a machine that has no other user.
        place = Path(tempfile.mkdtemp(prefix="kos-test-tree-"))
        weakref.finalize(self, os.rmdir, place)
        changed["PYTHONPATH"] = changed["PYTHONPATH"].replace(str(ROOT), str(place))
        python = sys.executable.replace(str(ROOT), str(place))
        place.chmod(0o755)
        return [*seen_at(place), *as_ordinary_user()], python, changed

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._arrived.put(line.rstrip("\n"))
        self._arrived.put(None)

    def wait_for(
        self, wanted: str | Callable[[str], bool], times: int = 1, deadline: float = DEADLINE
    ) -> str:
        """The n-th console line with this text; fails with all lines so far when it does not come in time."""
        matches = (lambda line: wanted in line) if isinstance(wanted, str) else wanted
        end = time.monotonic() + min(deadline, self.patience)
        seen = 0
        while True:
            while seen < len(self.lines):
                times -= matches(self.lines[seen])
                seen += 1
                if times == 0:
                    return self.lines[seen - 1]
            try:
                line = self._arrived.get(timeout=max(0.0, end - time.monotonic()))
                if line is None:
                    self._arrived.put(None)  # for the next one who waits: nothing comes any more
            except queue.Empty:
                line = None
            if line is None:
                self.patience = AFTER_FAILURE
                raise AssertionError(f"no line with {wanted!r} among:\n" + "\n".join(self.lines))
            self.lines.append(line)

    def client(self) -> ControlClient:
        self.wait_for("supervisor         | limits: ")
        return ControlClient(self.directory)

    def status(self) -> dict[str, Any]:
        with self.client() as client:
            return client.status()

    def restart(self, name: str) -> None:
        with self.client() as client:
            client.restart(name)

    def stop(self) -> int:
        """Stop in order; → exit status. The rest of the console is in `lines` then."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        while (line := self._arrived.get(timeout=DEADLINE)) is not None:
            self.lines.append(line)
        assert self.process.stdout
        self.process.stdout.close()
        return status

    def __enter__(self) -> RunningSystem:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(DEADLINE)
        if self.process.stdout and not self.process.stdout.closed:
            self.process.stdout.close()


def as_ordinary_user() -> list[str]:
    """The prefix of a command that root runs as an ordinary user."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv: apt-get install util-linux")
    return ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups", "--"]


def seen_at(place: Path) -> list[str]:
    """The prefix of a command that sees the whole tree at `place`, and nobody else does."""
    script = 'mount --bind "$0" "$1" && shift && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(ROOT), str(place)]


def is_reachable(path: Path) -> bool:
    """Whether any user may read it."""
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))


def reachable_python() -> str:
    """An interpreter that any user may start: ours may lie in a home folder."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        if Path(candidate).exists() and is_reachable(Path(candidate).resolve()):
            version = subprocess.check_output([candidate, "-c", "import sys; print(sys.version_info[:2])"])
            if version.decode().strip() == str(sys.version_info[:2]):
                return candidate
    pytest.skip("needs a Python of this version outside a home folder: apt-get install python3")
