"""The Debian packages that KOS uses: which are missing, and their installation after asking.

The list is `setup/debian-packages.txt`; `setup/packages.sh` asks and installs, for here and for the set-up.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kos.abi.errors import KosError

SETUP = Path(__file__).resolve().parents[3] / "setup"


@dataclass(frozen=True)
class Package:
    """One line of the list."""

    name: str
    group: str
    why: str


def _listed() -> list[Package]:
    lines = (SETUP / "debian-packages.txt").read_text().splitlines()
    words = [line.split(None, 2) for line in lines if line.strip() and not line.startswith("#")]
    return [Package(name, group, why) for name, group, why in words]


def of_groups(groups: Sequence[str]) -> list[Package]:
    """The packages of some groups; of all, if none is named."""
    listed = _listed()
    known = sorted({package.group for package in listed})
    for group in groups:
        if group not in known:
            raise KosError(f"there is no group {group!r}", hint=f"known: {', '.join(known)}")
    return [package for package in listed if not groups or package.group in groups]


def missing(packages: Sequence[Package]) -> list[Package]:
    """Those that dpkg does not have."""
    command = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"]
    try:
        done = subprocess.run(
            [*command, *(package.name for package in packages)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise KosError("this is not a Debian system", hint="KOS runs on Debian 12 or newer") from None
    states = [line.split() for line in done.stdout.splitlines()]
    there = {words[1] for words in states if words[:1] == ["installed"]}
    return [package for package in packages if package.name not in there]


def install(groups: Sequence[str]) -> None:
    """Install what is missing of some groups; asks first, unless the user agreed already (`KOS_YES`)."""
    done = subprocess.run([str(SETUP / "packages.sh"), *groups], env=os.environ, check=False)
    if done.returncode:
        raise KosError(
            "Debian packages are missing", hint=f"kos-tool deps.check {' '.join(groups)} lists them"
        )


def require(group: str) -> None:
    """See to it that a group is installed before work that needs it begins."""
    try:
        lacking = missing(of_groups([group]))
    except KosError:
        return  # on another system the work itself says what it lacks
    if lacking:
        install([group])
