"""Where Debian packages come from: the mirrors that this machine's apt uses already, with the suite we need.

No mirror is named in KOS. On a machine that is not Debian, `$KOS_DEBIAN_MIRROR` names one.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kos.abi.errors import KosError
from kos.build.sdk.sets import OTHER_NAME, SUITE

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_DEBIAN = re.compile(r"(?P<name>[a-z]+)(?P<part>|-updates|-security)")
_NOT_DEBIAN_NAMES = {"nodistro", "focal", "jammy", "noble"}
COMPONENTS = "main non-free-firmware"


@dataclass(frozen=True)
class Source:
    """One deb822 stanza: a mirror and a suite on it."""

    uri: str
    suite: str

    def stanza(self) -> str:
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {self.suite}\n"
            f"Components: {COMPONENTS}\nSigned-By: {KEYRING}\n"
        )


def renamed(source: Source) -> Source:
    """The same suite by its other name: `stable-updates` for `trixie-updates`."""
    return Source(source.uri, OTHER_NAME + source.suite.removeprefix(SUITE))


def from_targets(text: str) -> list[Source]:
    """Our suites on the mirrors of `apt-get indextargets` lines `URI|RELEASE|COMPONENT`.

    Each Debian suite of the host stands for the same part of ours: `bookworm-security` for `trixie-security`.
    """
    found: dict[Source, None] = {}
    for line in text.splitlines():
        uri, release, component = (*line.split("|"), "", "")[:3]
        match = _DEBIAN.fullmatch(release)
        if component == "main" and match and match["name"] not in _NOT_DEBIAN_NAMES and "debian" in uri:
            found[Source(uri, SUITE + match["part"])] = None
    return list(found)


def host_sources() -> list[Source]:
    """The sources of this machine, turned to our suite.

    Raises:
        KosError: apt is missing, names no Debian mirror, or Debian's keys are missing.
    """
    if not KEYRING.exists():
        raise KosError(
            "Debian's signing keys are missing",
            where=str(KEYRING),
            hint="apt-get install debian-archive-keyring",
        )
    mirror = os.environ.get("KOS_DEBIAN_MIRROR")
    if mirror:
        return [Source(mirror, SUITE), Source(mirror, f"{SUITE}-updates")]
    targets = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
        "Created-By: Packages",
    ]
    try:
        done = subprocess.run(targets, capture_output=True, text=True, check=True, env=plain_environment())
    except (OSError, subprocess.CalledProcessError) as error:
        raise KosError(
            f"apt could not tell its mirrors: {error}", hint="the SDK needs a Debian machine"
        ) from error
    sources = from_targets(done.stdout)
    if not any(source.suite == SUITE for source in sources):
        raise KosError(
            "apt on this machine has no Debian mirror",
            hint="set KOS_DEBIAN_MIRROR to the address of one and try again",
        )
    return sources


def plain_environment() -> dict[str, str]:
    """The environment for apt and dpkg: no other configuration, English messages that can be read by us."""
    kept = {name: value for name, value in os.environ.items() if name != "APT_CONFIG"}
    return kept | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
