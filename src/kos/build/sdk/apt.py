"""apt with a state of its own: resolves, downloads and verifies packages of another architecture.

It never touches the machine's own package state and needs no root. Verification is apt's: the signed release
file covers the index, the index covers each package; we compare the hash of what arrived once more.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kos.abi.errors import KosError
from kos.build.sdk.sets import NOT_ON_DEVICE, OTHER_NAME, SUITE, PackageSet
from kos.build.sdk.sources import Source, plain_environment, renamed

Progress = Callable[[str], None]
_INSTALL = re.compile(r"^Inst (?P<name>\S+) (?:\[\S+\] )?\((?P<version>\S+) ", re.MULTILINE)
# One name of a dependency: `NAME:any (>= 1)`, with the version where exactly one will do.
_NEEDED = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+)(?::any)?(?: \((?:= (?P<exact>[^)]+)|[^)]+)\))?")
_ANY_VERSION = "99:0"  # newer than any that a package asks for
# dlstatus:ITEM:PERCENT:TEXT (apt, methods of APT::Status-Fd: README.progress-reporting)
_STATUS = re.compile(r"dlstatus:\d+:(?P<percent>[\d.]+):")
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
        (root / "status").write_text(self._installed(dict.fromkeys(NOT_ON_DEVICE, _ANY_VERSION)))
        (root / "apt.conf").write_text(self._configuration())

    def update(self) -> None:
        """Fetch the signed indexes.

        A mirror that is being renewed may have no whole index of a suite for a while. Then the same suite is
        asked for by its other name, which caches keep apart; and if that fails too, we go on without the
        security or other updates, and say so. What is installed is signed all the same.

        Raises:
            KosError: the suite itself cannot be had, or its other name belongs to another release by now.
        """
        while True:
            try:
                self._run("apt-get", "update", "--error-on=any")
                break
            except KosError as error:
                broken = [one for one in self._sources if f"/{one.suite}/" in error.message]
                if not broken or any(one.suite == OTHER_NAME for one in broken):
                    raise
                self._replace(broken)
        self._check_releases()

    def _replace(self, broken: list[Source]) -> None:
        """Ask for these suites by their other names; those that were asked so already are left out."""
        kept = [one for one in self._sources if one not in broken]
        others = [renamed(one) for one in broken if one.suite.startswith(SUITE)]
        left_out = [one.suite for one in broken if not one.suite.startswith(SUITE)]
        if left_out:
            names = ", ".join(sorted(set(left_out)))
            self._say(f"warning: the mirror's index of {names} is not whole, going on without it")
        self._sources = kept + others
        self._write_sources()

    def _check_releases(self) -> None:
        """Every release that we have is one of ours by its signed words, whatever name we asked for."""
        lines = self._run("apt-get", "indextargets", "--format", "$(RELEASE)|$(CODENAME)").splitlines()
        for asked, codename in {tuple(line.split("|")) for line in lines}:
            if codename != SUITE + asked.removeprefix(SUITE).removeprefix(OTHER_NAME):
                raise KosError(
                    f"expected Debian {SUITE} behind the name {asked}, found {codename}",
                    hint="the mirror is being renewed: try again later",
                )

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
            total = sum(one.size for one in missing) / 1e6
            self._say(f"downloading {len(missing)} packages, {total:.1f} MB")
            self._fetch(packages)
        return [verified(archives / one.file_name, one) for one in packages]

    def _fetch(self, packages: list[Package]) -> None:
        """Have apt fetch what it has not yet.

        Of its commands only `install` goes on in the middle of a file, so it is made to believe that whatever
        else these packages need is there.
        """
        names = {one.name for one in packages}
        needed = {}
        for fields in self._show([f"{one.name}={one.version}" for one in packages]):
            for field in ("Pre-Depends", "Depends"):
                for match in _NEEDED.finditer(fields.get(field, "")):
                    if match["name"] not in names:
                        needed[match["name"]] = match["exact"] or _ANY_VERSION
        status = self._root / "status.download"
        others = {name: version for name, version in needed.items() if name not in NOT_ON_DEVICE}
        status.write_text(self._installed(dict.fromkeys(NOT_ON_DEVICE, _ANY_VERSION) | others))
        tenths = 0

        def progress(line: str) -> None:
            nonlocal tenths
            match = _STATUS.match(line)
            if match and int(float(match["percent"]) // 10) > tenths:
                tenths = int(float(match["percent"]) // 10)
                self._say(f"  {tenths * 10} %")

        wanted = [f"{one.name}={one.version}" for one in packages]
        options = [
            "--download-only",
            "--yes",
            "--no-install-recommends",
            "-o",
            f"Dir::State::status={status}",
        ]
        self._run("apt-get", "install", *options, *wanted, progress=progress)

    def _concrete(self, wanted: PackageSet) -> list[str]:
        """A kernel's meta package depends on the one with the version in its name."""
        names = []
        for name in wanted.packages:
            text = self._run("apt-cache", "depends", "--important", name)
            real = re.findall(r"Depends: (linux-image-[0-9]\S+)", text)
            names.append(real[0] if real else name)
        return names

    def _show(self, names: list[str]) -> list[dict[str, str]]:
        """The fields of each package, as the index has them."""
        text = self._run("apt-cache", "show", "--no-all-versions", *names)
        stanzas = filter(None, text.strip().split("\n\n"))
        return [{match["key"]: match["value"] for match in _FIELD.finditer(stanza)} for stanza in stanzas]

    def _describe(self, names: list[str]) -> list[Package]:
        packages = [
            Package(
                name=fields["Package"],
                version=fields["Version"],
                architecture=fields["Architecture"],
                sha256=fields["SHA256"],
                size=int(fields["Size"]),
                source=fields.get("Source", fields["Package"]).split(" ")[0],
            )
            for fields in self._show(names)
        ]
        return sorted(packages, key=lambda package: package.name)

    def _installed(self, versions: dict[str, str]) -> str:
        """dpkg's status file, by which apt believes that packages are installed already."""
        return "".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n"
            f"Architecture: {self._architecture}\nMulti-Arch: foreign\n"
            "Maintainer: none\nDescription: not on the device\n\n"
            for name, version in sorted(versions.items())
        )

    def _configuration(self) -> str:
        root = self._root
        return (
            f'APT::Architecture "{self._architecture}";\nAPT::Architectures {{ "{self._architecture}"; }};\n'
            f'Dir::State "{root}/state";\nDir::State::status "{root}/status";\nDir::Cache "{root}/cache";\n'
            f'Dir::Etc::sourcelist "{root}/etc/debian.sources";\nDir::Etc::sourceparts "-";\n'
            f'Dir::Etc::preferences "-";\nDir::Etc::preferencesparts "-";\n'
            'Acquire::Languages "none";\nAPT::Sandbox::User "";\nAcquire::Retries "3";\n'
        )

    def _run(self, *command: str, cwd: Path | None = None, progress: Progress | None = None) -> str:
        environment = plain_environment() | {"APT_CONFIG": str(self._root / "apt.conf")}
        try:
            if progress:
                done = _watched(list(command), environment, cwd, progress)
            else:
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


def _watched(
    command: list[str], environment: dict[str, str], cwd: Path | None, progress: Progress
) -> subprocess.CompletedProcess[str]:
    """Run apt and hand on each line of its progress."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as lines, tempfile.TemporaryFile("w+") as errors:
        try:
            process = subprocess.Popen(
                [*command, "-o", f"APT::Status-Fd={writing}"],
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment,
                cwd=cwd,
                pass_fds=[writing],
            )
        finally:
            os.close(writing)
        for line in lines:
            progress(line)
        process.wait()
        errors.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, "", errors.read())


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
