"""What is refused before anything is touched. Pure: facts in, an error out."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kos.abi.errors import KosError
from kos.abi.records import dataclass, field
from kos.keys import signing
from kos.manifest.model import Manifest

SPARE = 4 << 20  # bytes that stay free on the storage
UNPACKED = 2  # an app image is kept as a blob and unpacked
_WORDS = re.compile(r"[0-9]+|[A-Za-z]+")


@dataclass(frozen=True)
class Facts:
    """What a device knows of itself.

    Attributes:
        running: the manifest that runs.
        trust: whose signatures count; None where nobody's were given to the device.
        free: bytes that the storage has left.
        room: bytes that each partition of a slot has: part → bytes; empty where there are no slots.
    """

    running: Manifest
    trust: signing.Trust | None
    free: int
    room: Mapping[str, int] = field(default_factory=dict)


def check(
    manifest: Manifest, document: bytes, signatures: Mapping[str, bytes], missing: int, facts: Facts
) -> None:
    """That a device may take the manifest.

    Args:
        manifest: what is offered.
        document: its bytes, which signatures are of.
        signatures: name → document.
        missing: bytes of the app images that would have to come.
        facts: about the device.

    Raises:
        KosError: it may not; says why.
    """
    # What is offered must not be able to say that it needs no signature: the system that runs decides.
    if not facts.running.options.disable_signing:
        if facts.trust is None:
            raise KosError(
                "this device has no trusted keys, so it takes no upgrade",
                hint="give it some: kos-tool bootstrap --trust, or set_kos_options(disable_signing=True)",
            )
        signing.require(document, signatures, facts.trust)
    if manifest.platform != facts.running.platform:
        raise KosError(f"it is built for {manifest.platform}, this device is {facts.running.platform}")
    if facts.running.options.downgrade_protection and older(manifest.release, facts.running.release):
        raise KosError(
            f"release {manifest.release} is older than {facts.running.release}, which runs",
            hint="set_kos_options(downgrade_protection=False) in the system that runs would allow it",
        )
    needed = missing * UNPACKED + SPARE
    if needed > facts.free:
        raise KosError(f"the storage is full: {needed} bytes are needed, {facts.free} are free")
    for name, part in manifest.parts.items():
        if part.size > facts.room.get(name, 0):
            raise KosError(
                f"{name} of {part.size} bytes does not fit: its partition has {facts.room.get(name, 0)}"
            )


def release_key(release: str) -> list[tuple[int, int, str]]:
    """What releases are ordered by: numbers as numbers, words before them, so that 1.0-rc1 < 1.0 < 1.0.1 <
    1.10.
    """
    words = _WORDS.findall(release.split("+")[0])
    key = [(2, int(word), "") if word.isdecimal() else (0, 0, word) for word in words]
    return [*key, (1, 0, "")]


def older(release: str, than: str) -> bool:
    """Whether a release comes before another one."""
    return release_key(release) < release_key(than)
