"""`kos.lock`: exactly which wheels an app's dependencies are, for each target, and those wheels themselves.

pip resolves; the lock remembers, with a hash for each file; a build takes what the lock says or fails.
Nothing is ever built from source here: a source distribution runs code of its author on the developer's
machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from kos.build import files
from kos.build.cache import Cache
from kos.build.errors import BuildError
from kos.build.target import Target

LOCK_FILE = "kos.lock"
WHEELS_DIRECTORY = "wheels"  # an app may bring wheels of its own here
LOCK_VERSION = 1
LOCK_BYTES_MAX = 4 << 20
PACKAGES_MAX = 1000
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+!-]{0,250}\.whl")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Wheel:
    """One locked package: its name, version, file name and that file's SHA-256."""

    name: str
    version: str
    file: str
    sha256: str


def key(target: Target) -> str:
    """The target's name in a lock file."""
    return f"{target.cmake_processor}-python{target.python}"


def _markers(target: Target) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{target.python}.0",
        "os_name": "posix",
        "platform_machine": target.cmake_processor,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{target.python}.0",
        "python_version": target.python,
        "sys_platform": "linux",
    }


def _options(app: Path, target: Target) -> list[str]:
    """What makes pip choose for the target, and look into the app's own wheels too."""
    options = ["--only-binary=:all:", "--implementation", "cp", "--python-version", target.python]
    for platform in target.wheel_platforms:
        options += ["--platform", platform]
    if (app / WHEELS_DIRECTORY).is_dir():
        options += ["--find-links", str(app / WHEELS_DIRECTORY)]
    return options


def _pip(app: Path, target: Target, *arguments: str) -> None:
    command = [sys.executable, "-m", "kos.build.pip_target", json.dumps(_markers(target)), *arguments]
    # The user's own pip settings count: which index, which proxy, which certificate.
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    done = subprocess.run(
        [*command, *_options(app, target)],
        env=environment,
        capture_output=True,
        text=True,
        cwd=app,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        reason = lines[0].removeprefix("ERROR: ") if lines else done.stderr.strip()[-400:]
        raise BuildError(
            f"dependencies for {key(target)}: {reason}",
            where=str(app / "pyproject.toml"),
            hint=f"each needs a wheel for that machine; one that has none can be built and put into"
            f" {WHEELS_DIRECTORY}/ beside pyproject.toml",
        )


def locked(app: Path, requires: list[str], target: Target, *, may_lock: bool = True) -> list[Wheel]:
    """What the lock says for a target; a lock that is missing or out of date is brought up to date first.

    Args:
        app: the app's directory.
        requires: its dependencies as pyproject.toml has them.
        target: for which machine.
        may_lock: False makes a lock that would have to change an error.
    """
    if not requires:
        return []
    path = app / LOCK_FILE
    lock = _load(path) if path.exists() else None
    if lock is None or lock["requires"] != sorted(requires):
        lock = {"version": LOCK_VERSION, "requires": sorted(requires), "targets": {}}
    if key(target) not in lock["targets"]:
        if not may_lock:
            raise BuildError(
                f"does not say what to use for {key(target)}",
                where=str(path),
                hint="build once without --locked",
            )
        lock["targets"][key(target)] = [vars(wheel) for wheel in _resolve(app, requires, target)]
        files.write_atomic(path, (json.dumps(lock, indent=2, sort_keys=True) + "\n").encode())
    return [Wheel(**entry) for entry in lock["targets"][key(target)]]


def _load(path: Path) -> dict[str, Any]:
    """A lock file that was checked in every member."""
    if path.stat().st_size > LOCK_BYTES_MAX:
        raise BuildError(f"more than {LOCK_BYTES_MAX} bytes are too many", where=str(path))
    try:
        lock = json.loads(path.read_bytes())
        ok = (
            set(lock) == {"version", "requires", "targets"}
            and lock["version"] == LOCK_VERSION
            and all(isinstance(text, str) for text in lock["requires"])
            and all(_is_wheels(entries) for entries in lock["targets"].values())
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        ok = False
    if not ok:
        raise BuildError(
            f"not a lock file of version {LOCK_VERSION}",
            where=str(path),
            hint="remove it and build again to renew it",
        )
    return lock


def _is_wheels(entries: Any) -> bool:
    return len(entries) <= PACKAGES_MAX and all(
        set(entry) == {"name", "version", "file", "sha256"}
        and all(isinstance(text, str) for text in entry.values())
        and _FILE.fullmatch(entry["file"])
        and _SHA256.fullmatch(entry["sha256"])
        for entry in entries
    )


def _resolve(app: Path, requires: list[str], target: Target) -> list[Wheel]:
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        _pip(
            app, target, "install", "--quiet", "--dry-run", "--ignore-installed", "--target", scratch,
            "--report", str(report), *requires,
        )  # fmt: skip
        installed = json.loads(report.read_bytes())["install"]
    wheels = []
    for item in installed:
        info = item["download_info"]
        wheels.append(
            Wheel(
                item["metadata"]["name"],
                item["metadata"]["version"],
                unquote(info["url"].rsplit("/", 1)[-1]),
                info["archive_info"]["hashes"]["sha256"],
            )
        )
    return sorted(wheels, key=lambda wheel: wheel.name.lower())


def fetch(app: Path, wheels: list[Wheel], target: Target, cache: Cache) -> list[Path]:
    """The files of locked wheels, each with the hash that the lock says, from the cache or the index."""
    store = cache.root / "wheels"
    missing = [wheel for wheel in wheels if not _whole(store / wheel.sha256 / wheel.file, wheel.sha256)]
    if missing:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store) as scratch:
            wanted = Path(scratch, "wanted.txt")
            wanted.write_text("".join(f"{w.name}=={w.version} --hash=sha256:{w.sha256}\n" for w in missing))
            _pip(
                app, target, "download", "--quiet", "--no-deps", "--require-hashes", "--dest", scratch,
                "--requirement", str(wanted),
            )  # fmt: skip
            for wheel in missing:
                came = Path(scratch, wheel.file)
                if not _whole(came, wheel.sha256):
                    raise BuildError(
                        f"{wheel.file} did not come as locked",
                        where=str(app / LOCK_FILE),
                        hint="remove it to lock anew",
                    )
                (store / wheel.sha256).mkdir(exist_ok=True)
                came.replace(store / wheel.sha256 / wheel.file)
    return [store / wheel.sha256 / wheel.file for wheel in wheels]


def _whole(path: Path, sha256: str) -> bool:
    return path.is_file() and files.sha256_of(path) == sha256
