"""apt with a state of its own: resolves, downloads and verifies packages of another architecture.

It never touches the machine's own package state and needs no root. Verification is apt's: the signed release
file covers the index, the index covers each package; we compare the hash of what arrived once more.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kos.abi.errors import KosError
from kos.build.sdk.sets import NOT_ON_DEVICE, SUITE, PackageSet
from kos.build.sdk.sources import Source, plain_environment

Progress = Callable[[str], None]
_INSTALL = re.compile(r"^Inst (?P<name>\S+) (?:\[\S+\] )?\((?P<version>\S+) ", re.MULTILINE)
_FIELD = re.compile(r"^(?P<key>[A-Za-z0-9-]+): (?P<value>.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """One package as Debian's index describes it. `size` in bytes, `sha256` of the .deb file."""

    name: str
    version: str
    architecture: str
    sha256: str
    size: int
    source: str

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


class PrivateApt:
    """apt for one Debian architecture, in `root`."""

    def __init__(self, root: Path, architecture: str, sources: list[Source], say: Progress) -> None:
        self._root = root
        self._architecture = architecture
        self._say = say
        for folder in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self._sources = sources
        self._write_sources()
        (root / "status").write_text("".join(self._not_on_device()))
        (root / "apt.conf").write_text(self._configuration())

    def update(self) -> None:
        """Fetch the signed indexes.

        A mirror that is being renewed may have no whole index of the security or other updates for a while:
        then without them, and saying so. What is installed is signed all the same.
        """
        while True:
            try:
                self._run("apt-get", "update", "--error-on=any")
                return
            except KosError as error:
                broken = {one.suite for one in self._sources if f"/{one.suite}/" in error.message} - {SUITE}
                if not broken:
                    raise
                self._say(
                    f"warning: the mirror's index of {', '.join(broken)} is not whole, going on without it"
                )
                self._sources = [one for one in self._sources if one.suite not in broken]
                self._write_sources()

    def _write_sources(self) -> None:
        (self._root / "etc/debian.sources").write_text("\n".join(source.stanza() for source in self._sources))

    def resolve(self, wanted: PackageSet, versions: dict[str, str] | None = None) -> list[Package]:
        """What the set consists of, in order of names; exactly `versions` where a lock gives them."""
        if versions:
            return self._describe([f"{name}={version}" for name, version in sorted(versions.items())])
        if not wanted.closure:
            return self._describe(self._concrete(wanted))
        plan = self._run("apt-get", "install", "--simulate", "--no-install-recommends", *wanted.packages)
        return self._describe([f"{found['name']}={found['version']}" for found in _INSTALL.finditer(plan)])

    def download(self, packages: list[Package]) -> list[Path]:
        """The .deb files, downloaded where they are not here yet; an interrupted download goes on.

        Raises:
            KosError: apt could not get one, or its bytes are not what the index promised.
        """
        archives = self._root / "cache/archives"
        missing = [one for one in packages if not (archives / one.file_name).exists()]
        if missing:
            total = sum(one.size for one in missing)
            self._say(f"downloading {len(missing)} packages, {total / 1e6:.1f} MB")
            self._run("apt-get", "download", *(f"{one.name}={one.version}" for one in missing), cwd=archives)
        return [verified(archives / one.file_name, one) for one in packages]

    def _concrete(self, wanted: PackageSet) -> list[str]:
        """A kernel's meta package depends on the one with the version in its name."""
        names = []
        for name in wanted.packages:
            text = self._run("apt-cache", "depends", "--important", name)
            real = re.findall(r"Depends: (linux-image-[0-9]\S+)", text)
            names.append(real[0] if real else name)
        return names

    def _describe(self, names: list[str]) -> list[Package]:
        text = self._run("apt-cache", "show", "--no-all-versions", *names)
        packages = []
        for stanza in filter(None, text.strip().split("\n\n")):
            fields = {match["key"]: match["value"] for match in _FIELD.finditer(stanza)}
            packages.append(
                Package(
                    name=fields["Package"],
                    version=fields["Version"],
                    architecture=fields["Architecture"],
                    sha256=fields["SHA256"],
                    size=int(fields["Size"]),
                    source=fields.get("Source", fields["Package"]).split(" ")[0],
                )
            )
        return sorted(packages, key=lambda package: package.name)

    def _not_on_device(self) -> list[str]:
        """Entries of dpkg's status file that make apt believe that a package is installed already."""
        return [
            f"Package: {name}\nStatus: install ok installed\nVersion: 99:0\n"
            f"Architecture: {self._architecture}\nMulti-Arch: foreign\n"
            "Maintainer: none\nDescription: not on the device\n\n"
            for name in NOT_ON_DEVICE
        ]

    def _configuration(self) -> str:
        root = self._root
        return (
            f'APT::Architecture "{self._architecture}";\nAPT::Architectures {{ "{self._architecture}"; }};\n'
            f'Dir::State "{root}/state";\nDir::State::status "{root}/status";\nDir::Cache "{root}/cache";\n'
            f'Dir::Etc::sourcelist "{root}/etc/debian.sources";\nDir::Etc::sourceparts "-";\n'
            f'Dir::Etc::preferences "-";\nDir::Etc::preferencesparts "-";\n'
            'Acquire::Languages "none";\nAPT::Sandbox::User "";\nAcquire::Retries "3";\n'
        )

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        environment = plain_environment() | {"APT_CONFIG": str(self._root / "apt.conf")}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, cwd=cwd, check=False
            )
        except FileNotFoundError as error:
            raise KosError(
                f"{command[0]} was not found", hint="the SDK is installed on a Debian machine"
            ) from error
        if done.returncode:
            reason = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [
                done.stderr.strip()
            ]
            raise KosError(
                f"{' '.join(command[:2])} failed: {reason[0]}", hint="try again: what arrived is kept"
            )
        return done.stdout


def verified(path: Path, package: Package) -> Path:
    """`path`, when its bytes are those that the index promised; a wrong file is removed, so that a retry
    works.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != package.sha256:
        path.unlink()
        raise KosError(
            f"expected sha256 {package.sha256}, found {found}",
            where=path.name,
            hint="it was removed; install again",
        )
    return path
