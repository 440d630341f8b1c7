"""Bring package sets into an SDK version: resolve or take from the lock, download, verify, unpack, record."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kos.abi.errors import KosError
from kos.abi.version import VERSION
from kos.build.sdk import home, sbom, sources
from kos.build.sdk import lock as locks
from kos.build.sdk.apt import Package, PrivateApt, Progress
from kos.build.sdk.sets import DEBIAN_ARCH, package_set

CURRENT = VERSION  # the SDK version of this release
LOCK_FILE = "sdk.lock.json"
SBOM_FILE = "sbom.cdx.json"
SET_FILE = ".set.lock.json"  # in each folder: the lock of what is in it


@dataclass(frozen=True, order=True)
class Wanted:
    """A set for a Debian architecture (`arm64`, `armhf`, or the host's own for host tools)."""

    set: str
    architecture: str

    @property
    def folder(self) -> str:
        return f"{self.set}-{self.architecture}"


@dataclass(frozen=True)
class Sdk:
    """An installed version."""

    path: Path

    @property
    def version(self) -> str:
        return self.path.name

    def lock(self) -> locks.Lock:
        return locks.load(self.path / LOCK_FILE)

    def folder(self, wanted: Wanted) -> Path:
        """The unpacked packages of a set.

        Raises:
            KosError: this SDK does not have it.
        """
        path = self.path / wanted.folder
        if not path.is_dir():
            raise KosError(
                f"SDK {self.version} has no {wanted.folder}",
                hint=f"run: kos-tool install {self.version} -p PLATFORM, the spec that this is for",
            )
        return path


def current() -> Sdk:
    """The SDK that tools use."""
    return Sdk(home.default_sdk())


def host_architecture() -> str:
    """Debian's name of this machine's architecture."""
    done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def install(version: str, wanted: Iterable[Wanted], say: Progress, pinned: Path | None = None) -> Sdk:
    """Install what is missing of `wanted` into SDK `version`; make it the default where there is none.

    What the version's lock names already is brought exactly so. `pinned` is another lock to follow.
    """
    sdk = Sdk(home.sdk_path(version))
    given = locks.load(pinned).sets if pinned else None
    sdk.path.mkdir(parents=True, exist_ok=True)
    with _exclusive(sdk.path.parent / ".installing"):
        path = sdk.path / LOCK_FILE
        lock = locks.load(path) if path.exists() else locks.Lock(version)
        # A folder and its record appear together; who was killed right after has not added it to the lock.
        for record in sorted(sdk.path.glob(f"*/{SET_FILE}")):
            lock.sets |= locks.load(record).sets
        follow = lock.sets if given is None else given
        missing = sorted(one for one in set(wanted) if not (sdk.path / one.folder).is_dir())
        if missing:
            _bring(sdk, lock, follow, missing, say)
        lock.save(path)
        part = sdk.path / f".{SBOM_FILE}.part"
        part.write_text(sbom.dumps(lock))
        part.replace(sdk.path / SBOM_FILE)
    if not home.default_link().exists():
        make_default(version)
    return sdk


def make_default(version: str) -> None:
    """Point the default link at an installed version."""
    if not (home.sdk_path(version) / LOCK_FILE).exists():
        raise KosError(f"SDK {version} is not installed", hint=f"run: kos-tool install {version}")
    link = home.default_link()
    new = link.with_name(".default.new")
    new.unlink(missing_ok=True)
    new.symlink_to(version)
    new.replace(link)


def _bring(
    sdk: Sdk, lock: locks.Lock, follow: dict[str, list[Package]], missing: list[Wanted], say: Progress
) -> None:
    where = sources.host_sources()
    for architecture in sorted({one.architecture for one in missing}):
        apt = PrivateApt(home.apt_cache(architecture), architecture, where, say)
        say(f"reading the package indexes for {architecture}")
        apt.update()
        for one in (one for one in missing if one.architecture == architecture):
            pinned = {package.name: package.version for package in follow.get(one.folder, [])}
            packages = apt.resolve(package_set(one.set), pinned)
            promised = {package.name: package.sha256 for package in follow.get(one.folder, [])}
            for package in packages:
                if promised.get(package.name, package.sha256) != package.sha256:
                    raise KosError(f"{package.name} {package.version} is not what the lock recorded")
            lock.sets[one.folder] = packages
            unpack(
                apt.download(packages), sdk.path / one.folder, locks.Lock(sdk.version, {one.folder: packages})
            )
            say(f"{one.folder}: {len(packages)} packages, {sum(p.size for p in packages) / 1e6:.1f} MB")


def unpack(archives: list[Path], target: Path, record: locks.Lock) -> None:
    """Unpack packages into a new folder, which appears complete and with its record or not at all.

    No script of a package runs.
    """
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for archive in archives:
        done = subprocess.run(
            ["dpkg-deb", "-x", str(archive), str(part)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise KosError(f"dpkg-deb could not unpack it: {done.stderr.strip()}", where=archive.name)
    record.save(part / SET_FILE)
    part.replace(target)


def wanted_for(sets: Iterable[str], arch: str) -> list[Wanted]:
    """The sets for `aarch64` or `aarch32`, plus the host's tools that every image needs."""
    debian = DEBIAN_ARCH[arch]
    return [Wanted(one, debian) for one in sets] + [Wanted("python-host", host_architecture())]


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Installations wait for each other: versions share apt's indexes and archives."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
