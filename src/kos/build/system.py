"""A whole system: every app's image, then the manifest that names them by their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kos.build import manifest_zip, wheels
from kos.build.cache import Blob, Cache
from kos.build.errors import BuildError
from kos.build.python_app import PythonApp
from kos.build.target import Target, target
from kos.manifest import (
    App,
    BuiltCImage,
    BuiltPythonImage,
    BuiltVmImage,
    CImage,
    Manifest,
    PlatformSpec,
    PythonImage,
    VmImage,
)
from kos.manifest.load import Project
from kos.manifest.model import SystemPart

if TYPE_CHECKING:
    from kos.build.c_app import CApp


@dataclass(frozen=True)
class Built:
    """A built system.

    Attributes:
        manifest: with images that name blobs.
        blobs: SHA-256 → file.
        made: names of the apps whose images had to be made.
    """

    manifest: Manifest
    blobs: dict[str, Path]
    made: list[str] = field(default_factory=list)

    def with_parts(self, parts: Mapping[str, Path]) -> Built:
        """The same with the device's own parts: `bootfs` and `root`, each a file."""
        named, blobs = {}, dict(self.blobs)
        for name, path in parts.items():
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            named[name] = SystemPart(sha256, path.stat().st_size)
            blobs[sha256] = path
        return replace(self, manifest=replace(self.manifest, parts=named), blobs=blobs)

    def write(self, path: Path) -> None:
        """Write `manifest.zip`."""
        manifest_zip.write(path, self.manifest, self.blobs)


class Builder:
    """Builds the apps of one project for one platform, as often as asked."""

    def __init__(
        self,
        project: Project,
        platform: str = "host",
        *,
        cache: Cache | None = None,
        may_lock: bool = True,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """
        Args:
            project: the sources.
            platform: a platform spec.
            cache: where images are kept; None is the user's own.
            may_lock: whether a `kos.lock` may be written.
            say: is told what goes on, a line at a time.
        """
        self._project = project
        self._platform = platform
        self._target: Target = target(PlatformSpec.parse(platform).arch)
        self._cache = cache or Cache()
        self._may_lock = may_lock
        self._say = say

    @property
    def root(self) -> Path:
        """The project's directory."""
        return self._project.root

    def build(self) -> Built:
        """The system as it is now; what did not change since an earlier build is taken from the cache.

        Raises:
            KosError: the manifest or an app is wrong; says where.
        """
        manifest = self._project.manifest(self._platform)
        blobs: dict[str, Path] = {}
        made: list[str] = []
        apps: dict[str, App] = {}
        for name, app in manifest.apps.items():
            if isinstance(app.image, PythonImage):
                blob, new = self._python(app, app.image)
                entry = _python_entry(app.image)
                apps[name] = replace(app, image=BuiltPythonImage(blob.sha256, blob.size, entry))
            elif isinstance(app.image, CImage):
                blob, new = self._c(app, app.image)
                apps[name] = replace(app, image=BuiltCImage(blob.sha256, blob.size, _c_entry(app)))
            elif isinstance(app.image, VmImage):
                blob, new = self._vm(app, app.image)
                apps[name] = replace(app, image=BuiltVmImage(blob.sha256, blob.size, app.image.entry))
            else:
                apps[name] = app
                continue
            blobs[blob.sha256] = blob.path
            if new:
                made.append(name)
        return Built(replace(manifest, apps=apps), blobs, made)

    def _directory(self, app: App, path: str) -> Path:
        directory = self._project.root / path
        if not directory.is_dir():
            raise BuildError(
                f"app {app.name!r}: there is no directory {path!r}",
                where=app.where or None,
                hint=f"it is looked for below {self._project.root}",
            )
        return directory.resolve()

    def _python(self, app: App, image: PythonImage) -> tuple[Blob, bool]:
        sources = PythonApp.load(self._directory(app, image.path), self._target)
        sources.check_entry(_python_entry(image))
        locked = wheels.locked(sources.directory, sources.requires, self._target, may_lock=self._may_lock)

        def make(place: Path) -> None:
            self._say(f"building {app.name} (Python)")
            sources.fill(place, locked, self._target, self._cache)

        return self._cache.image({"kind": "python", **sources.inputs(locked)}, make)

    def symbols(self, name: str) -> tuple[Path, str]:
        """A C app's program with its symbols, and the SHA-256 of the image that it belongs to.

        Raises:
            KosError: there is no such C app, or it does not build.
        """
        app = self._project.manifest(self._platform).apps.get(name)
        if app is None or not isinstance(app.image, CImage):
            shell = app is not None and isinstance(app.image, PythonImage)
            hint = f"it is in Python: kos-tool toolbox.remote_shell {name}" if shell else None
            raise BuildError(f"the project has no C app {name!r}", where=str(self._project.root), hint=hint)
        blob, _new = self._c(app, app.image)
        return self._sources(app, app.image).symbols(), blob.sha256

    def _sources(self, app: App, image: CImage) -> CApp:
        from kos.build.c_app import CApp  # a system without C apps needs no C toolchain

        return CApp(self._directory(app, image.path), _c_entry(app), self._target, self._cache)

    def _c(self, app: App, image: CImage) -> tuple[Blob, bool]:
        sources = self._sources(app, image)

        def make(place: Path) -> None:
            self._say(f"building {app.name} (C)")
            sources.fill(place)

        return self._cache.image({"kind": "c", **sources.inputs()}, make)

    def _vm(self, app: App, image: VmImage) -> tuple[Blob, bool]:
        from kos.build.vm_image import Guest  # a system without guests needs no SDK

        sources = Guest(self._project.root, image, PlatformSpec.parse(self._platform), app.where)

        def make(place: Path) -> None:
            self._say(f"building {app.name} (guest)")
            sources.fill(place)

        return self._cache.image({"kind": "vm", **sources.inputs()}, make)


def _python_entry(image: PythonImage) -> str:
    return image.entry or f"{image.path.rstrip('/').rsplit('/', 1)[-1]}:main"


def _c_entry(app: App) -> str:
    assert isinstance(app.image, CImage)
    return app.image.entry or f"bin/{app.name}"
