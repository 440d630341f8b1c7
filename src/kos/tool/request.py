"""What `run` and `watch` are asked for, and how the system gets into a run's directory.

It comes from a project or from a `manifest.zip`. Nothing is started here.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from kos.abi.errors import KosError
from kos.build import files, tree
from kos.build.manifest_zip import ManifestZip
from kos.build.system import Builder, Built
from kos.manifest import Manifest, PlatformSpec, codec
from kos.manifest.load import load_project
from kos.tool import output

NEXT_MANIFEST = "manifest.next.json"  # what the supervisor's `apply` goes over to


@dataclass(frozen=True)
class RunRequest:
    """What to run and how.

    Attributes:
        source: a project's directory, or a `manifest.zip`.
        platform: a platform spec.
        name: of the run; None takes the system's.
        keys: directory with the device's keys; None makes new ones for this run.
        locked: a `kos.lock` may not change.
        serial: the serial console of a board; None where there is none to attach.
        fastboot: which device fastboot speaks to, such as `tcp:192.0.2.7`; None is the one on USB.
    """

    source: Path
    platform: str
    name: str | None = None
    keys: Path | None = None
    locked: bool = False
    serial: Path | None = None
    fastboot: str | None = None

    @property
    def is_archive(self) -> bool:
        return self.source.suffix == ".zip" and not self.source.is_dir()

    def run_name(self, manifest: Manifest) -> str:
        """How the run is called. An empty name is a mistake, such as a variable that is not set."""
        return manifest.name if self.name is None else self.name

    def refuse_board(self) -> None:
        """For platforms that are no board. Raises KosError where one is named nevertheless."""
        if self.serial or self.fastboot:
            raise KosError(
                f"--serial and --fastboot are for boards, not for {self.platform}",
                hint="name the board with -p",
            )

    def builder(self) -> Builder:
        """A builder of the project."""
        if self.is_archive:
            raise KosError("expected a project, found a manifest.zip", where=str(self.source))
        project = load_project(self.source)
        return Builder(project, self.platform, may_lock=not self.locked, say=output.step)

    def manifest(self) -> Manifest:
        """What the source says; nothing is built."""
        if not self.is_archive:
            return load_project(self.source).manifest(self.platform)
        with ManifestZip(self.source) as archive:
            return archive.manifest

    def install(self, directory: Path) -> Manifest:
        """Put the system into an empty directory: `manifest.json`, `store/blobs`, `store/images`."""
        if not self.is_archive:
            return install_built(self.builder().build(), directory)
        with ManifestZip(self.source) as archive:
            wanted = PlatformSpec.parse(self.platform)
            if PlatformSpec.parse(archive.manifest.platform) != wanted:
                raise KosError(
                    f"built for {archive.manifest.platform}, asked to run on {wanted}",
                    where=str(self.source),
                    hint=f"kos-tool manifest -p {wanted} builds it for that",
                )
            blobs = directory / "store" / "blobs" / "sha256"
            blobs.mkdir(parents=True, exist_ok=True)
            parts = {part.sha256 for part in archive.manifest.parts.values()}
            images = [sha256 for sha256 in archive.blobs if sha256 not in parts]
            for sha256 in images:
                with files.atomic_file(blobs / sha256) as out:
                    archive.copy_blob(sha256, out)
            _install(archive.manifest_bytes, {s: blobs / s for s in images}, directory)
            return archive.manifest


def install_built(built: Built, directory: Path) -> Manifest:
    """Put a built system into a directory; images that are there already stay."""
    _install(codec.dump(built.manifest), built.blobs, directory)
    return built.manifest


def stage_next(built: Built, directory: Path) -> None:
    """Put a built system beside the one that runs from a directory; the supervisor then goes over to it."""
    _install(codec.dump(built.manifest), built.blobs, directory, NEXT_MANIFEST)


def _install(manifest: bytes, blobs: dict[str, Path], directory: Path, name: str = "manifest.json") -> None:
    images = directory / "store" / "images"
    for sha256, blob in blobs.items():
        if not (images / sha256).exists():
            with files.new_directory(images / sha256) as scratch:
                tree.unpack(blob, scratch)
                scratch.chmod(0o755)
    files.write_atomic(directory / name, manifest)


def install_keys(directory: Path, given: Path | None) -> None:
    """Put a device's keys into `directory`: copies of those given, else new ones.

    What provisioning says about the tunnel comes along: `tunnel.json` beside the keys.

    Raises:
        KosError: keys or a `tunnel.json` that are none; nothing was made.
    """
    from kos.abi.network import PROVISIONED_FILE
    from kos.device.network.tunnel import read_provisioned
    from kos.keys import pairs

    if given is None:
        pairs.generate(directory, sorted(pairs.DEVICE_KEYS.items()))
        return
    pairs.check_device_keys(given)
    provisioned = read_provisioned(given)
    directory.mkdir(mode=0o700)
    for name in pairs.DEVICE_KEYS:
        for suffix in (".key", ".pub"):
            shutil.copy2(given / f"{name}{suffix}", directory / f"{name}{suffix}")
    if provisioned:
        shutil.copy2(given / PROVISIONED_FILE, directory / PROVISIONED_FILE)
