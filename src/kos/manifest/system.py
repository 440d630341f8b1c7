"""`System`: what a user writes. A class with a `base` and a `setup`, and nothing that runs by itself."""

from __future__ import annotations

import re

from kos.abi.hints import Any, ClassVar
from kos.manifest.config import Config
from kos.manifest.context import Context
from kos.manifest.errors import ManifestError
from kos.manifest.model import Manifest
from kos.manifest.platform import PlatformSpec
from kos.manifest.where import relative, user_location


class System:
    """A system, or a layer that others name as their base.

    Attributes:
        base: the layer below: a `System` class, or an object of one where it takes options.
        name: in the manifest; None takes the class's name in snake_case.
        release: of the system.
    """

    base: ClassVar[System | type[System] | None] = None
    name: ClassVar[str | None] = None
    release: ClassVar[str] = "0.0.0"
    _defined_at: ClassVar[str | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._defined_at = user_location() if not cls.__module__.startswith("kos.") else None

    def setup(self, ctx: Context) -> Context:
        """Put what this system adds to its base."""
        return ctx

    def finish(self, ctx: Context) -> Context:
        """Complete what is there once every layer above has been put; the lowest layer comes first."""
        return ctx

    def kos_base_system(self) -> System | None:
        """The layer below, as an object."""
        return self.base() if isinstance(self.base, type) else self.base

    def context(self, ctx: Context) -> Context:
        """`ctx` with the layers below and then with this one."""
        layers: list[System] = [self]
        while (base := layers[0].kos_base_system()) is not None:
            layers.insert(0, base)
        for step in ("setup", "finish"):
            for number, layer in enumerate(layers):
                # Read by where.user_location: what a layer of ours puts is said by the user's class above it.
                _said_at = next((each._defined_at for each in layers[number:] if each._defined_at), None)
                ctx = layer._made(step, ctx, _said_at)
        return ctx

    def _made(self, step: str, ctx: Context, said_at: str | None) -> Context:
        made = getattr(self, step)(ctx)
        if not isinstance(made, Context):
            raise ManifestError(
                f"{type(self).__name__}.{step} returned {type(made).__name__}, expected a Context",
                where=said_at,
                hint="end it with: return ctx",
            )
        return made

    def manifest(
        self,
        platform: str | PlatformSpec = "host",
        *,
        config: Config | None = None,
        root: str | None = None,
    ) -> Manifest:
        """The manifest for a platform.

        Args:
            platform: a spec such as `imx8mm-evk,hyp=on`.
            config: the project's settings.
            root: the project's directory; what the manifest says of places is relative to it.
        """
        spec = PlatformSpec.parse(platform) if isinstance(platform, str) else platform
        start = Context(
            name=self.name or _snake(type(self).__name__),
            release=self.release,
            platform=spec,
            config=config or Config(),
            root=root,
            where=relative(self._defined_at, root),
        )
        return self.context(start).manifest()


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
